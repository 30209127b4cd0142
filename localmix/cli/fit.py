"""`localmix fit`: will a model run here, how fast, and which quantization instead."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any

import typer

from localmix import settings, units
from localmix.cli.arguments import Json, one_of, option, sized, within
from localmix.cli.memory import memory, verdict
from localmix.cli.options import KvType
from localmix.cli.progress import shown_measuring
from localmix.cli.subject import Subject, look_up
from localmix.cli.terminal import (
    StatusLine,
    Streams,
    console,
    write_fields,
    write_json,
    write_table,
)

if TYPE_CHECKING:
    from localmix.bench.limits import Machine
    from localmix.bench.outlook import Outlook
    from localmix.bench.predict import Prediction

EXAMPLES = """
localmix fit mistral
localmix fit mixtral --ctx 16384
localmix fit mixtral:8x7b-instruct-v0.1-q2_K --memory 16GB
localmix fit ./model.gguf --json
"""

Threads = Annotated[
    int | None, option("--threads", "-t", metavar="N", text="Worker threads.", group="Options")
]


def fit(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A name, or a .gguf file.")],
    ctx: Annotated[
        int | None, option("--ctx", metavar="N", text="Tokens of context.", group="Options")
    ] = None,
    kv: KvType = None,
    threads: Threads = None,
    memory: Annotated[
        str | None,
        option("--memory", metavar="SIZE", text="As if so much memory were free.", group="Options"),
    ] = None,
    json: Json = False,
) -> None:
    """Say whether a model will run here, how fast, and which quantization would instead.

    It reads the model's header alone, from the Hub when the model is not here. Speeds are
    predicted from this machine's measured limits.
    """
    from localmix.checks import size

    one_of("--kv", kv, settings.KV_TYPES)
    within("--ctx", ctx, 1, 2**31 - 1)
    within("--threads", threads, 1, settings.MAX_THREADS)
    sized("--memory", memory)
    streams = Streams.standard()
    subject = look_up(name, streams)
    free = None if memory is None else size("--memory", memory)
    machine, found = judge(subject, streams, threads, ctx, kv or settings.KV_TYPES[0], free)
    if json:
        write_json(_record(subject, machine, found), streams.stdout)
        return
    console(streams.stdout).print(subject.name, style="title", markup=False)
    write_fields(_fields(subject, machine, found), streams.stdout)
    _write_table(subject, machine, found, streams)
    notes = console(streams.stderr)
    if not subject.headers:
        told = "the Hub cannot be asked: this is told from the catalog, not from the file's header"
        notes.print(told, style="warn", markup=False)
    if subject.missing_bytes:
        hint = f"to download it: localmix pull {subject.name}"
        notes.print(hint, style="muted", markup=False)


def judge(
    subject: Subject,
    streams: Streams,
    n_threads: int | None,
    n_ctx: int | None,
    kv: str,
    free_bytes: int | None = None,
) -> tuple[Machine, Outlook]:
    """Measure this machine if it never was, and say what to expect of a model."""
    from localmix.bench.outlook import outlook
    from localmix.bench.remembered import known_machine, recall_efficiency
    from localmix.engine.load import threads_asked_for
    from localmix.gguf.summary import main_format
    from localmix.kernels.library import this_machine

    folder, n_threads = settings.cache_folder(), threads_asked_for(n_threads)
    isa = this_machine().tier.name
    with shown_measuring(streams.stderr) as (on_measure, on_compile):
        machine = known_machine(folder, n_threads, isa, on_measure, on_compile)
    if not subject.headers:
        return machine, _from_catalog(subject, machine, n_ctx, kv, free_bytes)
    tensors = [tensor for header in subject.headers for tensor in header.tensors]
    reached = recall_efficiency(folder, n_threads, isa, main_format(tensors))
    found = outlook(subject.headers, machine, _disk(streams), reached, n_ctx, kv, free_bytes)
    return machine, found


def _from_catalog(
    subject: Subject, machine: Machine, n_ctx: int | None, kv: str, free_bytes: int | None
) -> Outlook:
    """Say what to expect of a model whose header cannot be read now."""
    from localmix.advice.candidates import Candidate, Memory, Speed, active_share
    from localmix.bench.cost import TokenCost
    from localmix.bench.outlook import Outlook
    from localmix.bench.predict import USUAL_ERROR, Prediction
    from localmix.cache.ring import slot_bytes
    from localmix.engine import memory
    from localmix.engine.fit import Fit
    from localmix.engine.load import DEFAULT_CONTEXT

    entry, size_bytes = subject.entry, subject.size_bytes
    assert entry is not None, "without a header there is an entry of the catalog"
    free = memory.free_bytes() if free_bytes is None else free_bytes
    room = Memory(free, memory.total_bytes() if free_bytes is None else free_bytes)
    n_ctx = n_ctx or DEFAULT_CONTEXT
    of_f16 = slot_bytes(128, kv) / slot_bytes(128, "f16")
    speed = Speed(machine.read_gb_s, machine.int8_gop_s)
    told = Candidate.with_context(entry, None, size_bytes, speed, room, n_ctx, of_f16)
    known = told.decode is not None and told.prefill is not None
    return Outlook(
        Fit(told.verdict, told.beside_bytes, size_bytes, free, room.total_bytes, n_ctx, kv),
        TokenCost(round(size_bytes * active_share(entry)), entry.active or entry.parameters, 0, 0),
        Prediction(told.prefill or 0.0, told.decode or 0.0, USUAL_ERROR) if known else None,
    )


def _disk(streams: Streams) -> Callable[[], float]:
    """Give what measures the disk of the models, and says so."""

    def measure() -> float:
        from localmix.bench.disk import disk_gb_s

        status = StatusLine(streams.stderr, delay_s=0.0)
        status.show("measuring the disk")
        try:
            return disk_gb_s(settings.home())
        finally:
            status.clear()

    return measure


def _fields(subject: Subject, machine: Machine, found: Outlook) -> list[tuple[str, str]]:
    return [
        ("memory", memory(found.fit)),
        ("disk", _disk_words(subject)),
        *_speed(found, machine),
        *_streaming(found.prediction),
        ("fit", verdict(found.fit)),
    ]


def _disk_words(subject: Subject) -> str:
    free = _free_disk()
    room = f", {units.size(free)} are free" if free is not None else ""
    if not subject.missing_bytes:
        return f"{units.size(subject.size_bytes)}, here already{room}"
    short = free is not None and free < subject.missing_bytes
    return f"{units.size(subject.missing_bytes)} to download{room}" + (": too few" if short else "")


def _free_disk() -> int | None:
    import shutil

    home = settings.home()
    place = next((folder for folder in (home, *home.parents) if folder.exists()), None)
    try:
        return shutil.disk_usage(place).free if place else None
    except OSError:
        return None


def _speed(found: Outlook, machine: Machine) -> list[tuple[str, str]]:
    """Predicted speed, how far it may be off, and what it stands on."""
    predicted = found.prediction
    if found.fit.verdict == "never":
        return [("speed", "none, it does not run")]
    if predicted is None:
        return [("speed", "fast: the caches hold it, and localmix bench measures how fast")]
    speed = (
        f"about {units.rate(predicted.decode_tok_s)}, prompts at "
        f"{units.rate(predicted.prefill_tok_s)} (± {100 * predicted.error:.0f} %)"
    )
    reads = f"a token reads {units.size(found.cost.weight_bytes)}, this machine "
    reads += f"{units.size(machine.read_gb_s * 1e9)}/s"
    return [("speed", speed), ("because", reads)]


def _streaming(predicted: Prediction | None) -> list[tuple[str, str]]:
    streamed = predicted.streaming if predicted else None
    if streamed is None:
        return []
    hits = f"{100 * streamed.hit_rate:.0f} % of the experts in memory when they are chosen, "
    words = (
        f"{hits if streamed.hit_rate else ''}{units.size(streamed.bytes_per_token)} read per token "
        f"at {units.size(streamed.disk_gb_s * 1e9)}/s"
    )
    return [("from disk", words)]


def _write_table(subject: Subject, machine: Machine, found: Outlook, streams: Streams) -> None:
    """Write a line per quantization, smallest first: size, predicted speed, perplexity, fit."""
    quantizations = _quantizations(subject, machine, found)
    if not quantizations:
        return
    published = any(one["perplexity"] for one in quantizations)
    rows: list[tuple[str, ...]] = []
    for one in quantizations:
        speed = "–"
        if one["decode_tok_s"]:
            speed = units.rate(one["decode_tok_s"]).removesuffix(" tok/s")
        remarks = ["fits" if one["fits"] else "too large"]
        if one["quantization"] == subject.quantization:
            remarks.append("this one")
        perplexity = f"{one['perplexity']:.4f}" if one["perplexity"] else "–"
        rows.append(
            (
                one["quantization"],
                units.size(one["size_bytes"]),
                speed,
                *((perplexity,) if published else ()),
                ", ".join(remarks),
            )
        )
    streams.stdout.write("\n")
    columns = ("perplexity",) if published else ()
    header = ("quantization", "size", "tok/s", *columns, "")
    write_table(rows, streams.stdout, header=header, right=(1, 2, *(3 for _ in columns)))
    whose = subject.perplexities_of
    if published and whose is not None:
        of = "" if whose is subject.entry else f" of {whose.name}"
        line = f"perplexity{of}: {whose.perplexity_source}"
        console(streams.stdout).print(line, style="muted", markup=False)


def _quantizations(subject: Subject, machine: Machine, found: Outlook) -> list[dict[str, Any]]:
    """What there is beside the model itself: records of the public JSON."""
    records = []
    for name, n_bytes in sorted((subject.others or {}).items(), key=lambda item: item[1]):
        predicted = found.of_size(n_bytes, machine)
        records.append(
            {
                "quantization": name,
                "size_bytes": n_bytes,
                "fits": found.fit.would_fit(n_bytes),
                "decode_tok_s": predicted.decode_tok_s if predicted else None,
                "perplexity": subject.perplexities.get(name),
            }
        )
    return records


def _record(subject: Subject, machine: Machine, found: Outlook) -> dict[str, Any]:
    """The public JSON object of `fit --json`."""
    fit, predicted = found.fit, found.prediction
    streamed = predicted.streaming if predicted else None
    return {
        "name": subject.name,
        "from": "header" if subject.headers else "catalog",
        "size_bytes": subject.size_bytes,
        "verdict": fit.verdict,
        "memory": {
            "resident_bytes": fit.resident_bytes,
            "pageable_bytes": fit.pageable_bytes,
            "free_bytes": fit.free_bytes,
            "total_bytes": fit.total_bytes,
            "ctx": fit.n_ctx,
            "kv": fit.kv,
        },
        "disk": {"missing_bytes": subject.missing_bytes, "free_bytes": _free_disk()},
        "prefill_tok_s": predicted.prefill_tok_s if predicted else None,
        "decode_tok_s": predicted.decode_tok_s if predicted else None,
        "error_pct": 100 * predicted.error if predicted else None,
        "bytes_per_token": found.cost.weight_bytes,
        "streaming": None
        if streamed is None
        else {
            "hit_rate": streamed.hit_rate,
            "bytes_per_token": streamed.bytes_per_token,
            "disk_gb_s": streamed.disk_gb_s,
        },
        "machine": {
            "cpu": machine.cpu,
            "cores": machine.cores,
            "read_gb_s": machine.read_gb_s,
            "int8_gop_s": machine.int8_gop_s,
        },
        "quantizations": _quantizations(subject, machine, found),
    }
