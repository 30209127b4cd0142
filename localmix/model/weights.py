"""The weights of a model: tensors of the file under the names that the forward pass uses.

Nothing is copied or dequantized here: every `Tensor` is a view on the mapped file. Attributes are
called as in GGUF (`attn_q`, `ffn_gate`, `ffn_gate_inp`). Both layouts of Mixtral files end as one
tuple of experts:

    merged   blk.0.ffn_gate_exps.weight   (E, F, D)   one block format for all experts
    split    blk.0.ffn_gate.3.weight      (F, D)      before spring 2024; a format per expert
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from localmix.errors import InvalidGGUF, UnsupportedModel
from localmix.gguf import Tensor
from localmix.model.config import ModelConfig

_OF_EXPERTS = re.compile(r"\.ffn_(gate|up|down)(_exps|\.\d+)\.weight$")


def is_of_experts(name: str) -> bool:
    """Whether a tensor of this name holds experts' matrices, one or all of a layer."""
    return _OF_EXPERTS.search(name) is not None


@dataclass(frozen=True)
class Projection:
    """A matrix (N rows out, D columns in) in blocks along its rows, and an optional bias (N,)."""

    weight: Tensor
    bias: Tensor | None = None


@dataclass(frozen=True)
class FeedForward:
    """The three matrices of a SwiGLU layer, or of one expert: gate and up (F, D), down (D, F)."""

    ffn_gate: Projection
    ffn_up: Projection
    ffn_down: Projection


@dataclass(frozen=True)
class Mixture:
    """A router (E, D) and the experts that it chooses from."""

    ffn_gate_inp: Tensor
    experts: tuple[FeedForward, ...]


@dataclass(frozen=True)
class Layer:
    """One transformer block."""

    attn_norm: Tensor  # (D,)
    attn_q: Projection  # (H * Hd, D)
    attn_k: Projection  # (K * Hd, D)
    attn_v: Projection  # (K * Hd, D)
    attn_output: Projection  # (D, H * Hd)
    ffn_norm: Tensor  # (D,)
    ffn: FeedForward | Mixture


@dataclass(frozen=True)
class Weights:
    """All tensors of a model."""

    token_embd: Tensor  # (V, D)
    layers: tuple[Layer, ...]
    output_norm: Tensor  # (D,)
    output: Projection  # (V, D); the embedding itself where the file ties them
    rope_freqs: Tensor | None  # (rope_dim / 2,) divisors of the rotary frequencies, Llama 3.1

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, Tensor], config: ModelConfig) -> Weights:
        """Name the tensors of a file.

        Raises:
            InvalidGGUF: a tensor is missing or has another shape than the hyperparameters say.
            UnsupportedModel: the file has tensors that this forward pass would leave out.
        """
        take = _Taker(tensors)
        vocab, dim = config.vocab_size, config.dim
        token_embd = take.tensor("token_embd.weight", vocab, dim)
        tied = "output.weight" not in tensors
        weights = cls(
            token_embd=token_embd,
            layers=tuple(_layer(take, f"blk.{i}.", config) for i in range(config.n_layers)),
            output_norm=take.tensor("output_norm.weight", dim),
            output=Projection(token_embd) if tied else take.projection("output", vocab, dim),
            rope_freqs=take.optional("rope_freqs.weight", config.rope_dim // 2),
        )
        take.expect_nothing_left()
        return weights


def _layer(take: _Taker, prefix: str, config: ModelConfig) -> Layer:
    dim = config.dim
    n_query, n_key = config.n_heads * config.head_dim, config.n_kv_heads * config.head_dim
    return Layer(
        attn_norm=take.tensor(prefix + "attn_norm.weight", dim),
        attn_q=take.projection(prefix + "attn_q", n_query, dim),
        attn_k=take.projection(prefix + "attn_k", n_key, dim),
        attn_v=take.projection(prefix + "attn_v", n_key, dim),
        attn_output=take.projection(prefix + "attn_output", dim, n_query),
        ffn_norm=take.tensor(prefix + "ffn_norm.weight", dim),
        ffn=_mixture(take, prefix, config) if config.n_experts else _dense(take, prefix, config),
    )


def _dense(take: _Taker, prefix: str, config: ModelConfig) -> FeedForward:
    dim, hidden_dim = config.dim, config.hidden_dim
    return FeedForward(
        ffn_gate=take.projection(prefix + "ffn_gate", hidden_dim, dim),
        ffn_up=take.projection(prefix + "ffn_up", hidden_dim, dim),
        ffn_down=take.projection(prefix + "ffn_down", dim, hidden_dim),
    )


def _mixture(take: _Taker, prefix: str, config: ModelConfig) -> Mixture:
    dim, hidden_dim = config.dim, config.hidden_dim
    gates = take.experts(prefix + "ffn_gate", config.n_experts, hidden_dim, dim)
    ups = take.experts(prefix + "ffn_up", config.n_experts, hidden_dim, dim)
    downs = take.experts(prefix + "ffn_down", config.n_experts, dim, hidden_dim)
    return Mixture(
        ffn_gate_inp=take.tensor(prefix + "ffn_gate_inp.weight", config.n_experts, dim),
        experts=tuple(
            FeedForward(*(Projection(tensor) for tensor in expert))
            for expert in zip(gates, ups, downs, strict=True)
        ),
    )


class _Taker:
    """Takes tensors by name, checks their shapes, and knows at the end what nobody took."""

    HARMLESS = "attn_rot_embd.weight"
    """Rotary tables of old converters: we compute our own."""

    def __init__(self, tensors: Mapping[str, Tensor]) -> None:
        self._tensors = tensors
        self._taken: set[str] = set()

    def optional(self, name: str, *shape: int) -> Tensor | None:
        return self.tensor(name, *shape) if name in self._tensors else None

    def tensor(self, name: str, *shape: int) -> Tensor:
        if name not in self._tensors:
            raise InvalidGGUF(
                f"the tensor {name} is missing", "the file is cut or damaged; download it again"
            )
        tensor = self._tensors[name]
        if tensor.shape != shape:
            raise InvalidGGUF(
                f"the tensor {name} has the shape {tensor.shape}, the hyperparameters say {shape}",
                "the file was converted wrongly; download or convert it again",
            )
        self._taken.add(name)
        return tensor

    def projection(self, name: str, n_rows: int, n_columns: int) -> Projection:
        return Projection(
            weight=self.tensor(name + ".weight", n_rows, n_columns),
            bias=self.optional(name + ".bias", n_rows),
        )

    def experts(self, name: str, n_experts: int, n_rows: int, n_columns: int) -> list[Tensor]:
        """Return the matrix `name` of every expert, from either layout."""
        if f"{name}_exps.weight" in self._tensors:
            merged = self.tensor(f"{name}_exps.weight", n_experts, n_rows, n_columns)
            return [merged.part(i) for i in range(n_experts)]
        return [self.tensor(f"{name}.{i}.weight", n_rows, n_columns) for i in range(n_experts)]

    def expect_nothing_left(self) -> None:
        """Raise if we would leave tensors out in silence, and so compute another model."""
        left = sorted(
            name
            for name in self._tensors
            if name not in self._taken and not name.endswith(self.HARMLESS)
        )
        if left:
            raise UnsupportedModel(
                f"the file has tensors that this forward pass leaves out: {', '.join(left[:3])}"
                + (f" and {len(left) - 3} more" if len(left) > 3 else ""),
                "it is a variant that localmix cannot run yet",
            )
