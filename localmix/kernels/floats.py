"""A strip of float weights times many rows of a batch: as `panel.py`, without blocks and scales.

panel   float32 [n_in][rows]          tile   float32 [n_in][columns]
out[r, c] = Σ_k w[k][r] · x[k][c]
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from numba import types
from numba.extending import intrinsic

from localmix.kernels.blocks import FloatFormat
from localmix.kernels.jit import inline
from localmix.kernels.layout import STRIP
from localmix.kernels.panel import zero_sums
from localmix.kernels.panel_layout import COLUMNS, FLOATS, ROWS, SUMS, in_every_lane
from localmix.kernels.simd import scatter
from localmix.kernels.target import TIER
from localmix.kernels.vectors import FLOAT, I64, call, read


@intrinsic
def add_outer(typing: Any, sums: Any, w: Any, x: Any) -> Any:
    """sums[r, c] += w[r] · x[c] for one place k."""

    def gen(context: Any, b: Any, sig: Any, args: Any) -> Any:
        sums, w, x = args
        for k in range(SUMS.count):
            r, c = divmod(k, COLUMNS)
            row = read(b, b.add(w, I64(r * TIER.lane_bytes)), FLOATS.ir)
            column = in_every_lane(b, x, FLOAT, c)
            old = b.extract_value(sums, k)
            new = call(b, f"llvm.fmuladd.v{TIER.lanes}f32", FLOATS.ir, row, column, old)
            sums = b.insert_value(sums, new, k)
        return sums

    return SUMS(SUMS, types.int64, types.int64), gen


@inline
def multiply(w, x, n_in):
    """A register tile of sums through the whole row."""
    sums = zero_sums()
    for k in range(n_in):
        sums = add_outer(sums, w + 4 * ROWS * k, x + 4 * COLUMNS * k)
    return sums


@inline
def panel_bytes(n_in):
    """Bytes of a panel."""
    return 4 * ROWS * n_in


def expander(block: FloatFormat) -> Callable[..., Any]:
    """Make `expand(rows address, bytes of a row, n_valid, n_in, out)`; as in `panel.py`."""
    n_bytes, widen = block.n_bytes, block.widen

    @inline
    def expand(rows, row_bytes, n_valid, n_in, out):
        for r in range(STRIP):
            row = rows + min(r, n_valid - 1) * row_bytes
            at = out + r // ROWS * (4 * ROWS * n_in) + 4 * (r % ROWS)
            for i in range(n_in // 16):
                scatter(at + 64 * ROWS * i, 4 * ROWS, widen(row + 16 * n_bytes * i))

    return expand
