"""What executor and kernels agree on: fields of records and of the state, and how data lies.

Everything is int64; an address is one too. A *record* is one step of a tape and never changes, the
*state* belongs to the batch that runs. No Numba here: both sides import this module.
"""

from __future__ import annotations

from collections import namedtuple
from typing import Any, NamedTuple

WORD = 8
LINE = 128
"""What different threads write lies so many bytes apart: a cache line of Apple silicon, and two of
x86, which fetches them in pairs.
"""

FEW = 8
"""Batches of up to so many rows read weights row by row; longer ones expand strips of rows."""

STRIP = 32
"""Weight rows that are expanded together."""

KEYS_PER_BLOCK = 32
"""Keys that attention looks at together."""


def _fields(names: str, start: int = 0) -> Any:
    """Number names from `start`; Numba reads the result as constants."""
    parts = names.split()
    return namedtuple("Fields", parts)(*range(start, start + len(parts)))


State = _fields(
    """
    CANCEL PAD_1 PAD_2 PAD_3 PAD_4 PAD_5 PAD_6 PAD_7
    PAD_8 PAD_9 PAD_10 PAD_11 PAD_12 PAD_13 PAD_14 PAD_15
    ARRIVED PAD_17 PAD_18 PAD_19 PAD_20 PAD_21 PAD_22 PAD_23
    PAD_24 PAD_25 PAD_26 PAD_27 PAD_28 PAD_29 PAD_30 PAD_31
    GENERATION LEFT PAD_34 PAD_35 PAD_36 PAD_37 PAD_38 PAD_39
    PAD_40 PAD_41 PAD_42 PAD_43 PAD_44 PAD_45 PAD_46 PAD_47
    N_THREADS POLL YIELD COST_PER_POLL
    N_OPS TAPE CHUNKS COUNTERS PROFILE PROFILE_BYTES
    FEW_ROWS N_ROWS POSITIONS SEQUENCES SLOTS COSINES SINES TILES
    KEYS VALUES SLOT_POSITIONS N_SLOTS N_USED_SLOTS
    LAYER_BYTES SEQUENCE_BYTES HEAD_BYTES SLOT_BYTES
    """
)
"""What threads share; from N_OPS on it describes the batch that runs.

Words that are written while others wait have a cache line of their own.
"""

STATE_WORDS = 80
RECORD_WORDS = 24
STEP_BYTES = 2 * WORD
"""For each step of a batch: how many chunks it has, and about how many operations a chunk is."""

Spent = _fields("WAITING WORKING")
"""For each step in the profile of a thread: ticks before its barrier opened, and in its chunks.

State.PROFILE is the address of the first thread's, or 0; PROFILE_BYTES is how far apart they are.
"""

SPENT_BYTES = WORD * len(Spent)

Record = _fields("KERNEL BARRIER")
"""Fields that every record has; a kernel's own follow."""

_OWN = len(Record)

Quantize = _fields("X X_BYTES WIDTH ROW_MAP NORM EPS FLOATS BYTES_32 BYTES_256 ROW_BYTES", _OWN)
"""`quantize`: rows of float32 -> norm -> float32 and bytes."""

Pack = _fields("ROWS ROW_BYTES WIDTH TILES TILE_BYTES ROW_MAP GROUPS N_GROUPS", _OWN)
"""`pack_…`: rows -> tiles of columns."""

Matmul = _fields(
    """
    WEIGHTS N_GROUPS GROUPS N_OUT N_IN ROW_BYTES ROWS X_ROW_BYTES ROW_MAP TILES TILE_BYTES
    OUT OUT_BYTES BIAS FINISH CHUNK_ROWS_FEW CHUNK_ROWS_MANY
    """,
    _OWN,
)
"""`matmul_…`: rows of a matrix times rows of a batch."""

Rotate = _fields("X N_HEADS HEAD_DIM N_ROTATED", _OWN)
"""`rotate`: turn the heads of rows in place."""

Place = _fields("K V N_KV_HEADS HEAD_DIM LAYER", _OWN)
"""`place_…`: store keys and values in the ring."""

Attend = _fields("Q OUT N_HEADS N_KV_HEADS HEAD_DIM WINDOW LAYER SCALE", _OWN)
"""`attend_…`: softmax attention over the ring."""

Route = _fields("LOGITS N_EXPERTS N_USED EXPERTS SHARES GROUPS ROW_MAP PLACES", _OWN)
"""`route`: choose experts and list the rows of each."""

Combine = _fields("PAIRS WIDTH N_USED SHARES PLACES OUT", _OWN)
"""`combine`: add the experts' outputs to the residual stream."""

Finish = _fields("STORE ADD GATE")
"""What becomes of a matrix product: out = y, out += y, out = silu(out) · y."""

Group = _fields("FIRST COUNT TILE")
"""A group of columns: first column, how many, first tile."""

GROUP_BYTES = WORD * len(Group)

AttentionTile = _fields("FIRST COUNT SEQUENCE")
"""A run of rows of one sequence that attention computes together."""


PAGE, HALF_PAGE = 4096, 2048


class _RowRecord(NamedTuple):
    """Where the parts of a record of a quantized row begin, and its bytes."""

    SCALES: int = 256
    SUMS: int = 288
    SUMS_16: int = 320
    SUMS_32: int = 352
    BYTES: int = 384


RowRecord = _RowRecord()


class QuantizedRow:
    """A row of a batch as bytes, in records of 256 elements; twice, in order and then in pairs.

    int8 (256) | scale f32 (8) | scale · Σq f32 (8) | −Σq int16 of each 16 (16) | and of each 32 (8)

    In pairs the first 16 bytes of two groups of 32 come first, then the second 16 of both. The
    int16 sums are negative since minima are subtracted. Of the last record a part may be unused.
    """

    @staticmethod
    def n_bytes(width: int) -> int:
        """Bytes from one row to the next.

        An odd multiple of half a page: columns that are multiplied together would push each other
        out of the first-level cache if they began at the same place of a page.
        """
        used = 2 * -(-width // 256) * RowRecord.BYTES
        return -(-(used - HALF_PAGE) // PAGE) * PAGE + HALF_PAGE


class Tile:
    """Columns of a batch beside each other, as the matrix product reads them: a record per 32.

    bytes [32 / step][C][step] | −Σ int32 of the first 16, the second 16, all 32 | the same sums as
    +Σ float32 | scale float32 | Σ int16 of these 32 and of the next; each of these C times.
    """

    @staticmethod
    def group_bytes(n_columns: int) -> int:
        """Bytes of a record of 32 elements."""
        return 64 * n_columns

    @staticmethod
    def n_bytes(width: int, n_columns: int) -> int:
        """Bytes of a whole tile."""
        return width // 32 * Tile.group_bytes(n_columns)
