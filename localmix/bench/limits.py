"""This machine: its cores and caches, how fast it reads memory and multiplies at best.

The read bandwidth is measured with NumPy: each thread sums its share of a buffer far larger than
the caches (a sum of int64 runs at the speed of memory; NumPy lets go of the interpreter
meanwhile). It is a plain read of private memory, which the system gives in large pages where it
can: what `--weights resident` reads. Weights in the mapped file lie in small pages, so for them it
is a limit that they may not reach.

The peaks of int8 and float32 arithmetic are measured with kernels that do nothing else,
`kernels/peak.py`. Nothing is compiled for the reference executor, so there they stay None. All
limits are those of as many threads as the model has, and the best of a few runs.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from localmix.cores import cores
from localmix.system import cpu_name

if TYPE_CHECKING:
    from localmix.kernels.library import Library, OnCompile

CACHE_BYTES_GUESS = 64 * 2**20
"""Taken for the size of the caches where the system does not say: larger than most."""

PEAK_RUN_S = 0.05
"""Seconds of one run of the peak: long beside starting threads, short beside a shift in clocks."""

_MOST_ROUNDS = 50_000_000
"""The kernel's sums are int32, and a round of ones adds at most 32 to each."""
_N_OPERANDS, _SUM_BYTES = 128, 1024

_SMALLEST_BUFFER_BYTES, _LARGEST_BUFFER_BYTES = 256 * 2**20, 2**30
_LINUX_CPUS = Path("/sys/devices/system/cpu")


@dataclass(frozen=True)
class Machine:
    """What a machine can do at best.

    Attributes:
        cores: physical cores that this process may use, fast ones where there are two kinds.
        cache_bytes: second and later levels together; None when the system does not say.
        read_gb_s: plain read of private memory, 10⁹ bytes a second, all threads together.
        int8_gop_s: peak of int8 arithmetic, 10⁹ operations a second, a multiplication and an
            addition counted as two; None: nothing is compiled, so nothing was measured.
        float32_gop_s: the same of float32.
        read_one_gb_s: plain read by one thread.
        slow_cores: efficiency cores beside the fast ones.
    """

    cpu: str
    cores: int
    cache_bytes: int | None
    read_gb_s: float
    int8_gop_s: float | None = None
    float32_gop_s: float | None = None
    read_one_gb_s: float | None = None
    slow_cores: int = 0

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
        n_threads: threads that work at once; None: one per fast core.
        with_kernels: measure the peaks of arithmetic, which takes kernels.
        on_compile: hears of it when those are compiled, once for a CPU.
    """
    here, cache = cores(), cache_bytes()
    n_threads = n_threads or here.fast
    read_one, read_all = measure_read(n_threads, buffer_bytes(cache))
    int8 = float32 = None
    if with_kernels:
        int8, float32 = (peak(kind, n_threads, on_compile) for kind in (INT8, FLOAT32))
    return Machine(
        cpu=cpu_name(),
        cores=here.fast,
        cache_bytes=cache,
        read_gb_s=max(read_one, read_all),  # while others work, one thread can be the faster
        int8_gop_s=int8,
        float32_gop_s=float32,
        read_one_gb_s=read_one,
        slow_cores=here.slow,
    )


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


def measure_read(n_threads: int, n_bytes: int) -> tuple[float, float]:
    """Give the `read_bandwidth` of one thread and of all, in GB/s.

    Measured in a process of its own: the buffer must not count as the model's memory.
    """
    code = (
        "import sys; from localmix.bench.limits import read_bandwidth; "
        "a, b = map(int, sys.argv[1:]); "
        "print(*(read_bandwidth(n, b) for n in (1, a)))"
    )
    command = [sys.executable, "-c", code, str(n_threads), str(n_bytes)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        one, together = map(float, done.stdout.split())
    except (OSError, ValueError, subprocess.CalledProcessError):
        # an interpreter that cannot start itself
        one, together = (read_bandwidth(n, n_bytes) for n in (1, n_threads))
    return one, together


@dataclass(frozen=True)
class Arithmetic:
    """A kind of arithmetic whose peak is measured.

    Attributes:
        kernel: its name.
        operand, total: NumPy's names of the types of operands and sums.
    """

    kernel: str
    operand: str
    total: str


INT8, FLOAT32 = (
    Arithmetic("int8_peak", "uint8", "int32"),
    Arithmetic("float32_peak", "float32", "float32"),
)
PEAK_KERNELS = (INT8.kernel, FLOAT32.kernel)


def peak(
    kind: Arithmetic,
    n_threads: int,
    on_compile: OnCompile | None = None,
    n_repetitions: int = 5,
    clock: Callable[[], float] = time.perf_counter,
) -> float:
    """Multiply with all threads at once, a few times; return the best in Gop/s (10⁹).

    Raises:
        LocalmixError: the kernel is not there and cannot be compiled.
    """
    from localmix.kernels import library

    loaded = library.load([kind.kernel], on_compile)
    multipliers = [Multiplier(loaded, kind) for _ in range(n_threads)]
    per_round = multipliers[0].multiply(1)
    n_rounds = _rounds_in(PEAK_RUN_S, multipliers[0], clock)
    best = 0.0
    with ThreadPoolExecutor(n_threads) as pool:
        for _ in range(n_repetitions + 1):  # the first run starts the threads
            start = clock()
            list(pool.map(lambda one: one.multiply(n_rounds), multipliers))
            best = max(best, 2 * n_threads * n_rounds * per_round / (clock() - start))
    return best / 1e9


class Multiplier:
    """Runs the kernel of a peak in memory of its own; see `kernels/peak.py`."""

    def __init__(self, loaded: Library, kind: Arithmetic) -> None:
        import numpy as np

        self._library = loaded  # which holds the code
        self._kernel = loaded.function(kind.kernel)
        self._operands = np.ones(_N_OPERANDS, kind.operand)
        self._sums = np.zeros(_SUM_BYTES // 4, kind.total)
        self._record = np.array([0, self._operands.ctypes.data, self._sums.ctypes.data], np.int64)

    def multiply(self, n_rounds: int) -> int:
        """Multiply for so many rounds -> what the sums are: the number of products.

        Of float32 only as long as no sum is above 2²⁴, where it cannot grow by 1.
        """
        self._record[0] = n_rounds
        self._kernel(self._record.ctypes.data, 0, 0, 0)
        return int(self._sums.sum(dtype="float64"))


def _rounds_in(seconds: float, multiplier: Multiplier, clock: Callable[[], float]) -> int:
    """How many rounds take about so long."""
    n_rounds, taken_s = 1000, 0.0
    while taken_s < seconds / 10 and n_rounds < _MOST_ROUNDS:
        n_rounds *= 2
        start = clock()
        multiplier.multiply(n_rounds)
        taken_s = clock() - start
    return max(1, min(_MOST_ROUNDS, int(n_rounds * seconds / max(taken_s, 1e-9))))


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
