"""Steps of a mixture: route, the chosen experts' products, and their sum.

Pairs of (row, expert) are sorted by expert, so that the columns of each expert stand beside each
other and one step computes all experts, each as a group of columns.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from localmix.execute.buffers import Arena, Buffer
from localmix.execute.products import Columns, Input, Products, form_of
from localmix.execute.tape import Tape
from localmix.gguf import Tensor
from localmix.kernels.layout import GROUP_BYTES, WORD, Combine, Finish, Route
from localmix.model import ops

Matrices = tuple[Tensor, Tensor | None]
"""A matrix of an expert, or gate and up."""


@dataclass(frozen=True)
class MixtureSteps:
    """Which steps of a tape compute the experts of a layer.

    They may be walked several times, each time for other experts: an expert without an address is
    passed over.

    Attributes:
        i_layer: the layer.
        first, end: steps from the first product to the one before `combine`.
        products: step -> the matrices of each expert whose addresses stand in its table.
    """

    i_layer: int
    first: int
    end: int
    products: dict[int, list[Matrices | tuple[None, None]]]


@dataclass(frozen=True)
class Routing:
    """Where a router sent the rows of a layer; in memory, made anew for each batch.

    Attributes:
        i_layer: the layer.
        columns: the rows of each expert.
        row_map: pair -> row.
        places: (T, A) int64, the pair of each choice of each row.
        shares: (T, A) float32.
    """

    i_layer: int
    columns: Columns
    row_map: Buffer
    places: Buffer
    shares: Buffer


class Experts:
    """Appends the steps of mixtures.

    Attributes:
        mixtures: where they are, layer by layer.
    """

    def __init__(self, arena: Arena, tape: Tape, products: Products) -> None:
        self._arena, self._tape, self._products = arena, tape, products
        self.mixtures: list[MixtureSteps] = []

    def route(
        self, op: ops.Route, x: Input, most_rows: int, experts: Buffer, shares: Buffer
    ) -> Routing:
        """Compute router logits, choose experts (T, A) int32 and shares (T, A), list their rows."""
        n_experts, n_pairs = op.weight.shape[0], op.n_used * most_rows
        logits = self._arena.take(4 * n_experts * most_rows)
        self._products.multiply(x, x.rows, [(op.weight, None)], logits)
        groups = self._arena.take(GROUP_BYTES * n_experts)
        row_map, places = self._arena.take(WORD * n_pairs), self._arena.take(WORD * n_pairs)
        self._tape.add(
            "route",
            lambda sizes: 1,
            lambda sizes: 100 * n_experts * sizes.n_rows,
            reads=(logits,),
            writes=(groups, row_map, places, shares, experts),
            fields=Route,
            LOGITS=logits,
            N_EXPERTS=n_experts,
            N_USED=op.n_used,
            EXPERTS=experts,
            SHARES=shares,
            GROUPS=groups,
            ROW_MAP=row_map,
            PLACES=places,
        )
        self._arena.give_back(logits)
        columns = Columns(groups, n_experts, n_pairs, op.n_used, row_map=row_map)
        return Routing(op.i_layer, columns, row_map, places, shares)

    def mix(self, op: ops.MixExperts, x: Input, routing: Routing, stream: Buffer) -> None:
        """Run the chosen experts and add their shares to the residual stream (T, D)."""
        columns, first = routing.columns, len(self._tape.kernels)
        hidden_dim, dim = op.weights[0].ffn_gate.weight.shape
        hidden = self._arena.take(4 * hidden_dim * columns.most)
        gates: list[Matrices] = [(ffn.ffn_gate.weight, ffn.ffn_up.weight) for ffn in op.weights]
        steps = self._multiply(x, columns, gates, hidden)
        # From here on the pairs themselves are rows, in the order of the experts.
        pairs = Columns(columns.groups, columns.n_groups, columns.most, columns.per_row)
        downs: list[Matrices] = [(ffn.ffn_down.weight, None) for ffn in op.weights]
        h = self._products.quantize(
            hidden, hidden_dim, pairs, {form_of(matrix) for matrix, _ in downs}
        )
        answers = self._arena.take(4 * dim * columns.most)
        steps |= self._multiply(h, pairs, downs, answers)
        end = len(self._tape.kernels)
        self.mixtures.append(MixtureSteps(routing.i_layer, first, end, steps))
        self._tape.add(
            "combine",
            lambda sizes: sizes.n_rows,
            lambda sizes: 4 * dim,
            reads=(answers, routing.places, routing.shares, stream),
            writes=(stream,),
            fields=Combine,
            PAIRS=answers,
            WIDTH=dim,
            N_USED=columns.per_row,
            SHARES=routing.shares,
            PLACES=routing.places,
            OUT=stream,
        )
        ours = {hidden, answers, *h.forms.values(), *h.tiles.values()}
        for buffer in (*ours, routing.places, routing.row_map, columns.groups):
            self._arena.give_back(buffer)

    def _multiply(
        self, x: Input, columns: Columns, experts: list[Matrices], out: Buffer
    ) -> dict[int, list[Matrices | tuple[None, None]]]:
        """A step for the experts of each format: old files mix formats within a layer."""
        steps: dict[int, list[Matrices | tuple[None, None]]] = {}

        def step(matrices: list[Any], finish: int = Finish.STORE) -> None:
            steps[self._products.multiply(x, columns, matrices, out, finish)] = matrices

        for names in sorted({_formats(matrices) for matrices in experts}):
            mine = [pair if _formats(pair) == names else (None, None) for pair in experts]
            if len(set(names)) == 1:
                step(mine)
            else:
                step([(gate, None) for gate, _ in mine])
                step([(up, None) for _, up in mine], Finish.GATE)
        return steps


def _formats(matrices: Matrices) -> tuple[str, ...]:
    return tuple(matrix.format.name for matrix in matrices if matrix is not None)
