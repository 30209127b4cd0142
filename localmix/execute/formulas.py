"""The formulas of the forward pass on plain arrays, in float32 NumPy, as the papers write them.

Each is the twin that a fast kernel is measured against, so each is as plain as it can be. Shapes:
T tokens, D dim, H heads, K key/value heads, Hd head dim, S slots, E experts, A active experts.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from localmix.model.ops import Rotation

Floats = NDArray[np.float32]


def rms_norm(x: Floats, weight: Floats, eps: float) -> Floats:
    """Scale each row to a root mean square of 1, then by weight: (T, D) -> (T, D).

    Source: arXiv:1910.07467.
    """
    mean_square = np.mean(x * x, axis=-1, keepdims=True)  # (T, 1)
    normal: Floats = x / np.sqrt(mean_square + np.float32(eps))  # (T, D)
    return normal * weight


def rotate_pairs(x: Floats, positions: NDArray[np.int64], rotation: Rotation) -> Floats:
    """Turn the pairs (2i, 2i+1) of every head by position · frequencies[i]: (T, H·Hd) -> same.

    As complex numbers: (a + ib) · e^(i·angle), arXiv:2104.09864 section 3.2.2. Angles are made in
    float64, since a float32 angle at position 30,000 is off by 0.002.
    """
    angles = positions[:, None] * rotation.frequencies[None, :]  # (T, R/2)
    cos = (np.cos(angles) * rotation.magnitude).astype(np.float32)[:, None, :]  # (T, 1, R/2)
    sin = (np.sin(angles) * rotation.magnitude).astype(np.float32)[:, None, :]
    heads = x.reshape(len(x), -1, rotation.head_dim)  # (T, H, Hd)
    n_rotated = 2 * len(rotation.frequencies)
    even, odd = heads[..., 0:n_rotated:2], heads[..., 1:n_rotated:2]  # (T, H, R/2) each
    out = heads.copy()
    out[..., 0:n_rotated:2] = even * cos - odd * sin
    out[..., 1:n_rotated:2] = even * sin + odd * cos
    return out.reshape(x.shape)


def softmax(x: Floats) -> Floats:
    """Softmax along the last axis; −inf becomes 0."""
    e: Floats = np.exp(x - x.max(axis=-1, keepdims=True))
    total: Floats = e.sum(axis=-1, keepdims=True)
    return e / total


def silu(x: Floats) -> Floats:
    """x · sigmoid(x); the exponent is bounded so that it cannot overflow."""
    e: Floats = np.exp(-np.maximum(x, np.float32(-80)))
    return x / (1 + e)


def attend(query: Floats, keys: Floats, values: Floats, seen: NDArray[np.bool_]) -> Floats:
    """Softmax attention with query heads in groups (arXiv:1706.03762, arXiv:2305.13245).

    Args:
        query: (T, H, Hd).
        keys, values: (S, K, Hd); query head h reads key/value head h // (H / K).
        seen: (T, S), which slots each token may look at; at least one per token.

    Returns:
        (T, H, Hd).
    """
    n_tokens, n_heads, head_dim = query.shape
    n_kv_heads = keys.shape[1]
    group = n_heads // n_kv_heads
    out = np.empty_like(query)  # (T, H, Hd)
    for k in range(n_kv_heads):
        heads = slice(k * group, (k + 1) * group)
        q = query[:, heads].reshape(n_tokens * group, head_dim)  # (T * G, Hd)
        scores = (q @ keys[:, k].T / np.float32(np.sqrt(head_dim))).reshape(n_tokens, group, -1)
        scores = np.where(seen[:, None, :], scores, np.float32(-np.inf))  # (T, G, S)
        out[:, heads] = softmax(scores) @ values[:, k]  # (T, G, Hd)
    return out


def route(logits: Floats, n_used: int) -> tuple[NDArray[np.int32], Floats]:
    """Choose the n_used largest logits of each row, largest first, lower expert first among equals.

    Args:
        logits: (T, E) router logits.
        n_used: A.

    Returns:
        Expert numbers (T, A) int32 and the softmax over the chosen logits (T, A)
        (arXiv:2401.04088, section 2.1).
    """
    order = np.argsort(-logits, axis=-1, kind="stable")[:, :n_used]  # (T, A)
    return order.astype(np.int32), softmax(np.take_along_axis(logits, order, axis=-1))
