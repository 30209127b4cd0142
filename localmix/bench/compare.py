"""A run held against an earlier one: how much faster, and whether that is more than noise.

Earlier runs are read from our `bench --json`, and from llama-bench's JSON, a list or a record a
line, be it ours (`bench -o json|jsonl`) or llama.cpp's own.
"""

from __future__ import annotations

import json
import math
import re
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath, PureWindowsPath
from typing import Any

from localmix import units
from localmix.bench.llama_bench import COMMIT_PREFIX
from localmix.bench.report import Part, Report
from localmix.errors import LocalmixError

MOST_BYTES = 64 * 2**20
"""More than any of these files is long: another kind of file is not read to its end."""

_ABOUT = 0.02
"""llama.cpp counts the bytes of tensors, we those of the file: the header lies between them."""


@dataclass(frozen=True)
class Speed:
    """Tokens per second of a test that was run earlier.

    Attributes:
        part: "prefill" or "decode".
        n_tokens, depth: of the test.
    """

    part: str
    n_tokens: int
    depth: int
    median: float
    low: float
    high: float


@dataclass(frozen=True)
class Earlier:
    """An earlier run; what its file does not say is None.

    Attributes:
        place: of the file, as it was typed.
        program: "localmix" or "llama-bench".
        model: name of the file, or the name as it was typed.
        exact: whether `model_bytes` counts the whole file.
    """

    place: str
    program: str
    cpu: str | None
    threads: int | None
    model: str | None
    model_bytes: int | None
    kv: str | None
    exact: bool
    speeds: tuple[Speed, ...]


@dataclass(frozen=True)
class Change:
    """A test of now against the same one of then.

    Attributes:
        change_pct: of the median.
        within_spread: the repetitions of both overlap, so the change may be noise.
    """

    then: Speed
    change_pct: float
    within_spread: bool


@dataclass(frozen=True)
class Compared:
    """A run against an earlier one.

    Attributes:
        changes: of the tests that both have.
        differs: in words, what else is not the same.
    """

    earlier: Earlier
    changes: tuple[Change, ...]
    differs: tuple[str, ...]

    def record(self) -> dict[str, Any]:
        """The public JSON object."""
        return {
            "file": self.earlier.place,
            "program": self.earlier.program,
            "changes": [
                {
                    "part": change.then.part,
                    "tokens": change.then.n_tokens,
                    "depth": change.then.depth,
                    "then_tok_s": {
                        "median": change.then.median,
                        "min": change.then.low,
                        "max": change.then.high,
                    },
                    "change_pct": change.change_pct,
                    "within_spread": change.within_spread,
                }
                for change in self.changes
            ],
            "differs": list(self.differs),
        }


def read_earlier(place: str) -> list[Earlier]:
    """Read a file of earlier runs: one, or of llama-bench one for each model and way to run it.

    Raises:
        LocalmixError: the file cannot be read, or is none of those that are understood.
    """
    try:
        with open(Path(place), "rb") as file:
            raw = file.read(MOST_BYTES + 1)
    except (OSError, ValueError) as error:
        reason = str(getattr(error, "strerror", None) or error).lower()
        raise LocalmixError(
            f"the earlier run cannot be read from {place}: {reason}",
            "make one with localmix bench MODEL --json > before.json",
        ) from error
    try:
        records = _records(raw)
        if len(records) == 1 and "prefill" in records[0]:
            return [_of_ours(place, records[0])]
        return _of_llama_bench(place, records)
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError) as e:
        raise LocalmixError(
            f"{place} holds no run of bench",
            "give --compare what bench --json or llama-bench -o json wrote",
        ) from e


def compare(reports: Sequence[Report], earlier: Sequence[Earlier]) -> Compared:
    """Hold all tests of a run against the earlier run that differs least from it."""
    return min(
        (_compare(reports, one) for one in earlier), key=lambda compared: len(compared.differs)
    )


def _compare(reports: Sequence[Report], earlier: Earlier) -> Compared:
    changes = []
    for part in (part for report in reports for part in report.parts):
        for speed in earlier.speeds:
            is_same = (speed.part, speed.n_tokens) == (part.name, part.series.n_tokens)
            if is_same and speed.depth == part.depth:
                changes.append(_change(part, speed))
                break
    return Compared(earlier, tuple(changes), tuple(_differences(reports, earlier, changes)))


def _change(part: Part, then: Speed) -> Change:
    speeds = part.series.tok_s
    overlap = min(speeds) <= then.high and then.low <= max(speeds)
    return Change(then, 100 * (part.series.median / then.median - 1), overlap)


