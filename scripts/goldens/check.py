"""The forward pass once more, in plain NumPy and float64, straight from a GGUF file.

It shares nothing with transformers, nor with localmix: it says whether the golden data mean what a
reader of the file must take them to mean. One sequence, no cache; a window is a mask.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import gguf
import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

_SCALING = "llama.rope.scaling"


def forward(path: Path, ids: Array, *, windowed: bool = True) -> tuple[Array, Array | None]:
    """Return the logits (T, V) of `ids`, and the experts (L, T, A) they visit if there are any."""
    file = gguf.GGUFReader(path)
    keys = {name: field.contents() for name, field in file.fields.items()}
    weights = {t.name: t.data.astype(np.float64) for t in file.tensors}
    window = keys.get("llama.attention.sliding_window") if windowed else None
    angles = np.arange(len(ids))[:, None] * _frequencies(keys, weights)  # (T, Hd/2)
    turn = np.exp(1j * angles) * _magnitude(keys)
    mask = _mask(len(ids), window)

    x = weights["token_embd.weight"][ids]  # (T, D)
    routes = []
    for layer in range(keys["llama.block_count"]):
        block = {n.split(".", 2)[2]: w for n, w in weights.items() if n.startswith(f"blk.{layer}.")}
        x = x + _attention(_norm(x, block["attn_norm.weight"], keys), block, keys, turn, mask)
        normed = _norm(x, block["ffn_norm.weight"], keys)
        if "ffn_gate_inp.weight" in block:
            mixed, route = _experts(normed, block, keys["llama.expert_used_count"])
            x = x + mixed
            routes.append(route)
        else:
            x = x + _feed_forward(normed, block)
    x = _norm(x, weights["output_norm.weight"], keys)
    logits = x @ weights.get("output.weight", weights["token_embd.weight"]).T  # (T, V)
    return logits, np.stack(routes) if routes else None


def _head_dim(keys: dict[str, Any]) -> int:
    default = keys["llama.embedding_length"] // keys["llama.attention.head_count"]
    return int(keys.get("llama.attention.key_length", default))


def _frequencies(keys: dict[str, Any], weights: dict[str, Array]) -> Array:
    """Radians a pair turns per position, (Hd/2,). Source: `rope_yarn` of ggml, ops.cpp."""
    n = _head_dim(keys)
    pairs = np.arange(n // 2)
    base = keys.get("llama.rope.freq_base", 10000.0)
    plain = base ** (-2.0 * pairs / n) / weights.get("rope_freqs.weight", 1.0)
    scaled = plain / keys.get(f"{_SCALING}.factor", 1.0)
    if keys.get(f"{_SCALING}.type") != "yarn":
        return scaled
    n_context = keys[f"{_SCALING}.original_context_length"]
    rounds = (keys.get(f"{_SCALING}.yarn_beta_{k}", v) for k, v in (("fast", 32), ("slow", 1)))
    first, last = (  # the pairs that turn that many times within the old context
        n * math.log(n_context / (n_turns * 2 * math.pi)) / (2 * math.log(base))
        for n_turns in rounds
    )
    low, high = max(0, math.floor(first)), min(n - 1, math.ceil(last))
    kept = 1 - np.clip((pairs - low) / max(0.001, high - low), 0, 1)
    return scaled * (1 - kept) + plain * kept


def _magnitude(keys: dict[str, Any]) -> float:
    """Return the factor that YaRN gives to both q and k."""
    if keys.get(f"{_SCALING}.type") != "yarn":
        return 1.0
    return (1 + 0.1 * math.log(keys[f"{_SCALING}.factor"])) * keys.get(f"{_SCALING}.attn_factor", 1)


def _mask(n: int, window: int | None) -> Array:
    """Return what to add to scores, (T, T): 0 where a query may look, −inf elsewhere."""
    back = np.arange(n)[:, None] - np.arange(n)[None, :]  # how far behind the query a key is
    return np.where((back >= 0) & (back < (window or n)), 0.0, -np.inf)


def _norm(x: Array, weight: Array, keys: dict[str, Any]) -> Array:
    eps = keys["llama.attention.layer_norm_rms_epsilon"]
    return x / np.sqrt((x * x).mean(axis=-1, keepdims=True) + eps) * weight


def _linear(x: Array, block: dict[str, Array], name: str) -> Array:
    return x @ block[f"{name}.weight"].T + block.get(f"{name}.bias", 0.0)


def _rope(x: Array, turn: Array) -> Array:
    """Turn the pairs (2i, 2i + 1) of x (T, H, Hd), read as complex numbers, by `turn` (T, Hd/2)."""
    turned = (x[..., 0::2] + 1j * x[..., 1::2]) * turn[:, None, :]
    return np.stack([turned.real, turned.imag], axis=-1).reshape(x.shape)


def _softmax(x: Array) -> Array:
    powers = np.exp(x - x.max(axis=-1, keepdims=True))
    return powers / powers.sum(axis=-1, keepdims=True)


def _attention(
    x: Array, block: dict[str, Array], keys: dict[str, Any], turn: Array, mask: Array
) -> Array:
    n_tokens, n_heads = len(x), keys["llama.attention.head_count"]
    n_kv_heads = keys.get("llama.attention.head_count_kv", n_heads)
    q = _rope(_linear(x, block, "attn_q").reshape(n_tokens, n_heads, -1), turn)
    k = _rope(_linear(x, block, "attn_k").reshape(n_tokens, n_kv_heads, -1), turn)
    v = _linear(x, block, "attn_v").reshape(n_tokens, n_kv_heads, -1)
    heads = []
    for head in range(n_heads):
        shared = head * n_kv_heads // n_heads  # neighbouring query heads share keys and values
        scores = q[:, head] @ k[:, shared].T / math.sqrt(q.shape[-1]) + mask  # (T, T)
        heads.append(_softmax(scores) @ v[:, shared])
    return _linear(np.concatenate(heads, axis=-1), block, "attn_output")


def _silu(x: Array) -> Array:
    return x / (1 + np.exp(-x))


def _feed_forward(x: Array, block: dict[str, Array]) -> Array:
    hidden = _silu(_linear(x, block, "ffn_gate")) * _linear(x, block, "ffn_up")
    return _linear(hidden, block, "ffn_down")


def _experts(x: Array, block: dict[str, Array], n_used: int) -> tuple[Array, Array]:
    scores = _linear(x, block, "ffn_gate_inp")  # (T, E)
    route = np.argsort(-scores, axis=-1)[:, :n_used]  # (T, A)
    shares = _softmax(np.take_along_axis(scores, route, axis=-1))
    mixed = np.zeros_like(x)
    for row, (chosen, parts) in enumerate(zip(route, shares, strict=True)):
        for expert, share in zip(chosen, parts, strict=True):
            gate, up, down = (block[f"ffn_{n}_exps.weight"][expert] for n in ("gate", "up", "down"))
            mixed[row] += share * (down @ (_silu(gate @ x[row]) * (up @ x[row])))
    return mixed, np.sort(route, axis=-1)
