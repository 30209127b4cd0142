"""`localmix tune`: measures how a model runs best on this machine, and remembers it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from localmix import settings, units
from localmix.cli.arguments import Json, flag
from localmix.cli.progress import shown_compiling
from localmix.cli.terminal import (
    StatusLine,
    Streams,
    console,
    write_fields,
    write_json,
    write_table,
)
from localmix.errors import LocalmixError

if TYPE_CHECKING:
    from localmix.bench.conditions import Around
    from localmix.bench.tune import Tuning
    from localmix.engine.model import Model
    from localmix.engine.tuned import Tuned
    from localmix.kernels.library import Machine, OnCompile

EXAMPLES = """
localmix tune mistral
localmix tune mistral --forget
"""


def tune(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="A name, or a .gguf file.")],
    forget: Annotated[
        bool, flag("--forget", text="Go back to what is usual.", group="Options")
    ] = False,
    anyway: Annotated[
        bool, flag("--anyway", text="Keep it even if other programs were busy.", group="Options")
    ] = False,
    json: Json = False,
) -> None:
    """Measure how a model runs best on this machine, and use that from then on.

    Numbers of threads, on fast and slow cores; how many tokens of a prompt go through the layers
    together; the shape of the register tile. It takes a minute or two, and longer for large models.
    What is found counts for all models of the same shape and quantization.
    """
    from localmix.bench import conditions
    from localmix.kernels.library import this_machine
    from localmix.registry.resolve import resolve

    streams = Streams.standard()
    path, machine = resolve(model, settings.home()), this_machine()
    if forget:
        _remember(path, machine, None)
        console(streams.stderr).print(f"{model} runs as usual again", markup=False)
        return
    start = conditions.look()
    found = _measured(path, machine, streams)
    spoilt = _spoilt(conditions.around(start, conditions.look()), found.best)
    if anyway or not spoilt:
        _remember(path, machine, found.best)
    if json:
        write_json(_record(model, found, spoilt), streams.stdout)
        return
    rows = [
        (
            trial.what,
            _words(trial.choices, trial.what),
            *(units.rate(x).removesuffix(" tok/s") for x in (trial.tok_s, trial.champion_tok_s)),
            "better" if trial.wins else "",
        )
        for trial in found.trials
    ]
    header = ("", "tried", "tok/s", "before", "")
    write_table(rows, streams.stdout, header=header, right=(2, 3))
    streams.stdout.write("\n")
    write_fields(_fields(found.best, machine), streams.stdout)
    if spoilt:
        kept = "kept all the same" if anyway else "so nothing was kept; try again when it is quiet"
        console(streams.stderr).print(f"{spoilt}; {kept}", style="warn", markup=False)


def _spoilt(seen: Around, best: Tuned) -> str:
    """Say why what was found may not be the best; empty if nothing speaks against it."""
    from localmix.bench.conditions import OTHERS_PCT, others_pct
    from localmix.cores import cores

    others = others_pct(seen, max(best.n_threads, best.n_threads_few), cores().physical)
    if others is not None and others > OTHERS_PCT:
        return f"other programs took {others:.0f} % of the cores"
    if seen.throttled:
        return "heat slowed the CPU down"
    return "the machine runs on its battery" if seen.on_battery else ""


def _measured(path: Path, machine: Machine, streams: Streams) -> Tuning:
    from localmix.bench.tune import tune
    from localmix.cores import cores
    from localmix.kernels.isa import OTHER_TILES

    status = StatusLine(streams.stderr, delay_s=0.0)
    with shown_compiling(streams.stderr) as on_compile:
        models = _Models(path, on_compile)
        try:
            return tune(
                models.measure,
                cores(),
                OTHER_TILES[machine.tier.name],
                lambda what, choices: status.show(f"{what}: {_words(choices, what)}"),
            )
        finally:
            status.clear()
            models.close()


class _Models:
    """The model with two choices, of champion and challenger; loading takes a moment."""

    def __init__(self, path: Path, on_compile: OnCompile) -> None:
        self._path, self._on_compile = path, on_compile
        self._loaded: dict[Tuned, Model] = {}
        self._warm: set[tuple[str, Tuned]] = set()
        self._n_measured = 0

    def measure(self, what: str, choices: Tuned, n_tokens: int) -> float:
        """Measure tokens per second once."""
        from localmix.bench.run import BenchOptions, measure

        is_prefill = what == "prefill"
        options = BenchOptions(
            n_prompt=n_tokens if is_prefill else 0,
            n_generated=0 if is_prefill else n_tokens,
            n_repetitions=1,
            seed=self._n_measured,  # the same ids again would be in the model's cache
            warms_up=(what, choices) not in self._warm,
        )
        self._warm.add((what, choices))
        self._n_measured += 1
        measured = measure(self._model(choices), options)
        return (measured.prefill if is_prefill else measured.decode).median

    def close(self) -> None:
        """Let go of them."""
        for model in self._loaded.values():
            model.close()
        self._loaded.clear()

    def _model(self, choices: Tuned) -> Model:
        from localmix.engine.load import load_file

        if choices not in self._loaded:
            for old in list(self._loaded)[:-1]:
                self._loaded.pop(old).close()
                self._warm -= {("prefill", old), ("decode", old)}
            self._loaded[choices] = load_file(
                self._path, on_compile=self._on_compile, choices=choices
            )
        # The one used last stays.
        model = self._loaded[choices] = self._loaded.pop(choices)
        return model


def _remember(path: Path, machine: Machine, found: Tuned | None) -> None:
    from localmix.engine import tuned
    from localmix.gguf import GGUFFile
    from localmix.model.config import ModelConfig

    with GGUFFile.open(path) as file:
        shape = tuned.shape_of(ModelConfig.from_metadata(file.metadata), file.tensors)
    folder = settings.cache_folder()
    try:
        tuned.write(folder, machine, shape, found)
    except OSError as exc:
        raise LocalmixError(
            f"what was found cannot be kept in {folder}: {exc.strerror}",
            "set LOCALMIX_CACHE to a folder that can be written",
        ) from exc


def _words(choices: Tuned, what: str) -> str:
    n_threads = choices.n_threads_few if what == "decode" else choices.n_threads
    words = "1 thread" if n_threads == 1 else f"{n_threads} threads"
    if what == "prefill":
        words += f", chunks of {choices.chunk_tokens}"
        if choices.tile:
            words += f", tile {_tile(choices.tile)}"
    return words


def _tile(tile: tuple[int, int]) -> str:
    return f"{tile[0]}x{tile[1]}"


def _fields(best: Tuned, machine: Machine) -> list[tuple[str, str]]:
    return [
        ("tokens", _words(best, "decode")),
        (
            "prompts",
            f"{_words(best, 'prefill')}"
            + ("" if best.tile else f", tile {_tile(machine.tier.tile)}"),
        ),
    ]


def _record(model: str, found: Tuning, spoilt: str) -> dict[str, Any]:
    """The public JSON object of `tune --json`."""
    best = found.best
    return {
        "model": model,
        "threads": {"prefill": best.n_threads, "decode": best.n_threads_few},
        "chunk_tokens": best.chunk_tokens,
        "tile": list(best.tile) if best.tile else None,
        "spoilt": spoilt or None,
        "trials": [
            {
                "what": trial.what,
                "threads": trial.choices.n_threads_few
                if trial.what == "decode"
                else trial.choices.n_threads,
                "chunk_tokens": trial.choices.chunk_tokens,
                "tile": list(trial.choices.tile) if trial.choices.tile else None,
                "tok_s": trial.tok_s,
                "before_tok_s": trial.champion_tok_s,
                "better": trial.wins,
            }
            for trial in found.trials
        ],
    }
