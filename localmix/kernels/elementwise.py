"""Small formulas on rows of float32, and how kernels read their records."""

from __future__ import annotations

import numpy as np

from localmix.kernels.jit import inline
from localmix.kernels.layout import WORD, RowRecord
from localmix.kernels.simd import (
    choose_greater,
    fma,
    hsum,
    like,
    load,
    load_f32,
    load_i64,
    nearest,
    splat,
    square_root,
    two_to_the,
)
from localmix.kernels.vectors import F32x16

ONE = np.float32(1)
"""Numbers are float64 to Numba unless said otherwise."""


@inline
def field(record, i):
    """A field of a record or of the state."""
    return load_i64(record + WORD * i)


@inline
def mapped(row_map, i):
    """Where row i comes from: row_map[i], or i itself where there is no map."""
    return i if row_map == 0 else load_i64(row_map + WORD * i)


@inline
def row_in_pairs(row, width):
    """Where the second half of a quantized row begins: see `layout.QuantizedRow`."""
    return row + (width + 255) // 256 * RowRecord.BYTES


@inline
def record_of(row, group):
    """The record of a quantized row in which a group of 32 stands."""
    return row + RowRecord.BYTES * (group // 8)


@inline
def place_of_half(row, group, half):
    """Where 16 bytes of a group stand in a row in pairs."""
    within = group % 8
    return record_of(row, group) + 64 * (within // 2) + 32 * half + 16 * (within % 2)


@inline
def root_mean_square(x, width, eps):
    """1 / sqrt(mean(x²) + eps) of one row (arXiv:1910.07467)."""
    a, b = splat(F32x16, 0.0), splat(F32x16, 0.0)
    n = width // 32
    for i in range(n):
        u, v = load(F32x16, x + 128 * i), load(F32x16, x + 128 * i + 64)
        a, b = fma(u, u, a), fma(v, v, b)
    total = hsum(a + b)
    for i in range(32 * n, width):
        total += load_f32(x + 4 * i) * load_f32(x + 4 * i)
    return ONE / square_root(total / np.float32(width) + eps)


@inline
def exponential(x):
    """e^x of floats, within 2 units of the last place; 0 below −87, x above 88 is held at 88.

    e^x = 2^n · e^r with n = round(x / ln 2), |r| ≤ ln 2 / 2, and e^r by its series of degree 7.
    NaN stays NaN.
    """
    held = choose_greater(x, like(x, 88.0), like(x, 88.0), x)
    n = nearest(held * 1.44269504)
    r = fma(n, like(x, -0.693145752), held)  # ln 2 in two parts: n times the first is exact
    r = fma(n, like(x, -1.42860677e-6), r)
    p = fma(r, like(x, 1 / 5040), like(x, 1 / 720))
    p = fma(p, r, like(x, 1 / 120))
    p = fma(p, r, like(x, 1 / 24))
    p = fma(p, r, like(x, 1 / 6))
    p = fma(p, r, like(x, 1 / 2))
    p = fma(p, r, like(x, 1.0))
    p = fma(p, r, like(x, 1.0))
    return choose_greater(like(x, -87.0), x, like(x, 0.0), p * two_to_the(n))


@inline
def silu(x):
    """x / (1 + e^−x)."""
    return x / (exponential(x * -1.0) + 1.0)
