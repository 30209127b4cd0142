"""The cores of this machine: how many, of which kinds, and which of them this process may use.

Two threads on one core share its arithmetic units and gain nothing in a matrix product, and a slow
core keeps the fast ones waiting at every barrier: so fast, physical cores are what counts.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from localmix import system

_CPUS = Path("/sys/devices/system/cpu")
_FAST_CPUS = Path("/sys/devices/cpu_core/cpus")
"""Logical CPUs of performance cores, where Intel has two kinds of them."""


@dataclass(frozen=True)
class Cores:
    """Cores that this process may use.

    Attributes:
        fast: physical cores, performance cores where there are two kinds.
        slow: efficiency cores; 0 where there is one kind.
        logical: CPUs that the system counts on all of them.
        fast_cpus: on Linux, one logical CPU of each fast core; elsewhere empty.
        slow_cpus: the same of slow ones.
    """

    fast: int
    slow: int
    logical: int
    fast_cpus: tuple[int, ...] = ()
    slow_cpus: tuple[int, ...] = ()

    @property
    def physical(self) -> int:
        """Cores of both kinds."""
        return self.fast + self.slow

    def __str__(self) -> str:
        """In words: `8 cores`, `4 performance and 4 efficiency cores`."""
        if self.slow:
            return f"{self.fast} performance and {self.slow} efficiency cores"
        return "1 core" if self.fast == 1 else f"{self.fast} cores"


def cores(
    cpus: Path = _CPUS,
    fast_cpus: Path = _FAST_CPUS,
    sysctl: Callable[[str], str] = system.sysctl,
) -> Cores:
    """Look at this machine.

    Linux tells which logical CPUs share a core, and Intel's two kinds or Arm's capacities, in /sys;
    macOS tells both kinds by sysctl; Windows the number of physical cores.
    """
    if hasattr(os, "sched_getaffinity"):
        return _of_linux(set(os.sched_getaffinity(0)), cpus, fast_cpus)
    logical = os.cpu_count() or 1
    fast, slow = (_whole(sysctl(f"hw.perflevel{i}.physicalcpu")) for i in (0, 1))
    if not fast:
        fast, slow = system.physical_cores() or logical, 0
    return Cores(fast, slow, logical)


def n_threads_by_default() -> int:
    """Give one thread per fast core, and no more than a container's quota of CPU time."""
    quota = cpu_quota()
    fast = cores().fast
    return max(1, fast if quota is None else min(fast, math.ceil(quota)))


def cpu_quota() -> float | None:
    """Give the CPUs whose time our container may use at most; None: there is no limit.

    Source: Linux, Documentation/admin-guide/cgroup-v2.rst (cpu.max), scheduler/sched-bwc.rst.
    """
    quotas = []
    for folder, is_v2 in system.container_folders("cpu"):
        try:
            if is_v2:
                quota, period = (folder / "cpu.max").read_text(encoding="ascii").split()
            else:
                quota = (folder / "cpu.cfs_quota_us").read_text(encoding="ascii")
                period = (folder / "cpu.cfs_period_us").read_text(encoding="ascii")
            if int(quota) > 0:
                quotas.append(int(quota) / int(period))
        except (OSError, ValueError, ZeroDivisionError):  # "max": no limit here
            continue
    return min(quotas, default=None)


def _of_linux(allowed: set[int], cpus: Path, fast_cpus: Path) -> Cores:
    fast = allowed & (_cpu_list(fast_cpus) or _most_capable(allowed, cpus)) or allowed
    first_of_fast = _one_per_core(fast, cpus)
    first_of_slow = _one_per_core(allowed - fast, cpus)
    return Cores(
        max(1, len(first_of_fast)), len(first_of_slow), len(allowed), first_of_fast, first_of_slow
    )


def _most_capable(allowed: set[int], cpus: Path) -> set[int]:
    """Give the CPUs with more than half of the largest capacity, which Arm machines state."""
    capacities = {cpu: _whole(_read(cpus / f"cpu{cpu}/cpu_capacity")) for cpu in allowed}
    most = max(capacities.values(), default=0)
    return {cpu for cpu, capacity in capacities.items() if 2 * capacity > most}


def _one_per_core(logical: set[int], cpus: Path) -> tuple[int, ...]:
    """Give the first logical CPU of each core."""
    first: dict[frozenset[int], int] = {}
    for cpu in sorted(logical):
        siblings = _cpu_list(cpus / f"cpu{cpu}/topology/thread_siblings_list") or {cpu}
        first.setdefault(frozenset(siblings), cpu)
    return tuple(first.values())


def _cpu_list(path: Path) -> set[int]:
    """Read a kernel list such as `0-3,8` as {0, 1, 2, 3, 8}; a missing or odd file is empty."""
    cpus: set[int] = set()
    try:
        for part in _read(path).split(","):
            first, _, last = part.partition("-")
            cpus.update(range(int(first), int(last or first) + 1))
    except ValueError:
        return set()
    return cpus


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii").strip()
    except (OSError, ValueError):
        return ""


def _whole(text: str) -> int:
    return int(text) if text.isascii() and text.isdecimal() else 0