def _differences(
    reports: Sequence[Report], earlier: Earlier, changes: Sequence[Change]
) -> list[str]:
    subject, machine = reports[0].subject, reports[0].machine
    differs = []
    if earlier.cpu is not None and _words(earlier.cpu) != _words(machine.cpu):
        differs.append(f"CPU {earlier.cpu} then, {machine.cpu} now")
    if earlier.threads not in (None, subject.threads):
        differs.append(f"threads {earlier.threads} then, {subject.threads} now")
    if earlier.model is not None and not {_file_name(earlier.model)} & {
        _file_name(subject.name),
        _file_name(subject.path),
    }:
        differs.append(f"model {earlier.model} then, {subject.name} now")
    then = earlier.model_bytes
    if then is not None and abs(then - subject.file_bytes) > (
        0 if earlier.exact else _ABOUT * subject.file_bytes
    ):
        sizes = [units.size(n) for n in (then, subject.file_bytes)]
        if sizes[0] == sizes[1]:
            sizes = [f"{n} B" for n in (then, subject.file_bytes)]
        differs.append(f"file of {sizes[0]} then, {sizes[1]} now")
    if earlier.kv not in (None, subject.kv):
        differs.append(f"cache {earlier.kv} then, {subject.kv} now")
    n_tests = sum(len(report.parts) for report in reports)
    if len(changes) < n_tests:
        tests = ", ".join(_label(speed) for speed in earlier.speeds)
        differs.append(f"tests that were run then: {tests}")
    return differs


def _label(speed: Speed) -> str:
    depth = f" at depth {speed.depth}" if speed.depth else ""
    return f"{speed.part} of {speed.n_tokens} tokens{depth}"


def _records(raw: bytes) -> list[Mapping[str, Any]]:
    """Read one JSON value, or one a line."""
    if len(raw) > MOST_BYTES:
        raise ValueError("too long")
    text = raw.decode("utf-8-sig")
    try:
        value = json.loads(text)
    except ValueError:
        value = [json.loads(line) for line in text.splitlines() if line.strip()]
    records = value if isinstance(value, list) else [value]
    if not records or not all(isinstance(record, dict) for record in records):
        raise ValueError("no objects")
    return records


def _of_ours(place: str, record: Mapping[str, Any]) -> Earlier:
    parts = [("prefill", record["prefill"]), ("decode", record["decode"])]
    for more in record.get("more", ()):
        parts.append(("decode" if "depth" in more else "prefill", more))
    speeds = []
    for name, part in parts:
        if part["tok_s"]["median"] is not None:
            figures = [_positive(part["tok_s"][key]) for key in ("median", "min", "max")]
            speeds.append(Speed(name, int(part["tokens"]), int(part.get("depth", 0)), *figures))
    if not speeds:
        raise ValueError("nothing was measured")
    return Earlier(
        place,
        "localmix",
        cpu=_text(record["machine"].get("cpu")),
        threads=_whole(record.get("threads")),
        model=_text(record.get("model")),
        model_bytes=_whole(record.get("file_bytes")),
        kv=_text(record.get("kv")),
        exact=True,
        speeds=tuple(speeds),
    )


def _of_llama_bench(place: str, records: Sequence[Mapping[str, Any]]) -> list[Earlier]:
    groups: dict[tuple[str, ...], list[Mapping[str, Any]]] = {}
    for record in records:
        n_prompt, n_gen = int(record["n_prompt"]), int(record["n_gen"])
        if bool(n_prompt) != bool(n_gen):  # both at once is a test of its own: -pg
            way = ("cpu_info", "n_threads", "model_filename", "type_k")
            groups.setdefault(tuple(str(record.get(key)) for key in way), []).append(record)
    if not groups:
        raise ValueError("no test of a prompt or of generation")
    return [_of_one_way(place, group) for group in groups.values()]


def _of_one_way(place: str, records: Sequence[Mapping[str, Any]]) -> Earlier:
    """Read tests of one model, run in one way."""
    first = records[0]
    is_ours = str(first.get("build_commit", "")).startswith(COMMIT_PREFIX)
    return Earlier(
        place,
        "localmix" if is_ours else "llama-bench",
        cpu=_text(first.get("cpu_info")),
        threads=_whole(first.get("n_threads")),
        model=_text(first.get("model_filename")),
        model_bytes=_whole(first.get("model_size")),
        kv=_text(first.get("type_k")),
        exact=is_ours,
        speeds=tuple(_speed(record) for record in records),
    )


def _speed(record: Mapping[str, Any]) -> Speed:
    n_prompt, n_gen = int(record["n_prompt"]), int(record["n_gen"])
    samples = [_positive(speed) for speed in record.get("samples_ts") or ()]
    if samples:
        figures = (statistics.median(samples), min(samples), max(samples))
    else:
        mean, deviation = _positive(record["avg_ts"]), _finite(record.get("stddev_ts") or 0.0)
        figures = (mean, mean - deviation, mean + deviation)
    part, depth = ("prefill" if n_prompt else "decode"), int(record.get("n_depth") or 0)
    return Speed(part, n_prompt or n_gen, depth, *figures)


def _positive(value: Any) -> float:
    number = _finite(value)
    if number <= 0:
        raise ValueError("no speed")
    return number


def _finite(value: Any) -> float:
    number = float(value)
    if not math.isfinite(number):
        raise ValueError("no number")
    return number


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None


def _whole(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _words(text: str) -> list[str]:
    """A CPU's name without what programs write differently: case, spaces, `(R)`."""
    return re.sub(r"\((r|tm)\)", " ", text.lower()).split()


def _file_name(path: str) -> str:
    return PureWindowsPath(path).name if "\\" in path else PurePath(path).name
