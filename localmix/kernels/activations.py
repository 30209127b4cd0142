"""Rows of a batch on their way into matrix products: normalised, made bytes, packed.

Bytes are made with a scale for each 32 elements, for small blocks, or for each 256, for K-blocks,
as llama.cpp does (`quantize_row_q8_0`, `quantize_row_q8_K`); scales stay float32. A row that holds
NaN or infinity gets scales of NaN, so damage reaches the logits instead of being rounded away.
"""

from __future__ import annotations

import numpy as np

from localmix.kernels.elementwise import (
    field,
    mapped,
    place_of_half,
    record_of,
    root_mean_square,
    row_in_pairs,
)
from localmix.kernels.jit import inline, kernel
from localmix.kernels.layout import GROUP_BYTES, WORD, Group, Pack, Quantize, RowRecord, Tile
from localmix.kernels.simd import (
    absolute,
    convert,
    hmax,
    hsum,
    load,
    load_f32,
    load_i16,
    load_i32,
    maximum,
    rounded,
    splat,
    store,
    store_f32,
    store_i16,
    store_i32,
    take,
)
from localmix.kernels.target import TIER
from localmix.kernels.vectors import F32x16, F32x32, I8x16, I8x32

COLUMNS, STEP = TIER.tile_columns, TIER.step
LARGEST = np.float32(127)
TILE_GROUP = Tile.group_bytes(COLUMNS)


@kernel("quantize")
def quantize(record, state, row, scratch):
    """x -> [· norm weight / root mean square] -> float32 row, bytes by 32, bytes by 256."""
    width = field(record, Quantize.WIDTH)
    source = mapped(field(record, Quantize.ROW_MAP), row)
    x = field(record, Quantize.X) + field(record, Quantize.X_BYTES) * source
    norm = field(record, Quantize.NORM)
    floats = field(record, Quantize.FLOATS)
    at = scratch if floats == 0 else floats + 4 * width * row
    if norm != 0:
        scale = root_mean_square(x, width, load_f32(record + WORD * Quantize.EPS))
        scale_row(x, norm, scale, width, at)
        x = at
    elif floats != 0:
        copy_row(x, width, at)
    row_bytes = field(record, Quantize.ROW_BYTES)
    by_32, by_256 = field(record, Quantize.BYTES_32), field(record, Quantize.BYTES_256)
    if by_32 != 0:
        quantize_row(x, width, 32, by_32 + row * row_bytes)
    if by_256 != 0:
        quantize_row(x, width, 256, by_256 + row * row_bytes)


