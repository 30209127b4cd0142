"""Expanding a strip: weight rows as bytes, interleaved, with their scales; see `panel.py`.

The numbers of a block come from the same functions that decode uses. Four rows at a time are
written beside each other by a transposition of 4 × 4 words in registers.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from localmix.kernels.blocks import KBlock, SmallBlock
from localmix.kernels.jit import inline
from localmix.kernels.layout import STRIP
from localmix.kernels.panel import size
from localmix.kernels.panel_layout import ROWS, STEP, Panel
from localmix.kernels.simd import convert, prefetch, store_f32, take
from localmix.kernels.target import FETCHED, TIER
from localmix.kernels.vectors import I32, I64, F32x8, F32x16, shuffled, write


@intrinsic
def interleave(
    typing: Any, low: Any, high: Any, stride: Any, r0: Any, r1: Any, r2: Any, r3: Any
) -> Any:
    """Write 32 (or 16) bytes of each of four rows in pieces, the rows' pieces beside each other.

    Pieces of the first 16 bytes go to low, low + stride, …, those of the second to high and on. A
    piece is `step` bytes of each row; numbers of four bytes are transposed in this way too.
    """
    pieces = _pieces_of_8 if TIER.step == 8 and r0.element in ("u8", "i8") else _pieces_of_4

    def gen(context: Any, b: Any, sig: Any, args: Any) -> Any:
        low, high, stride, *rows = args
        for half, at in enumerate((low, high) if r0.n_bytes == 32 else (low,)):
            for s, piece in enumerate(pieces(b, rows, half)):
                write(b, b.add(at, b.mul(stride, I64(s))), piece)
        return context.get_dummy_value()

    return types.void(*[types.int64] * 3, r0, r1, r2, r3), gen


def _pieces_of_4(b: Any, rows: list[Any], half: int) -> list[Any]:
    """A transposition of 4 × 4 words: a0 c0 e0 g0, a1 c1 e1 g1 and so on."""
    n = 8 if str(rows[0].type).startswith(("<32 x i8", "<8 x float")) else 4
    a, c, e, g = (b.bitcast(row, ir.VectorType(I32, n)) for row in rows)
    first = 4 * half
    low, high = [first, first + n, first + 1, first + n + 1], [first + 2, first + n + 2]
    high += [first + 3, first + n + 3]
    low_ac, high_ac = shuffled(b, a, c, low), shuffled(b, a, c, high)
    low_eg, high_eg = shuffled(b, e, g, low), shuffled(b, e, g, high)
    return [
        shuffled(b, low_ac, low_eg, [0, 1, 4, 5]),
        shuffled(b, low_ac, low_eg, [2, 3, 6, 7]),
        shuffled(b, high_ac, high_eg, [0, 1, 4, 5]),
        shuffled(b, high_ac, high_eg, [2, 3, 6, 7]),
    ]


def _pieces_of_8(b: Any, rows: list[Any], half: int) -> list[Any]:
    """Eight bytes of each row: a0 c0 e0 g0, then a1 c1 e1 g1."""
    a, c, e, g = (b.bitcast(row, ir.VectorType(I64, 4)) for row in rows)
    out = []
    for i in (2 * half, 2 * half + 1):
        pair, other = shuffled(b, a, c, [i, 4 + i]), shuffled(b, e, g, [i, 4 + i])
        out.append(shuffled(b, pair, other, [0, 1, 2, 3]))
    return out


AHEAD = 1024
"""Bytes that each row of a strip is asked for ahead of its use."""


def expander(block: KBlock | SmallBlock, panel: Panel) -> Callable[..., Any]:
    """Make `expand(rows address, bytes of a row, n_valid, n_in, out)` for a format.

    It writes a strip of STRIP rows as panels of ROWS rows each. Rows from n_valid on repeat the
    last valid one, so nothing beyond the matrix is read; their sums are thrown away. All rows take
    a step together, so that what is written lies in the first-level cache until it is complete.
    """
    if isinstance(block, KBlock):
        n_weights, expand_4 = 256, _four_of_k(block, panel)
    else:
        n_weights, expand_4 = 32, _four_of_small(block, panel)
    n_bytes = block.n_bytes
    step_bytes = panel.n_bytes(n_weights)
    bytes_of_panel = size(panel)
    lines_apart = max(1, FETCHED // n_bytes)

    @inline
    def expand(rows, row_bytes, n_valid, n_in, out):
        last, panel_bytes = n_valid - 1, bytes_of_panel(n_in)
        for b in range(n_in // n_weights):
            source, target = rows + n_bytes * b, out + step_bytes * b
            for r in range(0, STRIP, 4):
                r0 = source + min(r, last) * row_bytes
                r1 = source + min(r + 1, last) * row_bytes
                r2 = source + min(r + 2, last) * row_bytes
                r3 = source + min(r + 3, last) * row_bytes
                if b % lines_apart == 0:  # no prefetcher of the CPU follows so many rows at once
                    prefetch(r0 + AHEAD, n_bytes)
                    prefetch(r1 + AHEAD, n_bytes)
                    prefetch(r2 + AHEAD, n_bytes)
                    prefetch(r3 + AHEAD, n_bytes)
                expand_4(r0, r1, r2, r3, target + r // ROWS * panel_bytes, r % ROWS)

    return expand


@inline
def store_4(at, a, c, e, g):
    """Four numbers beside each other."""
    store_f32(at, a)
    store_f32(at + 4, c)
    store_f32(at + 8, e)
    store_f32(at + 12, g)


def _four_of_k(block: KBlock, panel: Panel) -> Callable[..., Any]:
    group, group_bytes = panel.group, panel.group_bytes
    has_offset, has_pairs = panel.has_offset, panel.has_pairs
    numbers, scales, factors = block.numbers, block.scales, block.factors
    minima = block.minima or block.scales
    step = 32 // group * group_bytes  # from one vector of 32 weights to the next
    to_second_half = group_bytes if group == 16 else 16 * ROWS
    flip = 128 if block.signed and not panel.signed else 0
    one_each = F32x8 if group == 32 else F32x16

    @inline
    def expand_4(r0, r1, r2, r3, out, row):
        a, c, e, g = numbers(r0), numbers(r1), numbers(r2), numbers(r3)
        at = out + row * STEP
        write_32(at, a[0], c[0], e[0], g[0])
        write_32(at + step, a[1], c[1], e[1], g[1])
        write_32(at + 2 * step, a[2], c[2], e[2], g[2])
        write_32(at + 3 * step, a[3], c[3], e[3], g[3])
        write_32(at + 4 * step, a[4], c[4], e[4], g[4])
        write_32(at + 5 * step, a[5], c[5], e[5], g[5])
        write_32(at + 6 * step, a[6], c[6], e[6], g[6])
        write_32(at + 7 * step, a[7], c[7], e[7], g[7])
        at = out + ROWS * group + 4 * row
        (d0, m0), (d1, m1), (d2, m2), (d3, m3) = factors(r0), factors(r1), factors(r2), factors(r3)
        a, c, e, g = scales(r0), scales(r1), scales(r2), scales(r3)
        write_floats(at, floats(a, d0), floats(c, d1), floats(e, d2), floats(g, d3))
        if has_offset:
            a, c, e, g = minima(r0), minima(r1), minima(r2), minima(r3)
            at += 4 * ROWS
            write_floats(at, floats(a, -m0), floats(c, -m1), floats(e, -m2), floats(g, -m3))
        if has_pairs:
            a, c, e, g = minima(r0), minima(r1), minima(r2), minima(r3)
            at = out + 8 * group_bytes + 4 * row
            interleave(at, at, 4 * ROWS, a, c, e, g)
            store_4(at + 16 * ROWS, -m0, -m1, -m2, -m3)

    @inline
    def write_32(at, a, c, e, g):
        interleave(at, at + to_second_half, ROWS * STEP, a ^ flip, c ^ flip, e ^ flip, g ^ flip)

    @inline
    def floats(values, factor):
        return convert(one_each, values) * factor

    @inline
    def write_floats(at, a, c, e, g):
        """One number for each group of a block."""
        if group == 32:
            write_8(at, a, c, e, g)
        else:
            write_8(at, take(a, 0, 8, 1), take(c, 0, 8, 1), take(e, 0, 8, 1), take(g, 0, 8, 1))
            at += 8 * group_bytes
            write_8(at, take(a, 8, 8, 1), take(c, 8, 8, 1), take(e, 8, 8, 1), take(g, 8, 8, 1))

    @inline
    def write_8(at, a, c, e, g):
        interleave(at, at + 4 * group_bytes, group_bytes, a, c, e, g)

    return expand_4


def _four_of_small(block: SmallBlock, panel: Panel) -> Callable[..., Any]:
    has_offset, flip = panel.has_offset, 128 if block.signed and not panel.signed else 0
    numbers, scale, offset = block.numbers, block.scale, block.offset or block.scale

    @inline
    def expand_4(r0, r1, r2, r3, out, row):
        a, c, e, g = numbers(r0), numbers(r1), numbers(r2), numbers(r3)
        at = out + row * STEP
        interleave(at, at + 16 * ROWS, ROWS * STEP, a ^ flip, c ^ flip, e ^ flip, g ^ flip)
        at = out + ROWS * 32 + 4 * row
        store_4(at, scale(r0), scale(r1), scale(r2), scale(r3))
        if has_offset:
            store_4(at + 4 * ROWS, offset(r0), offset(r1), offset(r2), offset(r3))

    return expand_4
