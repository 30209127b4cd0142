"""What a file is made of and what a token costs: parameters, quantization, bytes read, operations.

Only the tensor table is looked at, never the weights. In decode every weight at work is read once
per token: all matrices but the embedding (one row of it), and of the experts only those that the
router chose.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from localmix.gguf import GGUFFile, Tensor
from localmix.model.config import ModelConfig

Tensors = Mapping[str, Tensor]

_EXPERT = re.compile(r"\.ffn_(gate|up|down)(_exps|\.\d+)\.weight$")
_EMBEDDING, _OUTPUT = "token_embd.weight", "output.weight"

# Source: `enum llama_ftype` in llama.cpp's include/llama.h; the mixes that general.file_type names.
_FILE_TYPES = {
    0: "F32", 1: "F16", 2: "Q4_0", 3: "Q4_1", 7: "Q8_0", 8: "Q5_0", 9: "Q5_1", 10: "Q2_K",
    11: "Q3_K_S", 12: "Q3_K_M", 13: "Q3_K_L", 14: "Q4_K_S", 15: "Q4_K_M", 16: "Q5_K_S",
    17: "Q5_K_M", 18: "Q6_K", 21: "Q2_K_S", 25: "IQ4_NL", 30: "IQ4_XS", 32: "BF16", 38: "MXFP4_MOE",
}  # fmt: skip


@dataclass(frozen=True)
class TokenCost:
    """What one token of a model costs.

    Attributes:
        weight_bytes: weights that a decoded token reads, in the file's own blocks.
        n_layer_weights: weights of the layers that a token is multiplied with.
        n_output_weights: weights of the output matrix; in prefill only the last token needs it.
        kv_bytes: keys and values of one position, as float16.
    """

    weight_bytes: int
    n_layer_weights: int
    n_output_weights: int
    kv_bytes: int

    def decode_bytes(self, n_positions: float) -> float:
        """Bytes that a token reads with that many positions in its window."""
        return self.weight_bytes + n_positions * self.kv_bytes

    def prefill_operations(self, n_tokens: int) -> float:
        """Multiplications and additions in the matrices of a prompt; attention is not counted."""
        return 2.0 * (self.n_layer_weights * n_tokens + self.n_output_weights)


def token_cost(tensors: Tensors, config: ModelConfig) -> TokenCost:
    """Add up what a token of this model reads and multiplies.

    The config says how many experts are in use, which may be fewer than the file's own number.
    """
    share = config.n_experts_used / config.n_experts if config.n_experts else 1.0
    output = (
        _OUTPUT if _OUTPUT in tensors else _EMBEDDING
    )  # tied: the embedding is the output matrix
    n_layer_weights, weight_bytes = 0.0, 0.0
    for name, tensor in tensors.items():
        if name == _EMBEDDING and name != output:
            continue
        part = share if _EXPERT.search(name) else 1.0
        weight_bytes += part * tensor.n_bytes
        if name != output and len(tensor.shape) > 1:
            n_layer_weights += part * tensor.n_elements
    return TokenCost(
        weight_bytes=round(weight_bytes),
        n_layer_weights=round(n_layer_weights),
        n_output_weights=tensors[output].n_elements,
        kv_bytes=config.n_layers * 2 * config.n_kv_heads * config.head_dim * 2,
    )


def n_parameters(tensors: Tensors) -> int:
    """Count the weights of a file, norms and embedding among them."""
    return sum(tensor.n_elements for tensor in tensors.values())


def tensor_types(tensors: Tensors) -> dict[str, int]:
    """Count the tensors of each block format, the one with most bytes first."""
    n_tensors: dict[str, int] = {}
    n_bytes: dict[str, int] = {}
    for tensor in tensors.values():
        name = tensor.format.name
        n_tensors[name] = n_tensors.get(name, 0) + 1
        n_bytes[name] = n_bytes.get(name, 0) + tensor.n_bytes
    return {name: n_tensors[name] for name in sorted(n_tensors, key=lambda name: -n_bytes[name])}


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
