"""A model on a machine: which of its quantizations suits, how it fits, how fast it will be.

Told from the catalog alone, before anything is downloaded: sizes, active weights, keys and values.
What the machine can do and what memory it has are arguments. Predictions stand on two functions,
`decode_tok_s` and `prefill_tok_s`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from localmix.advice.scores import BENCHMARKS_OF
from localmix.bench.limits import CACHE_BYTES_GUESS
from localmix.bench.predict import USUAL
from localmix.engine import memory as engine_memory
from localmix.engine.fit import PROGRAM_BYTES, USUAL_CACHE_BYTES, Verdict, verdict_of
from localmix.engine.load import DEFAULT_CONTEXT
from localmix.errors import LocalmixError
from localmix.registry.catalog import CatalogEntry, Quantization

TASKS = tuple(BENCHMARKS_OF)
RESPONSES = ("real-time", "batch")
DOMAINS = ("general", "specific")

READING_TOK_S = 7.0
"""As fast as people read, fast readers too: 300 words a minute at 1.35 tokens a word.

Most adults read 175 to 300 words of English a minute: M. Brysbaert, How many words do we read per
minute?, Journal of Memory and Language 109 (2019). Tokens a word: a vocabulary of 32,000.
"""

MARGIN = 1.1
"""How much faster than reading a quantization must be to be called fast: predictions are not exact.
"""

DISK_GB_S = 1.6
"""What a disk gives where experts or weights are read again for each token: docs/performance.md."""

DEPTH = 1000
"""Tokens in the context when the speed is told: a question and its answer."""

DOCUMENT_TOKENS = 8192
"""Context that is counted when documents of one's own are to be read."""

LOSSES = {
    "Q2_K": 0.23, "Q3_K_S": 0.066, "Q3_K_M": 0.035, "Q3_K_L": 0.035, "Q4_0": 0.022,
    "Q4_K_S": 0.015, "Q4_K_M": 0.011, "Q5_0": 0.0045, "Q5_K_S": 0.006, "Q5_K_M": 0.006,
}  # fmt: skip
"""How much higher perplexity is than without quantization, as a share.

Published for Mistral 7B v0.1 (hf.co/ikawrakow/mistral-7b-quantized-gguf), Q2_K for Mixtral 8x7B
(hf.co/ikawrakow/mixtral-8x7b-quantized-gguf, its better one). Q3_K_L and Q5_K_M are not there; they
are larger than Q3_K_M and Q5_K_S, whose figures stand in for them. Of more bits nothing is taken.
"""
_LOSS_OF_BITS = {2: 0.23, 3: 0.066, 4: 0.022, 5: 0.006}

ORDER: dict[Verdict, int] = {
    "fits": 0, "tight": 1, "unknown": 1, "streams": 2, "pages": 3, "never": 4,
}  # fmt: skip
"""How models come after each other by their verdicts; up to `RUNS` they are worth running."""
RUNS = 2


@dataclass(frozen=True)
class Speed:
    """What a machine can do: 10⁹ bytes read and int8 operations a second; None: not measured."""

    read_gb_s: float
    int8_gop_s: float | None = None


@dataclass(frozen=True)
class Memory:
    """Bytes that a program may take now, and in all; None when the system does not tell."""

    free_bytes: int | None
    total_bytes: int | None


TYPICAL = {
    "low": (Speed(25.0, 600.0), Memory(6 * 10**9, 8 * 10**9)),
    "medium": (Speed(50.0, 1800.0), Memory(12 * 10**9, 16 * 10**9)),
    "high": (Speed(100.0, 5500.0), Memory(48 * 10**9, 64 * 10**9)),
}
"""Machines to plan for: 4 cores with AVX2 and one channel of DDR4-3200; 8 cores with AVX-VNNI and
two; 12 cores with AVX-512 and two of DDR5, or a chip with its memory beside it. Three quarters of
memory are taken as free. A core is taken to do 150, 225 and 460 Gop/s of int8 (the last as measured
in docs/performance.md).
"""


@dataclass(frozen=True)
class Wishes:
    """What a model is wanted for.

    Attributes:
        task: one of `TASKS`.
        response: one of `RESPONSES`: somebody reads along, or nobody waits.
        domain: one of `DOMAINS`: what everybody knows, or what stands in documents of one's own.
        compute: a key of `TYPICAL`; None: the machine that was measured.

    Raises:
        LocalmixError: one of them is none of these.
    """

    task: str = "conversation"
    response: str = "real-time"
    domain: str = "general"
    compute: str | None = None

    def __post_init__(self) -> None:
        for name, choices in CHOICES.items():
            value = getattr(self, name)
            if value not in choices and not (name == "compute" and value is None):
                raise LocalmixError(
                    f"{name} cannot be {value!r}", f"give {name} one of {', '.join(choices)}"
                )


CHOICES = {"task": TASKS, "response": RESPONSES, "domain": DOMAINS, "compute": tuple(TYPICAL)}
"""What may be said of each wish."""


def decode_tok_s(bytes_per_token: float, read_gb_s: float) -> float:
    """Predict tokens a second of an answer, from what each one reads of memory."""
    return USUAL.decode * read_gb_s * 1e9 / bytes_per_token


def prefill_tok_s(operations_per_token: float, int8_gop_s: float) -> float:
    """Predict tokens a second of a prompt, from the operations that each one takes."""
    return USUAL.prefill * int8_gop_s * 1e9 / operations_per_token


