"""What a token costs: bytes read, operations.

Only the tensor table is looked at, never the weights. In decode every weight at work is read once
per token: all matrices but the embedding (one row of it), and of the experts only those that the
router chose.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from typing import Protocol

from localmix.cache.ring import position_bytes
from localmix.model.config import ModelConfig
from localmix.model.weights import is_of_experts


class Described(Protocol):
    """A tensor, or what a file's table says of one."""

    @property
    def shape(self) -> tuple[int, ...]:
        """The length of a row last."""

    @property
    def n_bytes(self) -> int:
        """Its size in the file."""


Tensors = Mapping[str, Described]

_FLOAT_BYTES = 2
"""A weight of at least so many is a float (F16, BF16, F32), whose products are computed in float32.
All others are blocks of small integers."""

_EMBEDDING, _OUTPUT = "token_embd.weight", "output.weight"


@dataclass(frozen=True)
class TokenCost:
    """What one token of a model costs.

    Attributes:
        weight_bytes: weights that a decoded token reads, in the file's own blocks.
        n_layer_weights: weights of the layers that a token is multiplied with.
        n_output_weights: weights of the output matrix; in prefill only the last token needs it.
        kv_bytes: keys and values of one position, as the cache keeps them.
        attention_operations: multiplications and additions of one token with one position that it
            attends to: the scores, and the sum of the values.
        n_float_weights: those of `n_layer_weights` that are multiplied as floats.
    """

    weight_bytes: int
    n_layer_weights: int
    n_output_weights: int
    kv_bytes: int
    attention_operations: int = 0
    n_float_weights: int = 0

    @property
    def is_of_floats(self) -> bool:
        """Whether products of floats, not of int8, are most of the work."""
        return 2 * self.n_float_weights > self.n_layer_weights

    def decode_bytes(self, n_positions: float) -> float:
        """Bytes that a token reads with that many positions in its window."""
        return self.weight_bytes + n_positions * self.kv_bytes

    def decode_operations(self) -> float:
        """Multiplications and additions in the matrices of a token; attention is not counted."""
        return 2.0 * (self.n_layer_weights + self.n_output_weights)

    def prefill_operations(self, n_tokens: int) -> float:
        """Multiplications and additions in the matrices of a prompt; attention is not counted."""
        return 2.0 * (self.n_layer_weights * n_tokens + self.n_output_weights)


def token_cost(tensors: Tensors, config: ModelConfig, kv: str = "f16") -> TokenCost:
    """Add up what a token of this model reads and multiplies.

    Args:
        tensors: the file's, by name.
        config: how many experts are in use, among others: maybe not the file's own number.
        kv: type of the cached keys and values.
    """
    share = config.n_experts_used / config.n_experts if config.n_experts else 1.0
    output = (
        _OUTPUT if _OUTPUT in tensors else _EMBEDDING
    )  # tied: the embedding is the output matrix
    n_layer_weights, n_float_weights, weight_bytes = 0.0, 0.0, 0.0
    for name, tensor in tensors.items():
        if name == _EMBEDDING and name != output:
            continue
        part = share if is_of_experts(name) else 1.0
        weight_bytes += part * tensor.n_bytes
        if name != output and len(tensor.shape) > 1:
            n_weights = part * prod(tensor.shape)
            n_layer_weights += n_weights
            if tensor.n_bytes >= _FLOAT_BYTES * prod(tensor.shape):
                n_float_weights += n_weights
    return TokenCost(
        weight_bytes=round(weight_bytes),
        n_layer_weights=round(n_layer_weights),
        n_output_weights=prod(tensors[output].shape),
        kv_bytes=position_bytes(config, kv),
        attention_operations=4 * config.n_layers * config.n_heads * config.head_dim,
        n_float_weights=round(n_float_weights),
    )
