"""This machine's limits: which processor, how many cores, how much cache, how fast memory is read.

The read bandwidth is measured with NumPy: each thread sums its share of a buffer far larger than
the caches (a sum of int64 runs at the speed of memory; NumPy lets go of the interpreter
meanwhile). It is a plain read of private memory, the best of a few runs. The peak of int8
arithmetic needs compiled kernels and stays None until there are some.
"""

from __future__ import annotations

import platform
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from localmix import settings

CACHE_BYTES_GUESS = 64 * 2**20
"""Taken for the size of the caches where the system does not say: larger than most."""

_SMALLEST_BUFFER_BYTES, _LARGEST_BUFFER_BYTES = 256 * 2**20, 2**30
_LINUX_CPUS = Path("/sys/devices/system/cpu")


@dataclass(frozen=True)
class Machine:
    """What a machine can do at best.

    Attributes:
        cores: physical cores that this process may use.
        cache_bytes: second and later levels together; None when the system does not say.
        read_gb_s: plain read, all those cores together.
        int8_gop_s: peak of int8 arithmetic; None: not measured yet.
    """

    cpu: str
    cores: int
    cache_bytes: int | None
    read_gb_s: float
    int8_gop_s: float | None = None

    def holds_in_cache(self, n_bytes: float) -> bool:
        """Whether so many bytes fit the caches, so that memory is no limit."""
        return n_bytes <= (self.cache_bytes or CACHE_BYTES_GUESS)


def measure_machine(n_threads: int | None = None) -> Machine:
    """Look at this machine and measure its read bandwidth: about a second."""
    cores, cache = settings.n_physical_cores(), cache_bytes()
    read_gb_s = _read_bandwidth_apart(n_threads or cores, buffer_bytes(cache))
    return Machine(cpu_name(), cores, cache, read_gb_s)


def buffer_bytes(cache: int | None) -> int:
    """Size of the buffer that is read: four times the caches, within reason."""
    wanted = 4 * (cache or CACHE_BYTES_GUESS)
    return min(max(wanted, _SMALLEST_BUFFER_BYTES), _LARGEST_BUFFER_BYTES)


def read_bandwidth(
    n_threads: int,
    n_bytes: int,
    n_repetitions: int = 5,
    clock: Callable[[], float] = time.perf_counter,
) -> float:
    """Read a buffer with all threads at once, a few times; return the best in GB/s (10⁹ bytes)."""
    import numpy as np

    buffer = np.ones(n_bytes // 8, np.int64)  # (n_bytes / 8,); ones, so that the pages exist
    shares = np.array_split(buffer, n_threads)
    best_s = float("inf")
    with ThreadPoolExecutor(n_threads) as pool:
        for _ in range(n_repetitions + 1):  # the first run starts the threads
            start = clock()
            total = sum(pool.map(np.add.reduce, shares))
            best_s = min(best_s, clock() - start)
            assert total == buffer.size
    return buffer.nbytes / best_s / 1e9


def _read_bandwidth_apart(n_threads: int, n_bytes: int) -> float:
    """`read_bandwidth` in a process of its own: the buffer must not count as the model's memory."""
    code = (
        "import sys; from localmix.bench.limits import read_bandwidth; "
        "sys.stdout.write(repr(read_bandwidth(int(sys.argv[1]), int(sys.argv[2]))))"
    )
    command = [sys.executable, "-c", code, str(n_threads), str(n_bytes)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        return float(done.stdout)
    except (OSError, ValueError, subprocess.CalledProcessError):
        return read_bandwidth(n_threads, n_bytes)  # an interpreter that cannot start itself


def cpu_name() -> str:
    """The processor's own name, as far as the system tells it."""
    if sys.platform.startswith("linux"):
        for line in _read(Path("/proc/cpuinfo")).splitlines():
            name, _, value = line.partition(":")
            if name.strip() == "model name" and value.strip():
                return " ".join(value.split())
    if sys.platform == "darwin":
        command = ["/usr/sbin/sysctl", "-n", "machdep.cpu.brand_string"]
        found = subprocess.run(command, capture_output=True, text=True, check=False)
        if found.stdout.strip():
            return found.stdout.strip()
    return platform.processor() or platform.machine()


def cache_bytes(cpus: Path = _LINUX_CPUS) -> int | None:
    """Size of the caches from the second level on, each shared one counted once; None: unknown."""
    sizes: dict[tuple[str, str], int] = {}
    for folder in cpus.glob("cpu[0-9]*/cache/index[0-9]*"):
        level, size = _read(folder / "level").strip(), _read(folder / "size").strip()
        if level.isdecimal() and int(level) >= 2 and size.endswith("K") and size[:-1].isdecimal():
            shared_by = _read(folder / "shared_cpu_list").strip()
            sizes[level, shared_by] = int(size[:-1]) * 1024
    return sum(sizes.values()) or None


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
