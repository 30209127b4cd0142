"""How fast this machine reads memory, as `bench` measured it last: for figures after an answer.

Kept in LOCALMIX_CACHE, by processor and number of threads: measuring takes a second that nobody
waits for after each answer.
"""

import json
from contextlib import suppress
from pathlib import Path

from localmix.bench.limits import Machine, cpu_name
from localmix.registry.json_file import write_json

_FILE = "machine.json"


def remember(folder: Path, machine: Machine, n_threads: int) -> None:
    """Write a measurement down; a folder that cannot be written is nobody's loss.

    Modifies: the folder.
    """
    known = _read(folder)
    known[_key(machine.cpu, n_threads)] = machine.read_gb_s
    with suppress(OSError):
        write_json(folder / _FILE, known)


def read_gb_s(folder: Path, n_threads: int) -> float | None:
    """Give 10⁹ bytes a second of this processor with so many threads; None: never measured."""
    return _read(folder).get(_key(cpu_name(), n_threads))


def _key(cpu: str, n_threads: int) -> str:
    return f"{cpu}, {n_threads} threads"


def _read(folder: Path) -> dict[str, float]:
    with suppress(OSError, ValueError):
        known = json.loads((folder / _FILE).read_text(encoding="utf-8"))
        if isinstance(known, dict):
            return {str(k): float(v) for k, v in known.items() if isinstance(v, (int, float))}
    return {}
