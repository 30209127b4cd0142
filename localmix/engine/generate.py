"""Generation: ids in, pieces out.

Prefill feeds the prompt in chunks, decode feeds one sampled token after the other.
"""

from __future__ import annotations

import random
import time
from collections.abc import Generator, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from localmix.checks import whole
from localmix.engine.sequence import OnPrefill, TokenSequence
from localmix.engine.stats import Stats, Streamed, peak_rss_bytes
from localmix.errors import ContextFull, LocalmixError
from localmix.settings import OVERFLOWS
from localmix.text.sampling import SamplingOptions, log_probability, sample
from localmix.text.stream import StopStrings, TextStream
from localmix.text.tokenizer import Tokenizer

if TYPE_CHECKING:
    from localmix.execute.expert_cache import StreamFigures

FinishReason = Literal["stop", "length"]
Overflow = Literal["error", "shift", "truncate"]


@dataclass(frozen=True)
class Piece:
    """One new token.

    Attributes:
        text: what it adds to the answer; empty while a character or a stop string is incomplete.
        token: its id.
        logprob: its natural log-probability under the plain softmax of the model's logits.
    """

    text: str
    token: int
    logprob: float


@dataclass(frozen=True)
class Completion:
    """A whole answer."""

    text: str
    tokens: list[int]
    finish_reason: FinishReason
    stats: Stats


@dataclass(frozen=True)
class Request:
    """What is asked of a model.

    Attributes:
        prompt: ids, taken as they are.
        max_tokens: new tokens at most; None: until the context is full.
        stop: texts that end the answer and are not part of it.
        seed: of the sampling coins; None: a fresh one.
        on_overflow: when the context is full: "error" refuses a long prompt and ends a long
            answer, "truncate" drops the start of a long prompt, "shift" also drops the older half
            when the answer fills the context.
        sampling: how tokens are drawn.
        is_answer: the text begins anew, as an answer does, instead of continuing the prompt's: the
            space that SentencePiece implies before a text is dropped.
    """

    prompt: list[int]
    max_tokens: int | None = None
    stop: tuple[str, ...] = ()
    seed: int | None = None
    on_overflow: Overflow = "error"
    sampling: SamplingOptions = field(default_factory=SamplingOptions)
    is_answer: bool = False

    def __post_init__(self) -> None:
        if not self.prompt:
            raise LocalmixError("the prompt is empty", "give at least one token")
        if self.max_tokens is not None:
            whole("max_tokens", self.max_tokens, 1)
        if self.seed is not None:
            whole("seed", self.seed, 0)
        if self.on_overflow not in OVERFLOWS:
            raise LocalmixError(
                f"{self.on_overflow!r} is no way to handle a full context",
                f"use one of: {', '.join(OVERFLOWS)}",
            )


def stop_strings(stop: object) -> tuple[str, ...]:
    """Return stop strings as a tuple; one string alone counts as one."""
    strings = (stop,) if isinstance(stop, str) else stop
    if isinstance(strings, Sequence) and all(isinstance(text, str) for text in strings):
        return tuple(strings)
    raise LocalmixError(f"stop cannot be {stop!r}", 'give it a list of texts: stop=["\\n"]')


