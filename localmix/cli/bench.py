"""`localmix bench`: the card of machine and model first, then prefill and decode apart."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, TextIO

import typer

from localmix import settings, units
from localmix.cli.arguments import flag, one_of, option, sized, takes, within
from localmix.cli.errors import WrongUsage
from localmix.cli.figures import streaming
from localmix.cli.options import Executor, ExpertMemory, KvType, Weights
from localmix.cli.progress import shown_compiling
from localmix.cli.terminal import StatusLine, Streams, console, write_json, write_table
from localmix.settings import EXECUTORS, KV_TYPES, MAX_THREADS, WEIGHTS_MODES

if TYPE_CHECKING:
    from localmix.bench.limits import Machine
    from localmix.bench.report import Report, Subject
    from localmix.bench.run import BenchOptions, Series
    from localmix.engine import Model

EXAMPLES = """
localmix bench
localmix bench mistral -p 512 -n 128 -r 5
localmix bench mistral -d 4096 --json
localmix bench tiny -o md
"""

OUTPUTS = ("md", "json", "csv", "jsonl")

_MEASURED, _MODEL, _OUTPUT = "What is measured", "The model", "Output"


@dataclass(frozen=True)
class BenchArguments:
    """Everything that `bench` can be told."""

    model: Annotated[
        str, typer.Argument(metavar="[MODEL]", help="A name, or a .gguf file; tiny without.")
    ] = "tiny"
    prompt: Annotated[
        int, option("-p", "--n-prompt", metavar="N", text="Prompt tokens.", group=_MEASURED)
    ] = 512
    generated: Annotated[
        int, option("-n", "--n-gen", metavar="N", text="Generated tokens.", group=_MEASURED)
    ] = 128
    depth: Annotated[
        int,
        option("-d", "--n-depth", metavar="N", text="Tokens there before decode.", group=_MEASURED),
    ] = 0
    repetitions: Annotated[
        int, option("-r", "--repetitions", metavar="N", text="Repetitions.", group=_MEASURED)
    ] = 5
    threads: Annotated[
        int | None, option("-t", "--threads", metavar="N", text="Worker threads.", group=_MODEL)
    ] = None
    kv: KvType = None
    weights: Weights = None
    expert_memory: ExpertMemory = None
    executor: Executor = None
    output: Annotated[
        str | None,
        option(
            "-o", "--output", metavar="|".join(OUTPUTS), text="As llama-bench does.", group=_OUTPUT
        ),
    ] = None
    json: Annotated[bool, flag("--json", text="One JSON object.", group=_OUTPUT)] = False

    def check(self) -> None:
        """Raise WrongUsage for the first value that makes no sense."""
        within("-p", self.prompt, 0, 10**7)
        within("-n", self.generated, 0, 10**7)
        within("-d", self.depth, 0, 10**7)
        within("-r", self.repetitions, 1, 10**4)
        within("-t", self.threads, 1, MAX_THREADS)
        one_of("--kv", self.kv, KV_TYPES)
        one_of("--weights", self.weights, WEIGHTS_MODES)
        one_of("--executor", self.executor, EXECUTORS)
        sized("--expert-memory", self.expert_memory)
        one_of("-o", self.output, OUTPUTS)
        if not self.prompt and not self.generated:
            raise WrongUsage("-p 0 and -n 0 leave nothing to measure", "localmix bench -p 512")
        if self.json and self.output:
            raise WrongUsage("--json and -o are two formats", "leave one of them away")

    def load_settings(self) -> dict[str, Any]:
        """What was said about the model, as keywords of `localmix.load`; the rest is left away."""
        said = {
            "n_threads": self.threads,
            "kv": self.kv,
            "weights": self.weights,
            "expert_memory": self.expert_memory,
            "executor": self.executor,
        }
        return {name: value for name, value in said.items() if value is not None}


@takes(BenchArguments)
def bench(arguments: BenchArguments) -> None:
    """Measure tokens per second, against this machine's own limits.

    Prefill reads a prompt of random tokens, decode makes one token after the other; both are
    warmed up, then repeated.
    """
    arguments.check()
    streams = Streams.standard()
    is_text = not arguments.json and not arguments.output
    report = _measure(arguments, streams, card=streams.stdout if is_text else None)
    if is_text:
        _write_results(report, streams.stdout)
    elif arguments.json:
        from localmix.bench.report import as_record

        write_json(as_record(report), streams.stdout)
    else:
        _write_as_llama_bench(report, str(arguments.output), streams.stdout)


def _measure(arguments: BenchArguments, streams: Streams, card: TextIO | None) -> Report:
    """Load and measure; the card is written as soon as it is known."""
    import localmix
    from localmix.bench.limits import measure_machine
    from localmix.bench.remembered import remember
    from localmix.bench.report import Report
    from localmix.bench.run import BenchOptions, measure

    options = BenchOptions(
        arguments.prompt, arguments.generated, arguments.depth, arguments.repetitions
    )
    status = StatusLine(streams.stderr, delay_s=0.0)
    with (
        shown_compiling(streams.stderr) as on_compile,
        localmix.load(
            arguments.model,
            n_ctx=options.n_ctx,
            on_compile=on_compile,
            **arguments.load_settings(),
        ) as model,
    ):
        executor = model.executor
        try:
            status.show("limits of this machine")
            machine = measure_machine(executor.n_threads, executor.isa is not None, on_compile)
            remember(settings.cache_folder(), machine, executor.n_threads, executor.isa)
            status.clear()
            subject = _subject(model, arguments)
            if card:
                _write_card(subject, machine, options, card)
            measured = measure(model, options, on_step=status.show)
        finally:
            status.clear()
    return Report(subject, machine, options, measured)


def _subject(model: Model, arguments: BenchArguments) -> Subject:
    from localmix.bench.cost import token_cost
    from localmix.bench.report import Subject
    from localmix.gguf.summary import n_parameters, quantization_label

    return Subject(
        name=arguments.model,
        path=str(model.path),
        architecture=model.config.architecture,
        file_bytes=model.file.size_bytes,
        n_parameters=n_parameters(model.file.tensors),
        quantization=quantization_label(model.file),
        executor=model.executor.name,
        isa=model.executor.isa,
        threads=model.executor.n_threads,
        kv=model.executor.kv,
        weights=arguments.weights or WEIGHTS_MODES[0],
        reads_blocks=model.executor.reads_blocks,
        load_s=model.load_s,
        jit_s=model.executor.jit_s,
        window=model.config.sliding_window,
        cost=token_cost(model.file.tensors, model.config, model.executor.kv),
    )


def _write_card(subject: Subject, machine: Machine, options: BenchOptions, stdout: TextIO) -> None:
    """Machine, model, and the speed that memory allows at best."""
    page = console(stdout)
    page.print(machine.cpu, style="title", markup=False, end="")
    page.print(f" · {machine.cores} cores", markup=False)
    limits = f"{_threads(subject.threads)} read {machine.read_gb_s:.1f} GB/s of private memory"
    if machine.int8_gop_s:
        limits += f" and compute {machine.int8_gop_s:.0f} Gop/s of int8 ({subject.isa})"
    page.print(limits, style="muted", markup=False)
    page.print(subject.name, style="title", markup=False, end="")
    page.print(
        f" · {subject.quantization} · {units.size(subject.file_bytes)}"
        f" · {units.count(subject.n_parameters)} parameters · {_how(subject)}",
        markup=False,
    )
    per_token = subject.decode_bytes(options.depth)
    line = f"a token needs {units.size(per_token)} of the file"
    if not subject.reads_blocks:
        line += "; this executor reads them as float32, so memory's limit is not stated"
    elif machine.holds_in_cache(per_token):
        line += ", which the caches hold: memory is no limit here"
    else:
        line += f": memory allows {units.rate(machine.read_gb_s * 1e9 / per_token)} at most"
    page.print(line, style="muted", markup=False)


def _how(subject: Subject) -> str:
    """What runs the model, and where it reads: `native, weights mapped, cache f16`."""
    return f"{subject.executor}, weights {subject.weights}, cache {subject.kv}"


def _write_results(report: Report, stdout: TextIO) -> None:
    """Prefill and decode, a line each, then what it took."""
    measured, options = report.measured, report.options
    rows = []
    if options.n_prompt:
        share = _share(report.pct_of_int8_peak, "of the int8 peak")
        work = f"{report.gop_s:.1f} Gop/s{share}"
        rows.append(_row("prefill", f"{options.n_prompt} tokens", measured.prefill, work))
    if options.n_generated:
        share = _share(report.pct_of_read_bandwidth, "of the read bandwidth")
        depth = f" at depth {options.depth}" if options.depth else ""
        work = f"{report.read_gb_s:.2f} GB/s{share}"
        rows.append(_row("decode", f"{options.n_generated} tokens{depth}", measured.decode, work))
    stdout.write("\n")
    header = ("", "", "tok/s", "min", "max", "")
    write_table(rows, stdout, header=header, right=(2, 3, 4))
    stdout.write("\n")
    first = f"first token {units.seconds(measured.ttft_s)} · " if measured.ttft_s else ""
    line = f"{first}load {units.seconds(report.subject.load_s)}"
    if report.subject.jit_s:
        line += f" ({units.seconds(report.subject.jit_s)} of it compiling kernels)"
    line += f" · peak memory {units.size(measured.peak_rss_bytes)}"
    if measured.streamed:
        line += f" · {streaming(measured.streamed)}"
    line += f" · median of {options.n_repetitions}"
    console(stdout).print(line, style="muted", markup=False)


def _row(name: str, what: str, series: Series, work: str) -> tuple[str, ...]:
    figures = (series.median, min(series.tok_s), max(series.tok_s))
    return (name, what, *(units.rate(value).removesuffix(" tok/s") for value in figures), work)


def _share(percent: float | None, what: str) -> str:
    return "" if percent is None else f", {percent:.0f} % {what}"


def _threads(n_threads: int) -> str:
    return "1 thread" if n_threads == 1 else f"{n_threads} threads"


def _write_as_llama_bench(report: Report, output: str, stdout: TextIO) -> None:
    from datetime import datetime, timezone

    from localmix import __version__
    from localmix.bench.report import as_csv, as_llama_bench, as_markdown

    now = f"{datetime.now(timezone.utc):%Y-%m-%dT%H:%M:%SZ}"
    records: list[dict[str, Any]] = as_llama_bench(report, now, __version__)
    if output == "md":
        stdout.write(as_markdown(records))
    elif output == "csv":
        stdout.write(as_csv(records))
    elif output == "json":
        write_json(records, stdout)
    else:
        for record in records:
            write_json(record, stdout)
