"""Weights stored as plain floating-point numbers: a block is one number."""

from __future__ import annotations

import numpy as np

from localmix.quant.block import Blocks, Floats, block_format


@block_format("F32", id=0, n_elements=1, n_bytes=4, layout=[("x", "<f4")])
def f32(blocks: Blocks) -> Floats:
    """Decode `x`, an IEEE single; 32 bits per weight."""
    return blocks["x"].astype(np.float32)


@block_format("F16", id=1, n_elements=1, n_bytes=2, layout=[("x", "<f2")])
def f16(blocks: Blocks) -> Floats:
    """Decode `x`, an IEEE half; 16 bits per weight."""
    return blocks["x"].astype(np.float32)


@block_format("BF16", id=30, n_elements=1, n_bytes=2, layout=[("x", "<u2")])
def bf16(blocks: Blocks) -> Floats:
    """Decode `x`, the upper half of a float32 whose lower half is zero; 16 bits per weight."""
    return (blocks["x"].astype(np.uint32) << np.uint32(16)).view(np.float32)
