"""The vocabulary of forward passes: what an op reads, what it makes, and which weights it uses.

A plan is a tuple of ops in the order in which they run. An op never holds activations: it names
them. A `Value` is such a name, for an array (rows, width) that exists only while a batch runs.
Executors give each op its meaning: `localmix/execute/reference.py` in NumPy.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields

import numpy as np
from numpy.typing import NDArray

from localmix.gguf import Tensor
from localmix.model.weights import FeedForward, Projection


@dataclass(frozen=True)
class Value:
    """The name of an array (T, width) of float32, or of int32 where an op says so."""

    index: int
    width: int


@dataclass(frozen=True)
class Op:
    """One step of a pass. Fields called `out…` are made by it, every other `Value` is read."""

    @property
    def reads(self) -> tuple[Value, ...]:
        """Values that must exist before this op runs."""
        found = ((f.name, getattr(self, f.name)) for f in fields(self))
        return tuple(v for name, v in found if isinstance(v, Value) and not name.startswith("out"))


@dataclass(frozen=True)
class Embed(Op):
    """out[t] = weight[token[t]]."""

    weight: Tensor  # (V, D)
    out: Value


@dataclass(frozen=True)
class RmsNorm(Op):
    """out = x / sqrt(mean(x²) + eps) · weight (arXiv:1910.07467)."""

    x: Value
    weight: Tensor  # (D,)
    eps: float
    out: Value


@dataclass(frozen=True)
class Linear(Op):
    """out = x · weightᵀ + bias."""

    x: Value
    projection: Projection
    out: Value


@dataclass(frozen=True)
class Rope(Op):
    """Rotate pairs (2i, 2i+1) of every head by position · frequencies[i].

    Source: arXiv:2104.09864, section 3.2.2. `scale` multiplies cosine and sine (yarn). Elements
    beyond 2 · len(frequencies) of a head stay as they are.
    """

    x: Value
    head_dim: int
    frequencies: NDArray[np.float64] = field(repr=False)
    scale: float
    out: Value


@dataclass(frozen=True)
class Store(Op):
    """Put each row's key and value into the ring of a layer, in the slot of its position."""

    key: Value
    value: Value
    i_layer: int


@dataclass(frozen=True)
class Attend(Op):
    """Softmax attention of each query head over the ring of a layer.

    A row at position p sees positions (p − window, p] of its sequence. Query heads h share the
    key/value head h // (n_heads / n_kv_heads) (arXiv:2305.13245).
    """

    query: Value
    i_layer: int
    n_heads: int
    n_kv_heads: int
    head_dim: int
    window: int | None
    out: Value


@dataclass(frozen=True)
class Add(Op):
    """out = a + b: the residual stream."""

    a: Value
    b: Value
    out: Value


@dataclass(frozen=True)
class SwiGLU(Op):
    """out = gate · sigmoid(gate) · up (arXiv:2002.05202)."""

    gate: Value
    up: Value
    out: Value


@dataclass(frozen=True)
class Route(Op):
    """The largest router logits of each row, largest first, and their softmax.

    Source: arXiv:2401.04088, section 2.1.
    """

    x: Value
    weight: Tensor  # (E, D)
    i_layer: int
    out_experts: Value  # (T, A) int32
    out_shares: Value  # (T, A), rows sum to 1


@dataclass(frozen=True)
class MixExperts(Op):
    """out[t] = Σ_a shares[t, a] · expert[experts[t, a]](x[t])."""

    x: Value
    experts: Value  # (T, A) int32
    shares: Value  # (T, A)
    weights: tuple[FeedForward, ...] = field(repr=False)
    out: Value


@dataclass(frozen=True)
class SelectRows(Op):
    """Keep only the rows whose logits the batch wants: (T, width) -> (R, width)."""

    x: Value
    out: Value


@dataclass(frozen=True)
class Plan:
    """A whole forward pass; `logits` is what it makes in the end."""

    ops: tuple[Op, ...]
    logits: Value


class PlanBuilder:
    """Appends ops and hands out the names of what they make."""

    def __init__(self) -> None:
        self._ops: list[Op] = []
        self._n_values = 0

    def value(self, width: int) -> Value:
        """Name a new array (T, width)."""
        self._n_values += 1
        return Value(self._n_values - 1, width)

    def append(self, op: Op) -> None:
        """Add an op behind those that make what it reads."""
        self._ops.append(op)

    def finish(self, logits: Value) -> Plan:
        """Close the plan."""
        return Plan(tuple(self._ops), logits)

    def embed(self, weight: Tensor) -> Value:
        """Look up token embeddings -> (T, D)."""
        out = self.value(weight.shape[1])
        self.append(Embed(weight, out))
        return out

    def rms_norm(self, x: Value, weight: Tensor, eps: float) -> Value:
        """Normalise rows -> (T, D)."""
        out = self.value(x.width)
        self.append(RmsNorm(x, weight, eps, out))
        return out

    def linear(self, x: Value, projection: Projection) -> Value:
        """Multiply with a matrix -> (T, N)."""
        out = self.value(projection.weight.shape[0])
        self.append(Linear(x, projection, out))
        return out

    def add(self, a: Value, b: Value) -> Value:
        """Add -> (T, D)."""
        out = self.value(a.width)
        self.append(Add(a, b, out))
        return out

    def swiglu(self, gate: Value, up: Value) -> Value:
        """Gate -> (T, F)."""
        out = self.value(gate.width)
        self.append(SwiGLU(gate, up, out))
        return out

    def select_rows(self, x: Value) -> Value:
        """Keep the wanted rows -> (R, D)."""
        out = self.value(x.width)
        self.append(SelectRows(x, out))
        return out
