"""Writes a variant as a GGUF file of architecture `llama`, as llama.cpp's converter would.

Matrices are stored as F16, which loses nothing since the weights are float16 values; norms, biases
and the router stay F32. Source: conversion/llama.py of llama.cpp (names, permutation, rope_freqs).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

import gguf
import numpy as np
from numpy.typing import NDArray

from goldens.variants import Variant

FloatArray = NDArray[np.float32]

_SPACE = "▁"
_PIECES = (_SPACE, *"abcdefghijklmnopqrstuvwxyz", f"{_SPACE}t", "he")
VOCABULARY = ("<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256)), *_PIECES)

_BLOCK_NAMES = {
    "input_layernorm": "attn_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "post_attention_layernorm": "ffn_norm",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
    "mlp.gate": "ffn_gate_inp",
}
_NAMES = {
    "model.embed_tokens.weight": "token_embd.weight",
    "model.norm.weight": "output_norm.weight",
    "lm_head.weight": "output.weight",
}


def write(path: Path, variant: Variant, parameters: dict[str, FloatArray]) -> None:
    """Write `parameters`, named as transformers names them, to `path`."""
    writer = gguf.GGUFWriter(path, "llama")
    _add_hyperparameters(writer, variant)
    _add_vocabulary(writer)
    for name, values in _tensors(variant, parameters):
        exact = values.ndim == 1 or "ffn_gate_inp" in name
        writer.add_tensor(name, values.astype(np.float32 if exact else np.float16))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _add_hyperparameters(writer: gguf.GGUFWriter, variant: Variant) -> None:
    writer.add_name(variant.name)
    writer.add_context_length(variant.context_length)
    writer.add_embedding_length(variant.dim)
    writer.add_block_count(variant.n_layers)
    writer.add_feed_forward_length(variant.hidden_dim)
    writer.add_head_count(variant.n_heads)
    writer.add_layer_norm_rms_eps(variant.norm_eps)
    if variant.spare_keys:
        return
    writer.add_head_count_kv(variant.n_kv_heads)
    writer.add_rope_dimension_count(variant.width)
    writer.add_rope_freq_base(variant.rope_base)
    writer.add_vocab_size(len(VOCABULARY))
    if variant.head_dim:
        writer.add_key_length(variant.head_dim)
        writer.add_value_length(variant.head_dim)
    if variant.n_experts:
        writer.add_expert_count(variant.n_experts)
        writer.add_expert_used_count(variant.n_experts_used)
    if variant.sliding_window:
        writer.add_sliding_window(variant.sliding_window)
    _add_rope_scaling(writer, variant)


def _add_rope_scaling(writer: gguf.GGUFWriter, variant: Variant) -> None:
    scaling = variant.rope_scaling
    kind = scaling.get("rope_type")
    if kind in ("linear", "yarn"):  # llama3 has no key: it is a tensor
        writer.add_rope_scaling_type(gguf.RopeScalingType(kind))
        writer.add_rope_scaling_factor(scaling["factor"])
    if kind == "yarn":
        writer.add_rope_scaling_orig_ctx_len(scaling["original_max_position_embeddings"])
        if "beta_fast" in scaling:
            writer.add_rope_scaling_yarn_beta_fast(scaling["beta_fast"])
            writer.add_rope_scaling_yarn_beta_slow(scaling["beta_slow"])
        if "attention_factor" in scaling:
            # transformers states the whole factor, ggml what it is beside 1 + 0.1 · ln(factor).
            usual = 1 + 0.1 * math.log(scaling["factor"])
            writer.add_rope_scaling_attn_factors(scaling["attention_factor"] / usual)


def _add_vocabulary(writer: gguf.GGUFWriter) -> None:
    kinds = [gguf.TokenType.UNKNOWN] + [gguf.TokenType.CONTROL] * 2
    kinds += [gguf.TokenType.BYTE] * 256 + [gguf.TokenType.NORMAL] * len(_PIECES)
    writer.add_tokenizer_model("llama")
    writer.add_token_list(VOCABULARY)
    writer.add_token_scores([-float(i) for i in range(len(VOCABULARY))])
    writer.add_token_types(kinds)
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_unk_token_id(0)


def _tensors(
    variant: Variant, parameters: dict[str, FloatArray]
) -> Iterator[tuple[str, FloatArray]]:
    """Yield every tensor of the file under its GGUF name."""
    if variant.rope_scaling.get("rope_type") == "llama3":
        yield "rope_freqs.weight", _llama3_divisors(variant)
    for name, values in parameters.items():
        if name in _NAMES:
            yield _NAMES[name], values
            continue
        _, _, layer, part = name.split(".", 3)  # model.layers.N.self_attn.q_proj.weight
        if part == "mlp.experts.gate_up_proj":  # (E, 2F, D)
            gate, up = np.split(values, 2, axis=1)
            yield f"blk.{layer}.ffn_gate_exps.weight", gate
            yield f"blk.{layer}.ffn_up_exps.weight", up
        elif part == "mlp.experts.down_proj":  # (E, D, F)
            yield f"blk.{layer}.ffn_down_exps.weight", values
        else:
            part, kind = part.rsplit(".", 1)
            if part.endswith(("q_proj", "k_proj")):
                n_heads = variant.n_heads if part.endswith("q_proj") else variant.n_kv_heads
                values = _interleave_pairs(values, n_heads)
            yield f"blk.{layer}.{_BLOCK_NAMES[part]}.{kind}", values


def _interleave_pairs(rows: FloatArray, n_heads: int) -> FloatArray:
    """Reorder the rows of q or k, weight (H·Hd, D) or bias (H·Hd,), from halves to pairs.

    transformers rotates element i of a head with element i + Hd/2; ggml's order for `llama` rotates
    2i with 2i + 1. Of a head with 6 elements the rows 0 1 2 3 4 5 become 0 3 1 4 2 5.
    """
    halves = rows.reshape(n_heads, 2, -1, *rows.shape[1:])  # (H, 2, Hd/2, D)
    return np.ascontiguousarray(halves.swapaxes(1, 2)).reshape(rows.shape)


def _llama3_divisors(variant: Variant) -> FloatArray:
    """Return what each frequency is divided by under Llama 3.1's rule: (Hd/2,) float32."""
    rule = variant.rope_scaling
    n_context = rule["original_max_position_embeddings"]
    low, high = rule["low_freq_factor"], rule["high_freq_factor"]
    divisors = []
    for i in range(variant.width // 2):
        wavelength = 2 * math.pi * variant.rope_base ** (2 * i / variant.width)
        # 1 where at least `high` wavelengths fit the old context, 0 where fewer than `low` do.
        kept = min(1.0, max(0.0, (n_context / wavelength - low) / (high - low)))
        divisors.append(1 / ((1 - kept) / rule["factor"] + kept))
    return np.array(divisors, dtype=np.float32)
