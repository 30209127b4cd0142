"""The integer part of a register tile: dot products of one group, in the way of the tier."""

from __future__ import annotations

from typing import Any

from llvmlite import ir

from localmix.kernels.dot import emit_dot, emit_maddubs, emit_pair_dot, emit_smmla
from localmix.kernels.panel_layout import (
    COLUMNS,
    ROWS,
    SUMS,
    Panel,
    TileRecord,
    in_every_lane,
)
from localmix.kernels.target import TIER
from localmix.kernels.vectors import I8, I16, I32, I64, call, read, repeated, shuffled


def emit_int_dots(b: Any, panel: Panel, w: Any, x: Any, record: TileRecord) -> list[Any]:
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
            word = in_every_lane(b, x, I32, s * COLUMNS + c, panel.group // 4 * COLUMNS)
            column = b.bitcast(word, ir.VectorType(I8, 4 * lanes))
            for r in range(TIER.tile_rows):
                k = r * COLUMNS + c
                acc[k] = emit_dot(b, acc[k], rows[r], column, panel.signed)
    return acc


def _emit_by_int16(b: Any, panel: Panel, w: Any, x: Any, record: TileRecord) -> list[Any]:
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


def _emit_by_smmla(b: Any, panel: Panel, w: Any, x: Any, record: TileRecord) -> list[Any]:
    """Arm i8mm: blocks of 2 rows × 2 columns, sorted into row registers afterwards."""
    n_pairs, n_column_pairs = ROWS // 2, COLUMNS // 2
    starts = [record.start_of_pair(b, x, 2 * j) for j in range(n_column_pairs)]
    acc = [list(starts) for _ in range(n_pairs)]
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
            in_order = [first, first + 2, first + 4, first + 6]
            found[r * COLUMNS + c] = shuffled(b, upper, lower, in_order)
    return found


def _bytes(b: Any, address: Any, offset: int) -> Any:
    return read(b, b.add(address, I64(offset)), ir.VectorType(I8, TIER.lane_bytes))