@dataclass(frozen=True)
class Candidate:
    """A quantization on a machine: how it fits, how fast it will be.

    Attributes:
        quantization: None for the model inside the package.
        size_bytes: of its files.
        beside_bytes: keys and values when full, and the program.
        free_bytes: memory that is there now; None when the system does not tell.
        verdict: see `engine/fit.py`.
        decode, prefill: tokens a second of an answer, of a prompt; None: it does not run, or what
            it takes is not known.
    """

    quantization: Quantization | None
    size_bytes: int
    beside_bytes: int
    free_bytes: int | None
    verdict: Verdict
    decode: float | None
    prefill: float | None

    @classmethod
    def of(
        cls,
        entry: CatalogEntry,
        quantization: Quantization | None,
        size_bytes: int,
        speed: Speed,
        memory: Memory,
        wishes: Wishes,
    ) -> Candidate:
        """Predict what becomes of a quantization on a machine."""
        n_ctx = DOCUMENT_TOKENS if wishes.domain == "specific" else DEFAULT_CONTEXT
        return cls.with_context(entry, quantization, size_bytes, speed, memory, n_ctx)

    @classmethod
    def with_context(
        cls,
        entry: CatalogEntry,
        quantization: Quantization | None,
        size_bytes: int,
        speed: Speed,
        memory: Memory,
        n_ctx: int,
        bytes_of_f16: float = 1.0,
    ) -> Candidate:
        """The same with so many tokens of context.

        Args:
            entry, quantization, size_bytes: the model.
            speed, memory: the machine.
            n_ctx: tokens.
            bytes_of_f16: size of the cache's type, in that of float16.
        """
        share = active_share(entry)
        per_position = entry.kv_bytes or USUAL_CACHE_BYTES // DEFAULT_CONTEXT
        per_position = round(per_position * bytes_of_f16)
        n_positions = min(n_ctx, attended(entry) or n_ctx)
        experts = round(size_bytes * (1 - share))
        needs = engine_memory.Needs(
            # Less room than for what one token reads makes each one wait for all its experts.
            dense=size_bytes - experts,
            experts=experts,
            one_expert=min(1, experts),
            cache=n_positions * per_position,
        )
        verdict = verdict_of(needs, memory.free_bytes, memory.total_bytes)
        read = size_bytes * share + min(DEPTH, n_positions) * per_position
        # What the caches hold is not bound by memory: nobody knows how fast it will be.
        is_known = size_bytes > CACHE_BYTES_GUESS
        decode = _paced(read, needs, verdict, speed, memory) if is_known else None
        operations = 2.0 * (entry.active or entry.parameters)
        knows = operations and speed.int8_gop_s and decode is not None
        prefill = prefill_tok_s(operations, speed.int8_gop_s or 0.0) if knows else None
        beside = needs.cache + PROGRAM_BYTES
        return cls(quantization, size_bytes, beside, memory.free_bytes, verdict, decode, prefill)

    @property
    def name(self) -> str:
        """The quantization's name; empty for the model inside the package."""
        return self.quantization.name if self.quantization else ""


def active_share(entry: CatalogEntry) -> float:
    """Give the share of the weights that a token reads: what is not read can stay on the disk."""
    return entry.active / entry.parameters if entry.active else 1.0


def attended(entry: CatalogEntry) -> int:
    """Give the positions that a model attends to at once; 0 when the catalog does not say."""
    return min(entry.context, entry.window or entry.context)


def _paced(
    read: float, needs: engine_memory.Needs, verdict: Verdict, speed: Speed, memory: Memory
) -> float | None:
    """Predict decode, with what comes from the disk where memory does not hold the model."""
    in_memory = decode_tok_s(read, speed.read_gb_s)
    if verdict == "never":
        return None
    if verdict not in ("streams", "pages"):
        return in_memory
    missing = 1.0
    if verdict == "streams":
        room = engine_memory.usable(memory.free_bytes or 0) - needs.cache - PROGRAM_BYTES
        missing = 1 - min(1.0, max(0.0, room / needs.weights))
    return 1 / (1 / in_memory + missing * read / (DISK_GB_S * 1e9))


def chosen(candidates: Sequence[Candidate], default_name: str, wishes: Wishes) -> Candidate:
    """Choose a quantization: how it fits goes first, then the speed that is wanted, then quality.

    Below four bits answers suffer more than a wait does, so they are for want of memory only.

    Args:
        candidates: the quantizations of one model, one at least.
        default_name: the quantization that is taken when nothing speaks against it.
        wishes: whether somebody waits for the answer.
    """
    best = min(ORDER[each.verdict] for each in candidates)
    alike = sorted(
        (each for each in candidates if ORDER[each.verdict] == best),
        key=lambda each: each.size_bytes,
    )
    default = next((each for each in alike if each.name == default_name), None)
    if alike[0].verdict != "fits":
        return default or alike[0]
    if wishes.response == "batch":
        return alike[-1]
    good = [each for each in alike if bits(each.name) >= 4]
    quick = [each for each in good if (each.decode or 0.0) >= MARGIN * READING_TOK_S]
    if quick:
        return quick[-1]
    return (default or good[0]) if good else alike[-1]


def bits(quantization: str) -> int:
    """Give the bits that a quantization is named after: 4 of `Q4_K_M`; 0 when none are."""
    found = re.search(r"\d+", quantization)
    return int(found[0]) if found else 0


def loss(quantization: str) -> float:
    """Give how much higher perplexity is for it, as a share; see `LOSSES`."""
    return LOSSES.get(quantization, _LOSS_OF_BITS.get(bits(quantization), 0.0))
