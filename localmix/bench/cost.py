"""What a token costs: bytes read, operations.

Only the tensor table is looked at, never the weights. In decode every weight at work is read once
per token: all matrices but the embedding (one row of it), and of the experts only those that the
router chose.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from localmix.cache.ring import position_bytes
from localmix.gguf import Tensor
from localmix.model.config import ModelConfig
from localmix.model.weights import is_of_experts

Tensors = Mapping[str, Tensor]

_EMBEDDING, _OUTPUT = "token_embd.weight", "output.weight"


@dataclass(frozen=True)
class TokenCost:
    """What one token of a model costs.

    Attributes:
        weight_bytes: weights that a decoded token reads, in the file's own blocks.
        n_layer_weights: weights of the layers that a token is multiplied with.
        n_output_weights: weights of the output matrix; in prefill only the last token needs it.
        kv_bytes: keys and values of one position, as the cache keeps them.
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
    n_layer_weights, weight_bytes = 0.0, 0.0
    for name, tensor in tensors.items():
        if name == _EMBEDDING and name != output:
            continue
        part = share if is_of_experts(name) else 1.0
        weight_bytes += part * tensor.n_bytes
        if name != output and len(tensor.shape) > 1:
            n_layer_weights += part * tensor.n_elements
    return TokenCost(
        weight_bytes=round(weight_bytes),
        n_layer_weights=round(n_layer_weights),
        n_output_weights=tensors[output].n_elements,
        kv_bytes=position_bytes(config, kv),
    )
