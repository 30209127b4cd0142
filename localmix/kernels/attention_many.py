"""Attention of many rows: each lane is one query, and keys and values are numbers.

Nothing crosses lanes. A query is a (row, head): all heads of a group, for several rows.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from localmix.kernels.elementwise import exponential, field
from localmix.kernels.jit import inline
from localmix.kernels.kv import HEAD_LANES, KVFormat
from localmix.kernels.layout import KEYS_PER_BLOCK, WORD, Attend, State
from localmix.kernels.simd import (
    choose_greater,
    fma,
    load,
    load_f32,
    load_i32,
    maximum,
    splat,
    store,
    store_f32,
    store_i32,
)
from localmix.kernels.slots import (
    NOWHERE,
    UNSEEN,
    block_is_seen,
    heads_of,
    position_in,
    position_of,
)
from localmix.kernels.target import TIER
from localmix.kernels.vectors import Vec

QUERIES = TIER.queries
QUERY_FLOATS, QUERY_INTS = Vec(QUERIES, "f32"), Vec(QUERIES, "i32")


@inline
def four_scores(q, keys, padded):
    """q · key for four keys that follow one another."""
    a, b, c, d = (
        splat(QUERY_FLOATS, 0.0),
        splat(QUERY_FLOATS, 0.0),
        splat(QUERY_FLOATS, 0.0),
        splat(QUERY_FLOATS, 0.0),
    )
    for i in range(padded):
        x, k = load(QUERY_FLOATS, q + 4 * QUERIES * i), keys + 4 * i
        a = fma(x, splat(QUERY_FLOATS, load_f32(k)), a)
        b = fma(x, splat(QUERY_FLOATS, load_f32(k + 4 * padded)), b)
        c = fma(x, splat(QUERY_FLOATS, load_f32(k + 8 * padded)), c)
        d = fma(x, splat(QUERY_FLOATS, load_f32(k + 12 * padded)), d)
    return a, b, c, d


@inline
def masked(scores, position, latest, oldest):
    """UNSEEN for queries whose window (oldest, latest] the position is outside of."""
    here, unseen = splat(QUERY_INTS, position), splat(QUERY_FLOATS, UNSEEN)
    return choose_greater(here, latest, unseen, choose_greater(here, oldest, scores, unseen))


@inline
def add_rows(out, weights, values, n_keys, padded, shrink):
    """out = out · shrink + Σ_j weight_j · value_j, four elements of a head at a time."""
    line = 4 * QUERIES
    for i in range(0, padded, 4):
        at = out + line * i
        a, b = load(QUERY_FLOATS, at) * shrink, load(QUERY_FLOATS, at + line) * shrink
        c, d = (
            load(QUERY_FLOATS, at + 2 * line) * shrink,
            load(QUERY_FLOATS, at + 3 * line) * shrink,
        )
        for j in range(n_keys):
            w, v = load(QUERY_FLOATS, weights + line * j), values + 4 * (padded * j + i)
            a = fma(w, splat(QUERY_FLOATS, load_f32(v)), a)
            b = fma(w, splat(QUERY_FLOATS, load_f32(v + 4)), b)
            c = fma(w, splat(QUERY_FLOATS, load_f32(v + 8)), c)
            d = fma(w, splat(QUERY_FLOATS, load_f32(v + 12)), d)
        store(at, a)
        store(at + line, b)
        store(at + 2 * line, c)
        store(at + 3 * line, d)


def many_rows_of(kv: KVFormat) -> Callable[..., Any]:
    """Make attention of several rows of one sequence: all heads of a group over the ring."""
    widen, slot_bytes, step = kv.read, kv.slot_bytes, kv.step

    @inline
    def widen_block(source, first, last, padded, out):
        """Keys or values of slots first … last − 1 as float32 [slot][padded]."""
        size = slot_bytes(padded)
        for slot in range(first, last):
            at = out + 4 * padded * (slot - first)
            for i in range(0, padded, HEAD_LANES):
                store(at + 4 * i, widen(source + size * slot, padded, i))

    @inline
    def many_rows(record, state, head, first_row, n_rows, keys, values, positions, scratch):
        """All heads of a group for several rows, a query in each lane."""
        n_heads, n_group, head_dim, padded = heads_of(record, step)
        window, at = field(record, Attend.WINDOW), field(state, State.POSITIONS)
        line = 4 * QUERIES
        q, out = scratch, scratch + line * padded
        scores = out + line * padded
        block = scores + line * KEYS_PER_BLOCK
        places = block + 8 * padded * KEYS_PER_BLOCK
        scale = load_f32(record + WORD * Attend.SCALE)
        earliest, latest = 2**31, 0
        for lane_ in range(QUERIES):
            row = first_row + min(lane_ // n_group, n_rows - 1)
            h = head * n_group + lane_ % n_group
            source = field(record, Attend.Q) + 4 * head_dim * (n_heads * row + h)
            for i in range(padded):
                inside = i < head_dim
                value = load_f32(source + 4 * i) * scale if inside else np.float32(0)
                store_f32(q + line * i + 4 * lane_, value)
            p = load_i32(at + 4 * row)
            store_i32(places + 4 * lane_, p)
            earliest, latest = min(earliest, p), max(latest, p)
        positions_of_rows = load(QUERY_INTS, places)
        oldest = positions_of_rows - (window if window > 0 else NOWHERE)
        earliest = max(0, earliest - window + 1) if window > 0 else 0
        for i in range(padded):
            store(out + line * i, splat(QUERY_FLOATS, 0.0))
        largest, total = splat(QUERY_FLOATS, UNSEEN), splat(QUERY_FLOATS, 0.0)
        n_slots = field(state, State.N_USED_SLOTS)
        for first in range(0, n_slots, KEYS_PER_BLOCK):
            last = min(n_slots, first + KEYS_PER_BLOCK)
            if block_is_seen(positions, first, last, earliest, latest):
                widen_block(keys, first, last, padded, block)
                widen_block(values, first, last, padded, block + 4 * padded * KEYS_PER_BLOCK)
                new = largest
                for j in range(0, last - first, 4):
                    s0, s1, s2, s3 = four_scores(q, block + 4 * padded * j, padded)
                    # A block may end early: what lies behind it is an empty slot to everyone.
                    s0 = masked(s0, position_of(positions, first + j), positions_of_rows, oldest)
                    s1 = masked(
                        s1, position_in(positions, first + j + 1, last), positions_of_rows, oldest
                    )
                    s2 = masked(
                        s2, position_in(positions, first + j + 2, last), positions_of_rows, oldest
                    )
                    s3 = masked(
                        s3, position_in(positions, first + j + 3, last), positions_of_rows, oldest
                    )
                    store(scores + line * j, s0)
                    store(scores + line * (j + 1), s1)
                    store(scores + line * (j + 2), s2)
                    store(scores + line * (j + 3), s3)
                    new = maximum(new, maximum(maximum(s0, s1), maximum(s2, s3)))
                shrink = exponential(largest - new)
                largest, total = new, total * shrink
                for j in range(last - first):
                    weight = exponential(load(QUERY_FLOATS, scores + line * j) - new)
                    store(scores + line * j, weight)
                    total = total + weight
                add_rows(
                    out, scores, block + 4 * padded * KEYS_PER_BLOCK, last - first, padded, shrink
                )
        for i in range(head_dim):
            store(out + line * i, load(QUERY_FLOATS, out + line * i) / total)
        for lane_ in range(n_rows * n_group):
            row, h = first_row + lane_ // n_group, head * n_group + lane_ % n_group
            target = field(record, Attend.OUT) + 4 * head_dim * (n_heads * row + h)
            for i in range(head_dim):
                store_f32(target + 4 * i, load_f32(out + line * i + 4 * lane_))

    return many_rows
