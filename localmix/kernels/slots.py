"""What both kinds of attention need to know: heads, and which slots of the ring a row sees."""

from __future__ import annotations

import numpy as np

from localmix.kernels.elementwise import field
from localmix.kernels.jit import inline
from localmix.kernels.layout import Attend
from localmix.kernels.simd import load_i32

UNSEEN = np.float32(-1e30)
"""Score of a key that a row does not see: its weight is 0 beside any other."""
NOWHERE = np.int32(2**31 - 1)
"""Position of an empty slot: later than every row."""


@inline
def position_of(positions, slot):
    """Position that a slot holds."""
    p = load_i32(positions + 4 * slot)
    return NOWHERE if p < 0 else p


@inline
def block_is_seen(positions, first, last, earliest, latest):
    """Whether a block of slots has a position from `earliest` to `latest`."""
    for slot in range(first, last):
        p = load_i32(positions + 4 * slot)
        if earliest <= p <= latest:
            return True
    return False


@inline
def position_in(positions, slot, last):
    """As `position_of`; slots from `last` on count as empty."""
    return position_of(positions, slot) if slot < last else NOWHERE


@inline
def heads_of(record, step):
    """Query heads, heads that share a key, elements of a head, and those rounded up to `step`."""
    n_heads, n_kv = field(record, Attend.N_HEADS), field(record, Attend.N_KV_HEADS)
    head_dim = field(record, Attend.HEAD_DIM)
    return n_heads, n_heads // n_kv, head_dim, (head_dim + step - 1) // step * step
