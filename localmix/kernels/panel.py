"""A strip of weight rows times many rows of a batch: what prefill does.

`expand` writes 32 rows as bytes, interleaved so that one register holds the same place of many
rows. Then no sum ever crosses lanes, and a row's scale is one lane of a vector:

    panel    for each group of 16 or 32 weights:
                 bytes [group / step][rows][step] · scales float32 [rows] · offsets float32 [rows]
    tile     the columns, packed alike: see `layout.Tile`

    out[r, c] = Σ_group scale[r] · xd[c] · (q[r] · x[c])  +  offset[r] · (Σ x)[c]

A register tile of rows × columns keeps its sums in registers through the whole row. The panel stays
in the second-level cache and is used for all columns before the next strip is expanded, so the cost
of expanding is shared by all of them.
Source: the idea is ik_llama.cpp's, pull requests 531 to 534; the shape of the tile was measured.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from localmix.kernels.blocks import KBlock, SmallBlock
from localmix.kernels.dot import emit_dot, emit_maddubs, emit_pair_dot, emit_smmla, zeros
from localmix.kernels.jit import inline
from localmix.kernels.layout import Tile
from localmix.kernels.target import TIER
from localmix.kernels.vectors import (
    FAST,
    FLOAT,
    I8,
    I16,
    I32,
    I64,
    Vec,
    call,
    read,
    repeated,
    shuffled,
    write,
)

COLUMNS = TIER.tile_columns
ROWS, STEP = TIER.panel_rows, TIER.step
FLOATS = Vec(TIER.lanes, "f32")
SUMS = types.UniTuple(FLOATS, TIER.tile_rows * COLUMNS)


@dataclass(frozen=True)
class Panel:
    """How the bytes of a format lie in a panel of this tier.

    Attributes:
        group: weights that share a scale, 16 or 32.
        zero: subtracted from every byte by starting sums at −zero · Σ x.
        has_offset: offsets follow the scales.
        signed: bytes are signed.
        highest: largest |byte|.
        per_block: the activations' scale is one for 256 weights, and enters once for them.
    """

    group: int
    zero: int
    has_offset: bool
    signed: bool
    highest: int
    per_block: bool

    @property
    def group_bytes(self) -> int:
        """Bytes of a group of all rows of a panel."""
        return ROWS * (self.group + (8 if self.has_offset else 4))


def panel_of(block: KBlock | SmallBlock) -> Panel:
    """Choose the panel for a format: signed bytes are made unsigned where the CPU wants them so."""
    per_block = isinstance(block, KBlock)
    group = block.group if isinstance(block, KBlock) else 32
    if block.signed and TIER.dot == "vpdpbusd":
        return Panel(group, 128, False, False, 255, per_block)
    return Panel(group, block.zero or 0, block.zero is None, block.signed, block.highest, per_block)


def size(panel: Panel) -> Callable[..., Any]:
    """Make the function that gives the bytes of a panel for n_in weights a row."""
    group, group_bytes = panel.group, panel.group_bytes

    @inline
    def panel_bytes(n_in):
        return n_in // group * group_bytes

    return panel_bytes


# The product.


def product(panel: Panel) -> Callable[..., Any]:
    """Make `multiply(panel address, tile address, n_in)` -> sums[rows × columns] for a panel."""
    add_group, add_part = _group_adder(panel), _part_adder()
    panel_step, tile_step = panel.group_bytes, Tile.group_bytes(COLUMNS)
    in_halves, per_block = panel.group == 16, panel.per_block

    @inline
    def add_32(sums, w, x):
        """The groups that share a record of the tile."""
        sums = add_group(sums, w, x, 0)
        if in_halves:
            sums = add_group(sums, w + panel_step, x, 16)
        return sums

    @inline
    def multiply(w, x, n_in):
        sums = zero_sums()
        step = 2 * panel_step if in_halves else panel_step
        if not per_block:
            for _ in range(n_in // 32):
                sums = add_32(sums, w, x)
                w += step
                x += tile_step
            return sums
        for _ in range(n_in // 256):
            part, xd = zero_sums(), x
            for _ in range(8):
                part = add_32(part, w, x)
                w += step
                x += tile_step
            sums = add_part(sums, part, xd)
        return sums

    return multiply


@intrinsic
def zero_sums(typing: Any) -> Any:
    """A register tile of zeros."""
    return SUMS(), lambda context, b, sig, args: ir.Constant(context.get_value_type(SUMS), None)


def _group_adder(panel: Panel) -> Any:
    """sums[r, c] += scale[r] · (q[r] · x[c] − zero · Σ x[c]) + offset[r] · (Σ x)[c], for one group.

    `start` is 0 or 16, the group's place in the 32 elements of a tile's record; a literal. If the
    activations have a scale for these 32 elements alone, it multiplies scale[r].
    """

    @intrinsic(prefer_literal=True)
    def add_group(typing: Any, sums: Any, w: Any, x: Any, start: Any) -> Any:
        record = _Record(start.literal_value, panel)

        def gen(context: Any, b: Any, sig: Any, args: Any) -> Any:
            sums, w, x, _ = args
            scales = b.add(w, I64(ROWS * panel.group))
            for k, total in enumerate(_emit_int_dots(b, panel, w, x, record)):
                r, c = divmod(k, COLUMNS)
                scale = read(b, b.add(scales, I64(r * TIER.lane_bytes)), FLOATS.ir)
                if not panel.per_block:
                    scale = b.fmul(scale, record.scale(b, x, c), flags=FAST)
                value = b.extract_value(sums, k)
                value = _fma(b, b.sitofp(total, FLOATS.ir), scale, value)
                if panel.has_offset:
                    at = b.add(scales, I64((TIER.tile_rows + r) * TIER.lane_bytes))
                    value = _fma(b, read(b, at, FLOATS.ir), record.total(b, x, c), value)
                sums = b.insert_value(sums, value, k)
            return sums

        return SUMS(SUMS, types.int64, types.int64, start), gen

    return add_group


def _part_adder() -> Any:
    """sums[r, c] += part[r, c] · xd[c]: the activations' scale of 256 elements."""

    @intrinsic
    def add_part(typing: Any, sums: Any, part: Any, x: Any) -> Any:
        record = _Record(0, None)

        def gen(context: Any, b: Any, sig: Any, args: Any) -> Any:
            sums, part, x = args
            for k in range(SUMS.count):
                xd = record.scale(b, x, k % COLUMNS)
                value = _fma(b, b.extract_value(part, k), xd, b.extract_value(sums, k))
                sums = b.insert_value(sums, value, k)
            return sums

        return SUMS(SUMS, SUMS, types.int64), gen

    return add_part


