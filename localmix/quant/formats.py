"""The table of block formats, by ggml's number and by name.

`FORMATS` is what the four format modules define, collected once when this module is imported: a new
format is written in one of them and needs no entry here. What ggml knows and localmix does not
read is listed only so that an error can call it by its name.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from localmix.errors import UnsupportedQuant
from localmix.quant import codebook, float_types, k_quants, legacy
from localmix.quant.block import BlockFormat as BlockFormat

_MODULES = (float_types, legacy, k_quants, codebook)

FORMATS: Final[Mapping[str, BlockFormat]] = MappingProxyType(
    {
        value.name: value
        for module in _MODULES
        for value in vars(module).values()
        if isinstance(value, BlockFormat)
    }
)
_BY_ID: Final[Mapping[int, BlockFormat]] = MappingProxyType({f.id: f for f in FORMATS.values()})

# enum ggml_type of ggml.h: what was taken out of ggml, and what localmix has no decoder for.
_REMOVED: Final[Mapping[int, str]] = MappingProxyType(
    {
        4: "Q4_2", 5: "Q4_3", 31: "Q4_0_4_4", 32: "Q4_0_4_8", 33: "Q4_0_8_8",
        36: "IQ4_NL_4_4", 37: "IQ4_NL_4_8", 38: "IQ4_NL_8_8",
    }
)  # fmt: skip
_OTHERS: Final[Mapping[int, str]] = MappingProxyType(
    {
        9: "Q8_1", 15: "Q8_K", 16: "IQ2_XXS", 17: "IQ2_XS", 18: "IQ3_XXS", 19: "IQ1_S", 21: "IQ3_S",
        22: "IQ2_S", 24: "I8", 25: "I16", 26: "I32", 27: "I64", 28: "F64", 29: "IQ1_M",
        34: "TQ1_0", 35: "TQ2_0", 40: "NVFP4", 41: "Q1_0", 42: "Q2_0",
    }
)  # fmt: skip


def format_by_id(id: int) -> BlockFormat:
    """Look a format up by the number that GGUF files use.

    Raises:
        UnsupportedQuant: localmix cannot read it; the message has its name where ggml gives it one.
    """
    found = _BY_ID.get(id)
    if found is not None:
        return found
    if id in _REMOVED:
        raise _removed(_REMOVED[id])
    raise _unsupported(_OTHERS.get(id, f"number {id}"))


def format_by_name(name: str) -> BlockFormat:
    """Look a format up by ggml's name, in capitals as in `Q4_K`.

    Raises:
        UnsupportedQuant: localmix cannot read it, or there is none of that name.
    """
    found = FORMATS.get(name)
    if found is not None:
        return found
    raise _removed(name) if name in _REMOVED.values() else _unsupported(name)


def _removed(name: str) -> UnsupportedQuant:
    return UnsupportedQuant(
        f"block format {name} was removed from GGUF",
        "requantize the model, for example to Q4_0 or Q4_K_M, or pull a newer file of it",
    )


def _unsupported(name: str) -> UnsupportedQuant:
    return UnsupportedQuant(
        f"block format {name} is not supported",
        f"use a file of one of these: {' '.join(FORMATS)}",
    )
