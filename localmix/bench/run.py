"""Measures prefill and decode apart, as llama-bench does: random ids, a warm-up, repetitions.

Prefill: a prompt of `n_prompt` ids until the first new token. Decode: `n_generated` passes of one
token each, after `depth` positions are in the cache; the pass that reads the prompt is not among
them. The end token is forbidden, so that every repetition does the same work. Time is wall time
around the engine's own interface, sampling included.
"""

from __future__ import annotations

import random
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from localmix.bench.conditions import UNKNOWN, Around, Moment, around, look
from localmix.system import process_memory

if TYPE_CHECKING:
    from localmix.engine import Model
    from localmix.engine.stats import Streamed

NEVER = -1e9
"""Added to the logit of an end token: no other token has one so low."""

Clock = Callable[[], float]
Look = Callable[[], Moment]
OnStep = Callable[[str], None]


@dataclass(frozen=True)
class BenchOptions:
    """How much is measured; a count of 0 leaves that part out.

    Attributes:
        depth: positions in the cache before the first decoded token.
        seed: of the token ids.
        warms_up: each part runs once before it is measured.
    """

    n_prompt: int = 512
    n_generated: int = 128
    depth: int = 0
    n_repetitions: int = 5
    seed: int = 0
    warms_up: bool = True

    @property
    def n_ctx(self) -> int:
        """Positions that the longest part needs."""
        return max(self.n_prompt + 1, max(self.depth, 1) + self.n_generated + 1)


@dataclass(frozen=True)
class Series:
    """Repetitions of one measurement: so many tokens, in so many seconds each time."""

    n_tokens: int
    samples_s: list[float] = field(default_factory=list)

    @property
    def tok_s(self) -> list[float]:
        """Tokens per second of each repetition."""
        return [self.n_tokens / max(seconds, 1e-9) for seconds in self.samples_s]

    @property
    def median(self) -> float:
        """Median of the tokens per second; 0 when nothing was measured."""
        return statistics.median(self.tok_s) if self.samples_s else 0.0


@dataclass(frozen=True)
class Measurement:
    """What was measured of a model.

    Attributes:
        ttft_s: median time to the first token of the prompt; None when prefill was left out.
        peak_rss_bytes: largest resident memory of this process up to the end.
        streamed: experts that the last repetition read from the disk; None if all lie in memory.
        warmup_s: seconds of the warm-ups; nothing is compiled in them.
        peak_private_bytes, peak_file_bytes: memory that belongs to this process alone, and to
            mapped files, the largest that was seen at the end of a repetition; None: not told.
        prefill_around, decode_around: what surrounded the repetitions.
    """

    prefill: Series
    decode: Series
    ttft_s: float | None
    peak_rss_bytes: int
    streamed: Streamed | None = None
    warmup_s: float = 0.0
    peak_private_bytes: int | None = None
    peak_file_bytes: int | None = None
    prefill_around: Around = UNKNOWN
    decode_around: Around = UNKNOWN


def measure(
    model: Model,
    options: BenchOptions,
    on_step: OnStep = lambda text: None,
    clock: Clock = time.perf_counter,
    look: Look = look,
) -> Measurement:
    """Measure a model.

    Args:
        model: loaded, with a context of `options.n_ctx` at least.
        options: how much is measured.
        on_step: hears what is being done.
        clock: seconds.
        look: looks at the machine, before and after the repetitions of a part.
    """
    probe = Probe(model, options, clock)
    prefill, decode = Series(options.n_prompt), Series(options.n_generated)
    prefill_around = decode_around = UNKNOWN
    warmup_s = 0.0
    if options.n_prompt:
        if options.warms_up:
            on_step("warm-up of prefill")
            warmup_s += probe.prefill().total_s
        start = look()
        for i in range(options.n_repetitions):
            on_step(f"prefill {i + 1} of {options.n_repetitions}")
            prefill.samples_s.append(probe.prefill().first_s)
        prefill_around = around(start, look())
    if options.n_generated:
        if options.warms_up:
            on_step("warm-up of decode")
            warmup_s += probe.decode(1).total_s
        start = look()
        for i in range(options.n_repetitions):
            on_step(f"decode {i + 1} of {options.n_repetitions}")
            decode.samples_s.append(probe.decode(options.n_generated).rest_s)
        decode_around = around(start, look())
    return Measurement(
        prefill,
        decode,
        ttft_s=statistics.median(prefill.samples_s) if prefill.samples_s else None,
        peak_rss_bytes=probe.peak_rss_bytes,
        streamed=probe.streamed,
        warmup_s=warmup_s,
        peak_private_bytes=probe.peak_private_bytes,
        peak_file_bytes=probe.peak_file_bytes,
        prefill_around=prefill_around,
        decode_around=decode_around,
    )


@dataclass(frozen=True)
class Taken:
    """Seconds of one repetition: to the first new token, and from there to the last."""

    first_s: float
    rest_s: float

    @property
    def total_s(self) -> float:
        """Both."""
        return self.first_s + self.rest_s


class Probe:
    """Runs single repetitions on a model."""

    def __init__(self, model: Model, options: BenchOptions, clock: Clock) -> None:
        self._model = model
        self._options = options
        self._clock = clock
        self._draw = random.Random(options.seed)
        self._bias = dict.fromkeys(model.tokenizer.end_ids, NEVER)
        self.peak_rss_bytes = 0
        self.peak_private_bytes: int | None = None
        self.peak_file_bytes: int | None = None
        self.streamed: Streamed | None = None

    def prefill(self) -> Taken:
        """Read a prompt until its first new token."""
        return self._timed(self._random_ids(self._options.n_prompt), n_tokens=1)

    def decode(self, n_tokens: int) -> Taken:
        """Make so many passes of one token, after the prompt's own pass."""
        return self._timed(self._random_ids(max(self._options.depth, 1)), n_tokens + 1)

    def _random_ids(self, n_ids: int) -> list[int]:
        n_vocab = self._model.config.vocab_size
        return [self._draw.randrange(n_vocab) for _ in range(n_ids)]

    def _timed(self, ids: list[int], n_tokens: int) -> Taken:
        """Generate exactly n_tokens."""
        start = self._clock()
        generation = self._model.generate(
            ids, max_tokens=n_tokens, temperature=0.0, logit_bias=self._bias
        )
        next(generation)
        first = self._clock()
        n_more = sum(1 for _ in generation)
        last = self._clock()
        assert n_more == n_tokens - 1, "an end token came although it was forbidden"
        self._note_memory(generation.stats.peak_rss_bytes)
        self.streamed = generation.stats.streamed
        return Taken(first - start, last - first)

    def _note_memory(self, peak_rss_bytes: int) -> None:
        seen = process_memory()
        # What the system keeps as the peak is 0 where it keeps none (Windows).
        self.peak_rss_bytes = max(self.peak_rss_bytes, peak_rss_bytes or seen.resident)
        if seen.private is not None and seen.of_files is not None:
            self.peak_private_bytes = max(self.peak_private_bytes or 0, seen.private)
            self.peak_file_bytes = max(self.peak_file_bytes or 0, seen.of_files)
