"""What a block format is: a fixed number of weights packed into a fixed number of bytes.

A format is written once, as its decoder under the `block_format` decorator, which states the
layout of the block's bytes beside the formula. `localmix.quant.formats` collects what the format
modules define. All values are little-endian, there is no padding between blocks, and a row of a
matrix is a whole number of blocks.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Bytes = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float32]
Blocks = npt.NDArray[np.void]  # (B,) records of the format's layout
FieldList = Sequence[tuple[str, str] | tuple[str, str, int] | tuple[str, str, tuple[int, ...]]]


@dataclass(frozen=True)
class BlockFormat:
    """One way to store weights.

    Attributes:
        name: ggml's name, as in `Q4_K`.
        id: the number that GGUF files use for it (``enum ggml_type``).
        n_elements: weights per block.
        n_bytes: bytes per block.
        layout: the fields of a block, in order, as a packed NumPy record.
        decode: (B, n_bytes) uint8 -> (B, n_elements) float32, a new array.
    """

    name: str
    id: int
    n_elements: int
    n_bytes: int
    layout: np.dtype[Any]
    decode: Callable[[Bytes], Floats]

    @property
    def bits_per_weight(self) -> float:
        """Bits that a weight takes on disk, scales included."""
        return 8 * self.n_bytes / self.n_elements


def block_format(
    name: str, id: int, n_elements: int, n_bytes: int, layout: FieldList
) -> Callable[[Callable[[Blocks], npt.NDArray[Any]]], BlockFormat]:
    """Turn a decoder of (B,) records into a `BlockFormat`.

    The decorated function may return its float32 values in any shape that starts with B and holds
    n_elements values for each block, in the order of the weights.
    """
    record = np.dtype(list(layout))
    assert record.itemsize == n_bytes, f"{name}: {record.itemsize} bytes laid out, not {n_bytes}"

    def define(decode_records: Callable[[Blocks], npt.NDArray[Any]]) -> BlockFormat:
        def decode(blocks: Bytes) -> Floats:
            values = decode_records(blocks.view(record)[:, 0])
            assert values.dtype == np.float32
            return values.reshape(len(blocks), n_elements)

        decode.__doc__ = decode_records.__doc__
        return BlockFormat(name, id, n_elements, n_bytes, record, decode)

    return define


def split_bits(packed: Bytes, width: int) -> Bytes:
    """Take the fields of `width` bits out of each byte, the lowest field first.

    ggml fills field k of all bytes of a group before field k + 1, so the result, read flat, is in
    the order of the weights. With width 4 the bytes [0x21, 0x43] give [[1, 3], [2, 4]].

    Args:
        packed: (..., n) uint8.
        width: 1, 2 or 4.

    Returns:
        (..., 8 // width, n) uint8.
    """
    n_fields = 8 // width
    fields = np.empty((*packed.shape[:-1], n_fields, packed.shape[-1]), np.uint8)
    for k in range(n_fields):
        np.right_shift(packed, k * width, out=fields[..., k, :])
    fields &= np.uint8(2**width - 1)
    return fields


def per_block(field: npt.NDArray[np.float16]) -> Floats:
    """Widen one f16 per block to multiply that block's weights: (B,) -> (B, 1) float32."""
    return field.astype(np.float32)[:, None]
