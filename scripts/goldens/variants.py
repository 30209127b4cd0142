"""Which tiny models the golden data hold, one for each thing a forward pass can do differently.

Frequencies and windows are chosen so that a few dozen tokens see the effect: a rope base of 100
turns even the slowest pair by a good part of a circle, and 32 tokens are more than four windows of
7. Seeds are chosen so that the greedy text repeats itself little and no choice is a close one
(`oracle.py` refuses those).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any, Literal


@dataclass(frozen=True)
class Variant:
    """One tiny model and the sequence it is run on.

    Attributes:
        name: stem of the files, `tests/data/goldens/<name>.gguf` and `.npz`.
        family: which class of transformers builds it.
        seed: of the weights and the prompt; two variants with one seed and one shape share weights.
        head_dim: None when it is `dim / n_heads`, which is then left out of the file as well.
        rope_scaling: `rope_parameters` of transformers beside `rope_theta`; empty for none.
        biases: whether every projection has one.
        spare_keys: leave out every key of the file for which a reader has a default.
        n_prompt: tokens drawn at random; the rest, up to `n_tokens`, is chosen greedily.
        n_long: length of a second sequence, whose logits are kept around position 512 only; 0 for
            none. Fed in chunks of 512, it goes round the ring of a small window.
    """

    name: str
    family: Literal["llama", "mistral", "mixtral"]
    seed: int
    dim: int = 32
    n_layers: int = 2
    n_heads: int = 4
    n_kv_heads: int = 2
    head_dim: int | None = None
    hidden_dim: int = 48
    n_experts: int = 0
    n_experts_used: int = 0
    sliding_window: int | None = None
    rope_base: float = 10000.0
    rope_scaling: dict[str, Any] = field(default_factory=dict)
    context_length: int = 128
    norm_eps: float = 1e-5
    tied: bool = False
    biases: bool = False
    spare_keys: bool = False
    n_prompt: int = 28
    n_tokens: int = 36
    n_long: int = 0

    @property
    def width(self) -> int:
        """Elements of one head."""
        return self.head_dim or self.dim // self.n_heads


_MOE: dict[str, Any] = {
    "family": "mixtral",
    "hidden_dim": 24,
    "n_experts": 8,
    "n_experts_used": 2,
    "rope_base": 1e6,
}
_WINDOW: dict[str, Any] = {"sliding_window": 7, "n_prompt": 24, "n_tokens": 32}
# Eight frequencies instead of four, so that every branch of a scaling rule is taken by some.
_ROPE: dict[str, Any] = {"family": "llama", "n_heads": 2, "n_kv_heads": 1, "rope_base": 100.0}

VARIANTS: tuple[Variant, ...] = (
    Variant("mistral", "mistral", 13, n_layers=3),
    Variant(
        "mistral-window", "mistral", 13, n_layers=3, context_length=2048, n_long=1032, **_WINDOW
    ),
    Variant("mixtral", seed=8, **_MOE),
    Variant("mixtral-window", seed=8, **_MOE, **_WINDOW),
    Variant("llama-tied", "llama", 17, n_kv_heads=4, tied=True, spare_keys=True),
    Variant("llama-head-dim", "llama", 12, head_dim=12),
    Variant("llama-biases", "llama", 2, biases=True),
    Variant("rope-linear", seed=2, rope_scaling={"rope_type": "linear", "factor": 4.0}, **_ROPE),
    Variant(
        "rope-llama3",
        seed=14,
        # Wavelengths run from 6 to 353: three stay, three are mixed, two are divided.
        rope_scaling={
            "rope_type": "llama3",
            "factor": 8.0,
            "low_freq_factor": 1.0,
            "high_freq_factor": 4.0,
            "original_max_position_embeddings": 128,
        },
        context_length=1024,
        **_ROPE,
    ),
    Variant(
        "rope-yarn",
        seed=13,
        # With beta 32 and 1 the ramp runs from pair 1 to pair 8.
        rope_scaling={
            "rope_type": "yarn",
            "factor": 8.0,
            "original_max_position_embeddings": 512,
        },
        context_length=4096,
        **_ROPE,
    ),
    Variant(
        "rope-yarn-keys",
        seed=3,
        # Everything stated: the ramp runs from pair 2 to pair 7, and cosine and sine lose a fifth.
        rope_scaling={
            "rope_type": "yarn",
            "factor": 8.0,
            "original_max_position_embeddings": 512,
            "beta_fast": 16.0,
            "beta_slow": 2.0,
            "attention_factor": 0.8 * (1 + 0.1 * math.log(8.0)),
        },
        context_length=4096,
        n_layers=1,
        **_ROPE,
    ),
)
