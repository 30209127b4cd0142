"""Hyperparameters of a model, read from a file's keys and checked.

A `ModelConfig` that was read is sound: every count is positive, heads divide, no number is NaN.
Names are those of Mistral's reference code. Knows nothing of tensors. Source of the keys: the GGUF
specification, "LLM" section.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from localmix.checks import whole
from localmix.errors import InvalidGGUF, LocalmixError, UnsupportedModel
from localmix.gguf import Metadata

SUPPORTED_ARCHITECTURES = ("llama",)
"""Values of `general.architecture`; "llama" covers Llama 2 and 3, Mistral and Mixtral."""

MISTRAL_V01_WINDOW = 4096
"""The window of Mistral 7B v0.1 (arXiv:2310.06825, section 2); its files do not state it."""


@dataclass(frozen=True)
class RopeScaling:
    """How rotary angles are stretched beyond the context that a model was first trained on.

    Attributes:
        kind: "none", "linear" (arXiv:2306.15595) or "yarn" (arXiv:2309.00071).
        factor: context now / context then.
        original_context_length: tokens, for yarn.
        magnitude: factor on cosine and sine.
        beta_fast, beta_slow: rotations within the original context that bound yarn's ramp.
        extrapolation: yarn's mix, 1 for the paper's formula.
    """

    kind: str = "none"
    factor: float = 1.0
    original_context_length: int = 0
    magnitude: float = 1.0
    beta_fast: float = 32.0
    beta_slow: float = 1.0
    extrapolation: float = 1.0


@dataclass(frozen=True)
class ModelConfig:
    """The numbers that shape a model. Lengths in tokens, dims in elements.

    Attributes:
        n_heads, n_kv_heads: query heads; key/value heads, each shared by n_heads / n_kv_heads
            queries.
        hidden_dim: width of the feed-forward layer, or of one expert.
        n_experts, n_experts_used: 0 for a dense model.
        rope_dim: how many of the `head_dim` elements are rotated.
        sliding_window: positions that a token attends to, its own among them; None: all.
    """

    architecture: str
    name: str
    dim: int
    n_layers: int
    n_heads: int
    n_kv_heads: int
    head_dim: int
    hidden_dim: int
    vocab_size: int
    context_length: int
    norm_eps: float
    rope_base: float
    rope_dim: int
    rope_scaling: RopeScaling
    sliding_window: int | None
    n_experts: int
    n_experts_used: int

    @classmethod
    def from_metadata(cls, metadata: Metadata) -> ModelConfig:
        """Read and check the hyperparameters of a file.

        Raises:
            UnsupportedModel: an architecture or a variant that localmix cannot run.
            InvalidGGUF: keys are missing, or contradict each other.
        """
        architecture = metadata.text("general.architecture")
        if architecture not in SUPPORTED_ARCHITECTURES:
            raise UnsupportedModel(
                f"the architecture {architecture!r} is not supported",
                f"localmix runs: {', '.join(SUPPORTED_ARCHITECTURES)} (Mistral, Mixtral, Llama)",
            )
        keys = _Keys(metadata, architecture)
        dim, n_heads = keys.count("embedding_length"), keys.count("attention.head_count")
        if not keys.has("attention.key_length") and dim % n_heads:
            raise InvalidGGUF(f"{n_heads} heads do not divide {dim} elements", _DAMAGED)
        head_dim = keys.count("attention.key_length", dim // n_heads)
        config = cls(
            architecture=architecture,
            name=metadata.text("general.name", ""),
            dim=dim,
            n_layers=keys.count("block_count"),
            n_heads=n_heads,
            n_kv_heads=keys.count("attention.head_count_kv", n_heads),
            head_dim=head_dim,
            hidden_dim=keys.count("feed_forward_length"),
            vocab_size=keys.count("vocab_size", metadata.length("tokenizer.ggml.tokens", 0)),
            context_length=keys.count("context_length"),
            norm_eps=keys.positive("attention.layer_norm_rms_epsilon"),
            rope_base=keys.positive("rope.freq_base", 10_000.0),
            rope_dim=keys.count("rope.dimension_count", head_dim),
            rope_scaling=_rope_scaling(keys),
            sliding_window=keys.count("attention.sliding_window", 0, at_least=0) or None,
            n_experts=keys.count("expert_count", 0, at_least=0),
            n_experts_used=keys.count("expert_used_count", 0, at_least=0),
        )
        _check(config, value_dim=keys.count("attention.value_length", head_dim))
        if config.sliding_window is None and is_mistral_v01(config):
            return replace(config, sliding_window=MISTRAL_V01_WINDOW)
        return config

    def with_window(self, sliding_window: str | int) -> ModelConfig:
        """Return the config with the window that a user asked for: "auto", "off" or a number."""
        if sliding_window == "auto":
            return self
        if sliding_window == "off":
            return replace(self, sliding_window=None)
        if isinstance(sliding_window, str):
            raise LocalmixError(
                f"a sliding window of {sliding_window!r} makes no sense",
                "use auto, off, or a number of tokens of at least 1",
            )
        return replace(self, sliding_window=whole("sliding_window", sliding_window, 1))

    def with_experts_used(self, n_experts_used: int | None) -> ModelConfig:
        """Return the config with another number of experts per token; None keeps the file's."""
        if n_experts_used is None:
            return self
        if not self.n_experts:
            raise LocalmixError("the model has no experts to choose from", "leave --experts away")
        n_used = whole("n_experts_used", n_experts_used, 1, self.n_experts)
        return replace(self, n_experts_used=n_used)