class _Record:
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
        at = b.add(x, I64(32 * COLUMNS + 4 * (self._place * COLUMNS + c)))
        total = b.shl(read(b, at, I32), I32(self._zero.bit_length() - 1))
        return repeated(b, total, TIER.lanes)

    def total(self, b: Any, x: Any, c: int) -> Any:
        """+Σ x as float32 in every lane."""
        return _column(b, x, 44 * COLUMNS + 4 * self._place * COLUMNS, c)

    def scale(self, b: Any, x: Any, c: int) -> Any:
        """The scale of the activations in every lane."""
        return _column(b, x, 56 * COLUMNS, c)


def _column(b: Any, x: Any, offset: int, c: int) -> Any:
    """A float32 of column c in every lane."""
    return repeated(b, read(b, b.add(x, I64(offset + 4 * c)), FLOAT), TIER.lanes)


def _fma(b: Any, x: Any, y: Any, z: Any) -> Any:
    return call(b, f"llvm.fma.v{TIER.lanes}f32", FLOATS.ir, x, y, z)


def _emit_int_dots(b: Any, panel: Panel, w: Any, x: Any, record: _Record) -> list[Any]:
    """Integer dots of one group, [row register][column] flat, in the way of the tier."""
    if TIER.dot == "maddubs":
        return _emit_by_int16(b, panel, w, x, record)
    if TIER.dot == "smmla":
        return _emit_by_smmla(b, panel, w, x, record)
    lanes = TIER.lanes
    acc = [record.start(b, x, k % COLUMNS) for k in range(SUMS.count)]
    x = b.add(x, I64(record.data))
    for s in range(panel.group // 4):
        rows = [
            _bytes(b, w, (s * TIER.tile_rows + r) * TIER.lane_bytes) for r in range(TIER.tile_rows)
        ]
        for c in range(COLUMNS):
            word = read(b, b.add(x, I64(4 * (s * COLUMNS + c))), I32)
            column = b.bitcast(repeated(b, word, lanes), ir.VectorType(I8, 4 * lanes))
            for r in range(TIER.tile_rows):
                k = r * COLUMNS + c
                acc[k] = emit_dot(b, acc[k], rows[r], column, panel.signed)
    return acc


def _emit_by_int16(b: Any, panel: Panel, w: Any, x: Any, record: _Record) -> list[Any]:
    """AVX2: products are added up in int16 for as many steps as cannot overflow, then widened."""
    lanes, one = TIER.lanes, repeated(b, I16(1), 2 * TIER.lanes)
    acc = [record.start(b, x, k % COLUMNS) for k in range(SUMS.count)]
    x = b.add(x, I64(record.data))
    small: list[Any] = [None] * SUMS.count
    in_int16 = max(1, 32767 // (2 * 127 * panel.highest))
    n_steps = panel.group // 4
    for s in range(n_steps):
        rows = [
            _bytes(b, w, (s * TIER.tile_rows + r) * TIER.lane_bytes) for r in range(TIER.tile_rows)
        ]
        sizes = [call(b, f"llvm.abs.v{4 * lanes}i8", v.type, v, ir.IntType(1)(0)) for v in rows]
        for c in range(COLUMNS):
            word = read(b, b.add(x, I64(4 * (s * COLUMNS + c))), I32)
            column = b.bitcast(repeated(b, word, lanes), rows[0].type)
            for r in range(TIER.tile_rows):
                k = r * COLUMNS + c
                if panel.signed:
                    signed = call(b, "llvm.x86.avx2.psign.b", column.type, column, rows[r])
                    pairs = emit_maddubs(b, sizes[r], signed)
                else:
                    pairs = emit_maddubs(b, rows[r], column)
                small[k] = pairs if small[k] is None else b.add(small[k], pairs)
                if (s + 1) % in_int16 == 0 or s + 1 == n_steps:
                    acc[k] = b.add(acc[k], emit_pair_dot(b, small[k], one))
                    small[k] = None
    return acc


def _emit_by_smmla(b: Any, panel: Panel, w: Any, x: Any, record: _Record) -> list[Any]:
    """Arm i8mm: blocks of 2 rows × 2 columns, sorted into row registers afterwards."""
    n_pairs, n_column_pairs = ROWS // 2, COLUMNS // 2
    acc = [[zeros(I32, 4) for _ in range(n_column_pairs)] for _ in range(n_pairs)]
    starts = [record.start(b, x, c) for c in range(COLUMNS)]
    x = b.add(x, I64(record.data))
    for s in range(panel.group // 8):
        columns = [_bytes(b, x, (s * n_column_pairs + j) * 16) for j in range(n_column_pairs)]
        for p in range(n_pairs):
            rows = _bytes(b, w, (s * n_pairs + p) * 16)
            for j in range(n_column_pairs):
                acc[p][j] = emit_smmla(b, acc[p][j], rows, columns[j])
    found: list[Any] = [None] * SUMS.count
    for r in range(TIER.tile_rows):
        for c in range(COLUMNS):
            upper, lower = acc[2 * r][c // 2], acc[2 * r + 1][c // 2]
            first = c % 2
            sorted_ = shuffled(b, upper, lower, [first, first + 2, first + 4, first + 6])
            found[r * COLUMNS + c] = b.add(sorted_, starts[c])
    return found


def _bytes(b: Any, address: Any, offset: int) -> Any:
    return read(b, b.add(address, I64(offset)), ir.VectorType(I8, TIER.lane_bytes))


@intrinsic
def store_sums(typing: Any, out: Any, out_bytes: Any, sums: Any) -> Any:
    """Write a register tile: column c to out + c · out_bytes, its rows one after the other."""

    def gen(context: Any, b: Any, sig: Any, args: Any) -> Any:
        out, out_bytes, sums = args
        for k in range(SUMS.count):
            r, c = divmod(k, COLUMNS)
            at = b.add(b.add(out, b.mul(out_bytes, I64(c))), I64(r * TIER.lane_bytes))
            write(b, at, b.extract_value(sums, k))
        return context.get_dummy_value()

    return types.void(types.int64, types.int64, SUMS), gen
