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

from localmix.kernels.attention_many import many_rows_of
from localmix.kernels.attention_one import one_row_of
from localmix.kernels.elementwise import field
from localmix.kernels.jit import kernel
from localmix.kernels.kv import KV_FORMATS, KVFormat
from localmix.kernels.layout import WORD, Attend, AttentionTile, State


def _define(kv: KVFormat) -> None:
    one_row, many_rows = one_row_of(kv), many_rows_of(kv)

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
