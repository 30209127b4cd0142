"""Attention over the ring: keys and values are read once for all query heads that share them.

A chunk is one key/value head and a run of rows of one sequence. Softmax is computed on the way
(online softmax, arXiv:1805.02867): with the largest score so far m and the sum of weights l,

    m' = max(m, s)     l' = l · e^(m − m') + e^(s − m')     out' = out · e^(m − m') + e^(s − m') · v

Two shapes of the same formula, by how many queries there are:

    one row      the heads of a group, one after the other; a vector is 16 elements of a head
    many rows    a vector is QUERIES queries, each lane one (row, head); keys and values are scalars

A row at position p sees the slots that hold positions in (p − window, p].
"""

from __future__ import annotations

import numpy as np

from localmix.kernels.attention_many import (
    QUERIES,
    QUERY_FLOATS,
    QUERY_INTS,
    add_rows,
    four_scores,
    masked,
)
from localmix.kernels.attention_one import add_values, score_keys
from localmix.kernels.elementwise import exponential, field
from localmix.kernels.jit import inline, kernel
from localmix.kernels.kv import KV_FORMATS, KVFormat
from localmix.kernels.layout import KEYS_PER_BLOCK, WORD, Attend, AttentionTile, State
from localmix.kernels.simd import (
    load,
    load_f32,
    load_i32,
    maximum,
    splat,
    store,
    store_f32,
    store_i32,
)
from localmix.kernels.slots import NOWHERE, UNSEEN, block_is_seen, position_in, position_of


@inline
def heads_of(record):
    """Query heads, heads that share a key, elements of a head, and those rounded up to 16."""
    n_heads, n_kv = field(record, Attend.N_HEADS), field(record, Attend.N_KV_HEADS)
    head_dim = field(record, Attend.HEAD_DIM)
    return n_heads, n_heads // n_kv, head_dim, (head_dim + 15) // 16 * 16


def _define(kv: KVFormat) -> None:
    read, slot_bytes = kv.read, kv.slot_bytes

    @inline
    def widen_block(source, first, last, padded, out):
        """Keys or values of slots first … last − 1 as float32 [slot][padded]."""
        size = slot_bytes(padded)
        for slot in range(first, last):
            for i in range(0, padded, 16):
                store(
                    out + 4 * ((slot - first) * padded + i), read(source + size * slot, padded, i)
                )

    @inline
    def one_row(record, state, head, row, keys, values, positions, scratch):
        """The heads of a group for one row."""
        n_heads, n_group, head_dim, padded = heads_of(record)
        p, window = load_i32(field(state, State.POSITIONS) + 4 * row), field(record, Attend.WINDOW)
        earliest = max(0, p - window + 1) if window > 0 else 0
        width = 4 * padded
        q, out, heads = scratch, scratch + n_group * width, scratch + 2 * n_group * width
        scores = heads + 8 * n_group
        block = (scores + 4 * KEYS_PER_BLOCK + 63) // 64 * 64
        source = field(record, Attend.Q) + 4 * head_dim * (n_heads * row + head * n_group)
        scale = load_f32(record + WORD * Attend.SCALE)
        for g in range(n_group):
            for i in range(padded):
                inside = i < head_dim
                value = (
                    load_f32(source + 4 * (head_dim * g + i)) * scale if inside else np.float32(0)
                )
                store_f32(q + width * g + 4 * i, value)
                store_f32(out + width * g + 4 * i, np.float32(0))
            store_f32(heads + 8 * g, UNSEEN)
            store_f32(heads + 8 * g + 4, np.float32(0))
        n_slots = field(state, State.N_USED_SLOTS)
        for first in range(0, n_slots, KEYS_PER_BLOCK):
            last = min(n_slots, first + KEYS_PER_BLOCK)
            if block_is_seen(positions, first, last, earliest, p):
                widen_block(keys, first, last, padded, block)
                widen_block(values, first, last, padded, block + width * KEYS_PER_BLOCK)
                for g in range(n_group):
                    largest = score_keys(
                        q + width * g, block, first, last, padded, positions, earliest, p, scores
                    )
                    add_values(
                        out + width * g,
                        heads + 8 * g,
                        block + width * KEYS_PER_BLOCK,
                        last - first,
                        padded,
                        scores,
                        largest,
                    )
        target = field(record, Attend.OUT) + 4 * head_dim * (n_heads * row + head * n_group)
        for g in range(n_group):
            total = load_f32(heads + 8 * g + 4)
            for i in range(head_dim):
                store_f32(
                    target + 4 * (head_dim * g + i), load_f32(out + width * g + 4 * i) / total
                )

    @inline
    def many_rows(record, state, head, first_row, n_rows, keys, values, positions, scratch):
        """All heads of a group for several rows, a query in each lane."""
        n_heads, n_group, head_dim, padded = heads_of(record)
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

    @kernel(f"attend_{kv.name}")
    def attend(record, state, chunk, scratch):
        n_kv = field(record, Attend.N_KV_HEADS)
        head = chunk % n_kv
        tile = field(state, State.TILES) + WORD * len(AttentionTile) * (chunk // n_kv)
        first_row, n_rows = field(tile, AttentionTile.FIRST), field(tile, AttentionTile.COUNT)
        sequence = field(tile, AttentionTile.SEQUENCE)
        offset = (
            field(state, State.LAYER_BYTES) * field(record, Attend.LAYER)
            + field(state, State.SEQUENCE_BYTES) * sequence
            + field(state, State.HEAD_BYTES) * head
        )
        keys, values = field(state, State.KEYS) + offset, field(state, State.VALUES) + offset
        positions = field(state, State.SLOT_POSITIONS) + 4 * field(state, State.N_SLOTS) * sequence
        if n_rows == 1:
            one_row(record, state, head, first_row, keys, values, positions, scratch)
        else:
            many_rows(record, state, head, first_row, n_rows, keys, values, positions, scratch)


for _kv in KV_FORMATS:
    _define(_kv)
