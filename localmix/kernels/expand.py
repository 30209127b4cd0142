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
from localmix.kernels.panel import ROWS, STEP, Panel, size
from localmix.kernels.simd import convert, scatter, store_f32, take
from localmix.kernels.target import TIER
from localmix.kernels.vectors import I32, I64, F32x16, shuffled, write


@intrinsic
def interleave(typing: Any, low: Any, high: Any, r0: Any, r1: Any, r2: Any, r3: Any) -> Any:
    """Write 32 bytes of each of four rows, piece by piece beside each other.

    The pieces of the first 16 bytes go to `low` and on, those of the second to `high` and on.
    """
    pieces = _pieces_of_8 if TIER.step == 8 else _pieces_of_4

    def gen(context: Any, b: Any, sig: Any, args: Any) -> Any:
        low, high, *rows = args
        for at, half in ((low, pieces(b, rows, 0)), (high, pieces(b, rows, 1))):
            for s, piece in enumerate(half):
                write(b, b.add(at, I64(s * ROWS * TIER.step)), piece)
        return context.get_dummy_value()

    return types.void(types.int64, types.int64, r0, r1, r2, r3), gen


def _pieces_of_4(b: Any, rows: list[Any], half: int) -> list[Any]:
    """A transposition of 4 × 4 words: a0 c0 e0 g0, a1 c1 e1 g1 and so on."""
    a, c, e, g = (b.bitcast(row, ir.VectorType(I32, 8)) for row in rows)
    first = 4 * half
    low_ac = shuffled(b, a, c, [first, first + 8, first + 1, first + 9])
    high_ac = shuffled(b, a, c, [first + 2, first + 10, first + 3, first + 11])
    low_eg = shuffled(b, e, g, [first, first + 8, first + 1, first + 9])
    high_eg = shuffled(b, e, g, [first + 2, first + 10, first + 3, first + 11])
    return [
        shuffled(b, low_ac, low_eg, [0, 1, 4, 5]),
        shuffled(b, low_ac, low_eg, [2, 3, 6, 7]),
        shuffled(b, high_ac, high_eg, [0, 1, 4, 5]),
        shuffled(b, high_ac, high_eg, [2, 3, 6, 7]),
    ]


def _pieces_of_8(b: Any, rows: list[Any], half: int) -> list[Any]:
    """Pairs of rows: a0 c0 e0 g0, a1 c1 e1 g1 in pieces of eight bytes."""
    a, c, e, g = (b.bitcast(row, ir.VectorType(I64, 4)) for row in rows)
    out = []
    for s in (0, 1):
        i = 2 * half + s
        pair, other = shuffled(b, a, c, [i, 4 + i]), shuffled(b, e, g, [i, 4 + i])
        out.append(shuffled(b, pair, other, [0, 1, 2, 3]))
    return out


def expander(block: KBlock | SmallBlock, panel: Panel) -> Callable[..., Any]:
    """Make `expand(rows address, bytes of a row, n_valid, n_in, out)` for a format.

    It writes a strip of STRIP rows as panels of ROWS rows each. Rows from n_valid on repeat the
    last valid one, so nothing beyond the matrix is read; their sums are thrown away.
    """
    expand_4 = (
        _four_of_k(block, panel) if isinstance(block, KBlock) else _four_of_small(block, panel)
    )

    bytes_of_panel = size(panel)

    @inline
    def expand(rows, row_bytes, n_valid, n_in, out):
        last, panel_bytes = n_valid - 1, bytes_of_panel(n_in)
        for quad in range(STRIP // 4):
            r = 4 * quad
            expand_4(
                rows + min(r, last) * row_bytes,
                rows + min(r + 1, last) * row_bytes,
                rows + min(r + 2, last) * row_bytes,
                rows + min(r + 3, last) * row_bytes,
                n_in,
                out + r // ROWS * panel_bytes,
                r % ROWS,
            )

    return expand


def _four_of_k(block: KBlock, panel: Panel) -> Callable[..., Any]:
    n_bytes, group, group_bytes = block.n_bytes, panel.group, panel.group_bytes
    numbers, scales, factors = block.numbers, block.scales, block.factors
    minima, has_offset = block.minima or block.scales, panel.has_offset
    per_32 = 32 // group  # groups in a vector of 32 weights
    to_second_half = group_bytes if group == 16 else 16 * ROWS
    flip = 128 if block.signed and not panel.signed else 0

    @inline
    def write_scales(values, at):
        """One float32 for each group of a block, from one for each 16 weights."""
        if group == 32:
            scatter(at, group_bytes, take(values, 0, 8, 2))
        else:
            scatter(at, group_bytes, values)

    @inline
    def scale_row(source, at):
        d, dmin = factors(source)
        write_scales(convert(F32x16, scales(source)) * d, at)
        if has_offset:
            write_scales(convert(F32x16, minima(source)) * -dmin, at + 4 * ROWS)

    @inline
    def expand_4(r0, r1, r2, r3, n_in, out, row):
        for _ in range(n_in // 256):
            a, c, e, g = numbers(r0), numbers(r1), numbers(r2), numbers(r3)
            at, step = out + row * STEP, per_32 * group_bytes
            write_8(at, step, a, c, e, g)
            at = out + ROWS * group + 4 * row
            scale_row(r0, at)
            scale_row(r1, at + 4)
            scale_row(r2, at + 8)
            scale_row(r3, at + 12)
            out += 8 * step
            r0 += n_bytes
            r1 += n_bytes
            r2 += n_bytes
            r3 += n_bytes

    @inline
    def write_8(at, step, a, c, e, g):
        write_32(at, a[0], c[0], e[0], g[0])
        write_32(at + step, a[1], c[1], e[1], g[1])
        write_32(at + 2 * step, a[2], c[2], e[2], g[2])
        write_32(at + 3 * step, a[3], c[3], e[3], g[3])
        write_32(at + 4 * step, a[4], c[4], e[4], g[4])
        write_32(at + 5 * step, a[5], c[5], e[5], g[5])
        write_32(at + 6 * step, a[6], c[6], e[6], g[6])
        write_32(at + 7 * step, a[7], c[7], e[7], g[7])

    @inline
    def write_32(at, a, c, e, g):
        interleave(at, at + to_second_half, a ^ flip, c ^ flip, e ^ flip, g ^ flip)

    return expand_4


def _four_of_small(block: SmallBlock, panel: Panel) -> Callable[..., Any]:
    n_bytes, group_bytes, has_offset = block.n_bytes, panel.group_bytes, panel.has_offset
    numbers, scale, offset = block.numbers, block.scale, block.offset or block.scale
    flip = 128 if block.signed and not panel.signed else 0

    @inline
    def scale_row(source, at):
        store_f32(at, scale(source))
        if has_offset:
            store_f32(at + 4 * ROWS, offset(source))

    @inline
    def expand_4(r0, r1, r2, r3, n_in, out, row):
        for _ in range(n_in // 32):
            at = out + row * STEP
            a, c, e, g = numbers(r0), numbers(r1), numbers(r2), numbers(r3)
            interleave(at, at + 16 * ROWS, a ^ flip, c ^ flip, e ^ flip, g ^ flip)
            at = out + ROWS * 32 + 4 * row
            scale_row(r0, at)
            scale_row(r1, at + 4)
            scale_row(r2, at + 8)
            scale_row(r3, at + 12)
            out += group_bytes
            r0 += n_bytes
            r1 += n_bytes
            r2 += n_bytes
            r3 += n_bytes

    return expand_4
