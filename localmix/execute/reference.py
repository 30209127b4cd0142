"""The reference executor: runs a plan op by op in float32 NumPy, the oracle of other executors.

Its own oracle is transformers: `tests/golden` compares their logits. Weights are dequantized to
float32 and then multiplied; activations are never quantized. Some dequantized weights are kept
(`keep_bytes`), so that a small model stays in memory; those of a large one are dequantized again in
each batch.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import ThreadpoolController

from localmix.cache import Batch, RingCache
from localmix.cache.ring import sees
from localmix.errors import NotEnoughMemory
from localmix.execute.executor import Routes, check_logits
from localmix.execute.formulas import Floats, attend, rms_norm, rotate_pairs, route, silu
from localmix.gguf import Tensor
from localmix.model import ops
from localmix.model.weights import FeedForward, Projection

KEEP_BYTES = 1 << 30
"""Dequantized weights kept in memory: 1 GiB holds a model of 250 million weights whole."""


ROWS_FOR_THREADS = 32
"""Rows from which a product is worth more than one thread; a shorter one ends before they wake."""


class ReferenceExecutor:
    """Runs one plan in NumPy.

    Args:
        plan: the pass.
        n_threads: threads of NumPy's matrix products.
        keep_bytes: dequantized weights kept in memory at most.
    """

    name = "reference"
    isa = None
    jit_s = 0.0
    kv = "f32"
    reads_blocks = False

    def __init__(self, plan: ops.Plan, n_threads: int = 1, keep_bytes: int = KEEP_BYTES) -> None:
        self._steps = _with_last_uses(plan)
        self._logits = plan.logits
        self._weights = _Dequantized(keep_bytes)
        self.n_threads = n_threads
        self._blas = ThreadpoolController()

    def run(self, batch: Batch, cache: RingCache, routes: Routes | None = None) -> Floats:
        """Compute a batch; see `Executor.run`."""
        batch.check(self._logits.width)
        cache.admit(batch)
        try:
            return self._run(batch, cache, routes)
        except MemoryError as exc:
            raise NotEnoughMemory(
                "the weights as float32 do not fit into memory",
                "close other programs, or take a smaller model",
            ) from exc

    def _run(self, batch: Batch, cache: RingCache, routes: Routes | None) -> Floats:
        values = _Values(batch, cache, self._weights)
        n_threads = self.n_threads if len(batch) >= ROWS_FOR_THREADS else 1
        # Damaged weights may overflow; that is reported below, as an error.
        with self._blas.limit(limits=n_threads, user_api="blas"), np.errstate(all="ignore"):
            for op, used_up in self._steps:
                values.compute(op)
                if routes is not None and isinstance(op, ops.Route):
                    routes[op.i_layer] = values.experts(op.out_experts)
                for value in used_up:
                    values.forget(value)
        return check_logits(values.array(self._logits))


def _with_last_uses(plan: ops.Plan) -> list[tuple[ops.Op, list[ops.Activation]]]:
    """Pair each op with the values that nobody reads after it."""
    last_reader = {value: op for op in plan.ops for value in op.reads}
    return [(op, [v for v in op.reads if last_reader[v] is op]) for op in plan.ops]


class _Dequantized:
    """Weights as float32, the first ones kept up to a limit."""

    def __init__(self, keep_bytes: int) -> None:
        self._kept: dict[Tensor, Floats] = {}
        self._room = keep_bytes

    def __call__(self, tensor: Tensor) -> Floats:
        """Return the weights of a tensor, in its shape."""
        if (kept := self._kept.get(tensor)) is not None:
            return kept
        weights = tensor.to_float32()
        if weights.nbytes <= self._room:
            self._room -= weights.nbytes
            self._kept[tensor] = weights
        return weights

    def multiply(self, x: Floats, projection: Projection) -> Floats:
        """x · Wᵀ + b: (T, D) -> (T, N)."""
        product = x @ self(projection.weight).T
        return product if projection.bias is None else product + self(projection.bias)


class _Values:
    """The arrays that exist while one batch runs, and the meaning of each op."""

    def __init__(self, batch: Batch, cache: RingCache, weights: _Dequantized) -> None:
        self._batch = batch
        self._cache = cache
        self._weights = weights
        self._arrays: dict[ops.Activation, Floats] = {}
        self._experts: dict[ops.Activation, NDArray[np.int32]] = {}

    def array(self, value: ops.Activation) -> Floats:
        return self._arrays[value]

    def experts(self, value: ops.Activation) -> NDArray[np.int32]:
        return self._experts[value]

    def forget(self, value: ops.Activation) -> None:
        self._arrays.pop(value, None)
        self._experts.pop(value, None)

    def compute(self, op: ops.Op) -> None:
        """Run one op.

        Modifies: the arrays; for `Store` the cache.
        """
        x, weights = self._arrays, self._weights
        match op:
            case ops.Embed():
                x[op.out] = op.weight.rows(self._batch.tokens)
            case ops.RmsNorm():
                x[op.out] = rms_norm(x[op.x], weights(op.weight), op.eps)
            case ops.Linear():
                x[op.out] = weights.multiply(x[op.x], op.projection)
            case ops.Rope():
                x[op.out] = rotate_pairs(x[op.x], self._batch.positions, op.rotation)
            case ops.Store():
                self._cache.store(op.i_layer, self._batch, x[op.key], x[op.value])
            case ops.Attend():
                x[op.out] = self._attend(op)
            case ops.Add():
                x[op.out] = x[op.a] + x[op.b]
            case ops.SwiGLU():
                x[op.out] = silu(x[op.gate]) * x[op.up]
            case ops.Route():
                logits = x[op.x] @ weights(op.weight).T  # (T, E)
                self._experts[op.out_experts], x[op.out_shares] = route(logits, op.n_used)
            case ops.MixExperts():
                x[op.out] = self._mix(op)
            case ops.SelectRows():
                x[op.out] = x[op.x][self._batch.wanted]
            case _:
                raise AssertionError(f"the reference executor does not know {type(op).__name__}")

    def _attend(self, op: ops.Attend) -> Floats:
        """Let the rows of each sequence look at their own ring: (T, H·Hd)."""
        heads = op.heads
        query = self._arrays[op.query].reshape(-1, heads.n_heads, heads.head_dim)  # (T, H, Hd)
        out = np.empty_like(query)
        for sequence in np.unique(self._batch.sequences):
            rows = self._batch.sequences == sequence
            keys, values, positions = self._cache.view(op.i_layer, sequence)
            seen = sees(self._batch.positions[rows], positions, heads.window)
            out[rows] = attend(query[rows], keys, values, seen)
        return out.reshape(len(out), -1)

    def _mix(self, op: ops.MixExperts) -> Floats:
        """Run each chosen expert once, on all the rows that chose it: (T, D)."""
        x, experts, shares = (
            self._arrays[op.x],
            self._experts[op.experts],
            self._arrays[op.shares],
        )
        out = np.zeros_like(x)
        for i_expert in np.unique(experts):
            rows, places = np.nonzero(experts == i_expert)
            y = self._feed_forward(x[rows], op.weights[i_expert])
            out[rows] += shares[rows, places, None] * y
        return out

    def _feed_forward(self, x: Floats, ffn: FeedForward) -> Floats:
        multiply = self._weights.multiply
        hidden = silu(multiply(x, ffn.ffn_gate)) * multiply(x, ffn.ffn_up)  # (T, F)
        return multiply(hidden, ffn.ffn_down)
