"""Logits to the next token: pure functions, the random number (`coin`) is an argument.

Order, as in llama.cpp's default chain (`common_sampler_init`): logit bias and penalties → top-k →
top-p → min-p → temperature. top-p and min-p see the probabilities before temperature.

Source: llama_sampler_*_apply in src/llama-sampling.cpp; top-p is Holtzman et al. 2020, min-p Nguyen
et al. 2024, the repeat penalty Keskar et al. 2019 §4.1.
"""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from localmix.checks import real, whole
from localmix.errors import LocalmixError

Logits = NDArray[np.floating]

_N_BLOCKS = 256
"""Blocks that a vocabulary is cut into for its highest logits."""

_PENALTIES = ("presence_penalty", "frequency_penalty")


@dataclass(frozen=True)
class SamplingOptions:
    """How to choose a token; the defaults are Ollama's.

    Attributes:
        temperature: 0 is greedy; below 1 sharpens, above 1 flattens.
        top_k: keep the k best; 0 keeps all.
        top_p: keep the best until their probabilities add up to this; 1 keeps all.
        min_p: keep what is at least this fraction as probable as the best; 0 keeps all.
        repeat_penalty: divides positive logits of recent tokens, multiplies negative ones; 1 is
            none.
        presence_penalty: subtracted once from the logit of each recent token.
        frequency_penalty: subtracted for each time that a token occurs.
        repeat_last_n: how many tokens are recent; 0 is none, -1 is all.
        logit_bias: token → added to its logit; -inf forbids the token.

    Raises:
        LocalmixError: a value that makes no sense.
    """

    temperature: float = 0.8
    top_k: int = 40
    top_p: float = 0.9
    min_p: float = 0.0
    repeat_penalty: float = 1.0
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    repeat_last_n: int = 64
    logit_bias: Mapping[int, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        inf = math.inf
        for name in ("temperature", "top_p", "min_p", "repeat_penalty", *_PENALTIES):
            real(name.replace("_", "-"), getattr(self, name))
        whole("top-k", self.top_k, 0)
        whole("repeat-last-n", self.repeat_last_n, -1)
        _check("temperature", self.temperature, 0 <= self.temperature < inf, "0 or more")
        _check("top-p", self.top_p, 0 <= self.top_p <= 1, "from 0 to 1")
        _check("min-p", self.min_p, 0 <= self.min_p <= 1, "from 0 to 1")
        _check("repeat-penalty", self.repeat_penalty, 0 < self.repeat_penalty < inf, "above 0")
        for name in _PENALTIES:
            value = getattr(self, name)
            _check(name.replace("_", "-"), value, math.isfinite(value), "a finite number")
        for token, bias in self.logit_bias.items():
            whole("an id in logit-bias", token, 0)
            _check(
                "logit-bias",
                bias,
                real("logit-bias", bias) < inf,
                "finite, or -inf to forbid a token",
            )


def sample(logits: Logits, options: SamplingOptions, history: Sequence[int], coin: float) -> int:
    """Choose the next token.

    Args:
        logits: (V,) the model's output; -inf is a token that cannot be chosen.
        options: the filters.
        history: ids so far, oldest first.
        coin: in [0, 1). The same coin and logits choose the same token.

    Returns:
        An id in [0, V). At temperature 0 the best one, the lowest id among equals, whatever the
        coin.

    Raises:
        LocalmixError: the logits are not numbers, or no token can be chosen.
    """
    assert 0 <= coin < 1, "a coin lies in [0, 1)"
    _check_logits(logits)
    logits = bias_and_penalize(logits, options, history)
    _check_logits(logits)
    if options.temperature == 0:
        return int(np.argmax(logits))
    ids = top_k(logits, options.top_k)
    kept = logits[ids].astype(np.float64)  # (n,) best first
    kept = kept[: top_p(kept, options.top_p)]
    kept = kept[: min_p(kept, options.min_p)]
    return int(ids[draw(softmax(kept, options.temperature), coin)])


def log_probability(logits: Logits, token: int) -> float:
    """Return the natural logarithm of a token's probability under the plain softmax of the logits.

    Args:
        logits: (V,) the model's output, before any filter.
        token: an id in [0, V).
    """
    highest = logits.max()
    # In float32 this is ten times as fast, every token pays for it, and nobody sees the 1e-6.
    total = float(np.exp(logits - highest).sum(dtype=np.float64))
    return float(logits[token]) - float(highest) - math.log(total)


def bias_and_penalize(logits: Logits, options: SamplingOptions, history: Sequence[int]) -> Logits:
    """Return the logits with biases added and recent tokens made less likely; the input is kept."""
    changed = logits.copy()
    for token, bias in options.logit_bias.items():
        if token >= len(logits):
            raise LocalmixError(
                f"logit-bias names token {token}, but the vocabulary has {len(logits)} tokens",
                f"give ids from 0 to {len(logits) - 1}",
            )
        changed[token] += bias
    penalties = (options.repeat_penalty, options.presence_penalty, options.frequency_penalty)
    if penalties == (1, 0, 0) or options.repeat_last_n == 0:
        return changed
    recent = history if options.repeat_last_n < 0 else history[-options.repeat_last_n :]
    for token, count in Counter(recent).items():
        # Dividing a negative logit would make the token more likely.
        factor = options.repeat_penalty
        changed[token] *= factor if changed[token] <= 0 else 1 / factor
        changed[token] -= count * options.frequency_penalty + options.presence_penalty
    return changed


def top_k(logits: Logits, k: int) -> NDArray[np.intp]:
    """Return the ids of the k highest logits (all if k is 0), best first, of equals the lowest id.

    Tokens with a logit of -inf are left out.
    """
    if 0 < k < len(logits):
        lowest = kth_highest(logits, k)  # equals of it are settled below
        ids = np.flatnonzero((logits >= lowest) & (logits > -np.inf))
    else:
        ids = np.flatnonzero(logits > -np.inf)
        k = len(ids)
    order = np.argsort(-logits[ids], kind="stable")
    return ids[order][:k]


def kth_highest(logits: Logits, k: int) -> np.float32:
    """Return the k-th highest value, 1 being the highest.

    The highest of each of some blocks are k values or more, so the k-th of these bounds what is
    looked for from below, and few values are left to be partitioned.
    """
    if k <= _N_BLOCKS <= len(logits) // 8:
        in_blocks = logits[: len(logits) // _N_BLOCKS * _N_BLOCKS].reshape(_N_BLOCKS, -1)
        bound = np.partition(in_blocks.max(axis=1), _N_BLOCKS - k)[_N_BLOCKS - k]
        logits = logits[logits >= bound]
    found: np.float32 = np.partition(logits, len(logits) - k)[len(logits) - k]
    return found


def top_p(logits: NDArray[np.float64], p: float) -> int:
    """Return how many of the best tokens it takes for their probabilities to reach p; at least 1.

    Args:
        logits: (n,) best first.
        p: in [0, 1]; 1 keeps all.
    """
    if p >= 1:
        return len(logits)
    n_below = int(np.searchsorted(np.cumsum(softmax(logits)), p, side="left"))
    return min(n_below + 1, len(logits))


def min_p(logits: NDArray[np.float64], p: float) -> int:
    """Return how many tokens are at least p times as probable as the best; at least 1.

    Args:
        logits: (n,) best first.
        p: in [0, 1]; 0 keeps all.
    """
    if p == 0:
        return len(logits)
    return int(np.count_nonzero(logits >= logits[0] + math.log(p)))


def softmax(logits: NDArray[np.float64], temperature: float = 1.0) -> NDArray[np.float64]:
    """Return (n,) probabilities."""
    with np.errstate(over="ignore"):  # a tiny temperature: the rest becomes -inf, hence 0
        exponentials = np.exp((logits - logits.max()) / temperature)
    probabilities: NDArray[np.float64] = exponentials / exponentials.sum()
    return probabilities


def draw(probabilities: NDArray[np.float64], coin: float) -> int:
    """Return the index where the summed probabilities pass the coin: the inverse distribution."""
    sums = np.cumsum(probabilities)
    return min(int(np.searchsorted(sums, coin * sums[-1], side="right")), len(sums) - 1)


def _check_logits(logits: Logits) -> None:
    highest = float(logits.max())  # NaN if any logit is
    if not math.isfinite(highest):
        raise LocalmixError(
            "the model's output has no usable number"
            if math.isnan(highest)
            else "no token can be chosen: every logit is infinite",
            "check the file with: localmix show NAME, or forbid fewer tokens with logit_bias",
        )


def _check(name: str, value: object, is_sound: bool, should_be: str) -> None:
    if not is_sound:
        raise LocalmixError(f"{name} cannot be {value}", f"give {name} a value {should_be}")
