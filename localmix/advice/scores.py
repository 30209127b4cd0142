"""What is published of models, and what it says for a task.

Benchmarks have scales of their own, so a result counts as a share of the best that the catalog has
of it. A model without a result of its own is judged by its relative's: that of the version before
as it is, that of the base model it was trained from with a deduction. Without any it stands behind
all that have some. Nothing is guessed, and every sentence says whose figure it is and where it
stands.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from localmix.registry.catalog import BENCHMARKS, CatalogEntry

BENCHMARKS_OF = {
    "conversation": ("mt_bench",),
    "generation": ("mt_bench",),
    "qa": ("mmlu", "triviaqa"),
    "reasoning": ("gsm8k", "arc_c"),
    "code": ("humaneval", "mbpp"),
}
"""Which published results speak for a task."""

TUNED_KEEPS = 0.98
"""What is left of a base model's result for one that was trained from it: results that were
measured go first. It orders, and is no measurement.
"""

UNKNOWN_KEEPS = 0.9
"""What a model without any result gets of the lowest known quality."""


@dataclass(frozen=True)
class Evidence:
    """A published result that speaks for a model.

    Attributes:
        benchmark: one of `BENCHMARKS`.
        value: the result.
        of: the name of the entry that it was measured with.
        is_own: it was measured with the model itself.
        keeps: what of it counts for the model.
        source: where it stands.
    """

    benchmark: str
    value: float
    of: str
    is_own: bool
    keeps: float
    source: str

    @property
    def sentence(self) -> str:
        """The result in words, with whose it is and its source."""
        title, most = BENCHMARKS[self.benchmark]
        value = f"{self.value:g} %" if most == 100 else f"{self.value:g} of {most}"
        whose = "" if self.is_own else f" by its relative {self.of}"
        return f"{title} {value}{whose} ({self.source})"


@dataclass(frozen=True)
class Quality:
    """How good a model is at a task, as far as anybody published it.

    Attributes:
        share: from 0 to 1, of the best that is known; for ordering.
        evidence: what that stands on; empty when nothing is known.
    """

    share: float
    evidence: tuple[Evidence, ...]


def qualities(entries: Sequence[CatalogEntry], task: str) -> dict[str, Quality]:
    """Judge all entries by what is published, by name.

    Args:
        entries: of a catalog; what is the best is seen among them.
        task: a key of `BENCHMARKS_OF`.
    """
    by_name = {name: entry for entry in entries for name in entry.names}
    best = {
        benchmark: max(
            (e.scores[benchmark].value for e in entries if benchmark in e.scores), default=0.0
        )
        for benchmark in BENCHMARKS_OF[task]
    }
    found = {
        entry.name: tuple(
            evidence
            for benchmark in BENCHMARKS_OF[task]
            if (evidence := _evidence(entry, benchmark, by_name))
        )
        for entry in entries
    }
    known = {name: _share(evidence, best) for name, evidence in found.items() if evidence}
    unknown = UNKNOWN_KEEPS * min(known.values(), default=1.0)
    return {name: Quality(known.get(name, unknown), found[name]) for name in found}


def published_perplexities(
    entry: CatalogEntry, entries: Sequence[CatalogEntry]
) -> tuple[dict[str, float], CatalogEntry]:
    """Give perplexities by quantization, and whose they are: of the entry or the nearest relative.

    Empty if nobody published any.
    """
    by_name = {name: each for each in entries for name in each.names}
    seen: set[str] = set()
    nearest: CatalogEntry | None = entry
    while nearest is not None and nearest.name not in seen:
        found = {q.name: q.perplexity for q in nearest.quantizations.values() if q.perplexity}
        if found:
            return found, nearest
        seen.add(nearest.name)
        nearest = by_name.get(nearest.relative)
    return {}, entry


def titles(*benchmarks: str) -> str:
    """Name benchmarks as people do: `MMLU or TriviaQA`."""
    return " or ".join(BENCHMARKS[benchmark][0] for benchmark in benchmarks)


def _share(evidence: tuple[Evidence, ...], best: Mapping[str, float]) -> float:
    shares = [e.value / best[e.benchmark] * e.keeps for e in evidence]
    return sum(shares) / len(shares)


def _evidence(
    entry: CatalogEntry, benchmark: str, by_name: Mapping[str, CatalogEntry]
) -> Evidence | None:
    """Find a result of the entry, or of the nearest relative that has one."""
    seen: set[str] = set()  # a person's own catalog may send us in a circle
    nearest, keeps = entry, 1.0
    while nearest.name not in seen:
        score = nearest.scores.get(benchmark)
        if score is not None:
            return Evidence(
                benchmark, score.value, nearest.name, nearest is entry, keeps, score.source
            )
        seen.add(nearest.name)
        relative = by_name.get(nearest.relative)
        if relative is None:
            return None
        if relative.is_base and not nearest.is_base:
            keeps *= TUNED_KEEPS
        nearest = relative
    return None
