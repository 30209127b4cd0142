"""What a file is made of, from its tensor table alone: parameters, block formats, quantization."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from localmix.gguf.file import GGUFFile
from localmix.gguf.header import TensorInfo
from localmix.gguf.tensor import Tensor

Tensors = Mapping[str, Tensor]

# Source: `enum llama_ftype` in llama.cpp's include/llama.h; the mixes that general.file_type names.
_FILE_TYPES = {
    0: "F32", 1: "F16", 2: "Q4_0", 3: "Q4_1", 7: "Q8_0", 8: "Q5_0", 9: "Q5_1", 10: "Q2_K",
    11: "Q3_K_S", 12: "Q3_K_M", 13: "Q3_K_L", 14: "Q4_K_S", 15: "Q4_K_M", 16: "Q5_K_S",
    17: "Q5_K_M", 18: "Q6_K", 21: "Q2_K_S", 25: "IQ4_NL", 30: "IQ4_XS", 32: "BF16", 38: "MXFP4_MOE",
}  # fmt: skip


def n_parameters(tensors: Tensors) -> int:
    """Count the weights of a file, norms and embedding among them."""
    return sum(tensor.n_elements for tensor in tensors.values())


def tensor_types(tensors: Tensors) -> dict[str, int]:
    """Count the tensors of each block format, the one with most bytes first."""
    n_tensors: dict[str, int] = {}
    for tensor in tensors.values():
        n_tensors[tensor.format.name] = n_tensors.get(tensor.format.name, 0) + 1
    return {name: n_tensors[name] for name in _by_bytes(tensors.values())}


def main_format(tensors: Iterable[Tensor | TensorInfo]) -> str:
    """Name the block format that holds most bytes; empty if there are no tensors."""
    return next(iter(_by_bytes(tensors)), "")


def _by_bytes(tensors: Iterable[Tensor | TensorInfo]) -> list[str]:
    n_bytes: dict[str, int] = {}
    for tensor in tensors:
        n_bytes[tensor.format.name] = n_bytes.get(tensor.format.name, 0) + tensor.n_bytes
    return sorted(n_bytes, key=lambda name: -n_bytes[name])


def quantization_label(file: GGUFFile) -> str:
    """Name the quantization as file names do: `Q4_K_M`.

    `general.file_type` is believed when its base type is among the tensors: tools that write
    files by hand leave it at a default. Otherwise the format that holds most bytes is the label.
    """
    types = tensor_types(file.tensors)
    file_type = file.metadata.get("general.file_type")
    label = _FILE_TYPES.get(file_type, "") if isinstance(file_type, int) else ""
    base = re.sub(r"_(S|M|L|MOE)$", "", label)
    return label if base in types else next(iter(types), "")
