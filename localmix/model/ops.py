"""The vocabulary of forward passes: what an op reads, what it makes, and which weights it uses.

A plan is a tuple of ops in the order in which they run. An op never holds activations: it names
them. A `Activation` is such a name, for an array (rows, width) that exists only while a batch runs.
Executors give each op its meaning: `localmix/execute/reference.py` in NumPy.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields

import numpy as np
from numpy.typing import NDArray

from localmix.gguf import Tensor
from localmix.model.weights import FeedForward, Projection


@dataclass(frozen=True)
class Activation:
    """The name of an array (T, width) of float32, or of int32 where an op says so."""

    index: int
    width: int


@dataclass(frozen=True)
class Rotation:
    """How the heads of queries and keys turn; made in `rope.py`.

    Attributes:
        head_dim: elements of a head.
        frequencies: (R / 2,) float64, angle per position of each rotated pair.
        magnitude: factor on cosine and sine; 1 but for yarn.
    """

    head_dim: int
    frequencies: NDArray[np.float64] = field(repr=False)
    magnitude: float = 1.0


@dataclass(frozen=True)
class Heads:
    """The geometry of attention.

    Attributes:
        n_heads, n_kv_heads: query heads; key/value heads that they share.
        head_dim: elements of a head.
        window: positions that a row sees, its own among them; None: all.
    """

    n_heads: int
    n_kv_heads: int
    head_dim: int
    window: int | None


@dataclass(frozen=True)
class Op:
    """One step of a pass. Fields called `out…` are made by it, every other `Activation` is read."""

    @property
    def reads(self) -> tuple[Activation, ...]:
        """Values that must exist before this op runs."""
        found = ((f.name, getattr(self, f.name)) for f in fields(self))
        return tuple(
            v for name, v in found if isinstance(v, Activation) and not name.startswith("out")
        )


@dataclass(frozen=True)
class Embed(Op):
    """out[t] = weight[token[t]]."""

    weight: Tensor  # (V, D)
    out: Activation


@dataclass(frozen=True)
class RmsNorm(Op):
    """out = x / sqrt(mean(x²) + eps) · weight (arXiv:1910.07467)."""

    x: Activation
    weight: Tensor  # (D,)
    eps: float
    out: Activation


@dataclass(frozen=True)
class Linear(Op):
    """out = x · weightᵀ + bias."""

    x: Activation
    projection: Projection
    out: Activation


@dataclass(frozen=True)
class Rope(Op):
    """Rotate pairs (2i, 2i+1) of every head by position · frequencies[i].

    Source: arXiv:2104.09864, section 3.2.2. Elements of a head that have no frequency stay as they
    are.
    """

    x: Activation
    rotation: Rotation
    out: Activation


@dataclass(frozen=True)
class Store(Op):
    """Put each row's key and value into the ring of a layer, in the slot of its position."""

    key: Activation
    value: Activation
    i_layer: int


@dataclass(frozen=True)
class Attend(Op):
    """Softmax attention of each query head over the ring of a layer.

    A row at position p sees positions (p − window, p] of its sequence. Query heads h share the
    key/value head h // (n_heads / n_kv_heads) (arXiv:2305.13245).
    """

    query: Activation
    i_layer: int
    heads: Heads
    out: Activation


@dataclass(frozen=True)
class Add(Op):
    """out = a + b: the residual stream."""

    a: Activation
    b: Activation
    out: Activation


@dataclass(frozen=True)
class SwiGLU(Op):
    """out = gate · sigmoid(gate) · up (arXiv:2002.05202)."""

    gate: Activation
    up: Activation
    out: Activation


@dataclass(frozen=True)
class Route(Op):
    """The largest router logits of each row, largest first, and their softmax.

    Source: arXiv:2401.04088, section 2.1.
    """

    x: Activation
    weight: Tensor  # (E, D)
    i_layer: int
    n_used: int
    out_experts: Activation  # (T, A) int32
    out_shares: Activation  # (T, A), rows sum to 1


