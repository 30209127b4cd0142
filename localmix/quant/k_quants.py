"""The K-quants: 256 weights in groups of 16 or 32, an integer scale per group, a float above all.

A block's weights are seen as (groups, weights of a group), so that group g is row g.
Source: ``dequantize_row_q*_K`` in ggml-quants.c of llama.cpp, layouts in ggml-common.h.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from localmix.quant.block import Blocks, Floats, block_format, per_block, split_bits


@block_format(
    "Q2_K",
    id=10,
    n_elements=256,
    n_bytes=84,
    layout=[("scales", "u1", 16), ("qs", "u1", (2, 32)), ("d", "<f2"), ("dmin", "<f2")],
)
def q2_k(blocks: Blocks) -> Floats:
    """Decode `d * scale * q - dmin * min`, q of 2 bits; 2.625 bits per weight.

    Block: scales 16 bytes, byte g: scale (low) and min (high) of group g | qs 2 x 32 bytes |
    d f16 | dmin f16.
    Weight 128 h + 32 j + l: bits 2 j and 2 j + 1 of byte l of half h of qs.
    """
    q = split_bits(blocks["qs"], 2).reshape(-1, 16, 16)  # (B, 16 groups, 16)
    scale: Floats = per_block(blocks["d"]) * (blocks["scales"] & np.uint8(15))  # (B, 16)
    minimum: Floats = per_block(blocks["dmin"]) * (blocks["scales"] >> np.uint8(4))
    return scale[:, :, None] * q - minimum[:, :, None]


@block_format(
    "Q3_K",
    id=11,
    n_elements=256,
    n_bytes=110,
    layout=[("hmask", "u1", 32), ("qs", "u1", (2, 32)), ("scales", "u1", 12), ("d", "<f2")],
)
def q3_k(blocks: Blocks) -> Floats:
    """Decode `d * (scale - 32) * (q - 4)`, q of 3 bits; 3.4375 bits per weight.

    Block: hmask 32 bytes | qs 2 x 32 bytes as in Q2_K | scales 12 bytes | d f16.
    The third bit of weight 32 j + l is bit j of byte l of hmask. Each of 16 scales has 6 bits: the
    low 4 in the nibbles of bytes 0 to 7 of scales, the high 2 in the bit pairs of bytes 8 to 11.
    """
    third = split_bits(blocks["hmask"], 1).reshape(-1, 16, 16)
    q = split_bits(blocks["qs"], 2).reshape(-1, 16, 16) | third << np.uint8(2)
    low = split_bits(blocks["scales"][:, :8], 4).reshape(-1, 16)
    high = split_bits(blocks["scales"][:, 8:], 2).reshape(-1, 16)
    scale = (low | high << np.uint8(4)).view(np.int8) - np.int8(32)
    scaled: Floats = per_block(blocks["d"]) * scale  # (B, 16)
    return scaled[:, :, None] * (q.view(np.int8) - np.int8(4))  # (B, 16 groups, 16)


@block_format(
    "Q4_K",
    id=12,
    n_elements=256,
    n_bytes=144,
    layout=[("d", "<f2"), ("dmin", "<f2"), ("scales", "u1", 12), ("qs", "u1", (4, 32))],
)
def q4_k(blocks: Blocks) -> Floats:
    """Decode `d * scale * q - dmin * min`, q of 4 bits; 4.5 bits per weight.

    Block: d f16 | dmin f16 | scales 12 bytes (`_scales_and_minima`) | qs 4 x 32 bytes.
    Weights 64 c + l and 64 c + 32 + l: low and high nibble of byte l of quarter c of qs.
    """
    q = split_bits(blocks["qs"], 4).reshape(-1, 8, 32)  # (B, 8 groups, 32)
    scale, minimum = _scales_and_minima(blocks)
    return scale * q - minimum


@block_format(
    "Q5_K",
    id=13,
    n_elements=256,
    n_bytes=176,
    layout=[
        ("d", "<f2"),
        ("dmin", "<f2"),
        ("scales", "u1", 12),
        ("qh", "u1", 32),
        ("qs", "u1", (4, 32)),
    ],
)
def q5_k(blocks: Blocks) -> Floats:
    """Decode `d * scale * q - dmin * min`, q of 5 bits; 5.5 bits per weight.

    Block: as Q4_K, with qh 32 bytes before qs: the fifth bit of weight 32 j + l is bit j of byte l.
    """
    fifth = split_bits(blocks["qh"], 1)  # (B, 8 groups, 32)
    q = split_bits(blocks["qs"], 4).reshape(-1, 8, 32) | fifth << np.uint8(4)
    scale, minimum = _scales_and_minima(blocks)
    return scale * q - minimum


@block_format(
    "Q6_K",
    id=14,
    n_elements=256,
    n_bytes=210,
    layout=[("ql", "u1", (2, 64)), ("qh", "u1", (2, 32)), ("scales", "i1", 16), ("d", "<f2")],
)
def q6_k(blocks: Blocks) -> Floats:
    """Decode `d * scale * (q - 32)`, q of 6 bits, scale a signed byte; 6.5625 bits per weight.

    Block: ql 2 x 64 bytes | qh 2 x 32 bytes | scales 16 bytes | d f16.
    The low 4 bits of weight 128 h + 64 k + l are nibble k of byte l of half h of ql; the high 2
    bits of weight 128 h + 32 j + l are bits 2 j and 2 j + 1 of byte l of half h of qh.
    """
    low = split_bits(blocks["ql"], 4).reshape(-1, 16, 16)
    high = split_bits(blocks["qh"], 2).reshape(-1, 16, 16)
    q = (low | high << np.uint8(4)).view(np.int8) - np.int8(32)  # (B, 16 groups, 16)
    scale: Floats = per_block(blocks["d"]) * blocks["scales"]  # (B, 16)
    return scale[:, :, None] * q


def _scales_and_minima(blocks: Blocks) -> tuple[Floats, Floats]:
    """Unpack the 12 bytes that hold 8 scales and 8 minima of 6 bits in Q4_K and Q5_K.

    As three rows of four bytes s, m, x: scale i is s[i] & 63 and minimum i is m[i] & 63 for i < 4;
    scale and minimum 4 + i have their low 4 bits in x[i] (scale low, minimum high) and their high
    2 bits on top of s[i] and m[i].

    Returns:
        `d * scale` and `dmin * min`, each (B, 8, 1) float32.

    Source: ``get_scale_min_k4`` in ggml-quants.c.
    """
    s, m, x = (blocks["scales"][:, i : i + 4] for i in (0, 4, 8))  # (B, 4) each
    scale = _side_by_side(s & 63, x & 15 | s >> 6 << 4)
    minimum = _side_by_side(m & 63, x >> 4 | m >> 6 << 4)
    d, dmin = per_block(blocks["d"]), per_block(blocks["dmin"])
    return (d * scale)[:, :, None], (dmin * minimum)[:, :, None]


def _side_by_side(first: npt.NDArray[Any], second: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
    """Join two (B, 4) arrays to (B, 8)."""
    return np.concatenate((first, second), axis=1)
