"""One row of a matrix times one, two or four rows of a batch: what decode does.

Weights are read once, where they lie in the file, at the speed of memory. A block is unpacked once
and multiplied with every column. For K-blocks everything stays integer over 256 weights:

    Σ w · x = xd · (d · Σ_g scale_g · (q · x)_g  −  dmin · Σ_g minimum_g · (Σ x)_g)

for small blocks each block's integer sum is scaled by its own d and the activations' xd:

    Σ w · x = Σ_block d · xd · (q · x)  +  offset · xd · (Σ x)

and plain floats are multiplied as they are. Sums run in the same order whatever the thread or the
batch, so results have the same bits.
Source: `ggml_vec_dot_q4_K_q8_K` and its kin, ggml-cpu/quants.c of llama.cpp.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from localmix.kernels.blocks import FloatFormat, KBlock, SmallBlock
from localmix.kernels.dot import dot, pair_dot, scaled_dot
from localmix.kernels.jit import inline
from localmix.kernels.simd import (
    convert,
    fma,
    hsum,
    load,
    load_f32,
    prefetch,
    repeat_each,
    splat,
    take,
)
from localmix.kernels.vectors import F32x8, F32x16, I8x32, I16x16, I32x8

AHEAD = 4096
"""Bytes that K-blocks are asked for ahead of their use; small blocks gain nothing by it."""

RowDots = tuple[Callable[..., Any], Callable[..., Any], Callable[..., Any]]


def row_dots(block: KBlock | SmallBlock | FloatFormat) -> RowDots:
    """Make the products of a row with one, two and four columns, for a format.

    Each takes (row address, n_in, the address of each column) and returns the sums as a tuple of
    float32.
    """
    if isinstance(block, KBlock):
        return _over_columns(block.n_bytes, 256, F32x8, *_k_block(block))
    if isinstance(block, SmallBlock):
        return _over_columns(block.n_bytes, 32, F32x8, *_small_block(block))
    return _over_columns(block.n_bytes * 16, 16, F32x16, *_floats(block))


def _k_block(block: KBlock) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """Unpack a block of 256 weights; add its product with one column to eight partial sums."""
    zero, has_minima = block.zero or 0, block.minima is not None
    numbers, scales, factors = block.numbers, block.scales, block.factors
    minima = block.minima or block.scales
    has_offset = has_minima or zero != 0

    @inline
    def unpack(at):
        prefetch(at + AHEAD)
        prefetch(at + AHEAD + 64)
        s = scales(at)
        return numbers(at), s, (minima(at) if has_minima else s * zero), factors(at)

    @inline
    def add(total, parts, x, n_in, b):
        q, s, m, (d, dmin) = parts
        at, xd = x + 256 * b, load_f32(x + n_in + 32 * b)
        low, high = splat(I32x8, 0), splat(I32x8, 0)  # two chains: an instruction takes four cycles
        low = scaled_dot(low, q[0], load(I8x32, at), repeat_each(take(s, 0, 2, 1), 8))
        low = scaled_dot(low, q[1], load(I8x32, at + 32), repeat_each(take(s, 2, 2, 1), 8))
        low = scaled_dot(low, q[2], load(I8x32, at + 64), repeat_each(take(s, 4, 2, 1), 8))
        low = scaled_dot(low, q[3], load(I8x32, at + 96), repeat_each(take(s, 6, 2, 1), 8))
        high = scaled_dot(high, q[4], load(I8x32, at + 128), repeat_each(take(s, 8, 2, 1), 8))
        high = scaled_dot(high, q[5], load(I8x32, at + 160), repeat_each(take(s, 10, 2, 1), 8))
        high = scaled_dot(high, q[6], load(I8x32, at + 192), repeat_each(take(s, 12, 2, 1), 8))
        high = scaled_dot(high, q[7], load(I8x32, at + 224), repeat_each(take(s, 14, 2, 1), 8))
        total = fma(convert(F32x8, low + high), splat(F32x8, d * xd), total)
        if has_offset:
            x_sums = load(I16x16, x + n_in + n_in // 4 + 32 * b)
            total = fma(convert(F32x8, pair_dot(m, x_sums)), splat(F32x8, -dmin * xd), total)
        return total

    return unpack, add


def _small_block(block: SmallBlock) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """Unpack a block of 32 weights; add its product with one column to eight partial sums.

    The offset is the same for all 32, so it enters an eighth in each lane.
    """
    zero, has_offset = block.zero or 0, block.zero != 0
    numbers, scale, offset, own_offset = (
        block.numbers,
        block.scale,
        block.offset or block.scale,
        block.offset is not None,
    )
    eighth, eighth_of_zero = np.float32(1 / 8), np.float32(-zero / 8)

    @inline
    def unpack(at):
        d = scale(at)
        return numbers(at), d, (offset(at) * eighth if own_offset else d * eighth_of_zero)

    @inline
    def add(total, parts, x, n_in, b):
        q, d, m = parts
        ints = dot(splat(I32x8, 0), q, load(I8x32, x + 32 * b))
        total = fma(convert(F32x8, ints), splat(F32x8, d * load_f32(x + n_in + 4 * b)), total)
        if has_offset:
            total = total + splat(F32x8, m * load_f32(x + n_in + n_in // 8 + 4 * b))
        return total

    return unpack, add


def _floats(block: FloatFormat) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """Widen 16 weights; add their products with one column of float32 to 16 partial sums."""
    widen = block.widen

    @inline
    def unpack(at):
        return widen(at)

    @inline
    def add(total, parts, x, n_in, b):
        return fma(parts, load(F32x16, x + 64 * b), total)

    return unpack, add


def _over_columns(
    n_bytes: int, n_weights: int, sums: Any, unpack: Callable[..., Any], add: Callable[..., Any]
) -> RowDots:
    """Make loops over the blocks of a row, for one, two and four columns.

    Small blocks alternate between four chains of sums, since an addition takes four cycles.
    """
    n_chains = 1 if n_weights == 256 else 4

    @inline
    def one(row, n_in, x):
        n_blocks = n_in // n_weights
        a0, a1, a2, a3 = splat(sums, 0.0), splat(sums, 0.0), splat(sums, 0.0), splat(sums, 0.0)
        b = 0
        if n_chains == 4:
            while b + 4 <= n_blocks:
                at = row + n_bytes * b
                a0 = add(a0, unpack(at), x, n_in, b)
                a1 = add(a1, unpack(at + n_bytes), x, n_in, b + 1)
                a2 = add(a2, unpack(at + 2 * n_bytes), x, n_in, b + 2)
                a3 = add(a3, unpack(at + 3 * n_bytes), x, n_in, b + 3)
                b += 4
        while b < n_blocks:
            a0 = add(a0, unpack(row + n_bytes * b), x, n_in, b)
            b += 1
        return (hsum((a0 + a1) + (a2 + a3)),)

    @inline
    def two(row, n_in, x0, x1):
        a0, a1 = splat(sums, 0.0), splat(sums, 0.0)
        for b in range(n_in // n_weights):
            parts = unpack(row + n_bytes * b)
            a0 = add(a0, parts, x0, n_in, b)
            a1 = add(a1, parts, x1, n_in, b)
        return hsum(a0), hsum(a1)

    @inline
    def four(row, n_in, x0, x1, x2, x3):
        a0, a1, a2, a3 = splat(sums, 0.0), splat(sums, 0.0), splat(sums, 0.0), splat(sums, 0.0)
        for b in range(n_in // n_weights):
            parts = unpack(row + n_bytes * b)
            a0 = add(a0, parts, x0, n_in, b)
            a1 = add(a1, parts, x1, n_in, b)
            a2 = add(a2, parts, x2, n_in, b)
            a3 = add(a3, parts, x3, n_in, b)
        return hsum(a0), hsum(a1), hsum(a2), hsum(a3)

    return one, two, four
