"""The keys of a model file, with the type that the reader of a key expects."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from enum import Enum
from math import isfinite
from typing import Any, Final, TypeVar

import numpy.typing as npt

from localmix.errors import InvalidGGUF
from localmix.gguf.values import NumberArray, Scalar, Stored, StringArray

Value = Scalar | list[str] | npt.NDArray[Any]
Default = TypeVar("Default")

OTHER_FILE: Final = "the file was made by a faulty converter or is damaged: try another file"


class Required(Enum):
    """The default of a key that must be there."""

    KEY = "required"


class Metadata(Mapping[str, Value]):
    """Keys and values of a file, in its order.

    Arrays are decoded each time they are asked for; nothing is kept. The typed readers below
    return the default for a missing key, and raise `InvalidGGUF` when it is missing without a
    default or is there with another type.
    """

    def __init__(self, stored: Mapping[str, Stored]) -> None:
        self._stored = stored

    def __getitem__(self, key: str) -> Value:
        stored = self._stored[key]
        return stored.decode() if isinstance(stored, NumberArray | StringArray) else stored

    def __iter__(self) -> Iterator[str]:
        return iter(self._stored)

    def __len__(self) -> int:
        return len(self._stored)

    def __contains__(self, key: object) -> bool:
        return key in self._stored

    def text(self, key: str, default: Default | Required = Required.KEY) -> str | Default:
        """Read a string."""
        if key not in self and not isinstance(default, Required):
            return default
        value = self._stored_at(key)
        if not isinstance(value, str):
            raise _ill_typed(key, value, "text")
        return value

    def integer(self, key: str, default: Default | Required = Required.KEY) -> int | Default:
        """Read a whole number of any width."""
        if key not in self and not isinstance(default, Required):
            return default
        value = self._stored_at(key)
        if isinstance(value, bool) or not isinstance(value, int):
            raise _ill_typed(key, value, "a whole number")
        return value

    def number(self, key: str, default: Default | Required = Required.KEY) -> float | Default:
        """Read a finite number, whole or not, as a float."""
        if key not in self and not isinstance(default, Required):
            return default
        value = self._stored_at(key)
        if isinstance(value, bool) or not isinstance(value, int | float) or not isfinite(value):
            raise _ill_typed(key, value, "a finite number")
        return float(value)

    def flag(self, key: str, default: Default | Required = Required.KEY) -> bool | Default:
        """Read a yes or no."""
        if key not in self and not isinstance(default, Required):
            return default
        value = self._stored_at(key)
        if not isinstance(value, bool):
            raise _ill_typed(key, value, "a flag")
        return value

    def strings(self, key: str) -> list[str]:
        """Decode an array of strings, each of which must be UTF-8."""
        return self._string_array(key).decode()

    def pieces(self, key: str) -> list[bytes]:
        """Read an array of strings as bytes, UTF-8 or not."""
        return self._string_array(key).pieces()

    def array(self, key: str) -> npt.NDArray[Any]:
        """Read an array of numbers or flags: (n,)."""
        value = self._stored_at(key)
        if not isinstance(value, NumberArray):
            raise _ill_typed(key, value, "an array of numbers")
        return value.decode()

    def length(self, key: str, default: Default | Required = Required.KEY) -> int | Default:
        """Count the elements of an array without decoding it."""
        if key not in self and not isinstance(default, Required):
            return default
        value = self._stored_at(key)
        if not isinstance(value, NumberArray | StringArray):
            raise _ill_typed(key, value, "an array")
        return len(value)

    def _string_array(self, key: str) -> StringArray:
        value = self._stored_at(key)
        if not isinstance(value, StringArray):
            raise _ill_typed(key, value, "an array of strings")
        return value

    def _stored_at(self, key: str) -> Stored:
        if key not in self._stored:
            raise InvalidGGUF(f"the key {key} is missing", OTHER_FILE)
        return self._stored[key]


def _ill_typed(key: str, value: Stored, wanted: str) -> InvalidGGUF:
    """Make the error for a key that is there with the wrong type."""
    if isinstance(value, NumberArray | StringArray):
        found = f"an array of {len(value)}"
    else:
        found = repr(value)[:60]
    return InvalidGGUF(f"the key {key} is {found}, not {wanted}", OTHER_FILE)
