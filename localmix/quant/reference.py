"""Blocks to float32 in NumPy: slow and obvious, the oracle that kernels are held against."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt

from localmix.errors import UnsupportedQuant
from localmix.quant.block import Floats
from localmix.quant.formats import format_by_name

# Weights decoded at a time. Their intermediates (about 3 MB) stay in the processor's caches, and a
# tensor of any size needs little more memory than its result.
CHUNK: Final = 1 << 18


def dequantize(raw: npt.NDArray[Any], name: str) -> Floats:
    """Decode whole blocks to float32.

    Every step is rounded to float32 in the order of ggml's own reference, so results are bit for
    bit the same. A scale of inf or NaN gives inf or NaN weights, without a warning.

    Args:
        raw: (n_bytes,) uint8, whole blocks; another type or shape is taken as the bytes it holds.
        name: a key of `FORMATS`, as in `Q4_K`.

    Returns:
        (n,) float32, a new array.

    Raises:
        UnsupportedQuant: no such format, or the bytes are not whole blocks of it.
    """
    block = format_by_name(name)
    flat = np.ascontiguousarray(raw).reshape(-1).view(np.uint8)  # (n_bytes,)
    if flat.size % block.n_bytes:
        raise UnsupportedQuant(
            f"{flat.size} bytes are not whole {name} blocks of {block.n_bytes} bytes",
            "give the bytes of whole rows",
        )
    blocks = flat.reshape(-1, block.n_bytes)  # (B, n_bytes)
    values = np.empty((len(blocks), block.n_elements), np.float32)
    step = CHUNK // block.n_elements
    with np.errstate(invalid="ignore", over="ignore"):
        for i in range(0, len(blocks), step):
            values[i : i + step] = block.decode(blocks[i : i + step])
    return values.reshape(-1)
