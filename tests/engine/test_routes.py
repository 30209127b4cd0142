"""Shares and repetition of experts, against a twin in plain loops and against chance itself."""

from itertools import combinations

import numpy as np
import pytest

import localmix
from localmix.engine.routes import any_by_chance, layer_routes, repetition, shares


def random_routes(n_layers, n_tokens, n_experts, n_used, seed=0):
    """Experts as a router gives them: different ones for each token, in any order."""
    rng = np.random.default_rng(seed)
    scores = rng.standard_normal((n_layers, n_tokens, n_experts))
    return np.argsort(scores, axis=-1)[..., :n_used].astype(np.int32)


def slow(experts, n_experts):
    """First shares, visit shares, first and any repetition of one layer, token by token."""
    tokens = [list(map(int, token)) for token in experts]
    first, visits = [0] * n_experts, [0] * n_experts
    n_same, n_common = 0, 0
    for t, token in enumerate(tokens):
        first[token[0]] += 1
        for expert in token:
            visits[expert] += 1
        if t:
            n_same += token[0] == tokens[t - 1][0]
            n_common += bool(set(token) & set(tokens[t - 1]))
    n_tokens, n_visits = len(tokens), len(tokens) * len(tokens[0])
    return (
        [n / n_tokens for n in first],
        [n / n_visits for n in visits],
        n_same / (n_tokens - 1),
        n_common / (n_tokens - 1),
    )


@pytest.mark.parametrize(
    ("n_tokens", "n_experts", "n_used"),
    [(200, 8, 2), (50, 4, 1), (70, 16, 5), (30, 3, 3), (2, 8, 2), (40, 64, 8)],
)
def test_numbers_are_those_of_plain_loops(n_tokens, n_experts, n_used):
    routes = random_routes(3, n_tokens, n_experts, n_used)
    for layer in layer_routes(routes, n_experts, range(3)):
        first, visits, same, common = slow(routes[layer.layer], n_experts)
        assert layer.first.tolist() == pytest.approx(first)
        assert layer.visits.tolist() == pytest.approx(visits)
        assert layer.repetition.first == pytest.approx(same)
        assert layer.repetition.any == pytest.approx(common)
        assert layer.first.sum() == pytest.approx(1)
        assert layer.visits.sum() == pytest.approx(1)


def test_layers_come_as_they_were_asked_for():
    routes = random_routes(4, 10, 8, 2)
    layers = layer_routes(routes, 8, (3, 0))
    assert [layer.layer for layer in layers] == [3, 0]
    assert (layers[0].experts == routes[3]).all()
    assert (layers[1].experts == routes[0]).all()


def test_chance_is_that_of_all_pairs_of_sets():
    for n_experts in range(1, 7):
        for n_used in range(1, n_experts + 1):
            sets = [set(chosen) for chosen in combinations(range(n_experts), n_used)]
            n_common = sum(bool(a & b) for a in sets for b in sets)
            assert any_by_chance(n_experts, n_used) == pytest.approx(n_common / len(sets) ** 2)


def test_chance_is_that_of_the_paper():
    by_chance = repetition(random_routes(1, 5, 8, 2)[0], 8)
    assert by_chance.first_by_chance == 0.125
    assert f"{by_chance.any_by_chance:.0%}" == "46%"


def test_random_routes_repeat_as_often_as_chance_says():
    found = repetition(random_routes(1, 40_000, 8, 2)[0], 8)
    assert found.first == pytest.approx(found.first_by_chance, abs=0.01)
    assert found.any == pytest.approx(found.any_by_chance, abs=0.01)


def test_one_token_repeats_nothing_but_has_shares():
    (layer,) = layer_routes(np.array([[[5, 2]]], np.int32), 8, [0])
    assert (layer.repetition.first, layer.repetition.any) == (None, None)
    assert layer.repetition.first_by_chance == 0.125
    assert layer.first[5] == 1
    assert layer.visits[[2, 5]].tolist() == [0.5, 0.5]


def test_the_same_experts_in_another_order_are_common_but_not_first():
    found = repetition(np.array([[1, 6], [6, 1], [6, 1]], np.int32), 8)
    assert (found.first, found.any) == (0.5, 1.0)


def test_a_second_choice_that_was_a_first_counts_as_common():
    found = repetition(np.array([[0, 1], [2, 0], [3, 4]], np.int32), 8)
    assert (found.first, found.any) == (0.0, 0.5)


def test_an_expert_that_nobody_visits_has_a_share_of_zero():
    assert shares(np.array([0, 2, 2, 2], np.int32), 4).tolist() == [0.25, 0, 0.75, 0]


def test_the_routes_of_a_model_fit():
    with localmix.load("tiny") as model:
        routes = model.route(model.tokenize("The fox ran over the hill, and the hill was red."))
        layers = layer_routes(routes, model.config.n_experts, range(model.config.n_layers))
    for layer in layers:
        first, visits, same, common = slow(layer.experts, 8)
        assert layer.first.tolist() == pytest.approx(first)
        assert layer.visits.tolist() == pytest.approx(visits)
        assert (layer.repetition.first, layer.repetition.any) == pytest.approx((same, common))
