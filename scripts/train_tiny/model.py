"""The network: a Mixtral in miniature, written for torch on a CPU.

Promises the same arithmetic as localmix runs from the exported file: RMSNorm, rotary embedding on
interleaved pairs (2i, 2i+1), grouped-query attention within a window of W positions, and a router
that sends each token to the best two of eight SwiGLU experts, weighted by a softmax over those two.
Knows nothing of text, files or the optimizer.

Shapes: N sequences, T tokens, D dim, H heads, K kv heads, Hd head dim, F hidden, E experts,
A active experts, V vocab.
Source: Jiang et al., "Mixtral of Experts" (2024); the balancing loss is that of Fedus et al.,
"Switch Transformers" (2021), section 2.2, for two chosen experts.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn


@dataclass(frozen=True)
class TinyConfig:
    """The geometry; every number of it goes into the file's metadata."""

    vocab_size: int = 2000
    dim: int = 256
    n_layers: int = 4
    n_heads: int = 8
    n_kv_heads: int = 4
    head_dim: int = 32
    hidden_dim: int = 256
    n_experts: int = 8
    n_experts_used: int = 2
    sliding_window: int = 256
    context_length: int = 4096
    rope_base: float = 10000.0
    norm_eps: float = 1e-5


class RMSNorm(nn.Module):
    """Divide by the root mean square, then scale."""

    def __init__(self, dim: int, eps: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(dim))
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        return F.rms_norm(x, (x.shape[-1],), self.weight.to(x.dtype), self.eps)


def rope_table(config: TinyConfig, n_tokens: int) -> tuple[Tensor, Tensor]:
    """Return cosine and sine, each (T, Hd/2) float32, of position times frequency."""
    exponent = torch.arange(0, config.head_dim, 2, dtype=torch.float32) / config.head_dim
    angle = torch.outer(torch.arange(n_tokens, dtype=torch.float32), config.rope_base**-exponent)
    return angle.cos(), angle.sin()


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Turn each pair (2i, 2i+1) of x: (N, T, H, Hd) by its angle; cos, sin: (1, T, 1, Hd/2)."""
    even, odd = x[..., 0::2], x[..., 1::2]
    return torch.stack((even * cos - odd * sin, even * sin + odd * cos), dim=-1).flatten(-2)


def window_mask(documents: Tensor, window: int) -> Tensor:
    """Say which key each query may see.

    Worked example, window 2, documents [0 0 0 1]: query 2 sees keys 1 and 2 (its own among them),
    query 3 sees only itself, since a new document starts there.

    Args:
        documents: (N, T) number of the document that each token belongs to.

    Returns:
        (N, 1, T, T) float32, 0 where it may look and a large negative number elsewhere.
    """
    pos = torch.arange(documents.shape[1])
    distance = pos[:, None] - pos[None, :]
    near = (distance >= 0) & (distance < window)
    same = documents[:, :, None] == documents[:, None, :]
    return torch.where(near[None] & same, 0.0, -1e30)[:, None]


class Attention(nn.Module):
    """Grouped-query attention inside a window."""

    def __init__(self, config: TinyConfig) -> None:
        super().__init__()
        self.config = config
        self.attn_q = nn.Linear(config.dim, config.n_heads * config.head_dim, bias=False)
        self.attn_k = nn.Linear(config.dim, config.n_kv_heads * config.head_dim, bias=False)
        self.attn_v = nn.Linear(config.dim, config.n_kv_heads * config.head_dim, bias=False)
        self.attn_output = nn.Linear(config.n_heads * config.head_dim, config.dim, bias=False)

    def forward(self, x: Tensor, rope: tuple[Tensor, Tensor], mask: Tensor) -> Tensor:
        n, t, _ = x.shape
        c = self.config
        q = rotate(self.attn_q(x).view(n, t, c.n_heads, c.head_dim), *rope)
        k = rotate(self.attn_k(x).view(n, t, c.n_kv_heads, c.head_dim), *rope)
        v = self.attn_v(x).view(n, t, c.n_kv_heads, c.head_dim)
        group = c.n_heads // c.n_kv_heads
        k = k.repeat_interleave(group, dim=2).transpose(1, 2)  # (N, H, T, Hd)
        v = v.repeat_interleave(group, dim=2).transpose(1, 2)  # (N, H, T, Hd)
        scores = (q.transpose(1, 2) * c.head_dim**-0.5) @ k.mT + mask  # (N, H, T, T)
        y = scores.softmax(dim=-1) @ v
        return self.attn_output(y.transpose(1, 2).reshape(n, t, -1))


class Experts(nn.Module):
    """Router and experts; tokens are grouped by expert, so each expert runs one product."""

    def __init__(self, config: TinyConfig) -> None:
        super().__init__()
        self.config = config
        e, d, f = config.n_experts, config.dim, config.hidden_dim
        self.ffn_gate_inp = nn.Linear(d, e, bias=False)
        self.ffn_gate_exps = nn.Parameter(torch.empty(e, f, d))
        self.ffn_up_exps = nn.Parameter(torch.empty(e, f, d))
        self.ffn_down_exps = nn.Parameter(torch.empty(e, d, f))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the output, the balancing loss and the chosen experts (N·T, A)."""
        flat = x.reshape(-1, x.shape[-1])  # (N·T, D)
        n_used, n_experts = self.config.n_experts_used, self.config.n_experts
        with torch.autocast("cpu", enabled=False):
            logits = F.linear(flat.float(), self.ffn_gate_inp.weight)  # (N·T, E)
        best, chosen = logits.topk(n_used, dim=-1)  # (N·T, A)
        weight = best.softmax(dim=-1)
        order = chosen.flatten().argsort(stable=True)  # (token, choice) pairs, grouped by expert
        counts = torch.bincount(chosen.flatten(), minlength=n_experts)
        token = order // n_used
        grouped = flat.index_select(0, token)
        matrices = (self.ffn_gate_exps, self.ffn_up_exps, self.ffn_down_exps)
        experts = zip(*(w.to(flat.dtype).unbind() for w in matrices), strict=True)
        parts = []
        for rows, (gate, up, down) in zip(grouped.split(counts.tolist()), experts, strict=True):
            parts.append(F.linear(F.silu(F.linear(rows, gate)) * F.linear(rows, up), down))
        scaled = torch.cat(parts) * weight.flatten()[order][:, None].to(parts[0].dtype)
        out = torch.zeros_like(flat, dtype=scaled.dtype).index_add(0, token, scaled)
        share = counts.float() / counts.sum()
        balance = n_experts * (share * logits.softmax(dim=-1).mean(dim=0)).sum()
        return out.view_as(x), balance, chosen


