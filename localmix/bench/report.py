"""Measurement, cost and limits put together: what a run of `bench` found, and its JSON object."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from localmix.bench.conditions import (
    BEYOND_PCT,
    MOVED_PCT,
    OTHERS_AT_LIMITS_PCT,
    UNKNOWN,
    Around,
    PartConditions,
    judge,
    others_pct,
)
from localmix.bench.limits import Machine
from localmix.bench.run import BenchOptions, Measurement, Series
from localmix.bench.subject import Subject


@dataclass(frozen=True)
class Part:
    """Prefill or decode, as it was found.

    Attributes:
        name: "prefill" or "decode".
        depth: positions that were in the cache before.
        ceiling: tokens per second that the machine allows; None: nothing known limits it.
        limit: what the ceiling is made of, in words; empty without one.
        conditions: what surrounded the repetitions.
        doubts: sentences, why the ceiling may be wrong.
    """

    name: str
    series: Series
    depth: int
    ceiling: float | None
    limit: str
    conditions: PartConditions
    doubts: tuple[str, ...] = ()

    @property
    def reasons(self) -> tuple[str, ...]:
        """Why no share of the ceiling is stated although there is one; none: it is."""
        reasons = self.conditions.reasons
        if self.ceiling is None:
            return reasons
        if 100 * self.series.median > BEYOND_PCT * self.ceiling:
            beyond = f"{self.name} was faster than {self.limit} allows, so that is not its limit"
            return (*reasons, *self.doubts, beyond)
        return (*reasons, *self.doubts)

    @property
    def pct_of_ceiling(self) -> float | None:
        """Share of the ceiling; None where there is none, or the number would be a false one."""
        if self.ceiling is None or self.reasons:
            return None
        return 100 * self.series.median / self.ceiling


@dataclass(frozen=True)
class Report:
    """A finished run of `bench`.

    Attributes:
        read_again_gb_s: speed of memory after decode; None: nobody looked.
        limits_around: what surrounded the measurement of the machine.
    """

    subject: Subject
    machine: Machine
    options: BenchOptions
    measured: Measurement
    read_again_gb_s: float | None = None
    limits_around: Around = UNKNOWN

    @property
    def limits(self) -> Machine:
        """The machine; of two speeds of its memory the larger, as it did reach that."""
        fastest = max(self.machine.read_gb_s, self.read_again_gb_s or 0.0)
        return dataclasses.replace(self.machine, read_gb_s=fastest)

    @property
    def positions(self) -> float:
        """Positions that an average decoded token sees, were there no window."""
        return self.options.depth + self.options.n_generated / 2

    @property
    def decode_bytes(self) -> float:
        """Bytes that an average decoded token read."""
        return self.subject.decode_bytes(self.positions)

    @property
    def read_gb_s(self) -> float:
        """What decode got through per second, in 10⁹ bytes of the file and the cache."""
        return self.decode_bytes * self.measured.decode.median / 1e9

    @property
    def gop_s(self) -> float:
        """What prefill computed per second, in 10⁹ operations."""
        return self.subject.prefill_gop(self.options.n_prompt) * self.measured.prefill.median

    @property
    def prefill(self) -> Part:
        """Prefill against the peak of arithmetic."""
        return self._part(
            "prefill",
            self.measured.prefill,
            ceiling=self.subject.prefill_ceiling(self.machine, self.options.n_prompt),
            limit=f"the {'float32' if self.subject.cost.is_of_floats else 'int8'} peak",
        )

    @property
    def decode(self) -> Part:
        """Decode against the speed of memory."""
        return self._part(
            "decode",
            self.measured.decode,
            ceiling=self.subject.decode_ceiling(self.limits, self.positions),
            limit="the read bandwidth",
        )

    @property
    def parts(self) -> list[Part]:
        """Those that were measured."""
        return [part for part in (self.prefill, self.decode) if part.series.samples_s]

    @property
    def others_at_limits_pct(self) -> float | None:
        """What others took of the cores while the machine was measured; None: not known."""
        n_cores = self.machine.cores + self.machine.slow_cores
        return others_pct(self.limits_around, self.subject.threads, n_cores)

    @property
    def read_moved_pct(self) -> float | None:
        """Change of the speed of memory during the run; None: nobody looked."""
        if self.read_again_gb_s is None or not self.machine.read_gb_s:
            return None
        return 100 * (self.read_again_gb_s / self.machine.read_gb_s - 1)

    @property
    def notes(self) -> list[str]:
        """What is to be said of the conditions, each sentence once."""
        notes = [reason for part in self.parts for reason in part.reasons]
        if abs(self.read_moved_pct or 0.0) > MOVED_PCT:
            notes.append(
                f"memory was read at {self.machine.read_gb_s:.1f} GB/s before decode and at "
                f"{self.read_again_gb_s:.1f} GB/s after it; the larger one is the limit"
            )
        return list(dict.fromkeys(notes))

    def _part(self, name: str, series: Series, ceiling: float | None, limit: str) -> Part:
        is_decode = name == "decode"
        measured, machine = self.measured, self.machine
        conditions = judge(
            name,
            series.tok_s,
            measured.decode_around if is_decode else measured.prefill_around,
            self.subject.threads,
            machine.cores + machine.slow_cores,
        )
        depth = self.options.depth if is_decode else 0
        others = self.others_at_limits_pct or 0.0
        doubts: tuple[str, ...] = ()
        if others > OTHERS_AT_LIMITS_PCT:
            doubts = (
                f"other programs took {others:.0f} % of the cores while this machine's limits were"
                " measured, so these may be higher",
            )
        return Part(name, series, depth, ceiling, limit if ceiling else "", conditions, doubts)


def as_record(report: Report, more: Sequence[Report] = ()) -> dict[str, Any]:
    """The public JSON object of `bench --json`; the figures of a part left out are null.

    Args:
        report: the first test of each part.
        more: further tests of the same model.
    """
    subject, machine, measured = report.subject, report.limits, report.measured
    streamed = {"streamed": measured.streamed.record()} if measured.streamed else {}
    others = [_part_record(one, part) for one in more for part in one.parts]
    return {
        "model": subject.name,
        "file_bytes": subject.file_bytes,
        "quantization": subject.quantization,
        "isa": subject.isa,
        "threads": subject.threads,
        "kv": subject.kv,
        "load_s": subject.load_s,
        "jit_s": subject.jit_s,
        "warmup_s": measured.warmup_s,
        "ttft_s": measured.ttft_s,
        "peak_rss_bytes": measured.peak_rss_bytes,
        "peak_private_bytes": measured.peak_private_bytes,
        "peak_file_bytes": measured.peak_file_bytes,
        "prefill": _part_record(report, report.prefill),
        "decode": _part_record(report, report.decode),
        **({"more": others} if more else {}),
        **streamed,
        "machine": {
            "cpu": machine.cpu,
            "cores": machine.cores,
            "slow_cores": machine.slow_cores,
            "cache_bytes": machine.cache_bytes,
            "read_gb_s": machine.read_gb_s,
            "read_one_gb_s": machine.read_one_gb_s,
            "int8_gop_s": machine.int8_gop_s,
            "float32_gop_s": machine.float32_gop_s,
        },
        "conditions": _conditions_record([report, *more]),
    }


def _part_record(report: Report, part: Part) -> dict[str, Any]:
    series, share = part.series, part.pct_of_ceiling
    speeds = {"tok_s": _spread(series), "samples_tok_s": series.tok_s}
    ceiling = {"ceiling_tok_s": part.ceiling, "pct_of_ceiling": share}
    if part.name == "decode":
        return {
            "tokens": series.n_tokens,
            "depth": part.depth,
            **speeds,
            "read_gb_s": report.read_gb_s,
            "pct_of_read_bandwidth": share,
            "bytes_per_token": report.decode_bytes,
            **ceiling,
        }
    return {
        "tokens": series.n_tokens,
        **speeds,
        "gop_s": report.gop_s,
        "pct_of_int8_peak": None if report.subject.cost.is_of_floats else share,
        "gop_per_token": report.subject.prefill_gop(series.n_tokens),
        **ceiling,
    }


def _conditions_record(reports: Sequence[Report]) -> dict[str, Any]:
    """Both parts of the first test; battery, heat and notes of all of them."""
    first, every = reports[0], [part for report in reports for part in report.parts]
    parts = {part.name: part.conditions for part in (first.prefill, first.decode)}
    batteries = [part.conditions.on_battery for part in every]
    heat = [part.conditions.throttled for part in every]
    return {
        "others_pct": {name: part.others_pct for name, part in parts.items()}
        | {"limits": first.others_at_limits_pct},
        "on_battery": _any_known(batteries),
        "throttled": _any_known(heat),
        "spread_pct": {name: part.spread_pct for name, part in parts.items()},
        "slowing_pct": {name: part.slowing_pct for name, part in parts.items()},
        "read_moved_pct": first.read_moved_pct,
        "notes": all_notes(reports),
        "steady": all(part.conditions.steady and not part.doubts for part in every),
    }


def all_notes(reports: Sequence[Report]) -> list[str]:
    """Give the notes of all reports, each once."""
    return list(dict.fromkeys(note for report in reports for note in report.notes))


def _any_known(signs: Sequence[bool | None]) -> bool | None:
    known = [sign for sign in signs if sign is not None]
    return any(known) if known else None


def _spread(series: Series) -> dict[str, float | None]:
    if not series.samples_s:
        return {"median": None, "min": None, "max": None}
    return {"median": series.median, "min": min(series.tok_s), "max": max(series.tok_s)}
