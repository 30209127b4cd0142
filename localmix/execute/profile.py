"""Where the time of batches goes: what every thread did in each step, and how long it waited.

Threads read a counter before and after each step (`kernels/threads.py`), which costs some
nanoseconds; without a profile they do not. Counters are turned into seconds by the wall clock:
together, all ticks of a thread are the time that the tape was walked.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from localmix.execute.experts import MixtureSteps
from localmix.execute.tape import Int64s
from localmix.kernels.layout import Spent

ATTENTION, BARRIER = "attention", "barrier"
OUTSIDE = "between batches"

_PARTS = {
    "matmul": "matrix products",
    "pack": "packing",
    "quantize": "norms, rounding",
    "rotate": "rope, cache",
    "place": "rope, cache",
    "attend": ATTENTION,
    "route": "experts",
    "combine": "experts",
}


@dataclass
class Profile:
    """Time of the batches that ran while it was kept.

    Attributes:
        walk_s: seconds in which tapes were walked.
        ticks: part -> ticks of all threads together.
    """

    walk_s: float = 0.0
    ticks: dict[str, int] = field(default_factory=dict)

    def add(self, spent: Int64s, parts: Sequence[str], walked_s: float) -> None:
        """Add one walk.

        Args:
            spent: (threads, steps + 1, 2) int64, see `kernels/layout.py`.
            parts: what each step is a part of.
            walked_s: seconds that it took.
        """
        self.walk_s += walked_s
        by_step = spent.sum(axis=0)  # (steps + 1, 2)
        waited = int(by_step[:, Spent.WAITING].sum())
        self.ticks[BARRIER] = self.ticks.get(BARRIER, 0) + waited
        for part, worked in zip(parts, by_step[:, Spent.WORKING].tolist(), strict=False):
            self.ticks[part] = self.ticks.get(part, 0) + worked

    def seconds(self, elapsed_s: float | None = None) -> dict[str, float]:
        """Seconds of each part, by the wall clock, the longest first.

        Args:
            elapsed_s: of everything; what no tape was walked in (embedding, sampling, Python)
                stands apart then.
        """
        total = sum(self.ticks.values())
        shares = {part: self.walk_s * n / total for part, n in self.ticks.items()} if total else {}
        if elapsed_s is not None:
            shares[OUTSIDE] = max(0.0, elapsed_s - self.walk_s)
        return dict(sorted(shares.items(), key=lambda item: -item[1]))


def parts_of(kernels: Sequence[str], mixtures: Sequence[MixtureSteps]) -> list[str]:
    """Name what each step of a tape is a part of."""
    parts = [_PARTS[kernel.partition("_")[0]] for kernel in kernels]
    for mixture in mixtures:
        parts[mixture.first : mixture.end] = ["experts"] * (mixture.end - mixture.first)
    return parts


def empty_table(n_threads: int, n_steps: int) -> Int64s:
    """Make room for what threads write down: (threads, steps + 1, 2) int64."""
    return np.zeros((n_threads, n_steps + 1, len(Spent)), np.int64)
