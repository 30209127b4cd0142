"""Formats whose 4-bit numbers are places in a table of 16 values.

Nibble order as in the first formats: byte j of 16 holds weight j in its low and weight j + 16 in
its high half.
Source: ``dequantize_row_iq4_nl``, ``_iq4_xs``, ``_mxfp4`` in ggml-quants.c of llama.cpp, layouts
and tables in ggml-common.h.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from localmix.quant.block import Blocks, Floats, block_format, per_block, split_bits


def _table(*values: float) -> Floats:
    """Make a read-only float32 array."""
    table = np.array(values, np.float32)
    table.setflags(write=False)
    return table


# Non-linear steps, closer near zero, where most weights are.
IQ4_VALUES: Final = _table(-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113)
# The 16 numbers of E2M1 (sign, 2 bits exponent, 1 bit mantissa), doubled to be whole.
E2M1_DOUBLED: Final = _table(0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12)


@block_format("IQ4_NL", id=20, n_elements=32, n_bytes=18, layout=[("d", "<f2"), ("qs", "u1", 16)])
def iq4_nl(blocks: Blocks) -> Floats:
    """Decode `d * IQ4_VALUES[q]`, q of 4 bits; 4.5 bits per weight.

    Block: d f16 | qs 16 bytes.
    """
    q = split_bits(blocks["qs"], 4).reshape(-1, 32)  # (B, 32)
    return per_block(blocks["d"]) * IQ4_VALUES[q]


@block_format(
    "IQ4_XS",
    id=23,
    n_elements=256,
    n_bytes=136,
    layout=[("d", "<f2"), ("scales_h", "<u2"), ("scales_l", "u1", 4), ("qs", "u1", (8, 16))],
)
def iq4_xs(blocks: Blocks) -> Floats:
    """Decode `d * (scale - 32) * IQ4_VALUES[q]`, q of 4 bits; 4.25 bits per weight.

    Block: d f16 | scales_h u16 | scales_l 4 bytes | qs 8 x 16 bytes.
    Scale g of 8, for weights 32 g and on, has 6 bits: the low 4 are nibble g % 2 of byte g // 2 of
    scales_l, the high 2 are bits 2 g and 2 g + 1 of scales_h.
    """
    group = np.arange(8)
    low = blocks["scales_l"][:, group // 2] >> 4 * (group % 2) & 15  # (B, 8)
    high = blocks["scales_h"][:, None] >> 2 * group & 3
    scale: Floats = per_block(blocks["d"]) * (low + 16 * high - 32).astype(np.float32)  # (B, 8)
    q = split_bits(blocks["qs"], 4).reshape(-1, 8, 32)  # (B, 8 groups, 32)
    return scale[:, :, None] * IQ4_VALUES[q]


@block_format("MXFP4", id=39, n_elements=32, n_bytes=17, layout=[("e", "u1"), ("qs", "u1", 16)])
def mxfp4(blocks: Blocks) -> Floats:
    """Decode `2 ** (e - 128) * E2M1_DOUBLED[q]`, q of 4 bits; 4.25 bits per weight.

    Block: e 1 byte, an exponent (E8M0) | qs 16 bytes.
    2 ** (e - 128) is half the scale that the standard names, since the table is doubled. e = 255,
    NaN in the standard, is a number in ggml, and so here.
    Source: also OCP Microscaling Formats (MX) Specification v1.0, E8M0 and E2M1.
    """
    scale = np.ldexp(np.float32(1), blocks["e"].astype(np.int32) - 128)  # (B,)
    q = split_bits(blocks["qs"], 4).reshape(-1, 32)  # (B, 32)
    return scale[:, None] * E2M1_DOUBLED[q]
