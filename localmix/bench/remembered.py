"""What `bench` measured of this machine, kept for later: for `fit`, and for figures after answers.

Kept in LOCALMIX_CACHE/machine.json, by processor, tier of the kernels and number of threads.
Measuring takes a second or two, which nobody waits for after each answer.
"""

import json
from contextlib import suppress
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from localmix.bench.limits import Machine
from localmix.bench.predict import Efficiency
from localmix.json_file import write_json
from localmix.system import cpu_name

_FILE = "machine.json"
_MACHINES, _EFFICIENCIES = "machines", "efficiencies"


def remember(folder: Path, machine: Machine, n_threads: int, isa: str | None) -> None:
    """Write limits down; a folder that cannot be written is nobody's loss.

    Args:
        folder: LOCALMIX_CACHE.
        machine: what was measured.
        n_threads: with how many threads.
        isa: tier of the kernels; None: none were there.

    Modifies: the folder.
    """
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


def remember_efficiency(
    folder: Path, n_threads: int, isa: str | None, quantization: str, reached: Efficiency
) -> None:
    """Write down how near to the limits a model came. Modifies: the folder."""
    key = f"{_key(cpu_name(), n_threads, isa)}, {quantization}"
    _write(folder, _EFFICIENCIES, key, asdict(reached))


def recall_efficiency(
    folder: Path, n_threads: int, isa: str | None, quantization: str
) -> Efficiency | None:
    """Give how near to the limits a model of that quantization came here; None: never measured."""
    key = f"{_key(cpu_name(), n_threads, isa)}, {quantization}"
    known = _read(folder, _EFFICIENCIES).get(key, {})
    with suppress(TypeError, ValueError, KeyError):
        return Efficiency(float(known["decode"]), float(known["prefill"]))
    return None


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
