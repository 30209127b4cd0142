"""What `bench` says: the card, the table, bars against the limits, the change since another run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, TextIO

from localmix import units
from localmix.cli.figures import streaming
from localmix.cli.terminal import console, write_fields, write_table

if TYPE_CHECKING:
    from localmix.bench.compare import Change, Compared
    from localmix.bench.limits import Machine
    from localmix.bench.profile import Spent
    from localmix.bench.report import Part, Report
    from localmix.bench.run import BenchOptions
    from localmix.bench.subject import Subject

Fields = list[tuple[str, str]]

_EIGHTHS = " ▏▎▍▌▋▊▉█"
_EMPTY = "░"
_WIDEST_BAR, _NARROWEST_BAR = 50, 10


def card(subject: Subject, machine: Machine, options: BenchOptions) -> Fields:
    """Say what the machine can do, what a token takes, and what follows: the best there can be."""
    n_threads = "1 thread" if subject.threads == 1 else f"{subject.threads} threads"
    tier = f"{subject.isa} kernels" if subject.isa else "no kernels"
    memory = f"reads {machine.read_gb_s:.1f} GB/s on {n_threads}"
    if machine.read_one_gb_s and subject.threads > 1:
        memory += f", {machine.read_one_gb_s:.1f} GB/s on one"
    fields = [("cpu", f"{machine.cpu} · {_cores(machine)} · {tier}"), ("memory", memory)]
    peaks = {"int8": machine.int8_gop_s, "float32": machine.float32_gop_s}
    known = [f"{peak:.0f} Gop/s of {kind}" for kind, peak in peaks.items() if peak]
    if known:
        fields.append(("peak", f"{', '.join(known)} on {n_threads}"))
    n_positions = options.depth + options.n_generated / 2
    per_token = subject.decode_bytes(n_positions)
    n_parameters = units.count(subject.n_parameters)
    size = units.size(subject.file_bytes)
    return [
        *fields,
        ("model", f"{subject.name} · {subject.quantization} · {size} · {n_parameters} parameters"),
        (
            "run by",
            f"{subject.executor}, weights {subject.weights}, cache {subject.kv}{_power(subject)}",
        ),
        (
            "a token",
            f"reads {units.size(per_token)}, takes {_operations(subject.cost.decode_operations())}",
        ),
        *_at_most(subject, machine, options, n_positions),
    ]


def _power(subject: Subject) -> str:
    return f", {subject.power} % of the time" if subject.power < 100 else ""


def _cores(machine: Machine) -> str:
    from localmix.cores import Cores

    return str(Cores(machine.cores, machine.slow_cores, machine.cores + machine.slow_cores))


def _at_most(
    subject: Subject, machine: Machine, options: BenchOptions, n_positions: float
) -> Fields:
    """The limits of prefill and decode, as far as they are known."""
    parts = []
    prefill = subject.prefill_ceiling(machine, options.n_prompt)
    if prefill:
        kind = "float32" if subject.cost.is_of_floats else "int8"
        parts.append(f"prefill {units.rate(prefill)} ({kind} peak)")
    decode = subject.decode_ceiling(machine, n_positions)
    if options.n_generated and decode:
        parts.append(f"decode {units.rate(decode)} (memory)")
    elif options.n_generated and subject.reads_blocks:
        parts.append("decode as caches allow, which hold all that a token reads")
    elif options.n_generated:
        parts.append("not stated: this executor reads the weights as float32")
    return [("at most", " · ".join(parts))] if parts else []


def _operations(n: float) -> str:
    return f"{n / 1e9:.1f} Gop" if n >= 1e9 else f"{n / 1e6:.1f} Mop"


def write_results(
    reports: Sequence[Report],
    stdout: TextIO,
    compared: Compared | None,
    spent: Sequence[Spent] = (),
) -> None:
    """Write all tests as a table, then where time went and what it took, and what is to be said."""
    parts = [(report, part) for report in reports for part in report.parts]
    parts.sort(key=lambda pair: pair[1].name == "decode")  # prefill first, else as they were
    stdout.write("\n")
    rows = [_row(report, part, compared) for report, part in parts]
    header = ("", "", "tok/s", "min", "max", "", "since")[: 7 if compared else 6]
    write_table(rows, stdout, header=header, right=(2, 3, 4))
    if stdout.isatty():  # in a pipe the table says it all
        _write_bars([part for _, part in parts], stdout)
    _write_profile(spent, stdout)
    stdout.write("\n")
    _write_notes(held_back(reports), stdout)
    write_fields([*costs(reports), *differences(compared)], stdout)


def _write_profile(spent: Sequence[Spent], stdout: TextIO) -> None:
    """Write the share of each part of the work, a column for prefill and one for decode."""
    names = sorted(
        {part for one in spent for part in one.parts},
        key=lambda part: -max(one.parts.get(part, 0.0) / one.seconds for one in spent),
    )
    if not names:
        return
    rows = [
        (part, *(f"{100 * one.parts.get(part, 0.0) / one.seconds:.1f} %" for one in spent))
        for part in names
    ]
    stdout.write("\n")
    header = ("where time goes", *(one.name for one in spent))
    write_table(rows, stdout, header=header, right=range(1, 1 + len(spent)))


def _write_notes(notes: Sequence[str], stdout: TextIO) -> None:
    page = console(stdout)
    for note in notes:
        page.print("[warn]note[/warn]", end="  ")
        page.print(note, markup=False)
    if notes:
        stdout.write("\n")


def held_back(reports: Sequence[Report]) -> list[str]:
    """Give all notes, and say which shares are not stated because of them."""
    from localmix.bench.report import all_notes

    notes = all_notes(reports)
    silent = [p.name for r in reports for p in r.parts if p.ceiling is not None and p.reasons]
    if silent:
        names = " and ".join(dict.fromkeys(silent))
        notes.append(f"so no share of the limit is stated for {names}")
    return notes


def what(part: Part) -> str:
    """Say what was measured: `512 tokens`, `128 tokens at depth 4096`."""
    depth = f" at depth {part.depth}" if part.depth else ""
    return f"{part.series.n_tokens} tokens{depth}"


def work(report: Report, part: Part) -> str:
    """Say what was got through in a second, and its share of the limit if it can be stated."""
    done = f"{report.read_gb_s:.2f} GB/s" if part.name == "decode" else f"{report.gop_s:.1f} Gop/s"
    if part.pct_of_ceiling is None:
        return done
    return f"{done}, {part.pct_of_ceiling:.0f} % of {part.limit}"


def _row(report: Report, part: Part, compared: Compared | None) -> tuple[str, ...]:
    speeds = part.series.tok_s
    figures = (part.series.median, min(speeds), max(speeds))
    cells = (units.rate(value).removesuffix(" tok/s") for value in figures)
    row = (part.name, what(part), *cells, work(report, part))
    return (*row, change(part, compared.changes)) if compared else row


def change(part: Part, changes: Sequence[Change]) -> str:
    """Say how a test changed: `+12 %`, `-2 %, within the spread`."""
    wanted = (part.name, part.series.n_tokens, part.depth)
    for one in changes:
        if (one.then.part, one.then.n_tokens, one.then.depth) == wanted:
            noise = ", within the spread" if one.within_spread else ""
            return f"{change_text(one.change_pct)}{noise}"
    return "not measured then"


def change_text(percent: float) -> str:
    """Write a change: `+12 %`, `-2 %`, `±0 %`."""
    whole = round(percent)
    return f"{whole:+d} %" if whole else "±0 %"


def costs(reports: Sequence[Report]) -> Fields:
    """Waiting and memory, of all tests together."""
    first = reports[0]
    measured, subject = first.measured, first.subject
    load = units.seconds(subject.load_s)
    if subject.jit_s:
        load += f", {units.seconds(subject.jit_s)} of it compiling kernels"
    warmup = units.seconds(sum(report.measured.warmup_s for report in reports))
    memory = units.size(max(report.measured.peak_rss_bytes for report in reports))
    private = [report.measured.peak_private_bytes for report in reports]
    of_files = [report.measured.peak_file_bytes for report in reports]
    if None not in private and None not in of_files:
        most_private, most_of_files = (
            units.size(max(n or 0 for n in figures)) for figures in (private, of_files)
        )
        memory += f" at most; of files {most_of_files}, private {most_private}"
    fields = [("first token", units.seconds(measured.ttft_s))] if measured.ttft_s else []
    fields += [("load", f"{load} · warm-up {warmup}"), ("memory", memory)]
    streamed = [report.measured.streamed for report in reports if report.measured.streamed]
    if streamed:
        fields.append(("disk", streaming(streamed[-1])))
    n = first.options.n_repetitions
    fields.append(("figures", f"medians of {n} repetitions" if n > 1 else "of one repetition"))
    return fields


def differences(compared: Compared | None) -> Fields:
    """Name the earlier run, and what was not the same then."""
    if compared is None:
        return []
    earlier = compared.earlier
    what = f"{earlier.place} ({earlier.program})"
    return [("then", what), *(("not the same", text) for text in compared.differs)]


def _write_bars(parts: Sequence[Part], stdout: TextIO) -> None:
    """Write a bar for each test whose share of its limit can be stated."""
    shares = [(part, part.pct_of_ceiling) for part in parts if part.pct_of_ceiling is not None]
    if not shares:
        return
    page = console(stdout)
    names = [f"{part.name} {part.series.n_tokens}" for part, _ in shares]
    ends = [f"{share:.0f} % of {units.rate(part.ceiling or 0)}" for part, share in shares]
    width = max(map(len, names))
    n_cells = min(_WIDEST_BAR, page.width - width - max(map(len, ends)) - 4)
    if n_cells < _NARROWEST_BAR:
        return
    page.print()
    for name, end, (_, share) in zip(names, ends, shares, strict=True):
        filled, rest = bar(share / 100, n_cells, stdout.encoding)
        page.print(f"{name:<{width}}", end="  ", markup=False)
        page.print(filled, style="bar.complete", markup=False, end="")
        page.print(rest, style="muted", markup=False, end="  ")
        page.print(end, markup=False)


def bar(share: float, n_cells: int, encoding: str | None) -> tuple[str, str]:
    """Draw a share from 0 to 1 -> its filled cells and the rest, n_cells wide together.

    Cells are filled by eighths where the encoding has such characters, else wholly.
    """
    share = min(max(share, 0.0), 1.0)
    try:
        (_EIGHTHS + _EMPTY).encode(encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        n_filled = round(share * n_cells)
        return "#" * n_filled, "." * (n_cells - n_filled)
    n_whole, n_eighths = divmod(round(share * n_cells * 8), 8)
    filled = _EIGHTHS[-1] * n_whole + (_EIGHTHS[n_eighths] if n_eighths else "")
    return filled, _EMPTY * (n_cells - len(filled))
