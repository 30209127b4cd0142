"""What `bench` measured of this machine, kept for later: for `fit`, and for figures after answers.

Kept in LOCALMIX_CACHE/machine.json, by processor, tier of the kernels and number of threads.
Measuring takes a second or two, which nobody waits for after each answer.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from localmix.bench import limits
from localmix.bench.limits import Machine
from localmix.bench.predict import Efficiency, reached_by
from localmix.json_file import write_json
from localmix.system import cpu_name

if TYPE_CHECKING:
    from localmix.bench.report import Report
    from localmix.kernels.library import OnCompile

_FILE = "machine.json"
_MACHINES, _EFFICIENCIES = "machines", "efficiencies"
_SPEEDS = ("read_gb_s", "read_one_gb_s", "int8_gop_s", "float32_gop_s")


def remember(folder: Path, machine: Machine, n_threads: int, isa: str | None) -> None:
    """Write limits down; a folder that cannot be written is nobody's loss.

    Of each speed the best that was ever measured is kept: neighbours only make a machine slower.

    Args:
        folder: LOCALMIX_CACHE.
        machine: what was measured.
        n_threads: with how many threads.
        isa: tier of the kernels; None: none were there.

    Modifies: the folder.
    """
    before = recall(folder, n_threads, isa)
    if before is not None and before.cpu == machine.cpu:
        best = {name: _larger(getattr(before, name), getattr(machine, name)) for name in _SPEEDS}
        machine = replace(machine, **best)
    _write(folder, _MACHINES, _key(machine.cpu, n_threads, isa), asdict(machine))


def recall(folder: Path, n_threads: int, isa: str | None) -> Machine | None:
    """Give what was measured of this processor; None: nothing was."""
    known = _read(folder, _MACHINES).get(_key(cpu_name(), n_threads, isa), {})
    names = {field.name for field in fields(Machine)}
    with suppress(TypeError):
        machine = Machine(**{name: value for name, value in known.items() if name in names})
        if isinstance(machine.read_gb_s, (int, float)) and machine.read_gb_s > 0:
            return machine
    return None


def known_machine(
    folder: Path,
    n_threads: int,
    isa: str,
    on_measure: Callable[[], None] = lambda: None,
    on_compile: OnCompile | None = None,
) -> Machine:
    """Give what was measured of this machine; if nothing was, measure: a second or two.

    Args:
        folder: LOCALMIX_CACHE.
        n_threads: threads that work at once.
        isa: tier of the kernels.
        on_measure: called before it is measured.
        on_compile: hears of the kernels that this takes, once for a CPU.

    Modifies: the folder.
    """
    machine = recall(folder, n_threads, isa)
    if machine is None or not machine.int8_gop_s:
        on_measure()
        machine = limits.measure_machine(n_threads, True, on_compile)
        remember(folder, machine, n_threads, isa)
    return machine


def remember_efficiency(
    folder: Path, n_threads: int, isa: str | None, quantization: str, reached: Efficiency
) -> None:
    """Write down how near to the limits a model came. Modifies: the folder."""
    key = f"{_key(cpu_name(), n_threads, isa)}, {quantization}"
    _write(folder, _EFFICIENCIES, key, asdict(reached))


def remember_run(folder: Path, report: Report, block_format: str) -> None:
    """Keep the limits of a run of `bench`, and how near to them it came if that can be said.

    Args:
        folder: LOCALMIX_CACHE.
        report: the run.
        block_format: what most of the model's weights are.

    Modifies: the folder.
    """
    subject, machine = report.subject, report.limits
    remember(folder, machine, subject.threads, subject.isa)
    prefill, decode = report.prefill, report.decode
    shares = [part.pct_of_ceiling for part in (prefill, decode) if part.series.samples_s]
    if len(shares) < 2 or None in shares or subject.power < 100 or report.measured.streamed:
        return
    n_positions, window = report.positions, subject.window
    reached = reached_by(
        subject.cost,
        machine,
        prefill.series.median,
        prefill.series.n_tokens,
        decode.series.median,
        n_positions if window is None else min(n_positions, window),
    )
    if reached is not None:
        remember_efficiency(folder, subject.threads, subject.isa, block_format, reached)


def recall_efficiency(
    folder: Path, n_threads: int, isa: str | None, quantization: str
) -> Efficiency | None:
    """Give how near to the limits a model of that quantization came here; None: never measured."""
    key = f"{_key(cpu_name(), n_threads, isa)}, {quantization}"
    known = _read(folder, _EFFICIENCIES).get(key, {})
    with suppress(TypeError, ValueError, KeyError):
        return Efficiency(float(known["decode"]), float(known["prefill"]))
    return None


def _larger(a: float | None, b: float | None) -> Any:
    return max((value for value in (a, b) if value is not None), default=None)


def _key(cpu: str, n_threads: int, isa: str | None) -> str:
    return f"{cpu}, {isa or 'no kernels'}, {n_threads} threads"


def _write(folder: Path, part: str, key: str, value: dict[str, Any]) -> None:
    known = {name: _read(folder, name) for name in (_MACHINES, _EFFICIENCIES)}
    known[part][key] = value
    with suppress(OSError):
        write_json(folder / _FILE, known)


def _read(folder: Path, part: str) -> dict[str, Any]:
    with suppress(OSError, ValueError, RecursionError):
        known = json.loads((folder / _FILE).read_text(encoding="utf-8"))
        found = known.get(part) if isinstance(known, dict) else None
        if isinstance(found, dict):
            return {str(key): value for key, value in found.items() if isinstance(value, dict)}
    return {}
