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
from dataclasses import dataclass
from typing import Any

import numpy as np

from localmix.kernels.blocks import FloatFormat, KBlock, SmallBlock
from localmix.kernels.dot import (
    IS_NEON,
    dot,
    pair_dot,
    scaled_dot,
    scaled_pair,
    spread_pairs,
    spread_scales,
    spread_to_pairs,
)
from localmix.kernels.elementwise import place_of_half, record_of, row_in_pairs
from localmix.kernels.jit import inline
from localmix.kernels.layout import RowRecord
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
from localmix.kernels.vectors import F32x4, F32x8, F32x16, I8x16, I8x32, I16x8, I16x16, I32x8

AHEAD = 4096
"""Bytes that weights are asked for ahead of their use, every cache line of them."""


@dataclass(frozen=True)
class Step:
    """What is done with some weights of a row.

    Attributes:
        unpack: (address of the weights) -> parts, the same for all columns.
        add: (sums, parts, address of the column's record) -> sums.
        in_pairs: the column is read in pairs: see `layout.QuantizedRow`.
    """

    unpack: Callable[..., Any]
    add: Callable[..., Any]
    in_pairs: bool = False


RowDots = tuple[Callable[..., Any], Callable[..., Any], Callable[..., Any]]


def row_dots(block: KBlock | SmallBlock | FloatFormat) -> RowDots:
    """Make the products of a row with one, two and four columns, for a format.

    Each takes (row address, n_in, the address of each column) and returns the sums as a tuple of
    float32.
    """
    record = RowRecord.BYTES
    if isinstance(block, KBlock):
        of_minima, several = (F32x4, True) if block.group == 32 else (F32x8, False)
        step, steps = _k_block(block, several and IS_NEON), _k_block(block, several)
        return _over_columns((F32x8, of_minima), 256, block.n_bytes, record, step, steps)
    if isinstance(block, SmallBlock):
        step, rest = _small_blocks(block), (32, block.n_bytes, _one_small_block(block))
        return _over_columns((F32x8, F32x8), 256, 8 * block.n_bytes, record, step, step, rest)
    step = _floats(block)
    return _over_columns((F32x16,), 16, 16 * block.n_bytes, 64, step, step)


def _k_block(block: KBlock, in_pairs: bool) -> Step:
    """Unpack a block of 256 weights; add its product with one column to a few partial sums.

    In pairs of groups two products are added before they are scaled. Making pairs is worth its
    while when several columns use them; on Arm, whose registers have 16 bytes, it costs nothing.
    """
    zero, has_minima, by_32 = block.zero or 0, block.minima is not None, block.group == 32
    n_bytes, numbers, scales = block.n_bytes, block.numbers, block.scales
    factors = block.factors
    minima = block.minima or block.scales
    has_offset = has_minima or zero != 0
    sums_kind, floats_kind = (I16x8, F32x4) if by_32 else (I16x16, F32x8)
    sums_at = RowRecord.SUMS_32 if by_32 else RowRecord.SUMS_16

    @inline
    def unpack(at):
        prefetch(at + AHEAD, n_bytes)
        q, s = numbers(at), scales(at)
        m = minima(at) if has_minima else s * zero
        d, dmin = factors(at)
        d, dmin = splat(F32x8, d), splat(floats_kind, dmin)
        if in_pairs:
            return paired(q), spread_to_pairs(s), m, d, dmin
        return q, spread_scales(s), m, d, dmin

    @inline
    def paired(q):
        return (
            by_halves(q[0], q[1]),
            by_halves(q[2], q[3]),
            by_halves(q[4], q[5]),
            by_halves(q[6], q[7]),
        )

    @inline
    def scaled_sum(q, s, x):
        """Eight sums of scaled products, in two chains: a product takes four cycles."""
        a, b = splat(I32x8, 0), splat(I32x8, 0)
        if in_pairs:
            a = scaled_pair(a, q[0], load(I8x32, x), load(I8x32, x + 32), s[0])
            b = scaled_pair(b, q[1], load(I8x32, x + 64), load(I8x32, x + 96), s[1])
            a = scaled_pair(a, q[2], load(I8x32, x + 128), load(I8x32, x + 160), s[2])
            b = scaled_pair(b, q[3], load(I8x32, x + 192), load(I8x32, x + 224), s[3])
        else:
            a = scaled_dot(a, q[0], load(I8x32, x), s[0])
            b = scaled_dot(b, q[1], load(I8x32, x + 32), s[1])
            a = scaled_dot(a, q[2], load(I8x32, x + 64), s[2])
            b = scaled_dot(b, q[3], load(I8x32, x + 96), s[3])
            a = scaled_dot(a, q[4], load(I8x32, x + 128), s[4])
            b = scaled_dot(b, q[5], load(I8x32, x + 160), s[5])
            a = scaled_dot(a, q[6], load(I8x32, x + 192), s[6])
            b = scaled_dot(b, q[7], load(I8x32, x + 224), s[7])
        return a + b

    @inline
    def add(total, parts, x):
        q, s, m, d, dmin = parts
        first, second = total
        xd = x + RowRecord.SCALES
        first = fma(convert(F32x8, scaled_sum(q, s, x)), d * load(F32x8, xd), first)
        if has_offset:
            offset = convert(floats_kind, pair_dot(m, load(sums_kind, x + sums_at)))
            second = fma(offset, dmin * load(floats_kind, xd), second)
        return first, second

    return Step(unpack, add, in_pairs)


