"""Medians, spreads and ratios; a ratio that changed too much between rounds is not told.

A ratio is the median over rounds of the ratios within a round. "Best" is the setting of llama.cpp
with the highest median of a test: one setting for all rounds, as a user would choose it.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Summary:
    """Figures of several rounds.

    Attributes:
        spread: interquartile range / median.
    """

    values: tuple[float, ...]
    median: float
    low: float
    high: float
    spread: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Summary:
        """Summarise at least two figures."""
        first, median, third = statistics.quantiles(values, n=4, method="inclusive")
        return cls(tuple(values), median, min(values), max(values), (third - first) / median)


@dataclass(frozen=True)
class Ratio:
    """Ours / theirs, round by round.

    Attributes:
        to: what ours is compared with.
        max_spread: above it the ratio is not told.
    """

    to: str
    rounds: Summary
    max_spread: float

    @property
    def is_noisy(self) -> bool:
        """Whether the rounds disagree too much."""
        return self.rounds.spread > self.max_spread

    @property
    def value(self) -> float | None:
        """The ratio; None if it is too noisy to be told."""
        return None if self.is_noisy else self.rounds.median

    def text(self, as_percent: bool = False) -> str:
        """For the table: `1.24×`, or `87 %`."""
        if self.is_noisy:
            return f"too noisy: spread {100 * self.rounds.spread:.0f} %"
        median = self.rounds.median
        return f"{100 * median:.0f} %" if as_percent else f"{median:.2f}×"


def ratio(to: str, ours: Sequence[float], theirs: Sequence[float], max_spread: float) -> Ratio:
    """Divide round by round."""
    pairs = zip(ours, theirs, strict=True)
    return Ratio(to, Summary.of([a / b for a, b in pairs]), max_spread)
