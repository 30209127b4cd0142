"""Builds a variant in transformers, fills its weights, and runs it in float32."""

from __future__ import annotations

import zlib
from collections.abc import Sequence

import numpy as np
import torch
import transformers
from numpy.typing import NDArray

from goldens.variants import Variant
from goldens.writer import VOCABULARY

FloatArray = NDArray[np.float32]
IntArray = NDArray[np.int32]

BOS_ID = 1
N_SPECIAL = 3  # <unk>, <s> and </s>: a greedy text with one of them might rightly end there

# A choice that rounding could turn would make a test fail for no reason: such a seed is refused.
MIN_GREEDY_MARGIN = 1e-2
MIN_ROUTER_MARGIN = 1e-3


def build(variant: Variant) -> transformers.PreTrainedModel:
    """Make the model of `variant` with its seeded weights."""
    torch.set_num_threads(1)  # one order of summation: the same bytes every time
    options = {
        "vocab_size": len(VOCABULARY),
        "hidden_size": variant.dim,
        "intermediate_size": variant.hidden_dim,
        "num_hidden_layers": variant.n_layers,
        "num_attention_heads": variant.n_heads,
        "num_key_value_heads": variant.n_kv_heads,
        "head_dim": variant.head_dim,
        "max_position_embeddings": variant.context_length,
        "rms_norm_eps": variant.norm_eps,
        "tie_word_embeddings": variant.tied,
        "rope_parameters": {
            "rope_type": "default",
            "rope_theta": variant.rope_base,
            **variant.rope_scaling,
        },
        "attn_implementation": "eager",
    }
    if variant.family == "llama":
        biases = {"attention_bias": variant.biases, "mlp_bias": variant.biases}
        model = transformers.LlamaForCausalLM(transformers.LlamaConfig(**options, **biases))
    elif variant.family == "mistral":
        options["sliding_window"] = variant.sliding_window
        model = transformers.MistralForCausalLM(transformers.MistralConfig(**options))
    else:
        options["sliding_window"] = variant.sliding_window
        options["num_local_experts"] = variant.n_experts
        options["num_experts_per_tok"] = variant.n_experts_used
        model = transformers.MixtralForCausalLM(transformers.MixtralConfig(**options))
    for name, parameter in model.named_parameters():
        values = _weights(name, tuple(parameter.shape), variant.seed)
        parameter.data.copy_(torch.from_numpy(values))
    return model.eval()


def make_ids(
    variant: Variant, model: transformers.PreTrainedModel, n_prompt: int, n_tokens: int
) -> IntArray:
    """Draw a prompt and extend it greedily to `n_tokens`."""
    rng = np.random.default_rng([variant.seed, n_tokens])
    ids = [BOS_ID, *rng.integers(N_SPECIAL, len(VOCABULARY), n_prompt - 1).tolist()]
    while len(ids) < n_tokens:
        last = logits(model, ids)[-1]
        second, first = np.sort(last)[-2:]
        assert first - second > MIN_GREEDY_MARGIN, f"{variant.name}: greedy choice too close"
        ids.append(int(last.argmax()))
        assert ids[-1] >= N_SPECIAL, f"{variant.name}: a special token in the greedy text"
    return np.array(ids, dtype=np.int32)


@torch.no_grad()
def logits(model: transformers.PreTrainedModel, ids: Sequence[int]) -> FloatArray:
    """Run `ids` once and return the logits of every position, (T, V)."""
    return model(input_ids=torch.tensor([list(ids)]), use_cache=False).logits[0].numpy()


@torch.no_grad()
def route(variant: Variant, model: transformers.PreTrainedModel, ids: Sequence[int]) -> IntArray:
    """Run `ids` once and return the experts that each token visits, ascending, (L, T, A)."""
    inputs = torch.tensor([list(ids)])
    output = model(input_ids=inputs, use_cache=False, output_router_logits=True)
    router = np.stack([layer.numpy() for layer in output.router_logits])  # (L, T, E)
    best = np.sort(router, axis=-1)[..., ::-1]
    n_used = variant.n_experts_used
    margin = float((best[..., n_used - 1] - best[..., n_used]).min())
    assert margin > MIN_ROUTER_MARGIN, f"{variant.name}: router choice too close, {margin}"
    return np.sort(np.argsort(-router, axis=-1)[..., :n_used], axis=-1).astype(np.int32)


def _weights(name: str, shape: tuple[int, ...], seed: int) -> FloatArray:
    """Draw the values of one parameter, rounded to what float16 holds exactly.

    Each parameter has a stream of its own, so that neither order nor number of the others matters.
    Sizes are such that attention scores and logits vary by a few units: near-uniform ones would
    let a wrong pass look right.
    """
    rng = np.random.default_rng([seed, zlib.crc32(name.encode())])
    if "norm" in name:
        values = rng.uniform(0.5, 1.5, shape)
    elif name.endswith(".bias") or "embed_tokens" in name or "lm_head" in name:
        values = rng.normal(0.0, 0.5, shape)
    else:
        values = rng.normal(0.0, 1.2 / np.sqrt(shape[-1]), shape)
    return values.astype(np.float16).astype(np.float32)
