"""`localmix bench`: the card of machine and model first, then prefill and decode apart.

The way: `bench/run.py` measures, `bench/report.py` holds it against the limits, and
`bench_text.py`, `bench_page.py` and `bench/llama_bench.py` say it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TextIO

import typer

from localmix import settings
from localmix.cli.arguments import counts, flag, one_of, option, sized, takes, within
from localmix.cli.bench_text import card, write_results
from localmix.cli.errors import WrongUsage
from localmix.cli.options import Executor, ExpertMemory, KvType, Power, Weights
from localmix.cli.page import check_place, write_page
from localmix.cli.progress import shown_compiling
from localmix.cli.terminal import (
    StatusLine,
    Streams,
    as_typed,
    console,
    one_line,
    write_fields,
    write_json,
)
from localmix.settings import EXECUTORS, KV_TYPES, MAX_THREADS, WEIGHTS_MODES

if TYPE_CHECKING:
    from localmix.bench.compare import Compared
    from localmix.bench.profile import Spent
    from localmix.bench.report import Report
    from localmix.bench.run import BenchOptions
    from localmix.bench.subject import Subject
    from localmix.engine import Model

EXAMPLES = """
localmix bench
localmix bench mistral -p 512 -n 128 -r 5
localmix bench mistral -d 4096 --json
localmix bench mistral --json | tee before.json
localmix bench mistral --compare before.json --html bench.html
localmix bench tiny -p 128,512 -o md
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
        str,
        option("-p", "--n-prompt", metavar="N[,N]", text="Prompt tokens.", group=_MEASURED),
    ] = "512"
    generated: Annotated[
        str,
        option("-n", "--n-gen", metavar="N[,N]", text="Generated tokens.", group=_MEASURED),
    ] = "128"
    depth: Annotated[
        str,
        option(
            "-d", "--n-depth", metavar="N[,N]", text="Tokens there before decode.", group=_MEASURED
        ),
    ] = "0"
    repetitions: Annotated[
        int, option("-r", "--repetitions", metavar="N", text="Repetitions.", group=_MEASURED)
    ] = 5
    threads: Annotated[
        int | None, option("-t", "--threads", metavar="N", text="Worker threads.", group=_MODEL)
    ] = None
    power: Power = None
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
    profile: Annotated[
        bool, flag("--profile", text="Say where the time goes, too.", group=_OUTPUT)
    ] = False
    html: Annotated[
        str | None,
        option("--html", metavar="FILE", text="Write a page for a browser too.", group=_OUTPUT),
    ] = None
    compare: Annotated[
        str | None,
        option(
            "--compare",
            metavar="FILE",
            text="An earlier run: --json, or llama-bench's.",
            group=_OUTPUT,
        ),
    ] = None

    def check(self) -> None:
        """Raise WrongUsage for the first value that makes no sense."""
        prompts, generated, _ = self.counts()
        within("-r", self.repetitions, 1, 10**4)
        within("-t", self.threads, 1, MAX_THREADS)
        within("--power", self.power, 1, 100)
        one_of("--kv", self.kv, KV_TYPES)
        one_of("--weights", self.weights, WEIGHTS_MODES)
        one_of("--executor", self.executor, EXECUTORS)
        sized("--expert-memory", self.expert_memory)
        one_of("-o", self.output, OUTPUTS)
        if not any(prompts) and not any(generated):
            raise WrongUsage("-p 0 and -n 0 leave nothing to measure", "localmix bench -p 512")
        if self.json and self.output:
            raise WrongUsage("--json and -o are two formats", "leave one of them away")
        if self.compare and self.output:
            raise WrongUsage("-o has no place for --compare", "--compare with --json, or as text")
        if self.profile and self.output:
            raise WrongUsage("-o has no place for --profile", "--profile with --json, or as text")
        if self.profile and self.executor == EXECUTORS[1]:
            raise WrongUsage("--profile looks into the native executor only", "leave one away")
        if self.html is not None:
            check_place(Path(self.html), "bench.html")

    def counts(self) -> tuple[list[int], list[int], list[int]]:
        """Give the sizes of -p, -n and -d, of which each may be several."""
        most = 10**7
        return (
            counts("-p", self.prompt, most),
            counts("-n", self.generated, most),
            counts("-d", self.depth, most),
        )

    def tests(self) -> list[BenchOptions]:
        """What is measured: the first size of everything together, then all else one by one."""
        from localmix.bench.run import BenchOptions

        prompts, generated, depths = self.counts()
        decodes = [(n, depth) for depth in depths for n in generated if n]
        prefills = [n for n in prompts if n]
        n_generated, depth = decodes[0] if decodes else (0, depths[0])
        n_times = self.repetitions
        return [
            BenchOptions(prefills[0] if prefills else 0, n_generated, depth, n_times),
            *(BenchOptions(n, 0, 0, n_times) for n in prefills[1:]),
            *(BenchOptions(0, n, depth, n_times) for n, depth in decodes[1:]),
        ]

    def command(self) -> str:
        """What to type for the same figures."""
        words = ["localmix", "bench", self.model, "-p", self.prompt, "-n", self.generated]
        words += ["-d", self.depth] if self.depth != "0" else []
        words += ["-r", str(self.repetitions)]
        for name, value in self.load_settings().items():
            words += ["-t" if name == "n_threads" else f"--{name.replace('_', '-')}", str(value)]
        return as_typed(words)

    def load_settings(self) -> dict[str, Any]:
        """What was said about the model, as keywords of `localmix.load`; the rest is left away."""
        said = {
            "n_threads": self.threads,
            "power": self.power,
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
    warmed up, then repeated. -p, -n and -d take several sizes: 128,512.
    """
    from localmix.bench.compare import compare, read_earlier

    arguments.check()
    earlier = read_earlier(arguments.compare) if arguments.compare else None
    streams = Streams.standard()
    is_text = not arguments.json and not arguments.output
    reports, spent = _measure(arguments, streams, stdout=streams.stdout if is_text else None)
    compared = compare(reports, earlier) if earlier else None
    if arguments.html is not None:  # before the text: the reader of a pipe may leave early
        _write_page(arguments, reports, compared, streams.stderr)
    if is_text:
        write_results(reports, streams.stdout, compared, spent)
    elif arguments.json:
        from localmix.bench.report import as_record

        record = as_record(reports[0], reports[1:])
        record |= {"compared": compared.record()} if compared else {}
        record |= {"profile": {one.name: one.record() for one in spent}} if spent else {}
        write_json(record, streams.stdout)
    else:
        _write_as_llama_bench(reports, str(arguments.output), streams.stdout)


def _measure(
    arguments: BenchArguments, streams: Streams, stdout: TextIO | None
) -> tuple[list[Report], list[Spent]]:
    """Load and measure; the card is written to `stdout` as soon as it is known."""
    import localmix
    from localmix.bench import conditions, limits
    from localmix.bench.remembered import remember_run
    from localmix.bench.report import Report
    from localmix.bench.run import measure
    from localmix.gguf.summary import main_format

    tests = arguments.tests()
    status = StatusLine(streams.stderr, delay_s=0.0)
    with (
        shown_compiling(streams.stderr) as on_compile,
        localmix.load(
            arguments.model,
            n_ctx=max(test.n_ctx for test in tests),
            on_compile=on_compile,
            **arguments.load_settings(),
        ) as model,
    ):
        executor = model.executor
        try:
            status.show("limits of this machine")
            start = conditions.look()
            machine = limits.measure_machine(
                executor.n_threads, executor.isa is not None, on_compile
            )
            seen = conditions.around(start, conditions.look())
            status.clear()
            subject = _subject(model, arguments)
            if stdout:
                write_fields(card(subject, machine, tests[0]), stdout)
            reports = [
                Report(subject, machine, test, measured, limits_around=seen)
                for test in tests
                for measured in [measure(model, test, on_step=status.show)]
            ]
            spent = _profile(model, tests[0], status) if arguments.profile else []
            if any(part.name == "decode" and part.ceiling for r in reports for part in r.parts):
                status.show("memory again")
                n_bytes = limits.buffer_bytes(machine.cache_bytes)
                _, again = limits.measure_read(executor.n_threads, n_bytes)
                reports = [replace(report, read_again_gb_s=again) for report in reports]
            block_format = main_format(model.file.tensors.values())
            remember_run(settings.cache_folder(), reports[0], block_format)
        finally:
            status.clear()
    return reports, spent


def _profile(model: Model, test: BenchOptions, status: StatusLine) -> list[Spent]:
    from localmix.bench.profile import profile
    from localmix.execute.native import NativeExecutor

    status.show("where the time goes")
    assert isinstance(model.executor, NativeExecutor), "checked before"
    return profile(model, model.executor, test)


def _subject(model: Model, arguments: BenchArguments) -> Subject:
    from localmix.bench.cost import token_cost
    from localmix.bench.subject import Subject
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
        power=arguments.power or 100,
        reads_blocks=model.executor.reads_blocks,
        load_s=model.load_s,
        jit_s=model.executor.jit_s,
        window=model.config.sliding_window,
        cost=token_cost(model.file.tensors, model.config, model.executor.kv),
    )


def _write_page(
    arguments: BenchArguments, reports: list[Report], compared: Compared | None, stderr: TextIO
) -> None:
    from localmix import __version__
    from localmix.cli.bench_page import page

    assert arguments.html is not None
    text = page(reports, arguments.command(), f"localmix {__version__}, {_now()}", compared)
    write_page(Path(arguments.html), text, "bench.html")
    console(stderr).print(f"the page is in {one_line(arguments.html)}", markup=False)


def _write_as_llama_bench(reports: list[Report], output: str, stdout: TextIO) -> None:
    from localmix import __version__
    from localmix.bench.llama_bench import as_csv, as_llama_bench, as_markdown

    records = [one for report in reports for one in as_llama_bench(report, _now(), __version__)]
    records.sort(key=lambda record: bool(record["n_gen"]))  # prompts first, as llama-bench does
    if output == "md":
        stdout.write(as_markdown(records))
    elif output == "csv":
        stdout.write(as_csv(records))
    elif output == "json":
        write_json(records, stdout)
    else:
        for record in records:
            write_json(record, stdout)


def _now() -> str:
    """The time in UTC, ISO 8601."""
    from datetime import datetime, timezone

    return f"{datetime.now(timezone.utc):%Y-%m-%dT%H:%M:%SZ}"
