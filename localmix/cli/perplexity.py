"""`localmix perplexity`: how well a model predicts a text, and how far it is from another one."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TextIO

import typer

from localmix import units
from localmix.cli.answer import open_model
from localmix.cli.arguments import flag, option, takes, within
from localmix.cli.errors import WrongUsage
from localmix.cli.options import (
    Executor,
    ExpertsUsed,
    KvType,
    RunOptions,
    SlidingWindow,
    Threads,
    Weights,
)
from localmix.cli.terminal import (
    StatusLine,
    Streams,
    console,
    write_fields,
    write_json,
    write_table,
)
from localmix.errors import LocalmixError
from localmix.settings import EXECUTORS

if TYPE_CHECKING:
    from localmix.bench.perplexity import Divergence, Estimate, Measured

EXAMPLES = """
localmix perplexity mistral wiki.test.raw
localmix perplexity mistral wiki.test.raw --ctx 2048 --chunks 20 --json
localmix perplexity mistral:7b-instruct-v0.3-q4_K_M notes.txt --kl-against Q8_0.gguf
localmix perplexity tiny story.txt --kl-against reference
"""

_MEASURED, _OUTPUT = "What is measured", "Output"


@dataclass(frozen=True)
class PerplexityOptions:
    """Everything that `perplexity` can be told."""

    model: Annotated[
        str, typer.Argument(metavar="MODEL", help="A name, hf.co/OWNER/REPO, or a .gguf file.")
    ]
    file: Annotated[
        str, typer.Argument(metavar="FILE", help="A text in UTF-8; - reads it from stdin.")
    ]
    ctx: Annotated[
        int, option("--ctx", metavar="N", text="Tokens of a chunk.", group=_MEASURED)
    ] = 512
    chunks: Annotated[
        int | None,
        option("--chunks", metavar="N", text="Only the first N chunks.", group=_MEASURED),
    ] = None
    kl_against: Annotated[
        str | None,
        option(
            "--kl-against",
            metavar="MODEL|" + "|".join(EXECUTORS),
            text="Also the divergence from another model, or from MODEL on that executor; the "
            "other options count for both.",
            group=_MEASURED,
        ),
    ] = None
    threads: Threads = None
    kv: KvType = None
    weights: Weights = None
    sliding_window: SlidingWindow = None
    experts: ExpertsUsed = None
    executor: Executor = None
    json: Annotated[bool, flag("--json", text="One JSON object.", group=_OUTPUT)] = False

    def check(self) -> None:
        """Raise WrongUsage for the first value that makes no sense."""
        from localmix.bench.perplexity import MIN_CONTEXT

        within("--ctx", self.ctx, MIN_CONTEXT, 2**31 - 1)
        within("--chunks", self.chunks, 1, 2**31 - 1)
        self.load_options().check()
        if self.kl_against == (self.executor or EXECUTORS[0]):
            other = next(name for name in EXECUTORS if name != self.kl_against)
            raise WrongUsage(
                f"the executor is {self.kl_against} already, which cannot differ from itself",
                f"--kl-against {other}",
            )

    def load_options(self) -> RunOptions:
        """What was said about the model, for `open_model`."""
        return RunOptions(
            self.model,
            ctx=self.ctx,
            threads=self.threads,
            kv=self.kv,
            weights=self.weights,
            sliding_window=self.sliding_window,
            experts=self.experts,
            executor=self.executor,
        )

    def base_options(self) -> RunOptions | None:
        """What it is compared with: another executor, or another model."""
        if self.kl_against is None:
            return None
        if self.kl_against in EXECUTORS:
            return replace(self.load_options(), executor=self.kl_against)
        return replace(self.load_options(), model=self.kl_against)


@takes(PerplexityOptions)
def perplexity(options: PerplexityOptions) -> None:
    """Measure how well a model predicts a text, as llama.cpp's llama-perplexity does.

    Lower is better. The text is cut into chunks of --ctx tokens, and the second half of each is
    predicted. Figures of models with different vocabularies cannot be compared.
    """
    options.check()
    streams = Streams.standard()
    measured = _measure(options, read_text(options.file, streams.stdin), streams)
    if options.json:
        write_json(_record(options, measured), streams.stdout)
    else:
        _write(options, measured, streams.stdout)


def read_text(file: str, stdin: TextIO) -> str:
    """Read a text as it is, but for one newline at its end, as llama.cpp's `-f` does.

    Raises:
        LocalmixError: it cannot be read, is empty, or is no UTF-8.
    """
    what = "the text on stdin" if file == "-" else file
    try:
        if file != "-":
            content: bytes | str = Path(file).read_bytes()
        else:
            content = getattr(stdin, "buffer", stdin).read()
        text = content if isinstance(content, str) else content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise LocalmixError(f"{what} is no text in UTF-8", "convert it first") from error
    except (OSError, ValueError) as error:  # ValueError: a path with a NUL in it
        raise _unreadable(file, error) from error
    if not text.strip():
        raise LocalmixError(f"{what} is empty", "give it a text of a few thousand words")
    return text.removesuffix("\n")


def _unreadable(file: str, error: Exception) -> LocalmixError:
    if Path(file).is_dir():
        return LocalmixError(f"{file} is a folder", "give it a file of text")
    if isinstance(error, FileNotFoundError):
        return LocalmixError(f"there is no file {file}", "look whether its path is written rightly")
    reason = getattr(error, "strerror", None) or str(error)
    return LocalmixError(f"{file} cannot be read: {reason.lower()}", "give it a file of text")


def _measure(options: PerplexityOptions, text: str, streams: Streams) -> Measured:
    """Load what is needed and score the text, with a status line."""
    from localmix.bench.perplexity import check_vocabularies, chunks_of, measure

    with ExitStack() as stack:
        model = stack.enter_context(open_model(options.load_options(), streams))
        chunks = chunks_of(model, text, options.ctx, options.chunks)
        base, base_options = None, options.base_options()
        if base_options is not None:
            base = stack.enter_context(open_model(base_options, streams))
            check_vocabularies(model, base)
        return watched(measure(model, chunks, base), len(chunks), streams)


def watched(
    steps: Iterator[Measured],
    n_chunks: int,
    streams: Streams,
    clock: Callable[[], float] = time.perf_counter,
) -> Measured:
    """Go through all steps and return the last; after Ctrl-C, say what is known so far."""
    status = StatusLine(streams.stderr, delay_s=0.0)
    start_s = clock()
    known: Measured | None = None
    status.show(f"chunk 1 of {n_chunks}")
    try:
        for known in steps:
            left_s = (clock() - start_s) * (n_chunks / known.n_chunks - 1)
            if known.n_chunks < n_chunks:
                status.show(
                    f"chunk {known.n_chunks + 1} of {n_chunks} · {_so_far(known)}"
                    f" · {units.seconds(left_s)} left"
                )
    except KeyboardInterrupt:
        status.clear()
        if known is not None:
            done = f"{known.n_chunks} of {n_chunks} chunks"
            console(streams.stderr).print(f"stopped after {done}: {_so_far(known)}", markup=False)
        raise
    finally:
        status.clear()
    assert known is not None, "there is at least one chunk"
    return known


def _so_far(measured: Measured) -> str:
    """The figures of a moment on one line."""
    text = f"perplexity {_written(measured.perplexity, 4)}"
    if measured.divergence is not None:
        text += f" · KL {_written(measured.divergence.kl, 6)}"
    return text


def _write(options: PerplexityOptions, measured: Measured, stdout: TextIO) -> None:
    """Write the figures as fields, and the divergences as a table below them."""
    far = measured.divergence
    fields = [("perplexity", _written(measured.perplexity, 4))]
    if far is not None:
        fields += [
            ("base", f"{_written(far.base, 4)} ({options.kl_against})"),
            ("ratio", _written(far.ratio, 6)),
            ("KL", f"{_written(far.kl, 6)} nats"),
            ("same top", f"{_written(far.same_top, 3, 100)} %"),
            ("RMS Δp", f"{_written(far.rms_dp, 3, 100)} %"),
        ]
    tokens, chunks = _counted(measured.n_scored, "token"), _counted(measured.n_chunks, "chunk")
    scored = f"{tokens}: the second half of {chunks} of {options.ctx}"
    write_fields([*fields, ("scored", scored)], stdout)
    if far is not None:
        stdout.write("\n")
        columns = _spread(far)
        cells = ["KL", *(f"{value:.3g}" for value in columns.values())]
        right = tuple(range(1, len(cells)))
        write_table([cells], stdout, header=("", *columns), right=right)


def _spread(far: Divergence) -> dict[str, float]:
    """The columns of the table, from the largest divergence to the smallest."""
    shares = [(float(name), f"{name} %", value) for name, value in _percentiles(far).items()]
    columns = [*shares, (100.0, "max", far.max), (50.0, "median", far.median)]
    return {header: value for _, header, value in sorted(columns, reverse=True)}


def _counted(n: int, what: str) -> str:
    return f"1 {what}" if n == 1 else f"{n} {what}s"


def _written(estimate: Estimate, n_digits: int, scale: float = 1.0) -> str:
    """A value and its error, if there is one: `5.1234 ± 0.0321`."""
    value = f"{scale * estimate.value:.{n_digits}f}"
    if math.isnan(estimate.error):
        return value
    return f"{value} ± {scale * estimate.error:.{n_digits}f}"


def _percentiles(far: Divergence) -> dict[str, float]:
    """Percent as text -> the divergence that so many of the places do not exceed."""
    from localmix.bench.perplexity import PERCENTILES

    return {f"{percent:g}": far.percentile(percent) for percent in PERCENTILES}


def _record(options: PerplexityOptions, measured: Measured) -> dict[str, Any]:
    """The object of `perplexity --json`."""
    record = {
        "model": options.model,
        "file": options.file,
        "ctx": options.ctx,
        "chunks": measured.n_chunks,
        "tokens": measured.n_scored,
        "perplexity": measured.perplexity.value,
        "error": measured.perplexity.error,
    }
    far = measured.divergence
    if far is not None:
        record["kl"] = {
            "against": options.kl_against,
            "mean": far.kl.value,
            "error": far.kl.error,
            "max": far.max,
            "median": far.median,
            "percentiles": _percentiles(far),
            "same_top": far.same_top.value,
            "same_top_error": far.same_top.error,
            "rms_dp": far.rms_dp.value,
            "rms_dp_error": far.rms_dp.error,
            "base_perplexity": far.base.value,
            "base_error": far.base.error,
            "ratio": far.ratio.value,
            "ratio_error": far.ratio.error,
        }
    return record
