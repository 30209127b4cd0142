"""Why a model is recommended where it is: plain sentences, the most important first.

Each says what is known and where it stands, and what is not known. Figures of speed are
predictions and say `about`.
"""

from __future__ import annotations

from localmix import units
from localmix.advice.candidates import READING_TOK_S, Candidate, Wishes, attended, loss
from localmix.advice.scores import BENCHMARKS_OF, Quality, titles
from localmix.registry.catalog import CatalogEntry

ANSWERS_WANTED = ("conversation", "qa", "reasoning")
"""Tasks where somebody asks: nothing for a base model, which continues texts."""

NOTABLE_LOSS = 0.03
"""From here on a quantization's loss is spoken of."""

PROMPT_TOKENS = 500
"""A longer question with some context, when the time until the first word is told."""

_FREE_LICENCES = ("Apache-2.0", "MIT")


def reasons(
    entry: CatalogEntry, candidate: Candidate, quality: Quality, wishes: Wishes
) -> tuple[str, ...]:
    """Give the reasons for and against a model."""
    said = [
        _toy(entry),
        _role(entry, wishes),
        _fit(candidate, wishes),
        _speed(candidate, wishes),
        *_evidence(entry, quality, wishes),
        _room(entry, wishes),
        _strengths(entry),
        *_quantization(entry, candidate),
        _licence(entry),
    ]
    return tuple(sentence for sentence in said if sentence)


def _toy(entry: CatalogEntry) -> str:
    if not entry.is_embedded:
        return ""
    return "a toy that comes with localmix, to try things with: it knows next to nothing"


def _role(entry: CatalogEntry, wishes: Wishes) -> str:
    if entry.is_base and wishes.task in ANSWERS_WANTED:
        return "a base model: it continues a text and does not answer"
    if entry.is_base:
        return "a base model: for going on with a text or code that you began, not for instructions"
    if wishes.task == "generation":
        return "writes as it is told; to continue a text of yours, take a base model"
    return ""


def _fit(candidate: Candidate, wishes: Wishes) -> str:
    wants = (
        f"{units.size(candidate.size_bytes)} of weights and "
        f"{units.size(candidate.beside_bytes)} beside them"
    )
    if candidate.free_bytes is None:
        return f"takes {wants}; this system does not tell how much memory is free"
    would = "are" if wishes.compute is None else "would be"
    free = f"{units.size(candidate.free_bytes)} {would} free"
    return {
        "fits": f"fits into memory: {wants}, {free}",
        "tight": f"fits once other programs are closed: {wants}, {free}",
        "streams": f"is larger than memory, experts come from the disk: {wants}, {free}",
        "pages": f"does not fit, weights come from the disk for each token: {wants}, {free}",
        "never": f"does not fit: {wants}, {free}",
        "unknown": f"takes {wants}, {free}",
    }[candidate.verdict]


def _speed(candidate: Candidate, wishes: Wishes) -> str:
    tok_s = candidate.decode
    if tok_s is None:
        fast = "so small that memory does not hold it up"
        return "will not run" if candidate.verdict == "never" else fast
    if wishes.response == "batch":
        sentence = (
            f"about {units.rate(tok_s)}: 1,000 tokens take {units.seconds(round(1000 / tok_s, 1))}"
        )
    elif tok_s >= READING_TOK_S:
        sentence = f"about {units.rate(tok_s)}, as fast as people read or faster"
    else:
        sentence = f"about {units.rate(tok_s)}, slower than people read"
    if candidate.prefill:
        first_s = PROMPT_TOKENS / candidate.prefill
        sentence += f"; a prompt of {PROMPT_TOKENS} tokens takes {units.seconds(first_s)}"
    return sentence


def _evidence(entry: CatalogEntry, quality: Quality, wishes: Wishes) -> list[str]:
    if quality.evidence:
        missing = set(BENCHMARKS_OF[wishes.task]) - {each.benchmark for each in quality.evidence}
        return [
            *(each.sentence for each in quality.evidence),
            *(f"no {titles(benchmark)} result is known" for benchmark in sorted(missing)),
        ]
    if entry.is_embedded:
        return []
    wanted = titles(*BENCHMARKS_OF[wishes.task])
    return [f"no {wanted} result is known, so it stands behind models that have one"]


def _room(entry: CatalogEntry, wishes: Wishes) -> str:
    if wishes.domain == "general" or not entry.context:
        return ""
    room = f"{attended(entry):,} tokens"
    if entry.window and entry.window < entry.context:
        return f"attends to the last {room} only: longer documents fade from view"
    if entry.is_base:
        return f"room for {room} of your own text"
    return f"room for {room} of your own documents (@file) and instructions (--system)"


def _strengths(entry: CatalogEntry) -> str:
    return f"good at: {entry.strengths} ({entry.strengths_source})" if entry.strengths else ""


def _quantization(entry: CatalogEntry, candidate: Candidate) -> list[str]:
    chosen, said = candidate.quantization, []
    if chosen is None:
        return []
    if chosen.perplexity is not None:
        said.append(f"{chosen.name}: perplexity {chosen.perplexity:g} ({entry.perplexity_source})")
    share = loss(chosen.name)
    if share >= NOTABLE_LOSS:
        said.append(
            f"{chosen.name} loses much: perplexity rose by about {100 * share:.0f} % "
            "where that was published"
        )
    return said


def _licence(entry: CatalogEntry) -> str:
    if not entry.licence:
        return "its licence is not recorded"
    if entry.licence in _FREE_LICENCES:
        return f"licence {entry.licence}: free for any use"
    return f"licence {entry.licence}: with conditions, read them first"
