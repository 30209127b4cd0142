"""Which experts tokens visited, as numbers: how often each was chosen, how often neighbours agree.

Plain arithmetic on what `Model.route` returns. Source: arXiv:2401.04088, section 5: figure 7 has
the shares, figure 8 the first choices, table 5 the repetitions. Shapes: T tokens, A experts used,
E experts.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Repetition:
    """How often a token goes where the token before it went, and how often chance alone would.

    Attributes:
        first: share of tokens whose first expert is that of the token before; None for one token.
        first_by_chance: the same if every expert were drawn alike.
        any: share of tokens that have an expert in common with the token before; None for one.
        any_by_chance: the same if every set of A experts were drawn alike.
    """

    first: float | None
    first_by_chance: float
    any: float | None
    any_by_chance: float


@dataclass(frozen=True)
class LayerRoutes:
    """What one layer's router did with a text.

    Attributes:
        layer: its number, from 0.
        experts: (T, A) int32, best first.
        first: (E,) share of tokens that have the expert as their first choice; sums to 1.
        visits: (E,) the expert's share of all T · A visits; sums to 1.
        repetition: of neighbouring tokens.
    """

    layer: int
    experts: NDArray[np.int32]
    first: NDArray[np.float64]
    visits: NDArray[np.float64]
    repetition: Repetition


def layer_routes(
    routes: NDArray[np.int32], n_experts: int, layers: Iterable[int]
) -> list[LayerRoutes]:
    """Count what `Model.route` returned.

    Args:
        routes: (L, T, A) experts, best first; at least one token.
        n_experts: E, how many there are to choose from.
        layers: numbers of the layers that are wanted.
    """
    return [
        LayerRoutes(
            layer=layer,
            experts=routes[layer],
            first=shares(routes[layer, :, 0], n_experts),
            visits=shares(routes[layer], n_experts),
            repetition=repetition(routes[layer], n_experts),
        )
        for layer in layers
    ]


def shares(experts: NDArray[np.int32], n_experts: int) -> NDArray[np.float64]:
    """Return how much of an array of experts, of any shape, each of them is: (E,), sums to 1."""
    counts = np.bincount(experts.ravel(), minlength=n_experts)
    assert experts.size, "shares of nothing"
    assert len(counts) == n_experts, "an expert that does not exist"
    return counts / experts.size


def repetition(experts: NDArray[np.int32], n_experts: int) -> Repetition:
    """Compare each token's experts, (T, A), with those of the token before."""
    n_tokens, n_used = experts.shape
    first, common = None, None
    if n_tokens > 1:
        before, after = experts[:-1], experts[1:]
        first = float((after[:, 0] == before[:, 0]).mean())
        is_common = after[:, :, None] == before[:, None, :]  # (T − 1, A, A)
        common = float(is_common.any(axis=(1, 2)).mean())
    return Repetition(first, 1 / n_experts, common, any_by_chance(n_experts, n_used))


def any_by_chance(n_experts: int, n_used: int) -> float:
    """Return how likely two random sets of A of E experts share one: 46 % for 2 of 8.

    All A of the second set must come from the E − A that the first left: C(E − A, A) / C(E, A).
    """
    return 1 - math.comb(n_experts - n_used, n_used) / math.comb(n_experts, n_used)
