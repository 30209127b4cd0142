"""From a plan to a tape: which kernels compute which op, and what is fused.

    plan                                      tape
    rms_norm                                  quantize: norm and bytes in one pass over the row
    linear of the same input                  one quantizing and packing for all of them
    linear, then add                          matmul that adds to the residual stream in place
    linear gate, linear up, swiglu            one matmul of two matrices that ends in silu · up
    rope                                      rotate, in place
    mix_experts, then add                     matmuls of groups of rows, then combine

Nothing is computed here but addresses. Shapes as in docs/architecture.md.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from localmix.execute.buffers import Arena, Buffer
from localmix.execute.experts import Experts, MixtureSteps, Routing
from localmix.execute.products import Columns, Input, Products, form_of
from localmix.execute.tape import Tape
from localmix.gguf import Tensor
from localmix.kernels.isa import Tier
from localmix.kernels.layout import (
    GROUP_BYTES,
    WORD,
    Attend,
    Finish,
    Place,
    Rotate,
)
from localmix.model import ops
from localmix.model.ops import Activation


@dataclass(frozen=True)
class Lowered:
    """A tape, and the places in memory of what belongs to a batch.

    Attributes:
        embedded: (T, D) float32, filled before a batch runs.
        all_rows, wanted_rows: the one group of a dense layer, (first, count, tile) int64.
        wanted: (R,) int64 row numbers.
        logits: step whose output address is set for each batch.
        routes: layer -> (T, A) int32, the experts that each row visits.
        mixtures: the steps of experts, layer by layer.
    """

    tape: Tape
    embedded: Buffer
    all_rows: Buffer
    wanted_rows: Buffer
    wanted: Buffer
    logits: int
    routes: dict[int, Buffer]
    mixtures: list[MixtureSteps]


def lower(
    plan: ops.Plan, arena: Arena, tier: Tier, n_rows: int, n_threads: int, kv: str
) -> Lowered:
    """Lower a plan for batches of at most n_rows rows."""
    lowering = _Lowering(plan, arena, tier, n_rows, n_threads, kv)
    for op in plan.ops:
        lowering.lower(op)
    return lowering.finish()


class _Lowering:
    """Walks the ops of a plan once.

    An op whose result only feeds an `Add` or a `SwiGLU` waits for that op, and is fused with it.
    """

    def __init__(
        self, plan: ops.Plan, arena: Arena, tier: Tier, n_rows: int, n_threads: int, kv: str
    ) -> None:
        self._plan, self._arena, self._n_rows, self._kv = plan, arena, n_rows, kv
        self._tape = Tape()
        self._products = Products(arena, self._tape, tier, n_threads)
        self._readers: dict[Activation, list[ops.Op]] = {}
        for op in plan.ops:
            for value in op.reads:
                self._readers.setdefault(value, []).append(op)
        self._n_unread = {value: len(readers) for value, readers in self._readers.items()}
        self._buffers: dict[Activation, Buffer] = {}
        self._n_names: Counter[Buffer] = Counter()  # activations that live in a buffer
        self._inputs: dict[Activation, Input] = {}
        self._waiting: dict[Activation, ops.Linear | ops.MixExperts] = {}
        self._all = Columns(arena.take(GROUP_BYTES), 1, n_rows)
        self._wanted = Columns(arena.take(GROUP_BYTES), 1, n_rows, are_wanted=True)
        self._wanted_numbers = arena.take(WORD * n_rows)
        self._selected: set[Activation] = set()
        self._experts = Experts(arena, self._tape, self._products)
        self._routing: dict[Activation, Routing] = {}
        self._routes: dict[int, Buffer] = {}
        self._last_product = -1
        self._embedded = self._all.groups

    def finish(self) -> Lowered:
        """The whole tape."""
        assert not self._waiting, "an op was left waiting"
        return Lowered(
            self._tape,
            self._embedded,
            self._all.groups,
            self._wanted.groups,
            self._wanted_numbers,
            self._last_product,
            self._routes,
            self._experts.mixtures,
        )

    def lower(self, op: ops.Op) -> None:
        """Append the steps of one op, or let it wait."""
        match op:
            case ops.Embed():
                self._embedded = self._new(op.out)
            case ops.SelectRows():
                self._name(op.out, self._buffers[op.x])
                self._selected.add(op.out)
            case ops.RmsNorm():
                self._norm(op)
            case ops.Linear() | ops.MixExperts() if self._feeds_one(op.out, ops.Add, ops.SwiGLU):
                self._waiting[op.out] = op
                return
            case ops.Linear():
                self._linear(op, self._new(op.out), Finish.STORE)
            case ops.SwiGLU():
                self._swiglu(op)
            case ops.Add():
                self._add(op)
            case ops.Rope():
                self._rotate(op)
            case ops.Store():
                self._store(op)
            case ops.Attend():
                self._attend(op)
            case ops.Route():
                self._route(op)
            case _:
                raise AssertionError(f"the native executor does not know {type(op).__name__}")
        self._done(op)

    # What lives where.

    def _new(self, value: Activation) -> Buffer:
        """Give a value a buffer of its own."""
        buffer = self._arena.take(4 * value.width * self._n_rows)
        self._name(value, buffer)
        return buffer

    def _name(self, value: Activation, buffer: Buffer) -> None:
        self._buffers[value] = buffer
        self._n_names[buffer] += 1

    def _done(self, op: ops.Op) -> None:
        """Count what an op has read, and let go of what nobody reads any more."""
        for value in op.reads:
            self._n_unread[value] -= 1
            if self._n_unread[value]:
                continue
            made = self._inputs.pop(value, None)
            own = self._buffers.pop(value, None)
            if made:
                for buffer in (*made.forms.values(), *made.tiles.values()):
                    if buffer is not own:
                        self._arena.give_back(buffer)
            if own:
                self._n_names[own] -= 1
                if not self._n_names[own]:
                    self._arena.give_back(own)

    def _feeds_one(self, value: Activation, *kinds: type[ops.Op]) -> bool:
        readers = self._readers.get(value, [])
        return len(readers) == 1 and isinstance(readers[0], kinds)

    def _forms(self, value: Activation) -> set[str]:
        """The forms that the matrices which multiply a value want."""
        tensors: list[Tensor] = []
        for reader in self._readers[value]:
            if isinstance(reader, ops.Linear):
                tensors.append(reader.projection.weight)
            elif isinstance(reader, ops.Route):
                tensors.append(reader.weight)
            elif isinstance(reader, ops.MixExperts):
                for ffn in reader.weights:
                    tensors += [ffn.ffn_gate.weight, ffn.ffn_up.weight]
        return {form_of(tensor) for tensor in tensors}

    def _input(self, value: Activation) -> Input:
        """A value as matrix products take it."""
        if value not in self._inputs:
            forms = self._forms(value)
            self._inputs[value] = self._products.quantize(
                self._buffers[value], value.width, self._all, forms
            )
        return self._inputs[value]

    # Ops.

    def _norm(self, op: ops.RmsNorm) -> None:
        selected = op.x in self._selected
        self._inputs[op.out] = self._products.quantize(
            self._buffers[op.x],
            op.x.width,
            self._wanted if selected else self._all,
            self._forms(op.out),
            norm=op,
            source=self._wanted_numbers if selected else None,
        )

    def _linear(self, op: ops.Linear, out: Buffer, finish: int) -> None:
        x, projection = self._input(op.x), op.projection
        matrices = [(projection.weight, None)]
        self._last_product = self._products.multiply(
            x, x.rows, matrices, out, finish, projection.bias
        )

    def _swiglu(self, op: ops.SwiGLU) -> None:
        gate, up = self._waiting.pop(op.gate), self._waiting.pop(op.up)
        assert isinstance(gate, ops.Linear)
        assert isinstance(up, ops.Linear)
        out = self._new(op.out)
        g, u = gate.projection, up.projection
        if g.weight.format is u.weight.format and not g.bias and not u.bias:
            x = self._input(gate.x)
            self._products.multiply(x, x.rows, [(g.weight, u.weight)], out)
        else:
            self._linear(gate, out, Finish.STORE)
            self._linear(up, out, Finish.GATE)
        self._done(gate)
        self._done(up)

    def _add(self, op: ops.Add) -> None:
        """The residual stream: the product is added where it lies."""
        product = self._waiting.pop(op.b)
        stream = self._buffers[op.a]
        assert self._n_unread[op.a] == 1, "the residual stream is read after it was added to"
        if isinstance(product, ops.Linear):
            self._linear(product, stream, Finish.ADD)
        else:
            self._mix(product, stream)
        self._name(op.out, stream)
        self._done(product)

    def _rotate(self, op: ops.Rope) -> None:
        assert self._feeds_one(op.x, ops.Rope), "what is rotated in place is read elsewhere"
        x, width = self._buffers[op.x], op.rotation.head_dim
        self._tape.add(
            "rotate",
            lambda sizes: sizes.n_rows,
            lambda sizes: 4 * op.x.width,
            reads=(x,),
            writes=(x,),
            fields=Rotate,
            X=x,
            N_HEADS=op.x.width // width,
            HEAD_DIM=width,
            N_ROTATED=2 * len(op.rotation.frequencies),
        )
        self._name(op.out, x)

    def _store(self, op: ops.Store) -> None:
        key, value = self._buffers[op.key], self._buffers[op.value]
        heads = self._heads()
        self._tape.add(
            f"place_{self._kv}",
            lambda sizes: sizes.n_rows,
            lambda sizes: 8 * op.key.width,
            reads=(key, value),
            writes=(self._ring(op.i_layer),),
            fields=Place,
            K=key,
            V=value,
            N_KV_HEADS=heads.n_kv_heads,
            HEAD_DIM=heads.head_dim,
            LAYER=op.i_layer,
        )

    def _attend(self, op: ops.Attend) -> None:
        query, out, heads = self._buffers[op.query], self._new(op.out), op.heads
        group = heads.n_heads // heads.n_kv_heads
        self._tape.add(
            f"attend_{self._kv}",
            lambda sizes: sizes.n_tiles * heads.n_kv_heads,
            lambda sizes: 100_000 * group,
            reads=(query, self._ring(op.i_layer)),
            writes=(out,),
            fields=Attend,
            Q=query,
            OUT=out,
            N_HEADS=heads.n_heads,
            N_KV_HEADS=heads.n_kv_heads,
            HEAD_DIM=heads.head_dim,
            WINDOW=heads.window or 0,
            LAYER=op.i_layer,
            SCALE=float(heads.head_dim**-0.5),
        )

    def _heads(self) -> ops.Heads:
        return next(op.heads for op in self._plan.ops if isinstance(op, ops.Attend))

    def _ring(self, i_layer: int) -> Buffer:
        """A name for a layer of the ring, whose place changes with the cache of a batch."""
        return Buffer(-1 - i_layer, 0)

    def _route(self, op: ops.Route) -> None:
        experts, shares = self._new(op.out_experts), self._new(op.out_shares)
        routing = self._experts.route(op, self._input(op.x), self._n_rows, experts, shares)
        self._routing[op.out_experts] = routing
        self._routes[op.i_layer] = experts
        self._n_names[experts] += 1  # read after the batch, by whoever asks for routes

    def _mix(self, op: ops.MixExperts, stream: Buffer) -> None:
        self._experts.mix(op, self._input(op.x), self._routing.pop(op.experts), stream)
