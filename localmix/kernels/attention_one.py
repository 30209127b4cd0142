"""Attention of one row: a vector is a piece of a head, and a few heads are computed side by side.

Keys and values are widened in registers, once for the heads that stand beside each other:

    score    sums[head, key]    += q[head][piece] · k[key][piece]       four keys at a time
    mix      out[head, piece]   += weight[head, key] · v[key][piece]    four pieces at a time

Both are the same step, `outer`: every number on the left times every vector on the right.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numba import types
from numba.extending import intrinsic

from localmix.kernels.elementwise import exponential, field
from localmix.kernels.jit import inline
from localmix.kernels.kv import HEAD_FLOATS, HEAD_LANES, KVFormat
from localmix.kernels.layout import KEYS_PER_BLOCK, WORD, Attend, State
from localmix.kernels.simd import (
    choose_greater,
    hmax,
    hsum,
    lane,
    like,
    load,
    load_f32,
    load_i32,
    maximum,
    splat,
    store,
    store_f32,
)
from localmix.kernels.slots import UNSEEN, heads_of, position_in
from localmix.kernels.target import TIER
from localmix.kernels.vectors import FAST, I64, F32x16, call, read, shuffled, write

LINE = 4 * KEYS_PER_BLOCK
"""Bytes from the scores of one head to those of the next."""


@intrinsic(prefer_literal=True)
def zero_tile(typing: Any, n_rows: Any, n_columns: Any) -> Any:
    """n_rows · n_columns vectors of zeros; both literal."""
    kind = types.UniTuple(HEAD_FLOATS, n_rows.literal_value * n_columns.literal_value)
    return kind(n_rows, n_columns), lambda context, b, sig, args: context.get_constant_null(kind)


@intrinsic
def outer(typing: Any, sums: Any, rows: Any, columns: Any) -> Any:
    """sums[r, c] += rows[r] · columns[c], all of them vectors."""

    def gen(context: Any, b: Any, sig: Any, args: Any) -> Any:
        out, rows_, columns_ = args
        for k in range(sums.count):
            r, c = divmod(k, columns.count)
            x, y = b.extract_value(rows_, r), b.extract_value(columns_, c)
            new = call(b, f"llvm.fmuladd.v{HEAD_LANES}f32", x.type, x, y, b.extract_value(out, k))
            out = b.insert_value(out, new, k)
        return out

    return sums(sums, rows, columns), gen


@intrinsic(prefer_literal=True)
def load_tile(typing: Any, address: Any, stride: Any, n_rows: Any, n_columns: Any) -> Any:
    """Rows of n_columns vectors, `stride` bytes from row to row."""
    n = n_columns.literal_value
    kind = types.UniTuple(HEAD_FLOATS, n_rows.literal_value * n)

    def gen(context: Any, b: Any, sig: Any, args: Any) -> Any:
        out = context.get_constant_undef(kind)
        for k in range(kind.count):
            at = b.add(args[0], b.mul(args[1], I64(k // n)))
            value = read(b, b.add(at, I64(k % n * 4 * HEAD_LANES)), HEAD_FLOATS.ir)
            out = b.insert_value(out, value, k)
        return out

    return kind(types.int64, types.int64, n_rows, n_columns), gen


@intrinsic(prefer_literal=True)
def store_tile(typing: Any, address: Any, stride: Any, n_columns: Any, sums: Any) -> Any:
    """The other way round."""
    n = n_columns.literal_value

    def gen(context: Any, b: Any, sig: Any, args: Any) -> Any:
        for k in range(sums.count):
            at = b.add(args[0], b.mul(args[1], I64(k // n)))
            write(b, b.add(at, I64(k % n * 4 * HEAD_LANES)), b.extract_value(args[3], k))
        return context.get_dummy_value()

    return types.void(types.int64, types.int64, n_columns, sums), gen


@intrinsic
def store_sums_of_four(typing: Any, address: Any, stride: Any, sums: Any) -> Any:
    """Add up the elements of each vector, and store four such sums a row."""

    def gen(context: Any, b: Any, sig: Any, args: Any) -> Any:
        for r in range(sums.count // 4):
            four = [_to_four(b, b.extract_value(args[2], 4 * r + c)) for c in range(4)]
            left, right = _neighbours(b, four[0], four[1]), _neighbours(b, four[2], four[3])
            write(b, b.add(args[0], b.mul(args[1], I64(r))), _neighbours(b, left, right))
        return context.get_dummy_value()

    return types.void(types.int64, types.int64, sums), gen


def _to_four(b: Any, x: Any) -> Any:
    """Fold a vector to four partial sums."""
    while x.type.count > 4:
        half = x.type.count // 2
        low, high = shuffled(b, x, x, range(half)), shuffled(b, x, x, range(half, 2 * half))
        x = b.fadd(low, high, flags=FAST)
    return x


def _neighbours(b: Any, x: Any, y: Any) -> Any:
    """x0 + x1, x2 + x3, y0 + y1, y2 + y3."""
    even, odd = shuffled(b, x, y, [0, 2, 4, 6]), shuffled(b, x, y, [1, 3, 5, 7])
    return b.fadd(even, odd, flags=FAST)


def head_products(kv: KVFormat, n_heads: int) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """Make `score` and `mix` for n_heads heads side by side."""
    widen = kv.read
    columns, piece = 4, 4 * HEAD_LANES

    @inline
    def weights_of(at):
        """The weights that the heads give to one key, each all over a vector."""
        if n_heads == 4:
            return (
                splat(HEAD_FLOATS, load_f32(at)),
                splat(HEAD_FLOATS, load_f32(at + LINE)),
                splat(HEAD_FLOATS, load_f32(at + 2 * LINE)),
                splat(HEAD_FLOATS, load_f32(at + 3 * LINE)),
            )
        if n_heads == 2:
            return splat(HEAD_FLOATS, load_f32(at)), splat(HEAD_FLOATS, load_f32(at + LINE))
        return (splat(HEAD_FLOATS, load_f32(at)),)

    @inline
    def score(q, width, keys, size, n_keys, padded, scores):
        """scores[head][key] = q · key for n_keys keys; behind them stand others to be ignored."""
        last = keys + size * (n_keys - 1)
        for j in range(0, n_keys, 4):
            k0 = keys + size * j
            k1, k2, k3 = min(k0 + size, last), min(k0 + 2 * size, last), min(k0 + 3 * size, last)
            sums = zero_tile(n_heads, columns)
            for i in range(0, padded, HEAD_LANES):
                four = (
                    widen(k0, padded, i),
                    widen(k1, padded, i),
                    widen(k2, padded, i),
                    widen(k3, padded, i),
                )
                sums = outer(sums, load_tile(q + 4 * i, width, n_heads, 1), four)
            store_sums_of_four(scores + 4 * j, LINE, sums)

    @inline
    def mix(out, width, values, size, n_keys, padded, weights):
        """out[head] += Σ_key weight · value."""
        whole = padded // piece * piece
        for i in range(0, whole, piece):
            sums = load_tile(out + 4 * i, width, n_heads, columns)
            for j in range(n_keys):
                v = values + size * j
                four = (
                    widen(v, padded, i),
                    widen(v, padded, i + HEAD_LANES),
                    widen(v, padded, i + 2 * HEAD_LANES),
                    widen(v, padded, i + 3 * HEAD_LANES),
                )
                sums = outer(sums, weights_of(weights + 4 * j), four)
            store_tile(out + 4 * i, width, columns, sums)
        for i in range(whole, padded, HEAD_LANES):
            one = load_tile(out + 4 * i, width, n_heads, 1)
            for j in range(n_keys):
                v = (widen(values + size * j, padded, i),)
                one = outer(one, weights_of(weights + 4 * j), v)
            store_tile(out + 4 * i, width, 1, one)

    return score, mix


@inline
def mask_slots(positions, first, last, earliest, latest, mask):
    """Write 0 for the slots of a block that a row sees, UNSEEN for others; how many it sees."""
    n_seen = 0
    for j in range(KEYS_PER_BLOCK):
        p = position_in(positions, first + j, last)
        seen = earliest <= p <= latest
        n_seen += 1 if seen else 0
        store_f32(mask + 4 * j, np.float32(0) if seen else UNSEEN)
    return n_seen


@inline
def softmax_step(out, width, head, scores, mask):
    """The step of online softmax for one head: scores become weights, `out` shrinks.

    `head` holds its m and l.
    """
    old = load_f32(head)
    largest = splat(F32x16, old)
    for j in range(0, KEYS_PER_BLOCK, 16):
        # Behind the last key stand numbers of long ago, or NaN: they are replaced, not added to.
        score, seen = load(F32x16, scores + 4 * j), load(F32x16, mask + 4 * j)
        masked = choose_greater(seen, like(seen, -1.0), score, like(seen, UNSEEN))
        store(scores + 4 * j, masked)
        largest = maximum(largest, masked)
    new = hmax(largest)
    total = splat(F32x16, 0.0)
    for j in range(0, KEYS_PER_BLOCK, 16):
        weights = exponential(load(F32x16, scores + 4 * j) - splat(F32x16, new))
        store(scores + 4 * j, weights)
        total = total + weights
    shrink = lane(exponential(splat(F32x16, old - new)), 0)
    store_f32(head, new)
    store_f32(head + 4, load_f32(head + 4) * shrink + hsum(total))
    if shrink != np.float32(1):
        for i in range(0, width, 64):
            store(out + i, load(F32x16, out + i) * shrink)


def one_row_of(kv: KVFormat) -> Callable[..., Any]:
    """Make attention of one row: the heads of a group over the whole ring."""
    together, size_of, step = TIER.heads_together, kv.slot_bytes, kv.step
    score, mix = head_products(kv, together)
    score_1, mix_1 = head_products(kv, 1)

    @inline
    def one_row(record, state, head, row, keys, values, positions, scratch):
        n_heads, n_group, head_dim, padded = heads_of(record, step)
        p, window = load_i32(field(state, State.POSITIONS) + 4 * row), field(record, Attend.WINDOW)
        earliest = max(0, p - window + 1) if window > 0 else 0
        width, size = 4 * padded, size_of(padded)
        q, out = scratch, scratch + n_group * width
        scores = out + n_group * width
        mask = scores + n_group * LINE
        sums = mask + LINE
        offset = 4 * head_dim * (n_heads * row + head * n_group)
        start_heads(
            record, field(record, Attend.Q) + offset, n_group, head_dim, padded, q, out, sums
        )
        n_slots = field(state, State.N_USED_SLOTS)
        for first in range(0, n_slots, KEYS_PER_BLOCK):
            last = min(n_slots, first + KEYS_PER_BLOCK)
            if mask_slots(positions, first, last, earliest, p, mask) > 0:
                k, v, n_keys = keys + size * first, values + size * first, last - first
                g = 0
                while g < n_group:
                    if g + together <= n_group:
                        score(q + width * g, width, k, size, n_keys, padded, scores + LINE * g)
                        g += together
                    else:
                        score_1(q + width * g, width, k, size, n_keys, padded, scores + LINE * g)
                        g += 1
                for h in range(n_group):
                    softmax_step(out + width * h, width, sums + 8 * h, scores + LINE * h, mask)
                g = 0
                while g < n_group:
                    if g + together <= n_group:
                        mix(out + width * g, width, v, size, n_keys, padded, scores + LINE * g)
                        g += together
                    else:
                        mix_1(out + width * g, width, v, size, n_keys, padded, scores + LINE * g)
                        g += 1
        end_heads(field(record, Attend.OUT) + offset, n_group, head_dim, padded, out, sums)

    return one_row


@inline
def start_heads(record, source, n_group, head_dim, padded, q, out, sums):
    """Copy the queries, scaled and with zeros behind them; nothing is summed up yet."""
    scale = load_f32(record + WORD * Attend.SCALE)
    for g in range(n_group):
        for i in range(padded):
            inside = i < head_dim
            x = load_f32(source + 4 * (head_dim * g + i)) * scale if inside else np.float32(0)
            store_f32(q + 4 * (padded * g + i), x)
            store_f32(out + 4 * (padded * g + i), np.float32(0))
        store_f32(sums + 8 * g, UNSEEN)
        store_f32(sums + 8 * g + 4, np.float32(0))


@inline
def end_heads(target, n_group, head_dim, padded, out, sums):
    """Divide by the sum of the weights."""
    for g in range(n_group):
        total = load_f32(sums + 8 * g + 4)
        for i in range(head_dim):
            store_f32(target + 4 * (head_dim * g + i), load_f32(out + 4 * (padded * g + i)) / total)