def _small_blocks(block: SmallBlock) -> Step:
    """Eight blocks at once, as one of 256 weights: their scales are multiplied together.

    Blocks go in pairs: the first halves of both in one vector, the second halves in another, as the
    bytes of the column lie too (`layout.QuantizedRow`). Both products add up in one vector of sums,
    of which four lanes belong to each block.
    """
    n_bytes, step_bytes = block.n_bytes, 8 * block.n_bytes
    has_offset, own_offset = block.zero != 0, block.offset is not None
    numbers, scales = block.numbers, block.scales
    offsets, zero = block.offsets or block.scales, np.float32(-(block.zero or 0))

    @inline
    def unpack(at):
        prefetch(at + AHEAD, step_bytes)
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
    def add(total, parts, x):
        q, d, m = parts
        s = spread_pairs(d * load(F32x8, x + RowRecord.SCALES))
        one, two = total
        if has_offset:
            one = fma(m, load(F32x8, x + RowRecord.SUMS), one)
        one = fma(sums(q[0], x), s[0], one)
        two = fma(sums(q[1], x + 64), s[1], two)
        one = fma(sums(q[2], x + 128), s[2], one)
        two = fma(sums(q[3], x + 192), s[3], two)
        return one, two

    return Step(unpack, add, in_pairs=True)


@inline
def by_halves(x, y):
    """The first 16 of x and of y, and the second 16 of both."""
    first = concat(take(x, 0, 16, 1), take(y, 0, 16, 1))
    return first, concat(take(x, 16, 16, 1), take(y, 16, 16, 1))


def _one_small_block(block: SmallBlock) -> Step:
    """What is left when a row is no multiple of 256: one block of 32."""
    zero, has_offset, own_offset = block.zero or 0, block.zero != 0, block.offset is not None
    numbers, scale, offset = block.numbers, block.scale, block.offset or block.scale
    eighth, eighth_of_zero = np.float32(1 / 8), np.float32(-zero / 8)

    @inline
    def unpack(at):
        d = scale(at)
        return numbers(at), d, (offset(at) * eighth if own_offset else d * eighth_of_zero)

    @inline
    def add(total, parts, x, b):
        q, d, m = parts
        first, second = load(I8x16, place_of_half(x, b, 0)), load(I8x16, place_of_half(x, b, 1))
        ints = dot(splat(I32x8, 0), q, concat(first, second))
        at = record_of(x, b) + 4 * (b % 8)
        one, two = total
        one = fma(convert(F32x8, ints), splat(F32x8, d * load_f32(at + RowRecord.SCALES)), one)
        if has_offset:  # the same for all 32, so an eighth in each lane
            two = two + splat(F32x8, m * load_f32(at + RowRecord.SUMS))
        return one, two

    return Step(unpack, add, in_pairs=True)


