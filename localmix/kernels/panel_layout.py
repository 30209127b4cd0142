"""How a strip of weight rows lies in memory as bytes, and what stands in the record of a tile.

See `panel.py` for the picture. A panel has ROWS rows: those of one register tile.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from llvmlite import ir
from numba import types

from localmix.kernels.blocks import KBlock, SmallBlock
from localmix.kernels.dot import IS_NEON, zeros
from localmix.kernels.target import TIER
from localmix.kernels.vectors import FLOAT, I32, I64, Vec, read, repeated, shuffled

COLUMNS = TIER.tile_columns
ROWS, STEP = TIER.panel_rows, TIER.step
FLOATS = Vec(TIER.lanes, "f32")
PAIR_BYTES = 20 * ROWS
"""Four int16 pairs of minima and −dmin, for each row of a panel."""
SUMS = types.UniTuple(FLOATS, TIER.tile_rows * COLUMNS)


@dataclass(frozen=True)
class Panel:
    """How the bytes of a format lie in a panel of this tier.

    Attributes:
        group: weights that share a scale, 16 or 32.
        zero: subtracted from every byte by starting sums at −zero · Σ x.
        has_offset: offsets follow the scales.
        has_pairs: minima follow each block of 256 as pairs of int16: two in one instruction.
        signed: bytes are signed.
        highest: largest |byte|.
        per_block: the activations' scale is one for 256 weights, and enters once for them.
    """

    group: int
    zero: int
    has_offset: bool
    has_pairs: bool
    signed: bool
    highest: int
    per_block: bool

    @property
    def group_bytes(self) -> int:
        """Bytes of a group of all rows of a panel."""
        return ROWS * (self.group + (8 if self.has_offset else 4))

    def n_bytes(self, n_weights: int) -> int:
        """Bytes of so many weights, a multiple of a group or block, of all rows of a panel."""
        pairs = n_weights // 256 * PAIR_BYTES if self.has_pairs else 0
        return n_weights // self.group * self.group_bytes + pairs


def panel_of(block: KBlock | SmallBlock) -> Panel:
    """Choose the panel for a format: signed bytes are made unsigned where the CPU wants them so."""
    per_block = isinstance(block, KBlock)
    group = block.group if isinstance(block, KBlock) else 32
    if block.signed and TIER.dot == "vpdpbusd":
        return Panel(group, 128, False, False, False, 255, per_block)
    has_offset = block.zero is None
    has_pairs = has_offset and per_block and group == 32 and TIER.dot == "vpdpbusd"
    return Panel(
        group=group,
        zero=block.zero or 0,
        has_offset=has_offset and not has_pairs,
        has_pairs=has_pairs,
        signed=block.signed,
        highest=block.highest,
        per_block=per_block,
    )


class TileRecord:
    """Where the record of a tile keeps what belongs to the elements of a group."""

    def __init__(self, start: int, panel: Panel | None) -> None:
        whole = panel is None or panel.group == 32
        self.data = start * COLUMNS
        self._place = 2 if whole else start // 16  # [first 16][second 16][all 32], C numbers each
        self._zero = panel.zero if panel else 0

    def start(self, b: Any, x: Any, c: int) -> Any:
        """−zero · Σ x in every lane, where the int32 sums begin; zero is a power of two."""
        if not self._zero:
            return zeros(I32, TIER.lanes)
        return self._times_zero(b, in_every_lane(b, self._sums(b, x), I32, c))

    def start_of_pair(self, b: Any, x: Any, c: int) -> Any:
        """The same for columns c and c + 1 in turn, as `smmla` keeps its sums."""
        if not self._zero:
            return zeros(I32, 4)
        pair = read(b, b.add(self._sums(b, x), I64(4 * c)), ir.VectorType(I32, 2))
        return self._times_zero(b, shuffled(b, pair, pair, [0, 1, 0, 1]))

    def _sums(self, b: Any, x: Any) -> Any:
        return b.add(x, I64(32 * COLUMNS + 4 * self._place * COLUMNS))

    def _times_zero(self, b: Any, x: Any) -> Any:
        return b.shl(x, repeated(b, I32(self._zero.bit_length() - 1), x.type.count))

    def total(self, b: Any, x: Any, c: int) -> Any:
        """+Σ x as float32 in every lane."""
        return _column(b, x, 44 * COLUMNS + 4 * self._place * COLUMNS, c)

    def scale(self, b: Any, x: Any, c: int) -> Any:
        """The scale of the activations in every lane."""
        return _column(b, x, 56 * COLUMNS, c)


def _column(b: Any, x: Any, offset: int, c: int) -> Any:
    """A float32 of column c in every lane."""
    return in_every_lane(b, b.add(x, I64(offset)), FLOAT, c)


def in_every_lane(b: Any, x: Any, kind: Any, i: int, n: int = COLUMNS) -> Any:
    """Word i of the n that stand at x, in every lane.

    x86 repeats a word as it loads it. Arm multiplies by a lane of a register, so there four words
    are loaded together: LLVM sees that they are the same four.
    """
    if not IS_NEON:
        return repeated(b, read(b, b.add(x, I64(4 * i)), kind), TIER.lanes)
    first = i // 4 * 4
    words = ir.VectorType(kind, min(4, n - first))
    four = read(b, b.add(x, I64(4 * first)), words)
    return shuffled(b, four, four, [i - first] * TIER.lanes)
