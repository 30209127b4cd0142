"""This machine's limits: its cores and caches, how fast it reads memory and multiplies bytes.

The read bandwidth is measured with NumPy: each thread sums its share of a buffer far larger than
the caches (a sum of int64 runs at the speed of memory; NumPy lets go of the interpreter
meanwhile). It is a plain read of private memory, which the system gives in large pages where it
can: what `--weights resident` reads. Weights in the mapped file lie in small pages, so for them it
is a limit that they may not reach.

The int8 peak is measured with a kernel that does nothing but the dot products of its tier,
`kernels/peak.py`. Nothing is compiled for the reference executor, so there it stays None. Both
limits are those of as many threads as the model has, and the best of a few runs.
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
from typing import TYPE_CHECKING

from localmix import settings

if TYPE_CHECKING:
    from localmix.kernels.library import Library, OnCompile

CACHE_BYTES_GUESS = 64 * 2**20
"""Taken for the size of the caches where the system does not say: larger than most."""

PEAK_KERNEL = "int8_peak"
PEAK_RUN_S = 0.05
"""Seconds of one run of the peak: long beside starting threads, short beside a shift in clocks."""

_MOST_ROUNDS = 50_000_000
"""The kernel's sums are int32, and a round of ones adds at most 32 to each."""
_OPERAND_BYTES, _SUM_BYTES = 128, 1024

_SMALLEST_BUFFER_BYTES, _LARGEST_BUFFER_BYTES = 256 * 2**20, 2**30
_LINUX_CPUS = Path("/sys/devices/system/cpu")


@dataclass(frozen=True)
class Machine:
    """What a machine can do at best.

    Attributes:
        cores: physical cores that this process may use.
        cache_bytes: second and later levels together; None when the system does not say.
        read_gb_s: plain read of private memory, 10⁹ bytes a second, all threads together.
        int8_gop_s: peak of int8 arithmetic, 10⁹ operations a second, a multiplication and an
            addition counted as two; None: nothing is compiled, so nothing was measured.
    """

    cpu: str
    cores: int
    cache_bytes: int | None
    read_gb_s: float
    int8_gop_s: float | None = None

    def holds_in_cache(self, n_bytes: float) -> bool:
        """Whether so many bytes fit the caches, so that memory is no limit."""
        return n_bytes <= (self.cache_bytes or CACHE_BYTES_GUESS)


def measure_machine(
    n_threads: int | None = None,
    with_kernels: bool = False,
    on_compile: OnCompile | None = None,
) -> Machine:
    """Look at this machine and measure its limits: about a second.

    Args:
        n_threads: threads that work at once; None: one per physical core.
        with_kernels: measure the int8 peak, which takes a kernel.
        on_compile: hears of it when that kernel is compiled, once for a CPU.
    """
    cores, cache = settings.n_physical_cores(), cache_bytes()
    read_gb_s = _read_bandwidth_apart(n_threads or cores, buffer_bytes(cache))
    int8_gop_s = int8_peak(n_threads or cores, on_compile) if with_kernels else None
    return Machine(cpu_name(), cores, cache, read_gb_s, int8_gop_s)


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


def int8_peak(
    n_threads: int,
    on_compile: OnCompile | None = None,
    n_repetitions: int = 5,
    clock: Callable[[], float] = time.perf_counter,
) -> float:
    """Multiply bytes with all threads at once, a few times; return the best in Gop/s (10⁹).

    Raises:
        LocalmixError: the kernel is not there and cannot be compiled.
    """
    from localmix.kernels import library

    loaded = library.load([PEAK_KERNEL], on_compile)
    multipliers = [Multiplier(loaded) for _ in range(n_threads)]
    n_rounds = _rounds_in(PEAK_RUN_S, multipliers[0], clock)
    best = 0.0
    with ThreadPoolExecutor(n_threads) as pool:
        for _ in range(n_repetitions + 1):  # the first run starts the threads
            start = clock()
            n_products = sum(pool.map(lambda one: one.multiply(n_rounds), multipliers))
            best = max(best, 2 * n_products / (clock() - start))
    return best / 1e9


class Multiplier:
    """Runs the kernel of the peak in memory of its own; see `kernels/peak.py`."""

    def __init__(self, loaded: Library) -> None:
        import numpy as np

        self._library = loaded  # which holds the code
        self._kernel = loaded.function(PEAK_KERNEL)
        self._operands = np.ones(_OPERAND_BYTES, np.uint8)
        self._sums = np.zeros(_SUM_BYTES // 4, np.int32)
        self._record = np.array([0, self._operands.ctypes.data, self._sums.ctypes.data], np.int64)

    def multiply(self, n_rounds: int) -> int:
        """Multiply for so many rounds -> the number of products, which ones add up to."""
        self._record[0] = n_rounds
        self._kernel(self._record.ctypes.data, 0, 0, 0)
        return int(self._sums.sum(dtype="int64"))


def _rounds_in(seconds: float, multiplier: Multiplier, clock: Callable[[], float]) -> int:
    """How many rounds take about so long."""
    n_rounds, taken_s = 1000, 0.0
    while taken_s < seconds / 10 and n_rounds < _MOST_ROUNDS:
        n_rounds *= 2
        start = clock()
        multiplier.multiply(n_rounds)
        taken_s = clock() - start
    return max(1, min(_MOST_ROUNDS, int(n_rounds * seconds / max(taken_s, 1e-9))))


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
