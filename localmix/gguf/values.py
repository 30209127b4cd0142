"""The values that GGUF keys can have: numbers, flags and text at once, arrays when asked for.

An array of numbers is stepped over at once, one of strings in one short step per string, and no
item is decoded: so a file with a vocabulary of 128,000 pieces opens in milliseconds.
Source: GGUF specification (docs/gguf.md of ggml), ``enum gguf_metadata_value_type``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from localmix.gguf.cursor import U64, Cursor, damaged

BOOL: Final = 7
STRING: Final = 8
ARRAY: Final = 9
NUMBERS: Final[Mapping[int, str]] = MappingProxyType(
    {
        0: "u1", 1: "i1", 2: "<u2", 3: "<i2", 4: "<u4", 5: "<i4", 6: "<f4", BOOL: "u1",
        10: "<u8", 11: "<i8", 12: "<f8",
    }
)  # fmt: skip

Scalar = str | int | float | bool


@dataclass(frozen=True)
class NumberArray:
    """Where an array of numbers or flags lies in the file.

    Attributes:
        key: the key it belongs to, as messages show it.
        numbers: (count,) view on the file, read-only, perhaps not aligned.
        are_flags: whether the bytes are flags, 0 or 1.
    """

    key: str
    numbers: npt.NDArray[Any]
    are_flags: bool

    def __len__(self) -> int:
        return len(self.numbers)

    def decode(self) -> npt.NDArray[Any]:
        """Give the numbers as they are, without a copy, and flags as a new bool array."""
        if not self.are_flags:
            return self.numbers
        if (self.numbers > 1).any():
            raise damaged(f"{self.key} has flags that are neither 0 nor 1")
        return self.numbers.astype(np.bool_)


@dataclass(frozen=True)
class StringArray:
    """Where an array of strings lies in the file: each has a length of 8 bytes before it.

    Attributes:
        key: the key it belongs to, as messages show it.
        buffer: exactly the bytes of the array's items, already walked once and found sound.
        count: how many strings there are.
    """

    key: str
    buffer: memoryview
    count: int

    def __len__(self) -> int:
        return self.count

    def pieces(self) -> list[bytes]:
        """Copy the strings out as bytes, whatever they hold."""
        data, unpack_from = bytes(self.buffer), U64.unpack_from
        pieces = []
        end = 0
        for _ in range(self.count):
            start = end + 8
            end = start + unpack_from(data, end)[0]
            pieces.append(data[start:end])
        return pieces

    def decode(self) -> list[str]:
        """Decode the strings.

        Raises:
            InvalidGGUF: one of them is not UTF-8.
        """
        pieces = self.pieces()
        try:
            return [piece.decode() for piece in pieces]
        except UnicodeDecodeError as exc:
            at = pieces.index(exc.object)
            raise damaged(f"entry {at} of {self.key} is not UTF-8: {exc.object[:40]!r}") from exc


Stored = Scalar | NumberArray | StringArray


def read_value(cursor: Cursor, key: str) -> Stored:
    """Take the type and the value of a key.

    Raises:
        InvalidGGUF: an unknown type, an array of arrays, or more than the file holds.
    """
    kind = cursor.u32(key)
    if kind == STRING:
        # Text for people (names, licences) need not be perfect; a vocabulary, below, must be.
        return cursor.text_bytes(key).decode(errors="replace")
    if kind == ARRAY:
        return _read_array(cursor, key)
    number: Scalar = _take_numbers(cursor, key, kind, 1)[0].item()
    if kind != BOOL:
        return number
    if number not in (0, 1):
        raise damaged(f"{key} is a flag of value {number}")
    return bool(number)


def _read_array(cursor: Cursor, key: str) -> NumberArray | StringArray:
    """Take an array's item type and count, and step over its items."""
    kind = cursor.u32(key)
    if kind == ARRAY:
        raise damaged(f"{key} is an array of arrays")
    if kind != STRING:
        count = cursor.u64(key)
        return NumberArray(key, _take_numbers(cursor, key, kind, count), kind == BOOL)
    count = cursor.count(8, f"the length of {key}")
    start = cursor.pos
    cursor.skip_strings(count, key)
    return StringArray(key, cursor.buffer[start : cursor.pos], count)


def _take_numbers(cursor: Cursor, key: str, kind: int, count: int) -> npt.NDArray[Any]:
    """Take numbers of one type as a (count,) view on the file."""
    code = NUMBERS.get(kind)
    if code is None:
        raise damaged(f"{key} has a value of unknown type {kind}")
    dtype = np.dtype(code)
    start = cursor.skip(count * dtype.itemsize, key)
    return np.frombuffer(cursor.buffer, dtype, count, start)
