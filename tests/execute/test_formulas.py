"""The formulas against hand-made values and against loops that are plainer still."""

import math

import numpy as np
import pytest

from localmix.execute.formulas import attend, rms_norm, rotate_pairs, route, silu, softmax
from localmix.model.ops import Rotation

RNG_SEED = 7


def random(*shape):
    return np.random.default_rng(RNG_SEED).standard_normal(shape).astype(np.float32)


def test_rms_norm_by_hand():
    x = np.float32([[3, 4]])  # mean square 12.5
    assert rms_norm(x, np.float32([1, 2]), 0.0) == pytest.approx(
        np.float32([[3 / math.sqrt(12.5), 8 / math.sqrt(12.5)]])
    )
    assert rms_norm(np.zeros((1, 2), np.float32), np.float32([1, 1]), 1e-5).tolist() == [[0, 0]]


def test_rotation_turns_neighbouring_pairs():
    """A quarter turn maps (a, b) to (−b, a) within (0, 1) and (2, 3), not within (0, 2), (1, 3)."""
    x = np.float32([[1, 2, 3, 4]])
    turned = rotate_pairs(x, np.array([1]), Rotation(4, np.full(2, math.pi / 2)))
    assert turned == pytest.approx(np.float32([[-2, 1, -4, 3]]), abs=1e-6)


def test_rotation_goes_by_position_and_leaves_position_zero_alone():
    x = random(3, 8)
    frequencies = np.array([1.0, 0.1])
    turned = rotate_pairs(x, np.array([0, 1, 5]), Rotation(4, frequencies))
    assert np.array_equal(turned[0], x[0])
    for t, position in enumerate((0, 1, 5)):
        for head in range(2):
            for i, frequency in enumerate(frequencies):
                a, b = x[t, 4 * head + 2 * i], x[t, 4 * head + 2 * i + 1]
                z = complex(a, b) * np.exp(1j * position * frequency)
                got = turned[t, 4 * head + 2 * i : 4 * head + 2 * i + 2]
                assert got == pytest.approx([z.real, z.imag], abs=1e-6)


def test_rotation_of_part_of_a_head_leaves_the_rest():
    x = random(2, 8)
    turned = rotate_pairs(x, np.array([3, 4]), Rotation(8, np.array([1.0, 0.5])))
    assert np.array_equal(turned[:, 4:], x[:, 4:])
    assert not np.allclose(turned[:, :4], x[:, :4])


def test_magnitude_stretches_only_what_turns():
    x = random(1, 4)
    assert rotate_pairs(
        x, np.array([0]), Rotation(4, np.array([1.0]), magnitude=2.0)
    ) == pytest.approx(np.concatenate([2 * x[:, :2], x[:, 2:]], axis=1))


def test_attention_equals_loops_over_tokens_heads_and_slots():
    n_tokens, n_heads, n_kv_heads, head_dim, n_slots = 3, 6, 2, 4, 5
    query = random(n_tokens, n_heads, head_dim)
    keys, values = random(n_slots, n_kv_heads, head_dim), random(n_slots, n_kv_heads, head_dim) + 1
    seen = np.array([[1, 0, 0, 0, 0], [1, 1, 0, 1, 0], [0, 1, 1, 1, 1]], bool)
    out = attend(query, keys, values, seen)
    for t in range(n_tokens):
        for h in range(n_heads):
            k = h // (n_heads // n_kv_heads)
            slots = np.flatnonzero(seen[t])
            scores = [query[t, h] @ keys[s, k] / math.sqrt(head_dim) for s in slots]
            weights = np.exp(scores) / np.exp(scores).sum()
            expected = sum(w * values[s, k] for w, s in zip(weights, slots, strict=True))
            assert out[t, h] == pytest.approx(expected, abs=1e-5)


def test_router_takes_the_largest_and_shares_by_softmax_over_the_chosen():
    logits = np.float32([[0.0, math.log(3), -9.0, math.log(1.5)]])
    experts, shares = route(logits, 2)
    assert experts.tolist() == [[1, 3]]
    assert shares[0] == pytest.approx([2 / 3, 1 / 3])


def test_router_breaks_ties_towards_the_lower_number():
    assert route(np.float32([[1, 5, 5, 5]]), 2)[0].tolist() == [[1, 2]]


def test_softmax_over_the_chosen_equals_softmax_over_all_renormalised():
    logits = random(10, 8)
    experts, shares = route(logits, 2)
    chosen = np.take_along_axis(softmax(logits), experts, axis=-1)
    assert shares == pytest.approx(chosen / chosen.sum(axis=-1, keepdims=True), abs=1e-6)


def test_silu_by_hand_and_far_out():
    x = np.float32([0, 1, -1, 100, -100, -1e30])
    expected = [0, 1 / (1 + math.exp(-1)), -1 / (1 + math.e), 100, 0, 0]
    assert silu(x[:5]) == pytest.approx(expected[:5], abs=1e-6)
    assert np.isfinite(silu(x)).all()
