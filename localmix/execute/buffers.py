"""Memory of a tape: activations share it, since few of them live at the same time."""

from __future__ import annotations

import ctypes
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from localmix.kernels.layout import LINE

SLACK_BYTES = 256
"""Room behind each buffer: kernels load whole vectors, and throw away what lies behind a row."""


@dataclass(frozen=True)
class Buffer:
    """A piece of memory that steps read and write.

    Attributes:
        address: of its first byte, a multiple of a cache line.
        n_bytes: what may be used of it.
    """

    address: int
    n_bytes: int


class Arena:
    """Hands out buffers and takes them back for others of the same size.

    Pages are zero and become real when they are first written, so a buffer for 512 rows costs a
    decoding model nothing.
    """

    def __init__(self) -> None:
        self._kept: list[npt.NDArray[np.uint8]] = []
        self._free: dict[int, list[Buffer]] = {}

    def take(self, n_bytes: int) -> Buffer:
        """Give a buffer whose contents do not matter."""
        free = self._free.get(n_bytes)
        return free.pop() if free else self.reserve(n_bytes)

    def reserve(self, n_bytes: int) -> Buffer:
        """Give a buffer that nobody had before, so that no step of a tape writes to it."""
        array = np.zeros(n_bytes + LINE + SLACK_BYTES, np.uint8)
        self._kept.append(array)
        address = -(-array.ctypes.data // LINE) * LINE
        return Buffer(address, n_bytes)

    def give_back(self, buffer: Buffer) -> None:
        """Let others use a buffer; only for what `take` gave."""
        assert buffer not in self._free.get(buffer.n_bytes, []), "given back twice"
        self._free.setdefault(buffer.n_bytes, []).append(buffer)

    def keep(self, array: npt.NDArray[np.generic]) -> Buffer:
        """Copy an array into a buffer of its own, now."""
        raw = np.ascontiguousarray(array).view(np.uint8).reshape(-1)
        buffer = self.reserve(raw.size)
        view_of(buffer)[:] = raw
        return buffer


def view_of(buffer: Buffer) -> npt.NDArray[np.uint8]:
    """The bytes of a buffer as an array."""
    memory = (ctypes.c_uint8 * buffer.n_bytes).from_address(buffer.address)
    return np.ctypeslib.as_array(memory)