@dataclass(frozen=True)
class MixExperts(Op):
    """out[t] = Σ_a shares[t, a] · expert[experts[t, a]](x[t])."""

    x: Activation
    experts: Activation  # (T, A) int32
    shares: Activation  # (T, A)
    weights: tuple[FeedForward, ...] = field(repr=False)
    out: Activation


@dataclass(frozen=True)
class SelectRows(Op):
    """Keep only the rows whose logits the batch wants: (T, width) -> (R, width)."""

    x: Activation
    out: Activation


@dataclass(frozen=True)
class Plan:
    """A whole forward pass; `logits` is what it makes in the end."""

    ops: tuple[Op, ...]
    logits: Activation


class PlanBuilder:
    """Appends ops and hands out the names of what they make."""

    def __init__(self) -> None:
        self._ops: list[Op] = []
        self._n_activations = 0

    def finish(self, logits: Activation) -> Plan:
        """Close the plan."""
        return Plan(tuple(self._ops), logits)

    def embed(self, weight: Tensor) -> Activation:
        """Look up token embeddings -> (T, D)."""
        out = self._new(weight.shape[1])
        self._ops.append(Embed(weight, out))
        return out

    def rms_norm(self, x: Activation, weight: Tensor, eps: float) -> Activation:
        """Normalise rows -> (T, D)."""
        out = self._new(x.width)
        self._ops.append(RmsNorm(x, weight, eps, out))
        return out

    def linear(self, x: Activation, projection: Projection) -> Activation:
        """Multiply with a matrix -> (T, N)."""
        out = self._new(projection.weight.shape[0])
        self._ops.append(Linear(x, projection, out))
        return out

    def rope(self, x: Activation, rotation: Rotation) -> Activation:
        """Rotate every head -> the shape of x."""
        out = self._new(x.width)
        self._ops.append(Rope(x, rotation, out))
        return out

    def store(self, key: Activation, value: Activation, i_layer: int) -> None:
        """Put keys and values into the ring of a layer."""
        self._ops.append(Store(key, value, i_layer))

    def attend(self, query: Activation, i_layer: int, heads: Heads) -> Activation:
        """Look at the ring of a layer -> (T, H · Hd)."""
        out = self._new(query.width)
        self._ops.append(Attend(query, i_layer, heads, out))
        return out

    def add(self, a: Activation, b: Activation) -> Activation:
        """Add -> (T, D)."""
        out = self._new(a.width)
        self._ops.append(Add(a, b, out))
        return out

    def swiglu(self, gate: Activation, up: Activation) -> Activation:
        """Gate -> (T, F)."""
        out = self._new(gate.width)
        self._ops.append(SwiGLU(gate, up, out))
        return out

    def route(
        self, x: Activation, weight: Tensor, i_layer: int, n_used: int
    ) -> tuple[Activation, Activation]:
        """Choose experts -> their numbers (T, A) and their shares (T, A)."""
        experts, shares = self._new(n_used), self._new(n_used)
        self._ops.append(Route(x, weight, i_layer, n_used, experts, shares))
        return experts, shares

    def mix_experts(
        self,
        x: Activation,
        experts: Activation,
        shares: Activation,
        weights: tuple[FeedForward, ...],
    ) -> Activation:
        """Run the chosen experts and add up their shares -> (T, D)."""
        out = self._new(x.width)
        self._ops.append(MixExperts(x, experts, shares, weights, out))
        return out

    def select_rows(self, x: Activation) -> Activation:
        """Keep the wanted rows -> (R, D)."""
        out = self._new(x.width)
        self._ops.append(SelectRows(x, out))
        return out

    def _new(self, width: int) -> Activation:
        """Name a new array (T, width)."""
        self._n_activations += 1
        return Activation(self._n_activations - 1, width)
