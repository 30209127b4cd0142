"""Rotary frequencies: how far a pair of elements turns per position.

Plain, for pair i of a head with R rotated elements (arXiv:2104.09864, section 3.2.2):

    θ_i = base^(−2i / R)

linear     θ_i / factor                                   (arXiv:2306.15595)
llama3     θ_i / rope_freqs[i], divisors from the file    (Llama 3.1; llama.cpp `rope_freqs.weight`)
yarn       fast pairs keep θ_i, slow ones get θ_i / factor, a ramp in between
                                                          (arXiv:2309.00071, 3.2; ggml `rope_yarn`)
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from localmix.gguf import Tensor
from localmix.model.config import ModelConfig, RopeScaling
from localmix.model.ops import Rotation


def rotation(config: ModelConfig, rope_freqs: Tensor | None) -> Rotation:
    """Compute how the heads of a model turn.

    Args:
        config: its base, rotated elements and scaling.
        rope_freqs: divisors (rope_dim / 2,) from the file, or None.
    """
    pairs = np.arange(0, config.rope_dim, 2, dtype=np.float64)  # (rope_dim / 2,)
    frequencies = config.rope_base ** (-pairs / config.rope_dim)
    if rope_freqs is not None:
        frequencies = frequencies / rope_freqs.to_float32().astype(np.float64)
    scaling = config.rope_scaling
    if scaling.kind == "linear":
        frequencies = frequencies / scaling.factor
    elif scaling.kind == "yarn":
        keep = scaling.extrapolation * _yarn_ramp(scaling, config.rope_base, config.rope_dim)
        frequencies = frequencies * keep + frequencies / scaling.factor * (1 - keep)
    return Rotation(config.head_dim, frequencies, scaling.magnitude)


def _yarn_ramp(scaling: RopeScaling, base: float, rope_dim: int) -> NDArray[np.float64]:
    """Return how much of its own frequency each pair keeps, (rope_dim / 2,): 1 fast, 0 slow.

    A pair is fast if it turns more than `beta_fast` times within the original context (ggml
    `rope_yarn_corr_dims`).
    """

    def pair_that_turns(n_times: float) -> float:
        length = scaling.original_context_length / (n_times * 2 * math.pi)
        return rope_dim * math.log(length) / (2 * math.log(base))

    low = max(0, math.floor(pair_that_turns(scaling.beta_fast)))
    high = min(rope_dim - 1, math.ceil(pair_that_turns(scaling.beta_slow)))
    pairs = np.arange(rope_dim // 2, dtype=np.float64)
    return 1 - np.clip((pairs - low) / max(0.001, high - low), 0, 1)