class Generation(Iterator[Piece]):
    """An answer while it is made: iterate over its pieces.

    Attributes:
        tokens: ids so far, without the end token.
        text: text so far.
        finish_reason: "stop" (end token or stop string) or "length"; None while it runs.
        stats: counts and times so far.
    """

    def __init__(
        self,
        request: Request,
        sequence: AbstractContextManager[TokenSequence],
        tokenizer: Tokenizer,
        *,
        load_s: float = 0.0,
        on_prefill: OnPrefill | None = None,
    ) -> None:
        self.tokens: list[int] = []
        self.text = ""
        self.finish_reason: FinishReason | None = None
        self.stats = Stats(load_s=load_s)
        self._request = request
        self._borrowed = sequence
        self._tokenizer = tokenizer
        self._on_prefill = on_prefill
        self._pieces = self._run()

    def __next__(self) -> Piece:
        return next(self._pieces)

    def close(self) -> None:
        """Stop early; text, tokens and stats stay as they are."""
        self._pieces.close()

    def complete(self) -> Completion:
        """Run to the end."""
        for _ in self:
            pass
        if self.finish_reason is None:
            raise LocalmixError("the answer was left before its end", "ask again")
        return Completion(self.text, self.tokens, self.finish_reason, self.stats)

    def _run(self) -> Generator[Piece, None, None]:
        with self._borrowed as self._sequence:
            yield from self._answer()

    def _answer(self) -> Generator[Piece, None, None]:
        request, tokenizer = self._request, self._tokenizer
        coin = random.Random(None if request.seed is None else int(request.seed)).random
        stream = TextStream(tokenizer, after=() if request.is_answer else request.prompt)
        stops = StopStrings(request.stop)
        clock = _Clock(self.stats)
        before = self._sequence.figures
        logits = self._prefill(clock)
        after_prompt = self._sequence.figures
        while True:
            history = self._sequence.ids
            token = sample(logits, request.sampling, history, coin())
            clock.token()
            ended = token in tokenizer.end_ids
            text = "" if ended else stops.push(stream.push(token))
            if not ended:
                self.tokens.append(token)
                self.stats.generated_tokens += 1
            self.finish_reason = self._finish_reason(ended or stops.found)
            if self.finish_reason:
                text += stops.push(stream.flush()) + stops.flush()
            self.text += text
            self.stats.peak_rss_bytes = peak_rss_bytes()
            n_decoded = clock.n_tokens - 1
            since, n = (after_prompt, n_decoded) if n_decoded else (before, clock.n_read)
            self.stats.streamed = _streamed(since, self._sequence.figures, n)
            yield Piece(text, token, log_probability(logits, token))
            if self.finish_reason:
                return
            logits = self._decode(token)

    def _prefill(self, clock: _Clock) -> NDArray[np.float32]:
        """Feed the prompt, cut to the context if that was asked for -> logits (V,)."""
        prompt, n_ctx = self._request.prompt, self._sequence.n_ctx
        if len(prompt) > n_ctx:
            if self._request.on_overflow == "error":
                raise ContextFull(
                    f"the prompt has {len(prompt)} tokens, the context holds {n_ctx}",
                    f"--ctx {_round_up(len(prompt))}, or --on-overflow truncate",
                )
            n_all = len(prompt)
            prompt = _cut(prompt, n_ctx - max(1, n_ctx // 4))
            self.stats.dropped_tokens = n_all - len(prompt)
        logits, n_kept = self._sequence.read(prompt, self._on_prefill)
        clock.prefilled(len(prompt), n_kept)
        return logits

    def _decode(self, token: int) -> NDArray[np.float32]:
        """Feed one token, dropping the older half first if the context is full -> logits (V,)."""
        if self._sequence.room:
            return self._sequence.feed([token])
        ids = [*self._sequence.ids, token]
        kept = _cut(ids, max(2, len(self._sequence.ids) // 2))
        self.stats.dropped_tokens += len(ids) - len(kept)
        self._sequence.restart()
        return self._sequence.feed(kept)

    def _finish_reason(self, stopped: bool) -> FinishReason | None:
        if stopped:
            return "stop"
        if len(self.tokens) == self._request.max_tokens:
            return "length"
        full = not self._sequence.room and self._request.on_overflow != "shift"
        return "length" if full else None


class _Clock:
    """Times prefill and decode into a `Stats`.

    Attributes:
        n_read: tokens of the prompt that were computed.
        n_tokens: new tokens.
    """

    def __init__(self, stats: Stats) -> None:
        self._stats = stats
        self._start = self._first = time.perf_counter()
        self.n_tokens = self.n_read = 0

    def prefilled(self, n_tokens: int, n_kept: int) -> None:
        """The prompt is in the cache; n_kept tokens of it were there before."""
        seconds = time.perf_counter() - self._start
        self._stats.prompt_tokens = n_tokens
        self._stats.kept_tokens = n_kept
        self.n_read = n_tokens - n_kept
        self._stats.prefill_tok_s = (n_tokens - n_kept) / max(seconds, 1e-9)

    def token(self) -> None:
        """A new token is there."""
        now = time.perf_counter()
        self.n_tokens += 1
        if self.n_tokens == 1:
            self._first = now
            self._stats.ttft_s = now - self._start
        else:
            self._stats.decode_tok_s = (self.n_tokens - 1) / max(now - self._first, 1e-9)


def _streamed(
    since: StreamFigures | None, now: StreamFigures | None, n_tokens: int
) -> Streamed | None:
    """What was read between two looks."""
    if since is None or now is None:
        return None
    return Streamed(
        now.hits - since.hits,
        now.misses - since.misses,
        now.bytes_read - since.bytes_read,
        now.read_s - since.read_s,
        n_tokens,
    )


def _cut(ids: list[int], n_kept: int) -> list[int]:
    """Keep the first id (usually BOS) and the last ones, n_kept in all."""
    return ids if len(ids) <= n_kept else [*ids[:1], *ids[len(ids) - n_kept + 1 :]]


def _round_up(n_tokens: int) -> int:
    """The next multiple of 1024: a context to suggest."""
    return -(-n_tokens // 1024) * 1024
