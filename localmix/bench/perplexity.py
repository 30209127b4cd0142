"""Perplexity of a text, and how far a model is from another one on it, as llama.cpp measures them.

The ids of a text are cut into chunks of `n_ctx`; what is left at the end is not read. Each chunk is
a fresh sequence whose first id gives way to BOS, where the model wants one. Scored is the second
half, so that every id has at least half a context in front of it:

    n_ctx 8    [BOS  1   2   3   4   5   6   7 ]
    reads        ^   ^   ^   ^   ^   ^   ^
    predicts                         5   6   7      n_ctx − n_ctx/2 − 1 of each chunk

The perplexity is e to the mean of −ln p. An error is the standard error of a mean, as if the
predictions were independent, carried through e^x and √x to first order.

Source: llama.cpp, tools/perplexity/perplexity.cpp, `perplexity` and `kl_divergence`. Both models
run side by side here, so nothing is rounded on the way: llama.cpp keeps the base's probabilities in
16 bits, and counts none below e^−16.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from localmix.errors import LocalmixError

if TYPE_CHECKING:
    from localmix.engine import Model

Ids = NDArray[np.int64]
Floats = NDArray[np.float64]
Logits = NDArray[np.float32]

MIN_CONTEXT = 3
"""Ids of the shortest chunk that has one to score."""

PERCENTILES = (99.9, 99.0, 95.0, 90.0, 10.0, 5.0, 1.0)
"""Of the divergences at single ids; those that llama.cpp prints."""

_ROWS = 32
"""Rows whose probabilities are computed at once: in float64 they take 8 MB of a 32k vocabulary."""


@dataclass(frozen=True)
class Estimate:
    """A mean and its standard error; NaN where too few values were seen."""

    value: float
    error: float

    def exp(self) -> Estimate:
        """E to the power of it."""
        with np.errstate(over="ignore"):
            value = float(np.exp(self.value))
        return Estimate(value, value * self.error)

    def sqrt(self) -> Estimate:
        """The root of it."""
        value = math.sqrt(self.value)
        return Estimate(value, 0.5 / value * self.error if value else 0.0)


class Moments:
    """Mean and variance of values that come piece by piece.

    Sums of squares would lose digits when the values are large and close together; what is kept is
    the sum of squared distances from the mean. Source: Chan, Golub, LeVeque, "Updating formulae and
    a pairwise algorithm for computing sample variances" (1979), eq. 2.1.
    """

    def __init__(self) -> None:
        self.n = 0
        self._mean = self._squares = 0.0

    def add(self, values: Floats) -> None:
        """Take in some values, at least one: (n,)."""
        n, mean = len(values), float(values.mean())
        apart = mean - self._mean
        self._squares += float(np.square(values - mean).sum())
        self._squares += apart * apart * self.n * n / (self.n + n)
        self.n += n
        self._mean += apart * n / self.n

    @property
    def estimate(self) -> Estimate:
        """√((E[x²] − E[x]²) / (n − 1)) is the error of the mean."""
        if self.n < 2:
            return Estimate(self._mean if self.n else math.nan, math.nan)
        return Estimate(self._mean, math.sqrt(self._squares / self.n / (self.n - 1)))


@dataclass(frozen=True)
class Divergence:
    """How far a model is from a base; p are the model's probabilities, q the base's.

    Attributes:
        base: perplexity of the base.
        ratio: the model's perplexity over it; its error knows that both read the same text.
        kl: mean of KL(base ‖ model) = Σ q ln(q/p), in nats.
        same_top: share of places where both find the same id likeliest.
        rms_dp: root of the mean of (p − q)² of the id that comes.
        values: (n,) KL(base ‖ model) at each place that was scored.
    """

    base: Estimate
    ratio: Estimate
    kl: Estimate
    same_top: Estimate
    rms_dp: Estimate
    values: Floats

    def percentile(self, percent: float) -> float:
        """KL that so many percent of the places do not exceed, interpolated between two."""
        return float(np.percentile(self.values, percent))

    @property
    def median(self) -> float:
        """KL at the place in the middle."""
        return self.percentile(50.0)

    @property
    def max(self) -> float:
        """The largest KL."""
        return float(self.values.max())


@dataclass(frozen=True)
class Measured:
    """What is known after some chunks.

    Attributes:
        n_scored: ids that were predicted.
        divergence: None if there is no base.
    """

    n_chunks: int
    n_scored: int
    perplexity: Estimate
    divergence: Divergence | None = None


def chunks_of(model: Model, text: str, n_ctx: int, n_most: int | None = None) -> Ids:
    """Cut a text into chunks of ids.

    Args:
        model: whose tokenizer, and whose BOS.
        text: any; control tokens in it stay text.
        n_ctx: ids of a chunk, at least MIN_CONTEXT.
        n_most: chunks that are wanted; None: all.

    Returns:
        (N, n_ctx) ids, at least one chunk.

    Raises:
        LocalmixError: the text has fewer ids than two chunks, which llama.cpp refuses too.
    """
    ids = np.asarray(model.tokenize(text), np.int64)
    if len(ids) < 2 * n_ctx:
        shorter = 2 ** int(math.log2(len(ids) / 2)) if len(ids) > 1 else 0
        raise LocalmixError(
            f"the text has {len(ids)} tokens, and a context of {n_ctx} needs at least {2 * n_ctx}",
            f"--ctx {shorter}, or a longer text" if shorter > MIN_CONTEXT else "a longer text",
        )
    n_chunks = min(len(ids) // n_ctx, n_most or len(ids))
    chunks = ids[: n_chunks * n_ctx].reshape(n_chunks, n_ctx)
    if model.tokenizer.add_bos and model.tokenizer.bos_id is not None:
        chunks[:, 0] = model.tokenizer.bos_id
    return chunks


def check_vocabularies(model: Model, base: Model) -> None:
    """Raise a LocalmixError if an id does not mean the same to both models."""
    if (
        model.config.vocab_size != base.config.vocab_size
        or model.tokenizer.vocabulary.pieces != base.tokenizer.vocabulary.pieces
    ):
        raise LocalmixError(
            f"{model.path.name} and {base.path.name} have different vocabularies,"
            " so their probabilities cannot be compared",
            "compare files of one model, such as its Q4_K_M with its Q8_0",
        )


def measure(model: Model, chunks: Ids, base: Model | None = None) -> Iterator[Measured]:
    """Score chunks, one after the other; what is known is there after each.

    Args:
        model: who is measured; its context holds a chunk.
        chunks: (N, n_ctx) ids, as of `chunks_of`.
        base: who it is compared with; the same ids mean the same to it.

    Raises:
        LocalmixError: the logits are not finite, so that there are no probabilities.
    """
    n_chunks, n_ctx = chunks.shape
    start = n_ctx // 2
    sums = _Sums() if base is None else _Sums(np.empty(n_chunks * (n_ctx - start - 1)))
    for i, chunk in enumerate(chunks):
        read = chunk[:-1].tolist()  # nobody asks what comes after the last id
        place = start + 1
        streams = [one.logit_pieces(read, start=start) for one in (model, base) if one is not None]
        for logits in zip(*streams, strict=True):  # (R, V) of each model
            for first in range(0, len(logits[0]), _ROWS):
                rows = [log_softmax(matrix[first : first + _ROWS]) for matrix in logits]
                sums.add(chunk[place : place + len(rows[0])], *rows)
                place += len(rows[0])
        yield sums.measured(i + 1)


def log_softmax(logits: Logits) -> Floats:
    """Logarithms of the probabilities of each row: (R, V) float32 -> float64.

    Raises:
        LocalmixError: a logit is infinite.
    """
    if not np.isfinite(logits).all():
        raise LocalmixError(
            "the model computes infinities: its weights are damaged",
            "download the file again, or try another quantization",
        )
    logs = logits.astype(np.float64)
    logs -= logs.max(axis=1, keepdims=True)
    logs -= np.log(np.exp(logs).sum(axis=1, keepdims=True))
    return logs


class _Sums:
    """What was seen so far.

    Args:
        values: room for the divergences at all places; None: there is no base.
    """

    def __init__(self, values: Floats | None = None) -> None:
        self._values = values
        self._nll, self._base_nll, self._log_ratio = Moments(), Moments(), Moments()
        self._kl, self._same_top, self._squared_dp = Moments(), Moments(), Moments()

    def add(self, ids: Ids, logs: Floats, base_logs: Floats | None = None) -> None:
        """Take in the ids that came, (R,), and the probabilities in front of them, (R, V)."""
        places = np.arange(len(ids))
        log_p = logs[places, ids]
        n_before = self._nll.n
        self._nll.add(-log_p)
        if base_logs is None or self._values is None:
            return
        log_q = base_logs[places, ids]
        self._base_nll.add(-log_q)
        self._log_ratio.add(log_q - log_p)
        # Never negative, but for the last bit of a float64.
        kl = np.maximum((np.exp(base_logs) * (base_logs - logs)).sum(axis=1), 0.0)
        self._kl.add(kl)
        self._values[n_before : n_before + len(kl)] = kl
        same = logs.argmax(axis=1) == base_logs.argmax(axis=1)
        self._same_top.add(same.astype(np.float64))
        self._squared_dp.add(np.square(np.exp(log_p) - np.exp(log_q)))

    def measured(self, n_chunks: int) -> Measured:
        """What is known now."""
        n = self._nll.n
        divergence = None
        if self._values is not None:
            divergence = Divergence(
                base=self._base_nll.estimate.exp(),
                ratio=self._log_ratio.estimate.exp(),
                kl=self._kl.estimate,
                same_top=self._same_top.estimate,
                rms_dp=self._squared_dp.estimate.sqrt(),
                values=self._values[:n],
            )
        return Measured(n_chunks, n, self._nll.estimate.exp(), divergence)
