"""Attention of one row: a vector is 16 elements of a head, a sum ends across lanes."""

from __future__ import annotations

from typing import Any

from numba.extending import intrinsic

from localmix.kernels.elementwise import exponential
from localmix.kernels.jit import inline
from localmix.kernels.layout import KEYS_PER_BLOCK
from localmix.kernels.simd import (
    fma,
    hmax,
    hsum,
    lane,
    load,
    load_f32,
    maximum,
    splat,
    store,
    store_f32,
)
from localmix.kernels.slots import UNSEEN, position_in
from localmix.kernels.vectors import FAST, F32x4, F32x16, shuffled


@inline
def score_keys(q, keys, first, last, padded, positions, earliest, latest, scores):
    """scores[j] = q · key j, or UNSEEN; returns the largest. Unused places are UNSEEN too."""
    for j in range(0, KEYS_PER_BLOCK, 16):
        store(scores + 4 * j, splat(F32x16, UNSEEN))
    for j in range(0, last - first, 4):
        k, width = keys + 4 * padded * j, 4 * padded
        a, b, c, d = splat(F32x16, 0.0), splat(F32x16, 0.0), splat(F32x16, 0.0), splat(F32x16, 0.0)
        for i in range(0, 4 * padded, 64):
            x = load(F32x16, q + i)
            a = fma(x, load(F32x16, k + i), a)
            b = fma(x, load(F32x16, k + width + i), b)
            c = fma(x, load(F32x16, k + 2 * width + i), c)
            d = fma(x, load(F32x16, k + 3 * width + i), d)
        sums = sums_of_four(a, b, c, d)
        for n in range(4):
            p = position_in(positions, first + j + n, last)
            if earliest <= p <= latest:
                store_f32(scores + 4 * (j + n), lane(sums, n))
    largest = load(F32x16, scores)
    for j in range(16, KEYS_PER_BLOCK, 16):
        largest = maximum(largest, load(F32x16, scores + 4 * j))
    return hmax(largest)


@intrinsic
def sums_of_four(typing: Any, a: Any, b: Any, c: Any, d: Any) -> Any:
    """The sum of each of four vectors of 16, as a vector of four."""

    def gen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        quarters = []
        for x in args:
            parts = [shuffled(builder, x, x, range(4 * i, 4 * i + 4)) for i in range(4)]
            left = builder.fadd(parts[0], parts[1], flags=FAST)
            quarters.append(
                builder.fadd(left, builder.fadd(parts[2], parts[3], flags=FAST), flags=FAST)
            )
        ab = _neighbours(builder, quarters[0], quarters[1])
        cd = _neighbours(builder, quarters[2], quarters[3])
        return _neighbours(builder, ab, cd)

    return F32x4(a, b, c, d), gen


def _neighbours(b: Any, x: Any, y: Any) -> Any:
    """x0 + x1, x2 + x3, y0 + y1, y2 + y3."""
    even, odd = shuffled(b, x, y, [0, 2, 4, 6]), shuffled(b, x, y, [1, 3, 5, 7])
    return b.fadd(even, odd, flags=FAST)


@inline
def add_values(out, head, values, n_keys, padded, scores, largest):
    """The step of online softmax for one head; `head` holds its m and l."""
    old = load_f32(head)
    new = max(old, largest)
    shrink = lane(exponential(splat(F32x16, old - new)), 0)
    total = splat(F32x16, 0.0)
    for j in range(0, KEYS_PER_BLOCK, 16):
        weights = exponential(load(F32x16, scores + 4 * j) - splat(F32x16, new))
        store(scores + 4 * j, weights)
        total = total + weights
    store_f32(head, new)
    store_f32(head + 4, load_f32(head + 4) * shrink + hsum(total))
    for i in range(0, padded // 64 * 64, 64):
        a, b = load(F32x16, out + 4 * i) * shrink, load(F32x16, out + 4 * i + 64) * shrink
        c, d = load(F32x16, out + 4 * i + 128) * shrink, load(F32x16, out + 4 * i + 192) * shrink
        for j in range(n_keys):
            weight, v = splat(F32x16, load_f32(scores + 4 * j)), values + 4 * (padded * j + i)
            a = fma(weight, load(F32x16, v), a)
            b = fma(weight, load(F32x16, v + 64), b)
            c = fma(weight, load(F32x16, v + 128), c)
            d = fma(weight, load(F32x16, v + 192), d)
        store(out + 4 * i, a)
        store(out + 4 * i + 64, b)
        store(out + 4 * i + 128, c)
        store(out + 4 * i + 192, d)
    for i in range(padded // 64 * 64, padded, 16):
        a = load(F32x16, out + 4 * i) * shrink
        for j in range(n_keys):
            weight = splat(F32x16, load_f32(scores + 4 * j))
            a = fma(weight, load(F32x16, values + 4 * (padded * j + i)), a)
        store(out + 4 * i, a)
