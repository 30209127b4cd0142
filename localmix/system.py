"""What the operating system tells of this machine and this process, in one place.

Nearly all of it comes from psutil, which knows Linux, macOS and Windows. What a system does not
tell is None: nothing here is guessed.
"""

from __future__ import annotations

import contextlib
import os
import platform
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_PLATFORM: str = sys.platform
"""Kept as a text, so that type checkers read the branches of all systems."""

CPUINFO = Path("/proc/cpuinfo")
CGROUP_MEMBERSHIP, CGROUPS = Path("/proc/self/cgroup"), Path("/sys/fs/cgroup")
"""Which control groups we are in, and where Linux shows them."""


def total_memory() -> int | None:
    """Give the bytes of memory of the machine."""
    import psutil

    with contextlib.suppress(OSError, psutil.Error):  # Linux without /proc
        return int(psutil.virtual_memory().total)
    return None


def free_memory() -> int | None:
    """Give the bytes that a program may take now, what the system would give up for it included."""
    import psutil

    with contextlib.suppress(OSError, psutil.Error):
        return int(psutil.virtual_memory().available)
    return None


def cpu_name() -> str:
    """The processor's own name, as far as the system tells it."""
    with contextlib.suppress(OSError):
        for line in CPUINFO.read_text(encoding="utf-8", errors="replace").splitlines():
            name, _, value = line.partition(":")
            if name.strip() == "model name" and value.strip():
                return " ".join(value.split())
    told = sysctl("machdep.cpu.brand_string") or _name_in_registry()
    return told or platform.processor() or platform.machine()


def _name_in_registry() -> str:
    """The processor's name on Windows, whose own function gives family and model only."""
    name = ""
    if sys.platform == "win32":
        import winreg

        place = r"HARDWARE\DESCRIPTION\System\CentralProcessor\0"
        with (
            contextlib.suppress(OSError),
            winreg.OpenKey(winreg.HKEY_LOCAL_MACHINE, place) as key,
        ):
            name = str(winreg.QueryValueEx(key, "ProcessorNameString")[0])
    return " ".join(name.split())


def physical_cores() -> int | None:
    """Give the number of cores; two logical CPUs that share one count once."""
    import psutil

    count: int | None = psutil.cpu_count(logical=False)
    return count


@dataclass(frozen=True)
class ProcessMemory:
    """Memory of this process.

    Attributes:
        resident: bytes that are in memory, pages of mapped files among them.
        private: bytes of it that belong to nobody else and to no file; None: unknown.
    """

    resident: int
    private: int | None

    @property
    def of_files(self) -> int | None:
        """Bytes of mapped files, which the system may drop and read again."""
        return None if self.private is None else max(0, self.resident - self.private)


def process_memory() -> ProcessMemory:
    """Look at the memory of this process now."""
    import psutil

    process = psutil.Process()
    info = process.memory_info()
    if _PLATFORM == "linux":
        return ProcessMemory(info.rss, info.rss - info.shared)
    if _PLATFORM == "win32":
        return ProcessMemory(info.rss, info.private)
    with contextlib.suppress(psutil.Error, AttributeError):  # pragma: no cover - macOS
        return ProcessMemory(info.rss, process.memory_full_info().uss)
    return ProcessMemory(info.rss, None)


def peak_working_set() -> int:
    """Give the largest resident memory of this process so far, as Windows counts; 0 elsewhere."""
    import psutil

    return int(getattr(psutil.Process().memory_info(), "peak_wset", 0))


@dataclass(frozen=True)
class CpuTimes:
    """CPU time so far, in seconds since some moment.

    Attributes:
        elapsed: by the wall clock.
        busy: of all logical CPUs that this process may use, time that a hypervisor gave to others
            among it.
        own: of this process and the children that have ended.
    """

    elapsed: float
    busy: float
    own: float

    def others_since(self, start: CpuTimes) -> float:
        """How many CPUs others kept busy since `start`, on average."""
        elapsed = self.elapsed - start.elapsed
        busy = (self.busy - start.busy) - (self.own - start.own)
        return max(0.0, busy / elapsed) if elapsed > 0 else 0.0


def cpu_times() -> CpuTimes:
    """Read the clocks of the CPUs."""
    import psutil

    own = os.times()
    busy = sum(_busy_s(told) for told in _of_our_cpus() or [psutil.cpu_times()])
    return CpuTimes(time.perf_counter(), busy, sum(own[:4]))


def _busy_s(told: Any) -> float:
    idle: float = told.idle + getattr(told, "iowait", 0.0)
    # Linux counts the time of guests within that of users already.
    guests = getattr(told, "guest", 0.0) + getattr(told, "guest_nice", 0.0)
    return float(sum(told)) - guests - idle


def _of_our_cpus() -> list[Any]:
    """Times of each CPU that this process may use; empty when it may use all, or none says."""
    import psutil

    if not hasattr(os, "sched_getaffinity"):
        return []
    allowed = os.sched_getaffinity(0)
    if len(allowed) >= (psutil.cpu_count() or 1):
        return []
    each = psutil.cpu_times(percpu=True)
    # They are listed in order, but without their numbers: with one offline nobody knows whose.
    return [each[cpu] for cpu in allowed] if max(allowed) < len(each) else []


def on_battery() -> bool | None:
    """Say whether the machine runs on its battery; None: it has none, or does not tell."""
    import psutil

    with contextlib.suppress(AttributeError, OSError, RuntimeError):  # absent on some systems
        battery = psutil.sensors_battery()
        if battery is not None and battery.power_plugged is not None:
            return not battery.power_plugged
    return None


def sysctl(name: str) -> str:
    """Ask macOS for a value by name; empty when it has none, or this is another system."""
    if _PLATFORM != "darwin":
        return ""
    command = ["/usr/sbin/sysctl", "-n", name]
    with contextlib.suppress(OSError):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        return done.stdout.strip()
    return ""


def container_folders(controller: str) -> Iterator[tuple[Path, bool]]:
    """Give the folders of our container and of those around it, where Linux tells their limits.

    Args:
        controller: `memory` or `cpu`.

    Yields:
        A folder, and whether its files are those of version 2 of control groups.
    """
    with contextlib.suppress(OSError, ValueError):
        for line in CGROUP_MEMBERSHIP.read_text(encoding="utf-8", errors="replace").splitlines():
            _, kinds, group = line.split(":", 2)
            if kinds != "" and controller not in kinds.split(","):
                continue
            place = CGROUPS if kinds == "" else CGROUPS / controller
            inner = place / group.lstrip("/")
            for folder in (inner, *inner.parents):
                yield folder, kinds == ""
                if folder == place:
                    break
