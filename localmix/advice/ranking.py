"""Which model of the catalog for a task, on a machine: ranked, with the reasons in plain words.

It is pure: what the machine can do, what memory it has and the catalog are arguments, so it knows
neither disk nor clock, and the same input has the same output. `advice.py` asks this machine.

Order: what runs here before what does not; what answers before base models, where answers are
wanted; what fits before what is tight or streams; then by score. The toy inside the package comes
last, unless nothing else runs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from localmix.advice.candidates import (
    ORDER,
    READING_TOK_S,
    RUNS,
    Candidate,
    Memory,
    Speed,
    Wishes,
    attended,
    chosen,
    loss,
)
from localmix.advice.reasons import ANSWERS_WANTED, reasons
from localmix.advice.scores import Quality, qualities
from localmix.engine.fit import Verdict
from localmix.registry.catalog import CatalogEntry, Quantization

FULL_ROOM = 32768
"""Positions to attend to that leave nothing to wish for, in ranking by room for documents."""


@dataclass(frozen=True)
class Recommendation:
    """A model of the catalog, in the quantization that suits the machine and the wishes.

    Attributes:
        name: what to type: `localmix pull NAME`.
        model: the entry's name in the catalog.
        quantization: in capitals; empty for the model inside the package.
        size_bytes: of its files, about.
        verdict: how it fits into memory, see `engine/fit.py`.
        decode_tok_s: predicted tokens a second of an answer; None: it does not run, or is tiny.
        prefill_tok_s: predicted tokens a second of a prompt; None: nobody measured what it takes.
        score: from 0 to 100, for ordering among models that fit alike.
        reasons: plain sentences, what matters most first.
        licence: an SPDX identifier.
        context: tokens that it was trained to attend to.
    """

    name: str
    model: str
    quantization: str
    size_bytes: int
    verdict: Verdict
    decode_tok_s: float | None
    prefill_tok_s: float | None
    score: float
    reasons: tuple[str, ...]
    licence: str
    context: int


def rank(
    entries: Sequence[CatalogEntry],
    speed: Speed,
    memory: Memory,
    wishes: Wishes,
    embedded_bytes: int = 0,
) -> list[Recommendation]:
    """Rank the models of a catalog, the best first; one row a model.

    Args:
        entries: of the catalog.
        speed, memory: of the machine.
        wishes: what the model is for.
        embedded_bytes: size of the model inside the package.
    """
    judged = qualities(entries, wishes.task)
    names = {entry.name for entry in entries}
    rows: list[tuple[tuple[bool, bool, int, float, int], Recommendation]] = []
    toys: list[Recommendation] = []
    for i_entry, entry in enumerate(entries):
        # The same model in files of an older layout is no second model.
        if entry.name.endswith("-split") and entry.name.removesuffix("-split") in names:
            continue
        candidates = [
            Candidate.of(entry, quantization, size_bytes, speed, memory, wishes)
            for quantization, size_bytes in _sizes(entry, embedded_bytes)
        ]
        candidate = chosen(candidates, entry.default, wishes)
        row = _recommendation(entry, candidate, judged[entry.name], wishes)
        order = ORDER[row.verdict]
        answers_too_little = entry.is_base and wishes.task in ANSWERS_WANTED
        key = (order > RUNS, answers_too_little, order, -row.score, i_entry)
        if entry.is_embedded:
            toys.append(row)
        else:
            rows.append((key, row))
    ranked = [row for _, row in sorted(rows, key=lambda pair: pair[0])]
    runs = any(ORDER[row.verdict] <= RUNS for row in ranked)
    return ranked + toys if runs else toys + ranked


def _sizes(entry: CatalogEntry, embedded_bytes: int) -> list[tuple[Quantization | None, int]]:
    if entry.is_embedded:
        return [(None, embedded_bytes)]
    return [(each, round(each.size_gb * 1e9)) for each in entry.quantizations.values()]


def _recommendation(
    entry: CatalogEntry, candidate: Candidate, quality: Quality, wishes: Wishes
) -> Recommendation:
    share = quality.share * (1 - loss(candidate.name))
    if wishes.domain == "specific":
        # Knowledge counts half, room for documents the other half.
        share = (share + min(1.0, attended(entry) / FULL_ROOM) ** 0.5) / 2
    if wishes.response == "real-time":
        # A root, as people bear some waiting: half the speed of reading costs three tenths.
        share *= min(1.0, (candidate.decode or 0.0) / READING_TOK_S) ** 0.5
    return Recommendation(
        name=entry.full_name(candidate.name),
        model=entry.name,
        quantization=candidate.name,
        size_bytes=candidate.size_bytes,
        verdict=candidate.verdict,
        decode_tok_s=candidate.decode,
        prefill_tok_s=candidate.prefill,
        score=round(100 * share, 1),
        reasons=reasons(entry, candidate, quality, wishes),
        licence=entry.licence,
        context=entry.context,
    )
