"""Matrix products: rows of a weight matrix times rows of a batch, for every block format.

A kernel call computes one chunk: some weight rows of one *group*, for all columns of that group.
A dense layer has one group, all rows of the batch; a mixture has one for each expert, the rows that
chose it. Few columns read the weights row by row where they lie (`rows.py`), many expand a strip of
them first (`panel.py`). Both leave the products in scratch memory, and `finish` says what becomes
of them. With two matrices (gate and up) the two products end as silu(gate) · up.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from localmix.kernels import expand, floats, panel, panel_layout, rows
from localmix.kernels.elementwise import field, mapped, silu
from localmix.kernels.jit import inline, kernel
from localmix.kernels.k_blocks import K_BLOCKS
from localmix.kernels.layout import (
    FEW,
    GROUP_BYTES,
    STRIP,
    WORD,
    Finish,
    Group,
    Matmul,
    State,
)
from localmix.kernels.panel import store_sums
from localmix.kernels.simd import load, load_f32, prefetch, store, store_f32
from localmix.kernels.small_blocks import FLOAT_FORMATS, SMALL_BLOCKS
from localmix.kernels.target import FETCHED, TIER
from localmix.kernels.vectors import F32x16

COLUMNS, ROWS = TIER.tile_columns, TIER.panel_rows


OUT_BYTES = 4 * STRIP
"""Products of a strip lie in scratch memory as [column][STRIP rows] float32."""


@inline
def finish(record, group, first_row, n_rows, products, others):
    """Write the products of a strip where they belong; `others` are those of the second matrix."""
    first, bias, how = (
        field(group, Group.FIRST),
        field(record, Matmul.BIAS),
        field(record, Matmul.FINISH),
    )
    for c in range(field(group, Group.COUNT)):
        out = (
            field(record, Matmul.OUT)
            + field(record, Matmul.OUT_BYTES) * (first + c)
            + 4 * first_row
        )
        for r in range(0, n_rows, 16):
            at = products + OUT_BYTES * c + 4 * r
            value = load(F32x16, at)
            if bias != 0:
                value = value + load(F32x16, bias + 4 * (first_row + r))
            if others != 0:
                value = silu(value) * load(F32x16, others + OUT_BYTES * c + 4 * r)
            if how == Finish.ADD:
                value = load(F32x16, out + 4 * r) + value
            elif how == Finish.GATE:
                value = silu(load(F32x16, out + 4 * r)) * value
            if r + 16 <= n_rows:
                store(out + 4 * r, value)
            else:
                store(at, value)
                for i in range(n_rows - r):
                    store_f32(out + 4 * (r + i), load_f32(at + 4 * i))


@inline
def column(record, group, c):
    """Address of the row of the batch that is column c of a group."""
    row = mapped(field(record, Matmul.ROW_MAP), field(group, Group.FIRST) + c)
    return field(record, Matmul.ROWS) + field(record, Matmul.X_ROW_BYTES) * row


def _few_columns(dots: rows.RowDots) -> Callable[..., Any]:
    """Make the product for up to FEW columns: a row of weights serves up to four at once.

    All rows of a strip meet the same columns before the next columns come: what is done once for a
    row has to be little, since a row takes a tenth of a microsecond.
    """
    one, two, four = dots

    @inline
    def few(record, group, weights, first_row, n_rows, out, scratch, next_row):
        n_in, row_bytes = field(record, Matmul.N_IN), field(record, Matmul.ROW_BYTES)
        count, weights = field(group, Group.COUNT), weights + row_bytes * first_row
        c = 0
        while c < count:
            at, x0 = out + OUT_BYTES * c, column(record, group, c)
            if c + 4 <= count:
                x1, x2 = column(record, group, c + 1), column(record, group, c + 2)
                x3 = column(record, group, c + 3)
                for r in range(n_rows):
                    s0, s1, s2, s3 = four(weights + row_bytes * r, n_in, x0, x1, x2, x3)
                    store_f32(at + 4 * r, s0)
                    store_f32(at + 4 * r + OUT_BYTES, s1)
                    store_f32(at + 4 * r + 2 * OUT_BYTES, s2)
                    store_f32(at + 4 * r + 3 * OUT_BYTES, s3)
                c += 4
            elif c + 2 <= count:
                x1 = column(record, group, c + 1)
                for r in range(n_rows):
                    s0, s1 = two(weights + row_bytes * r, n_in, x0, x1)
                    store_f32(at + 4 * r, s0)
                    store_f32(at + 4 * r + OUT_BYTES, s1)
                c += 2
            else:
                for r in range(n_rows):
                    (s0,) = one(weights + row_bytes * r, n_in, x0)
                    store_f32(at + 4 * r, s0)
                c += 1

    return few


def _many_columns(
    expand: Callable[..., Any], multiply: Callable[..., Any], panel_bytes: Callable[..., Any]
) -> Callable[..., Any]:
    """Make the product for many columns: expand the strip, then use it for all of them.

    Meanwhile the strip that this thread will probably expand next is fetched, a share per tile.
    """

    @inline
    def many(record, group, weights, first_row, n_rows, out, scratch, next_row):
        n_in, row_bytes = field(record, Matmul.N_IN), field(record, Matmul.ROW_BYTES)
        expand(weights + row_bytes * first_row, row_bytes, n_rows, n_in, scratch)
        n_tiles = (field(group, Group.COUNT) + COLUMNS - 1) // COLUMNS
        ahead = weights + row_bytes * next_row
        share = (STRIP * row_bytes // n_tiles // FETCHED + 1) * FETCHED
        end = weights + row_bytes * min(next_row + STRIP, field(record, Matmul.N_OUT))
        tile_bytes = field(record, Matmul.TILE_BYTES)
        x = field(record, Matmul.TILES) + tile_bytes * field(group, Group.TILE)
        for c in range(0, field(group, Group.COUNT), COLUMNS):
            for p in range(0, n_rows, ROWS):
                sums = multiply(scratch + p // ROWS * panel_bytes(n_in), x, n_in)
                store_sums(out + OUT_BYTES * c + 4 * p, OUT_BYTES, sums)
            for at in range(ahead, min(ahead + share, end), FETCHED):
                prefetch(at, FETCHED)
            ahead += share
            x += tile_bytes

    return many


def _define(name: str, few: Callable[..., Any], many: Callable[..., Any]) -> None:
    """Define the kernel `matmul_<format>`."""

    @inline
    def multiply(record, group, weights, first_row, n_rows, out, scratch, next_row):
        if field(group, Group.COUNT) <= FEW:
            few(record, group, weights, first_row, n_rows, out, scratch, next_row)
        else:
            many(record, group, weights, first_row, n_rows, out, scratch, next_row)

    @kernel(f"matmul_{name.lower()}")
    def matmul(record, state, chunk, scratch):
        is_few = field(state, State.FEW_ROWS) != 0
        per_chunk = field(record, Matmul.CHUNK_ROWS_FEW if is_few else Matmul.CHUNK_ROWS_MANY)
        n_out = field(record, Matmul.N_OUT)
        n_chunks = (n_out + per_chunk - 1) // per_chunk
        g, first_row = chunk // n_chunks, chunk % n_chunks * per_chunk
        group = field(record, Matmul.GROUPS) + GROUP_BYTES * g
        weights = field(record, Matmul.WEIGHTS) + 2 * WORD * g
        matrix, other = field(weights, 0), field(weights, 1)
        if matrix == 0:  # this group's matrix has another format, and a step of its own
            return
        room = OUT_BYTES * (field(group, Group.COUNT) + COLUMNS)
        products, others = scratch, 0 if other == 0 else scratch + room
        for r in range(first_row, min(n_out, first_row + per_chunk), STRIP):
            n_rows, next_row = min(STRIP, n_out - r), r + STRIP * field(state, State.N_THREADS)
            multiply(record, group, matrix, r, n_rows, products, scratch + 2 * room, next_row)
            if other != 0:
                multiply(record, group, other, r, n_rows, others, scratch + 2 * room, next_row)
            finish(record, group, r, n_rows, products, others)


def _define_all() -> None:
    for block in (*SMALL_BLOCKS, *K_BLOCKS):
        layout = panel_layout.panel_of(block)
        many = _many_columns(
            expand.expander(block, layout), panel.product(layout), panel.size(layout)
        )
        _define(block.name, _few_columns(rows.row_dots(block)), many)
    for plain in FLOAT_FORMATS:
        many = _many_columns(floats.expander(plain), floats.multiply, floats.panel_bytes)
        _define(plain.name, _few_columns(rows.row_dots(plain)), many)


_define_all()