def is_mistral_v01(config: ModelConfig) -> bool:
    """Whether a file is shaped like Mistral 7B v0.1, whose window its converter never wrote down.

    v0.2 and later have a rope base of a million and no window; Llama 2 7B has other widths;
    fine-tunes of v0.1 added a few tokens to its vocabulary.
    """
    return (
        config.n_experts == 0
        and (config.dim, config.n_layers, config.hidden_dim) == (4096, 32, 14336)
        and (config.n_heads, config.n_kv_heads) == (32, 8)
        and 32_000 <= config.vocab_size <= 32_768
        and config.rope_base == 10_000.0
        and config.context_length == 32_768
    )


class _Keys:
    """Keys of one architecture, checked as they are read."""

    def __init__(self, metadata: Metadata, architecture: str) -> None:
        self._metadata = metadata
        self._prefix = architecture + "."

    def has(self, key: str) -> bool:
        return self._prefix + key in self._metadata

    def count(self, key: str, default: int | None = None, at_least: int = 1) -> int:
        name = self._prefix + key
        value = (
            self._metadata.integer(name)
            if default is None
            else self._metadata.integer(name, default)
        )
        if value < at_least:
            raise InvalidGGUF(f"{name} is {value}, which is less than {at_least}", _DAMAGED)
        return value

    def positive(self, key: str, default: float | None = None) -> float:
        name = self._prefix + key
        value = (
            self._metadata.number(name) if default is None else self._metadata.number(name, default)
        )
        if not (math.isfinite(value) and value > 0):
            raise InvalidGGUF(f"{name} is {value}, not a positive number", _DAMAGED)
        return value

    def text(self, key: str, default: str) -> str:
        return self._metadata.text(self._prefix + key, default)


_DAMAGED = "the file is damaged or was converted wrongly; download or convert it again"


def _rope_scaling(keys: _Keys) -> RopeScaling:
    """Read `rope.scaling.*`; files from before August 2023 have `rope.scale_linear` instead.

    A factor without a type is linear, as in llama.cpp. Yarn makes cosine and sine larger by
    1 + 0.1 · ln(factor) (arXiv:2309.00071, section 3.4), unless the file states the whole factor.
    """
    factor = keys.positive("rope.scaling.factor", keys.positive("rope.scale_linear", 1.0))
    kind = keys.text("rope.scaling.type", "linear" if factor != 1.0 else "none")
    if kind not in ("none", "linear", "yarn"):
        raise UnsupportedModel(
            f"rope scaling of type {kind!r} is not supported", "localmix knows: none, linear, yarn"
        )
    magnitude = keys.positive("rope.scaling.attn_factor", 1.0)
    if kind == "yarn":
        of_yarn = 1 + 0.1 * math.log(max(1.0, factor))
        magnitude = keys.positive("rope.scaling.yarn_attn_factor", magnitude * of_yarn)
    context_length = keys.count("context_length")
    return RopeScaling(
        kind=kind,
        factor=factor,
        original_context_length=keys.count("rope.scaling.original_context_length", context_length),
        magnitude=magnitude,
        beta_fast=keys.positive("rope.scaling.yarn_beta_fast", 32.0),
        beta_slow=keys.positive("rope.scaling.yarn_beta_slow", 1.0),
        extrapolation=keys.positive("rope.scaling.yarn_ext_factor", 1.0),
    )


def _check(config: ModelConfig, value_dim: int) -> None:
    """Raise unless the numbers fit together."""
    if config.n_heads % config.n_kv_heads:
        raise InvalidGGUF(
            f"{config.n_kv_heads} key/value heads do not divide {config.n_heads} heads", _DAMAGED
        )
    if config.rope_base <= 1:
        raise InvalidGGUF(f"a rope base of {config.rope_base} does not rotate", _DAMAGED)
    if value_dim != config.head_dim:
        raise UnsupportedModel(
            f"keys of {config.head_dim} and values of {value_dim} elements differ",
            "localmix runs models whose keys and values are equally long",
        )
    if config.rope_dim % 2 or config.rope_dim > config.head_dim:
        raise InvalidGGUF(
            f"{config.rope_dim} rotated elements do not fit heads of {config.head_dim}", _DAMAGED
        )
    if config.n_experts and not 1 <= config.n_experts_used <= config.n_experts:
        raise InvalidGGUF(
            f"{config.n_experts_used} of {config.n_experts} experts cannot be used", _DAMAGED
        )
