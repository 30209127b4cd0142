"""Writes small random models as GGUF files, with the `gguf` package."""

from dataclasses import dataclass

import gguf
import numpy as np
from gguf import GGMLQuantizationType as Q

N_BYTE_PIECES = 256
WORDS = "the a fox dog and is in to of on it was ran sat sun red big one two".split()
PIECES = (
    ["<unk>", "<s>", "</s>"]
    + [f"<0x{i:02X}>" for i in range(N_BYTE_PIECES)]
    + ["▁" + word for word in WORDS]
    + list("abcdefghijklmnopqrstuvwxyz▁")
)
TYPES = [2, 3, 3] + [6] * N_BYTE_PIECES + [1] * (len(PIECES) - 3 - N_BYTE_PIECES)


@dataclass(frozen=True)
class Shape:
    """The geometry of a small model; matrices have rows of a multiple of 32, so that Q8_0 fits."""

    dim: int = 32
    n_layers: int = 2
    n_heads: int = 4
    n_kv_heads: int = 2
    hidden_dim: int = 64
    n_experts: int = 0
    n_experts_used: int = 2
    context_length: int = 512
    window: int | None = None


def tensors_of(shape, seed=0):
    """Random tensors by name, float32, scaled so that attention and routing really choose."""
    rng = np.random.default_rng(seed)

    def random(*size, scale):
        return (rng.standard_normal(size) * scale).astype(np.float32)

    kv_dim = shape.n_kv_heads * (shape.dim // shape.n_heads)
    tensors = {
        "token_embd.weight": random(len(PIECES), shape.dim, scale=1.0),
        "output_norm.weight": 1 + random(shape.dim, scale=0.1),
        "output.weight": random(len(PIECES), shape.dim, scale=0.5),
    }
    for i in range(shape.n_layers):
        b = f"blk.{i}."
        tensors[b + "attn_norm.weight"] = 1 + random(shape.dim, scale=0.1)
        tensors[b + "ffn_norm.weight"] = 1 + random(shape.dim, scale=0.1)
        for name, rows in (("q", shape.dim), ("k", kv_dim), ("v", kv_dim), ("output", shape.dim)):
            tensors[f"{b}attn_{name}.weight"] = random(rows, shape.dim, scale=0.4)
        experts = (shape.n_experts,) if shape.n_experts else ()
        suffix = "_exps.weight" if shape.n_experts else ".weight"
        up = (*experts, shape.hidden_dim, shape.dim)
        tensors[b + "ffn_gate" + suffix] = random(*up, scale=0.3)
        tensors[b + "ffn_up" + suffix] = random(*up, scale=0.3)
        tensors[b + "ffn_down" + suffix] = random(*experts, shape.dim, shape.hidden_dim, scale=0.2)
        if shape.n_experts:
            tensors[b + "ffn_gate_inp.weight"] = random(shape.n_experts, shape.dim, scale=0.5)
    return tensors


def split_experts(tensors):
    """The same tensors in the layout of Mixtral files before spring 2024: a matrix per expert."""
    split = {}
    for name, data in tensors.items():
        if "_exps" in name:
            split |= {name.replace("_exps", f".{e}"): part for e, part in enumerate(data)}
        else:
            split[name] = data
    return split


def write_model(path, shape=None, *, tensors=None, quant=Q.F32, seed=0, keys=(), leave_out=()):
    """Write a model.

    Args:
        path: the file to write.
        shape: its geometry.
        tensors: name -> float32 array; None: random ones.
        quant: block format of the matrices; norms and routers stay F32. A dict gives it by name.
        seed: of random tensors.
        keys: (name, value, gguf value type) of further keys; they win over the usual ones.
        leave_out: names of keys or tensors that are not written.
    """
    shape = shape or Shape()
    tensors = tensors_of(shape, seed) if tensors is None else tensors
    w = gguf.GGUFWriter(str(path), "llama")
    u32, f32 = gguf.GGUFValueType.UINT32, gguf.GGUFValueType.FLOAT32
    usual = [
        ("llama.block_count", shape.n_layers, u32),
        ("llama.context_length", shape.context_length, u32),
        ("llama.embedding_length", shape.dim, u32),
        ("llama.feed_forward_length", shape.hidden_dim, u32),
        ("llama.attention.head_count", shape.n_heads, u32),
        ("llama.attention.head_count_kv", shape.n_kv_heads, u32),
        ("llama.attention.layer_norm_rms_epsilon", 1e-5, f32),
        ("llama.rope.freq_base", 10_000.0, f32),
    ]
    if shape.n_experts:
        usual += [
            ("llama.expert_count", shape.n_experts, u32),
            ("llama.expert_used_count", shape.n_experts_used, u32),
        ]
    if shape.window:
        usual.append(("llama.attention.sliding_window", shape.window, u32))
    for name, (value, kind) in ({k: (v, t) for k, v, t in [*usual, *keys]}).items():
        if name not in leave_out:
            w.add_key_value(name, value, kind)
    w.add_tokenizer_model("llama")
    w.add_token_list(PIECES)
    w.add_token_scores([-float(i) for i in range(len(PIECES))])
    w.add_token_types(TYPES)
    w.add_bos_token_id(1)
    w.add_eos_token_id(2)
    w.add_unk_token_id(0)
    for name, data in tensors.items():
        if name in leave_out:
            continue
        of_this = quant.get(name, Q.F32) if isinstance(quant, dict) else quant
        if data.ndim < 2 or "gate_inp" in name or of_this == Q.F32:
            w.add_tensor(name, data)
        else:
            w.add_tensor(name, gguf.quants.quantize(data, of_this), raw_dtype=of_this)
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.write_tensors_to_file()
    w.close()
    return path