def _floats(block: FloatFormat) -> Step:
    """Widen 16 weights; add their products with one column of float32 to 16 partial sums."""
    widen = block.widen

    @inline
    def unpack(at):
        return widen(at)

    @inline
    def add(total, parts, x):
        (a,) = total
        return (fma(parts, load(F32x16, x), a),)

    return Step(unpack, add)


def _over_columns(
    sums: tuple[Any, ...],
    n_weights: int,
    n_bytes: int,
    x_bytes: int,
    step: Step,
    steps: Step,
    rest: tuple[int, int, Step] | None = None,
) -> RowDots:
    """Make loops over the blocks of a row, for one, two and four columns.

    Args:
        sums: types of the partial sums, one or two. Several, since an addition takes four cycles,
            and what waits for one fills the queues of the CPU.
        n_weights, n_bytes, x_bytes: of a step: weights, their bytes, those of the column.
        step, steps: for one column and for several.
        rest: (n_weights, n_bytes, step) for what is left at the end of a row; its `add` takes the
            whole column and the number of the block.
    """
    unpack_one, add_one, one_in_pairs = step.unpack, step.add, step.in_pairs
    unpack, add, in_pairs = steps.unpack, steps.add, steps.in_pairs
    small, small_bytes, last = rest or (n_weights, n_bytes, step)
    unpack_small, add_small, has_rest = last.unpack, last.add, rest is not None
    first, second = sums[0], sums[-1]
    n_sums, second_is_short = len(sums), second is F32x4

    @inline
    def start():
        """Sums of nothing."""
        if n_sums == 1:
            return (splat(first, 0.0),)
        return splat(first, 0.0), splat(second, 0.0)

    @inline
    def total(a):
        """All partial sums together."""
        if n_sums == 1:
            return hsum(a[0])
        if second_is_short:
            return hsum(take(a[0], 0, 4, 1) + take(a[0], 4, 4, 1) + a[1])
        return hsum(a[0] + a[1])

    @inline
    def one(row, n_in, x):
        n, a = n_in // n_weights, start()
        if one_in_pairs:
            x = row_in_pairs(x, n_in)
        for b in range(n):
            a = add_one(a, unpack_one(row + n_bytes * b), x + x_bytes * b)
        if has_rest:
            for b in range(n * n_weights // small, n_in // small):
                a = add_small(a, unpack_small(row + small_bytes * b), x, b)
        return (total(a),)

    @inline
    def two(row, n_in, x0, x1):
        n, a0, a1 = n_in // n_weights, start(), start()
        if in_pairs:
            x0, x1 = row_in_pairs(x0, n_in), row_in_pairs(x1, n_in)
        for b in range(n):
            i, parts = x_bytes * b, unpack(row + n_bytes * b)
            a0, a1 = add(a0, parts, x0 + i), add(a1, parts, x1 + i)
        if has_rest:
            for b in range(n * n_weights // small, n_in // small):
                parts_ = unpack_small(row + small_bytes * b)
                a0, a1 = add_small(a0, parts_, x0, b), add_small(a1, parts_, x1, b)
        return total(a0), total(a1)

    @inline
    def four(row, n_in, x0, x1, x2, x3):
        n, a0, a1, a2, a3 = n_in // n_weights, start(), start(), start(), start()
        if in_pairs:
            x0, x1 = row_in_pairs(x0, n_in), row_in_pairs(x1, n_in)
            x2, x3 = row_in_pairs(x2, n_in), row_in_pairs(x3, n_in)
        for b in range(n):
            i, parts = x_bytes * b, unpack(row + n_bytes * b)
            a0, a1 = add(a0, parts, x0 + i), add(a1, parts, x1 + i)
            a2, a3 = add(a2, parts, x2 + i), add(a3, parts, x3 + i)
        if has_rest:
            for b in range(n * n_weights // small, n_in // small):
                parts_ = unpack_small(row + small_bytes * b)
                a0, a1 = add_small(a0, parts_, x0, b), add_small(a1, parts_, x1, b)
                a2, a3 = add_small(a2, parts_, x2, b), add_small(a3, parts_, x3, b)
        return total(a0), total(a1), total(a2), total(a3)

    return one, two, four
