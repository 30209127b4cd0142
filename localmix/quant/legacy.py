"""The first ggml formats: 32 weights that share one scale (`_0`) or a scale and a minimum (`_1`).

Nibble order in all of them: byte j of `qs` holds weight j in its low and weight j + 16 in its high
half.
Source: ``dequantize_row_q*_*`` in ggml-quants.c of llama.cpp, layouts in ggml-common.h.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from localmix.quant.block import Blocks, Bytes, Floats, block_format, per_block, split_bits


@block_format("Q4_0", id=2, n_elements=32, n_bytes=18, layout=[("d", "<f2"), ("qs", "u1", 16)])
def q4_0(blocks: Blocks) -> Floats:
    """Decode `d * (q - 8)`, q of 4 bits; 4.5 bits per weight.

    Block: d f16 | qs 16 bytes.
    """
    q = _nibbles(blocks["qs"]).view(np.int8)  # (B, 32)
    return per_block(blocks["d"]) * (q - np.int8(8))


@block_format(
    "Q4_1", id=3, n_elements=32, n_bytes=20, layout=[("d", "<f2"), ("m", "<f2"), ("qs", "u1", 16)]
)
def q4_1(blocks: Blocks) -> Floats:
    """Decode `d * q + m`, q of 4 bits; 5 bits per weight.

    Block: d f16 | m f16 | qs 16 bytes.
    """
    q = _nibbles(blocks["qs"])  # (B, 32)
    return per_block(blocks["d"]) * q + per_block(blocks["m"])


@block_format(
    "Q5_0",
    id=6,
    n_elements=32,
    n_bytes=22,
    layout=[("d", "<f2"), ("qh", "u1", 4), ("qs", "u1", 16)],
)
def q5_0(blocks: Blocks) -> Floats:
    """Decode `d * (q - 16)`, q of 5 bits; 5.5 bits per weight.

    Block: d f16 | qh 4 bytes: bit j of these 32 is the fifth bit of weight j | qs 16 bytes.
    """
    q = _five_bits(blocks).view(np.int8)  # (B, 32)
    return per_block(blocks["d"]) * (q - np.int8(16))


@block_format(
    "Q5_1",
    id=7,
    n_elements=32,
    n_bytes=24,
    layout=[("d", "<f2"), ("m", "<f2"), ("qh", "u1", 4), ("qs", "u1", 16)],
)
def q5_1(blocks: Blocks) -> Floats:
    """Decode `d * q + m`, q of 5 bits; 6 bits per weight.

    Block: d f16 | m f16 | qh 4 bytes as in Q5_0 | qs 16 bytes.
    """
    q = _five_bits(blocks)  # (B, 32)
    return per_block(blocks["d"]) * q + per_block(blocks["m"])


@block_format("Q8_0", id=8, n_elements=32, n_bytes=34, layout=[("d", "<f2"), ("qs", "i1", 32)])
def q8_0(blocks: Blocks) -> Floats:
    """Decode `d * q`, q a signed byte; 8.5 bits per weight.

    Block: d f16 | qs 32 signed bytes.
    """
    q: npt.NDArray[np.int8] = blocks["qs"]  # (B, 32)
    return per_block(blocks["d"]) * q


def _nibbles(qs: Bytes) -> Bytes:
    """Unpack (B, 16) bytes into (B, 32) numbers of 4 bits."""
    return split_bits(qs, 4).reshape(len(qs), 32)


def _five_bits(blocks: Blocks) -> Bytes:
    """Join the nibbles of `qs` with the fifth bits in `qh`: (B, 32) numbers of 5 bits."""
    high = np.unpackbits(blocks["qh"], axis=1, bitorder="little")  # (B, 32)
    return _nibbles(blocks["qs"]) | (high << np.uint8(4))
