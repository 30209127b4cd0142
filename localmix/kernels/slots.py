"""Which slots of the ring a row sees."""

from __future__ import annotations

import numpy as np

from localmix.kernels.jit import inline
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