class Block(nn.Module):
    """One layer: attention and experts, each behind a norm and added to the stream."""

    def __init__(self, config: TinyConfig) -> None:
        super().__init__()
        self.attn_norm = RMSNorm(config.dim, config.norm_eps)
        self.attention = Attention(config)
        self.ffn_norm = RMSNorm(config.dim, config.norm_eps)
        self.experts = Experts(config)

    def forward(
        self, x: Tensor, rope: tuple[Tensor, Tensor], mask: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        x = x + self.attention(self.attn_norm(x), rope, mask)
        y, balance, chosen = self.experts(self.ffn_norm(x))
        return x + y, balance, chosen


class TinyMixtral(nn.Module):
    """The whole model: ids (N, T) and their documents (N, T) to logits (N, T, V)."""

    def __init__(self, config: TinyConfig) -> None:
        super().__init__()
        self.config = config
        self.token_embd = nn.Embedding(config.vocab_size, config.dim)
        self.blk = nn.ModuleList(Block(config) for _ in range(config.n_layers))
        self.output_norm = RMSNorm(config.dim, config.norm_eps)
        self.output = nn.Linear(config.dim, config.vocab_size, bias=False)
        self.reset()

    def reset(self) -> None:
        """Draw the first weights.

        Three choices let the model look words up in the question, which it did not learn in 600
        steps without them: embeddings are large, so that the layers do not drown them;
        the output begins as a small copy of the embedding; and attention begins by passing on
        what it reads, its output being the transpose of its values.
        """
        c = self.config
        nn.init.normal_(self.token_embd.weight, std=1.0)
        with torch.no_grad():
            self.output.weight.copy_(0.03 * self.token_embd.weight)
        for block in self.blk:
            attention, experts = block.attention, block.experts
            for p in (attention.attn_q.weight, attention.attn_k.weight, experts.ffn_gate_exps,
                      experts.ffn_up_exps, experts.ffn_gate_inp.weight):  # fmt: skip
                nn.init.normal_(p, std=c.dim**-0.5)
            nn.init.zeros_(experts.ffn_down_exps)
            values = nn.init.orthogonal_(attention.attn_v.weight)  # (K·Hd, D)
            with torch.no_grad():
                shared = values.view(c.n_kv_heads, c.head_dim, c.dim)
                shared = shared.repeat_interleave(c.n_heads // c.n_kv_heads, dim=0)  # (H, Hd, D)
                attention.attn_output.weight.copy_(0.5 * shared.flatten(0, 1).T)

    def forward(self, ids: Tensor, documents: Tensor) -> tuple[Tensor, Tensor, list[Tensor]]:
        """Return logits, the mean balancing loss and each layer's chosen experts."""
        cos, sin = rope_table(self.config, ids.shape[1])
        mask = window_mask(documents, self.config.sliding_window)
        x = self.token_embd(ids)  # (N, T, D)
        if torch.is_autocast_enabled("cpu"):
            x, cos, sin = x.bfloat16(), cos.bfloat16(), sin.bfloat16()
        rope, mask = (cos[None, :, None], sin[None, :, None]), mask.to(x.dtype)
        losses, routes = [], []
        for block in self.blk:
            x, balance, chosen = block(x, rope, mask)
            losses.append(balance)
            routes.append(chosen)
        return self.output(self.output_norm(x)), torch.stack(losses).mean(), routes