@inline
def scale_row(x, weight, scale, width, out):
    """out = x · scale · weight."""
    for i in range(width // 16):
        v = load(F32x16, x + 64 * i) * splat(F32x16, scale)
        store(out + 64 * i, v * load(F32x16, weight + 64 * i))
    for i in range(width // 16 * 16, width):
        store_f32(out + 4 * i, load_f32(x + 4 * i) * scale * load_f32(weight + 4 * i))


@inline
def copy_row(x, width, out):
    """out = x."""
    for i in range(width):
        store_f32(out + 4 * i, load_f32(x + 4 * i))


@inline
def quantize_row(x, width, block, out):
    """One row as bytes; see `layout.QuantizedRow` for the places."""
    pairs = row_in_pairs(out, width)
    for b in range(width // block):
        largest, damage = splat(F32x32, 0.0), splat(F32x32, 0.0)
        for i in range(block // 32):
            v = load(F32x32, x + 4 * (b * block + 32 * i))
            largest = maximum(largest, absolute(v))
            damage = damage + v * 0.0  # NaN if an element is NaN or infinite
        amax = hmax(largest)
        scale = amax / LARGEST + hsum(damage)
        inverse = LARGEST / amax if amax > 0 else np.float32(0)
        for i in range(block // 32):
            g = b * (block // 32) + i
            q = rounded(load(F32x32, x + 128 * g) * splat(F32x32, inverse))
            low, high = take(q, 0, 16, 1), take(q, 16, 16, 1)
            store(record_of(out, g) + 32 * (g % 8), convert(I8x32, q))
            store(place_of_half(pairs, g, 0), convert(I8x16, low))
            store(place_of_half(pairs, g, 1), convert(I8x16, high))
            first, second = hsum(low), hsum(high)
            store_sums(record_of(out, g), g % 8, scale, first, second)
            store_sums(record_of(pairs, g), g % 8, scale, first, second)


@inline
def store_sums(record, group, scale, first, second):
    """What a record says of one of its groups, whose halves have these sums."""
    store_f32(record + RowRecord.SCALES + 4 * group, scale)
    store_f32(record + RowRecord.SUMS + 4 * group, scale * np.float32(first + second))
    store_i16(record + RowRecord.SUMS_16 + 4 * group, -first)
    store_i16(record + RowRecord.SUMS_16 + 4 * group + 2, -second)
    store_i16(record + RowRecord.SUMS_32 + 2 * group, -(first + second))


@kernel("pack_32")
def pack_32(record, state, tile, scratch):
    """Columns for small blocks: the sums as float32 have the activations' scale in them."""
    pack_columns(record, tile, True)


@kernel("pack_256")
def pack_256(record, state, tile, scratch):
    """Columns for K-blocks: the sums are plain, the scale follows once for 256 elements."""
    pack_columns(record, tile, False)


@inline
def pack_columns(record, tile, scaled):
    """Put the rows of one tile beside each other; a column that has no row is zero."""
    width, rows = field(record, Pack.WIDTH), field(record, Pack.ROWS)
    row_bytes, row_map = field(record, Pack.ROW_BYTES), field(record, Pack.ROW_MAP)
    first, count = columns_of(field(record, Pack.GROUPS), field(record, Pack.N_GROUPS), tile)
    out = field(record, Pack.TILES) + tile * field(record, Pack.TILE_BYTES)
    for c in range(COLUMNS):
        if c < count:
            pack_column(rows + row_bytes * mapped(row_map, first + c), width, out, c, scaled)
        elif count > 0:
            clear_column(width, out, c)


@inline
def columns_of(groups, n_groups, tile):
    """The first column of a tile and how many it has; (0, 0) if no group has such a tile."""
    for g in range(n_groups):
        group = groups + GROUP_BYTES * g
        count, first_tile = field(group, Group.COUNT), field(group, Group.TILE)
        within = COLUMNS * (tile - first_tile)
        if 0 <= within < count:
            return field(group, Group.FIRST) + within, min(COLUMNS, count - within)
    return 0, 0


@inline
def pack_column(x, width, out, c, scaled):
    """Spread one row over a tile, in pieces of STEP bytes; see `layout.Tile`."""
    for g in range(width // 32):
        at, record, within = out + g * TILE_GROUP, record_of(x, g), g % 8
        for s in range(32 // STEP):
            piece = record + 32 * within + STEP * s
            place = at + STEP * (COLUMNS * s + c)
            store_i32(place, load_i32(piece))
            if STEP == 8:
                store_i32(place + 4, load_i32(piece + 4))
        scale = load_f32(record + RowRecord.SCALES + 4 * within)
        sums = record + RowRecord.SUMS_16 + 4 * within
        first, second = -load_i16(sums), -load_i16(sums + 2)
        factor = scale if scaled else np.float32(1)
        at += 32 * COLUMNS + 4 * c
        store_i32(at, -first)
        store_i32(at + 4 * COLUMNS, -second)
        store_i32(at + 8 * COLUMNS, -(first + second))
        store_f32(at + 12 * COLUMNS, factor * np.float32(first))
        store_f32(at + 16 * COLUMNS, factor * np.float32(second))
        store_f32(at + 20 * COLUMNS, factor * np.float32(first + second))
        store_f32(at + 24 * COLUMNS, scale)
        store_i16(at + 28 * COLUMNS, first + second)
        if g > 0:
            store_i16(at - TILE_GROUP + 28 * COLUMNS + 2, first + second)


@inline
def clear_column(width, out, c):
    """A column of zeros."""
    for g in range(width // 32):
        at = out + g * TILE_GROUP
        for s in range(32 // STEP):
            store_i32(at + STEP * (COLUMNS * s + c), 0)
            if STEP == 8:
                store_i32(at + STEP * (COLUMNS * s + c) + 4, 0)
        for k in range(8):
            store_i32(at + 32 * COLUMNS + 4 * (k * COLUMNS + c), 0)


@kernel("pack_floats")
def pack_floats(record, state, tile, scratch):
    """Columns of float32 for weights without blocks: element k of C columns beside each other."""
    width, rows = field(record, Pack.WIDTH), field(record, Pack.ROWS)
    row_bytes, row_map = field(record, Pack.ROW_BYTES), field(record, Pack.ROW_MAP)
    first, count = columns_of(field(record, Pack.GROUPS), field(record, Pack.N_GROUPS), tile)
    out = field(record, Pack.TILES) + tile * field(record, Pack.TILE_BYTES)
    for c in range(COLUMNS if count > 0 else 0):
        x = rows + row_bytes * mapped(row_map, first + min(c, count - 1))
        for k in range(width):
            store_f32(out + 4 * (k * COLUMNS + c), load_f32(x + 4 * k))
