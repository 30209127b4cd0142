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
from localmix.kernels.dot import (
    dot,
    pair_dot,
    scaled_dot,
    spread_pairs,
    spread_scales,
)
from localmix.kernels.elementwise import place_of_half
from localmix.kernels.jit import inline
from localmix.kernels.simd import (
    concat,
    convert,
    fma,
    hsum,
    load,
    load_f32,
    prefetch,
    splat,
    take,
)
from localmix.kernels.vectors import F32x8, F32x16, I8x16, I8x32, I16x16, I32x8

AHEAD = 4096
"""Bytes that K-blocks are asked for ahead of their use; small blocks gain nothing by it."""

RowDots = tuple[Callable[..., Any], Callable[..., Any], Callable[..., Any]]


def row_dots(block: KBlock | SmallBlock | FloatFormat) -> RowDots:
    """Make the products of a row with one, two and four columns, for a format.

    Each takes (row address, n_in, the address of each column) and returns the sums as a tuple of
    float32.
    """
    if isinstance(block, KBlock):
        return _over_columns(F32x8, 2, 256, block.n_bytes, _k_block(block))
    if isinstance(block, SmallBlock):
        eight, one = _small_blocks(block), _one_small_block(block)
        return _over_columns(F32x8, 2, 256, 8 * block.n_bytes, eight, (32, block.n_bytes, *one))
    return _over_columns(F32x16, 1, 16, 16 * block.n_bytes, _floats(block))


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
        m = minima(at) if has_minima else s * zero
        return numbers(at), spread_scales(s), m, factors(at)

    @inline
    def add(total, parts, x, n_in, b):
        q, s, m, (d, dmin) = parts
        at, xd = x + 256 * b, load_f32(x + n_in + 32 * b)
        low, high = splat(I32x8, 0), splat(I32x8, 0)  # two chains: an instruction takes four cycles
        low = scaled_dot(low, q[0], load(I8x32, at), s[0])
        low = scaled_dot(low, q[1], load(I8x32, at + 32), s[1])
        low = scaled_dot(low, q[2], load(I8x32, at + 64), s[2])
        low = scaled_dot(low, q[3], load(I8x32, at + 96), s[3])
        high = scaled_dot(high, q[4], load(I8x32, at + 128), s[4])
        high = scaled_dot(high, q[5], load(I8x32, at + 160), s[5])
        high = scaled_dot(high, q[6], load(I8x32, at + 192), s[6])
        high = scaled_dot(high, q[7], load(I8x32, at + 224), s[7])
        first, second = total
        first = fma(convert(F32x8, low + high), splat(F32x8, d * xd), first)
        if has_offset:
            x_sums = load(I16x16, x + n_in + n_in // 4 + 32 * b)
            second = fma(convert(F32x8, pair_dot(m, x_sums)), splat(F32x8, -(dmin * xd)), second)
        return first, second

    return unpack, add


def _small_blocks(block: SmallBlock) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """Eight blocks at once, as one of 256 weights: their scales are multiplied together.

    Blocks go in pairs: the first halves of both in one vector, the second halves in another, as the
    bytes of the column lie too (`layout.QuantizedRow`). Both products add up in one vector of sums,
    of which four lanes belong to each block.
    """
    n_bytes, has_offset, own_offset = block.n_bytes, block.zero != 0, block.offset is not None
    numbers, scales = block.numbers, block.scales
    offsets, zero = block.offsets or block.scales, np.float32(-(block.zero or 0))

    @inline
    def unpack(at):
        if n_bytes < 32:
            prefetch(at + AHEAD)
            prefetch(at + AHEAD + 64)
        d = scales(at)
        q = (
            by_halves(numbers(at), numbers(at + n_bytes)),
            by_halves(numbers(at + 2 * n_bytes), numbers(at + 3 * n_bytes)),
            by_halves(numbers(at + 4 * n_bytes), numbers(at + 5 * n_bytes)),
            by_halves(numbers(at + 6 * n_bytes), numbers(at + 7 * n_bytes)),
        )
        return q, d, (offsets(at) if own_offset else d * zero)

    @inline
    def sums(q, x):
        """A pair of blocks: four sums of eight products for each."""
        first = dot(splat(I32x8, 0), q[0], load(I8x32, x))
        return convert(F32x8, dot(first, q[1], load(I8x32, x + 32)))

    @inline
    def add(total, parts, x, n_in, b):
        q, d, m = parts
        at, i = x + 256 * b, 32 * b
        s = spread_pairs(d * load(F32x8, x + n_in + i))
        one, two = total
        if has_offset:
            one = fma(m, load(F32x8, x + n_in + n_in // 8 + i), one)
        one = fma(sums(q[0], at), s[0], one)
        two = fma(sums(q[1], at + 64), s[1], two)
        one = fma(sums(q[2], at + 128), s[2], one)
        two = fma(sums(q[3], at + 192), s[3], two)
        return one, two

    return unpack, add


@inline
def by_halves(x, y):
    """The first 16 of x and of y, and the second 16 of both."""
    first = concat(take(x, 0, 16, 1), take(y, 0, 16, 1))
    return first, concat(take(x, 16, 16, 1), take(y, 16, 16, 1))


def _one_small_block(block: SmallBlock) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """What is left when a row is no multiple of 256: one block of 32."""
    zero, has_offset, own_offset = block.zero or 0, block.zero != 0, block.offset is not None
    numbers, scale, offset = block.numbers, block.scale, block.offset or block.scale
    eighth, eighth_of_zero = np.float32(1 / 8), np.float32(-zero / 8)

    @inline
    def unpack(at):
        d = scale(at)
        return numbers(at), d, (offset(at) * eighth if own_offset else d * eighth_of_zero)

    @inline
    def add(total, parts, x, n_in, b):
        q, d, m = parts
        first, second = x + place_of_half(n_in, b, 0), x + place_of_half(n_in, b, 1)
        ints = dot(splat(I32x8, 0), q, concat(load(I8x16, first), load(I8x16, second)))
        one, two = total
        one = fma(convert(F32x8, ints), splat(F32x8, d * load_f32(x + n_in + 4 * b)), one)
        if has_offset:  # the same for all 32, so an eighth in each lane
            two = two + splat(F32x8, m * load_f32(x + n_in + n_in // 8 + 4 * b))
        return one, two

    return unpack, add


def _floats(block: FloatFormat) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """Widen 16 weights; add their products with one column of float32 to 16 partial sums."""
    widen = block.widen

    @inline
    def unpack(at):
        return widen(at)

    @inline
    def add(total, parts, x, n_in, b):
        (a,) = total
        return (fma(parts, load(F32x16, x + 64 * b), a),)

    return unpack, add


def _over_columns(
    sums: Any,
    n_sums: int,
    n_weights: int,
    n_bytes: int,
    step: tuple[Callable[..., Any], Callable[..., Any]],
    rest: tuple[Any, ...] | None = None,
) -> RowDots:
    """Make loops over the blocks of a row, for one, two and four columns.

    Args:
        sums, n_sums: type and number of the partial sums. Several, since an addition takes four
            cycles, and what waits for one fills the queues of the CPU.
        n_weights, n_bytes: of a step.
        step: (unpack, add).
        rest: (n_weights, n_bytes, unpack, add) for what is left at the end of a row.
    """
    unpack, add = step
    small, small_bytes, unpack_small, add_small = rest or (n_weights, n_bytes, unpack, add)
    has_rest = rest is not None

    @inline
    def start():
        """Sums of nothing."""
        zero = splat(sums, 0.0)
        if n_sums == 1:
            return (zero,)
        return zero, zero

    @inline
    def total(a):
        """All partial sums together."""
        if n_sums == 1:
            return hsum(a[0])
        return hsum(a[0] + a[1])

    @inline
    def one(row, n_in, x):
        n, a = n_in // n_weights, start()
        for b in range(n):
            a = add(a, unpack(row + n_bytes * b), x, n_in, b)
        if has_rest:
            for b in range(n * n_weights // small, n_in // small):
                a = add_small(a, unpack_small(row + small_bytes * b), x, n_in, b)
        return (total(a),)

    @inline
    def two(row, n_in, x0, x1):
        n, a0, a1 = n_in // n_weights, start(), start()
        for b in range(n):
            parts = unpack(row + n_bytes * b)
            a0, a1 = add(a0, parts, x0, n_in, b), add(a1, parts, x1, n_in, b)
        if has_rest:
            for b in range(n * n_weights // small, n_in // small):
                parts_ = unpack_small(row + small_bytes * b)
                a0, a1 = add_small(a0, parts_, x0, n_in, b), add_small(a1, parts_, x1, n_in, b)
        return total(a0), total(a1)

    @inline
    def four(row, n_in, x0, x1, x2, x3):
        n, a0, a1, a2, a3 = n_in // n_weights, start(), start(), start(), start()
        for b in range(n):
            parts = unpack(row + n_bytes * b)
            a0, a1 = add(a0, parts, x0, n_in, b), add(a1, parts, x1, n_in, b)
            a2, a3 = add(a2, parts, x2, n_in, b), add(a3, parts, x3, n_in, b)
        if has_rest:
            for b in range(n * n_weights // small, n_in // small):
                parts_ = unpack_small(row + small_bytes * b)
                a0, a1 = add_small(a0, parts_, x0, n_in, b), add_small(a1, parts_, x1, n_in, b)
                a2, a3 = add_small(a2, parts_, x2, n_in, b), add_small(a3, parts_, x3, n_in, b)
        return total(a0), total(a1), total(a2), total(a3)

    return one, two, four
