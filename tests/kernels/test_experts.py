"""Routing chooses what the formula chooses, its lists agree with each other, and sums come back."""

from dataclasses import dataclass

import numpy as np
import pytest
from support.kernels import BESIDES, TIERS, state_of

from localmix.execute import formulas
from localmix.kernels.layout import Combine, Route

TOLERANCE = 1e-6
"""Of a share: an exponent within 2 units of the last place, a sum and a division."""


@pytest.fixture
def rng():
    return np.random.default_rng(2)


@pytest.fixture(params=TIERS)
def bench(workbench, request):
    return workbench(BESIDES, request.param)


@dataclass(frozen=True)
class Routed:
    """What `route` wrote; E experts, A of them for each of T rows."""

    experts: np.ndarray  # (T, A) int32
    shares: np.ndarray  # (T, A)
    groups: np.ndarray  # (E, 3) int64: first pair, how many, first tile
    row_map: np.ndarray  # (T · A,) int64: pair -> row
    places: np.ndarray  # (T, A) int64: pair of each choice


def route(bench, logits, n_used):
    n_rows, n_experts = logits.shape
    routed = Routed(
        bench.room(n_rows, n_used, dtype=np.int32),
        bench.room(n_rows, n_used),
        bench.room(n_experts, 3, dtype=np.int64),
        bench.room(n_rows * n_used, dtype=np.int64),
        bench.room(n_rows, n_used, dtype=np.int64),
    )
    bench.run(
        "route",
        Route,
        1,
        state_of(N_ROWS=n_rows),
        LOGITS=bench.copy(logits),
        N_EXPERTS=n_experts,
        N_USED=n_used,
        EXPERTS=routed.experts,
        SHARES=routed.shares,
        GROUPS=routed.groups,
        ROW_MAP=routed.row_map,
        PLACES=routed.places,
    )
    return routed


def assert_lists_agree(bench, routed, n_experts):
    """Every choice of every row is one pair, in the group of its expert; tiles do not overlap."""
    n_rows, n_used = routed.experts.shape
    assert ((routed.experts >= 0) & (routed.experts < n_experts)).all()
    assert all(len(set(row)) == n_used for row in routed.experts.tolist())
    assert sorted(routed.places.ravel()) == list(range(n_rows * n_used))
    assert np.array_equal(
        routed.row_map[routed.places], np.arange(n_rows)[:, None].repeat(n_used, 1)
    )
    pair, tile = 0, 0
    for e, (first, count, first_tile) in enumerate(routed.groups.tolist()):
        assert (first, first_tile) == (pair, tile)
        assert count == (routed.experts == e).sum()
        places = routed.places[routed.experts == e]
        assert set(places.tolist()) == set(range(first, first + count))
        pair += count
        tile += -(-count // bench.tier.tile_columns)
    assert pair == n_rows * n_used


@pytest.mark.parametrize("n_experts", [2, 8, 61])
@pytest.mark.parametrize("n_used", [1, 2])
@pytest.mark.parametrize("n_rows", [1, 7, 60])
def test_routes_are_those_of_the_formula(bench, n_experts, n_used, n_rows, rng):
    logits = (4 * rng.standard_normal((n_rows, n_experts))).astype(np.float32)
    routed = route(bench, logits, n_used)
    experts, shares = formulas.route(logits, n_used)
    assert np.array_equal(routed.experts, experts)
    np.testing.assert_allclose(routed.shares, shares, rtol=0, atol=TOLERANCE)
    assert_lists_agree(bench, routed, n_experts)


def test_all_experts_may_be_used(bench, rng):
    logits = rng.standard_normal((5, 8)).astype(np.float32)
    routed = route(bench, logits, 8)
    assert np.array_equal(routed.experts, np.argsort(-logits, axis=1))
    assert_lists_agree(bench, routed, 8)


def test_the_lower_expert_wins_among_equals(bench):
    logits = np.array([[1, 2, 2, 1], [0, 0, 0, 0], [-3, -3, -4, -3], [0.0, -0.0, -1, -1]])
    routed = route(bench, logits.astype(np.float32), 2)
    assert routed.experts.tolist() == [[1, 2], [0, 1], [0, 1], [0, 1]]
    assert np.array_equal(routed.shares, np.full((4, 2), 0.5))


def test_an_expert_that_is_far_behind_gets_no_share(bench):
    routed = route(bench, np.array([[300, -300, 200, -300]], np.float32), 2)
    assert routed.experts.tolist() == [[0, 2]]
    assert routed.shares.tolist() == [[1, 0]]


@pytest.mark.parametrize("n_used", [1, 2, 4])
@pytest.mark.parametrize("damage", [np.nan, np.inf, -np.inf])
def test_damaged_logits_still_choose_experts_that_exist(bench, n_used, damage, rng):
    """Shares are NaN then; a number outside would read another expert's memory, or none's."""
    logits = rng.standard_normal((6, 4)).astype(np.float32)
    logits[1] = damage
    logits[2, 0] = damage
    logits[3, 3] = damage
    logits[4, :3] = damage
    routed = route(bench, logits, n_used)
    assert_lists_agree(bench, routed, 4)
    whole = [0, 5]
    assert np.array_equal(routed.experts[whole], formulas.route(logits[whole], n_used)[0])
    assert np.isfinite(routed.shares[whole]).all()


@pytest.mark.parametrize("width", [16, 48, 70])
@pytest.mark.parametrize("n_used", [1, 2, 3])
def test_shares_of_the_answers_are_added_to_the_stream(bench, width, n_used, rng):
    n_rows = 5
    pairs = rng.standard_normal((n_rows * n_used, width)).astype(np.float32)
    stream = rng.standard_normal((n_rows, width)).astype(np.float32)
    shares = rng.random((n_rows, n_used)).astype(np.float32)
    places = rng.permutation(n_rows * n_used).reshape(n_rows, n_used)
    out = bench.copy(stream)
    bench.run(
        "combine",
        Combine,
        n_rows,
        PAIRS=bench.copy(pairs),
        WIDTH=width,
        N_USED=n_used,
        SHARES=bench.copy(shares),
        PLACES=bench.copy(places, np.int64),
        OUT=out,
    )
    expected = stream + (shares[..., None].astype(np.float64) * pairs[places]).sum(axis=1)
    np.testing.assert_allclose(out, expected, rtol=0, atol=TOLERANCE)
