"""Weights as they lie in the file: a name, a block format, a shape, and a view on the bytes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from localmix.errors import NotEnoughMemory
from localmix.quant import BlockFormat, dequantize


@dataclass(frozen=True)
class Place:
    """Where in which file a tensor begins."""

    path: Path
    offset: int


@dataclass(frozen=True, eq=False)
class Tensor:
    """A tensor of a model file, never copied until it is decoded.

    Attributes:
        name: as in the file; a part has its place added, as in `blk.0.ffn_up_exps.weight[3]`.
        format: how its weights are packed.
        shape: NumPy order, so (rows, columns) for a matrix; blocks lie along the last axis.
        raw: (n_bytes,) uint8, a read-only view that keeps the file mapped.
        place: where it lies on the disk; None for a copy.
    """

    name: str
    format: BlockFormat
    shape: tuple[int, ...]
    raw: npt.NDArray[np.uint8] = field(repr=False)
    place: Place | None = None

    @property
    def n_elements(self) -> int:
        """Weights."""
        return prod(self.shape)

    @property
    def n_bytes(self) -> int:
        """Bytes in the file."""
        return self.raw.size

    def part(self, i: int) -> Tensor:
        """View the i-th slice of the leading axis: one expert of a merged tensor.

        Raises:
            IndexError: there is no such slice, or the tensor has only one axis.
        """
        if len(self.shape) < 2 or not 0 <= i < self.shape[0]:
            raise IndexError(f"{self.name} of shape {self.shape} has no part {i}")
        size = self.n_bytes // self.shape[0]
        raw = self.raw[i * size : (i + 1) * size]
        place = self.place and replace(self.place, offset=self.place.offset + i * size)
        return Tensor(f"{self.name}[{i}]", self.format, self.shape[1:], raw, place)

    def rows(self, ids: Sequence[int] | npt.NDArray[np.integer[Any]]) -> npt.NDArray[np.float32]:
        """Decode some rows of a matrix, in the order asked for.

        Args:
            ids: (n,) row numbers, repeats allowed.

        Returns:
            (n, columns) float32.

        Raises:
            IndexError: a row number beyond the matrix.
        """
        n_rows, n_columns = self.shape
        packed = self.raw.reshape(n_rows, -1)[np.asarray(ids, dtype=np.intp)]  # (n, row bytes)
        return dequantize(packed, self.format.name).reshape(-1, n_columns)

    def to_float32(self) -> npt.NDArray[np.float32]:
        """Decode all weights into a new float32 array of .shape."""
        return dequantize(self.raw, self.format.name).reshape(self.shape)


def resident(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Copy tensors into private memory, which the system gives in large pages where it can.

    Raises:
        NotEnoughMemory: they do not fit.
    """
    try:
        return {
            name: replace(tensor, raw=tensor.raw.copy(), place=None)
            for name, tensor in tensors.items()
        }
    except MemoryError as exc:
        raise NotEnoughMemory(
            "the weights do not fit into private memory", "leave away --weights resident"
        ) from exc
