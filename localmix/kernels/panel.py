"""A strip of weight rows times many rows of a batch: what prefill does.

`expand` writes 32 rows as bytes, interleaved so that one register holds the same place of many
rows. Then no sum ever crosses lanes, and a row's scale is one lane of a vector:

    panel    for each group of 16 or 32 weights:
                 bytes [group / step][rows][step] · scales float32 [rows] · offsets float32 [rows]
             or, instead of the offsets, after 8 groups:
                 minima of two groups int16 [4][rows][2] · −dmin float32 [rows]
    tile     the columns, packed alike: see `layout.Tile`

    out[r, c] = Σ_group scale[r] · xd[c] · (q[r] · x[c])  +  offset[r] · (Σ x)[c]

A register tile of rows × columns keeps its sums in registers through the whole row. The panel stays
in the second-level cache and is used for all columns before the next strip is expanded, so the cost
of expanding is shared by all of them.
Source: the idea is ik_llama.cpp's, pull requests 531 to 534; the shape of the tile was measured.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from localmix.kernels.dot import IS_NEON, emit_hidden, zeros
from localmix.kernels.jit import inline
from localmix.kernels.layout import Tile
from localmix.kernels.panel_dots import emit_int_dots
from localmix.kernels.panel_layout import COLUMNS, FLOATS, PAIR_BYTES, ROWS, SUMS, Panel, TileRecord
from localmix.kernels.target import TIER
from localmix.kernels.vectors import (
    FAST,
    I16,
    I32,
    I64,
    call,
    read,
    repeated,
    write,
)


def size(panel: Panel) -> Callable[..., Any]:
    """Make the function that gives the bytes of a panel for n_in weights a row."""
    group, group_bytes = panel.group, panel.group_bytes
    pair_bytes = PAIR_BYTES if panel.has_pairs else 0

    @inline
    def panel_bytes(n_in):
        return n_in // group * group_bytes + n_in // 256 * pair_bytes

    return panel_bytes


def product(panel: Panel) -> Callable[..., Any]:
    """Make `multiply(panel address, tile address, n_in)` -> sums[rows × columns] for a panel."""
    add_group, add_part = _group_adder(panel), _part_adder()
    panel_step, tile_step = panel.group_bytes, Tile.group_bytes(COLUMNS)
    in_halves, per_block, has_pairs = panel.group == 16, panel.per_block, panel.has_pairs

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
            if has_pairs:
                part = add_minima(part, w, xd)
                w += PAIR_BYTES
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
    in_halves = panel.group == 16

    @intrinsic(prefer_literal=True)
    def add_group(typing: Any, sums: Any, w: Any, x: Any, start: Any) -> Any:
        record = TileRecord(start.literal_value, panel)

        def gen(context: Any, b: Any, sig: Any, args: Any) -> Any:
            sums, w, x, _ = args
            scales = b.add(w, I64(ROWS * panel.group))
            for k, total in enumerate(emit_int_dots(b, panel, w, x, record)):
                r, c = divmod(k, COLUMNS)
                scale = read(b, b.add(scales, I64(r * TIER.lane_bytes)), FLOATS.ir)
                if not panel.per_block:
                    scale = b.fmul(scale, record.scale(b, x, c), flags=FAST)
                value = b.extract_value(sums, k)
                value = _fma(b, b.sitofp(total, FLOATS.ir), scale, value)
                if panel.has_offset:
                    at = b.add(scales, I64((TIER.tile_rows + r) * TIER.lane_bytes))
                    value = _fma(b, read(b, at, FLOATS.ir), record.total(b, x, c), value)
                if IS_NEON and in_halves and k + 1 == SUMS.count:
                    # The sums of one half leave no registers for operands of the next.
                    value = emit_hidden(b, value, in_order=True)
                sums = b.insert_value(sums, value, k)
            return sums

        return SUMS(SUMS, types.int64, types.int64, start), gen

    return add_group


@intrinsic
def add_minima(typing: Any, sums: Any, w: Any, x: Any) -> Any:
    """sums[r, c] += −dmin[r] · Σ_g minimum[r, g] · (Σ x)[c, g] over the eight groups of a block."""

    def gen(context: Any, b: Any, sig: Any, args: Any) -> Any:
        sums, w, x = args
        name = f"llvm.x86.avx512.vpdpwssd.{8 * TIER.lane_bytes}"
        words = ir.VectorType(I16, 2 * TIER.lanes)
        for r in range(TIER.tile_rows):
            at = b.add(w, I64(r * TIER.lane_bytes))
            dmin = read(b, b.add(at, I64(4 * 4 * ROWS)), FLOATS.ir)
            minima = [read(b, b.add(at, I64(4 * ROWS * i)), words) for i in range(4)]
            for c in range(COLUMNS):
                total = zeros(I32, TIER.lanes)
                for i in range(4):
                    place = 2 * i * Tile.group_bytes(COLUMNS) + 60 * COLUMNS + 4 * c
                    pair = repeated(b, read(b, b.add(x, I64(place)), I32), TIER.lanes)
                    total = call(b, name, total.type, total, minima[i], b.bitcast(pair, words))
                k = r * COLUMNS + c
                value = _fma(b, b.sitofp(total, FLOATS.ir), dmin, b.extract_value(sums, k))
                sums = b.insert_value(sums, value, k)
        return sums

    return SUMS(SUMS, types.int64, types.int64), gen


def _part_adder() -> Any:
    """sums[r, c] += part[r, c] · xd[c]: the activations' scale of 256 elements."""

    @intrinsic
    def add_part(typing: Any, sums: Any, part: Any, x: Any) -> Any:
        record = TileRecord(0, None)

        def gen(context: Any, b: Any, sig: Any, args: Any) -> Any:
            sums, part, x = args
            for k in range(SUMS.count):
                xd = record.scale(b, x, k % COLUMNS)
                value = _fma(b, b.extract_value(part, k), xd, b.extract_value(sums, k))
                sums = b.insert_value(sums, value, k)
            return sums

        return SUMS(SUMS, SUMS, types.int64), gen

    return add_part


def _fma(b: Any, x: Any, y: Any, z: Any) -> Any:
    return call(b, f"llvm.fmuladd.v{TIER.lanes}f32", FLOATS.ir, x, y, z)


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
