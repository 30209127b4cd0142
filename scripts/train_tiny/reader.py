"""An independent reader of the exported file: NumPy forward pass and tokenizer from the file alone.

Shares no code with model.py or export.py, so that what both agree on is in the file and not in an
assumption. Slow and plain.
"""

from itertools import pairwise
from pathlib import Path

import gguf
import numpy as np


class TinyFile:
    """Weights in float32, metadata and vocabulary of a GGUF file."""

    def __init__(self, path: Path) -> None:
        reader = gguf.GGUFReader(path)
        self.keys = {name: field.contents() for name, field in reader.fields.items()}
        self.weights = {
            t.name: gguf.quants.dequantize(t.data, t.tensor_type).astype(np.float32)
            for t in reader.tensors
        }
        self.pieces: list[str] = self.keys["tokenizer.ggml.tokens"]
        scores: list[float] = self.keys["tokenizer.ggml.scores"]
        self.rank = dict(zip(self.pieces, scores, strict=True))
        self.ids = {p: i for i, p in enumerate(self.pieces)}

    def encode(self, text: str) -> list[int]:
        """Merge the best-scored neighbours until none is left; unknown characters become bytes."""
        parts = list("\u2581" + text.replace(" ", "\u2581"))
        while True:
            joined = [a + b for a, b in pairwise(parts)]
            ranks = [(self.rank[j], -i) for i, j in enumerate(joined) if j in self.rank]
            if not ranks:
                break
            i = -max(ranks)[1]
            parts[i : i + 2] = [parts[i] + parts[i + 1]]
        ids = []
        for part in parts:
            known = part in self.ids
            ids += [self.ids[part]] if known else [self.ids[f"<0x{b:02X}>"] for b in part.encode()]
        return ids

    def logits(self, ids: list[int]) -> np.ndarray:
        """Return (T, V) float32, the logits behind every token of one fresh sequence."""
        key = {k.removeprefix("llama."): v for k, v in self.keys.items()}
        x = self.weights["token_embd.weight"][ids]  # (T, D)
        for i in range(key["block_count"]):
            w = {
                k.removeprefix(f"blk.{i}."): v
                for k, v in self.weights.items()
                if k.startswith(f"blk.{i}.")
            }
            x = x + attend(norm(x, w["attn_norm.weight"]), w, key)
            x = x + route(norm(x, w["ffn_norm.weight"]), w, key["expert_used_count"])
        return norm(x, self.weights["output_norm.weight"]) @ self.weights["output.weight"].T


def norm(x: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """RMSNorm, eps 1e-5."""
    return x / np.sqrt(np.square(x).mean(-1, keepdims=True) + 1e-5) * weight


def rotated(x: np.ndarray, base: float) -> np.ndarray:
    """Rotate x: (T, H, Hd) as complex numbers made of the pairs (2i, 2i+1)."""
    t, _, hd = x.shape
    angle = np.arange(t)[:, None] * base ** (-np.arange(0, hd, 2) / hd)
    turned = x.reshape(t, -1, hd // 2, 2).copy().view(np.float32)
    z = (turned[..., 0] + 1j * turned[..., 1]) * np.exp(1j * angle)[:, None]
    return np.stack([z.real, z.imag], -1).reshape(x.shape).astype(np.float32)


def attend(x: np.ndarray, w: dict[str, np.ndarray], key: dict[str, int]) -> np.ndarray:
    """Attention of x: (T, D) to the last W positions."""
    t, n_heads, n_kv = len(x), key["attention.head_count"], key["attention.head_count_kv"]
    base = key["rope.freq_base"]
    q = rotated((x @ w["attn_q.weight"].T).reshape(t, n_heads, -1), base)
    k = rotated((x @ w["attn_k.weight"].T).reshape(t, n_kv, -1), base)
    v = (x @ w["attn_v.weight"].T).reshape(t, n_kv, -1)
    back = np.arange(t)[:, None] - np.arange(t)[None]
    hidden = (back < 0) | (back >= key["attention.sliding_window"])
    out = np.empty_like(q)
    for h in range(n_heads):
        group = h // (n_heads // n_kv)
        scores = q[:, h] @ k[:, group].T / np.sqrt(q.shape[-1])
        scores[hidden] = -np.inf
        weight = np.exp(scores - scores.max(-1, keepdims=True))
        out[:, h] = weight / weight.sum(-1, keepdims=True) @ v[:, group]
    return out.reshape(t, -1) @ w["attn_output.weight"].T


def route(x: np.ndarray, w: dict[str, np.ndarray], n_used: int) -> np.ndarray:
    """Send each token of x: (T, D) to its best experts."""
    scores = x @ w["ffn_gate_inp.weight"].T
    out = np.zeros_like(x)
    for t, token in enumerate(x):
        best = np.argsort(-scores[t], kind="stable")[:n_used]
        share = np.exp(scores[t, best] - scores[t, best].max())
        for e, part in zip(best, share / share.sum(), strict=True):
            gate = w["ffn_gate_exps.weight"][e] @ token
            hidden = gate / (1 + np.exp(-gate)) * (w["ffn_up_exps.weight"][e] @ token)
            out[t] += part * (w["ffn_down_exps.weight"][e] @ hidden)
    return out
