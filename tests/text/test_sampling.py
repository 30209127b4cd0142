"""Logits to a token: each filter in closed form, and the whole against a slow twin."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from localmix.errors import LocalmixError
from localmix.text.sampling import (
    SamplingOptions,
    bias_and_penalize,
    draw,
    kth_highest,
    log_probability,
    min_p,
    sample,
    softmax,
    top_k,
    top_p,
)

PLAIN = {"temperature": 1.0, "top_k": 0, "top_p": 1.0}


def logits_of(probabilities):
    with np.errstate(divide="ignore"):
        return np.log(np.array(probabilities, np.float64)).astype(np.float32)


def choose(logits, coin=0.0, history=(), **options):
    return sample(np.asarray(logits, np.float32), SamplingOptions(**options), history, coin)


def shares(logits, n=10_000, **options):
    """Count what evenly spread coins choose: the distribution itself, up to 1/n."""
    counts = np.zeros(len(logits))
    for i in range(n):
        counts[choose(logits, (i + 0.5) / n, **options)] += 1
    return counts / n


def test_defaults_are_those_of_ollama():
    assert SamplingOptions() == SamplingOptions(
        temperature=0.8,
        top_k=40,
        top_p=0.9,
        min_p=0.0,
        repeat_penalty=1.0,
        presence_penalty=0.0,
        frequency_penalty=0.0,
        repeat_last_n=64,
        logit_bias={},
    )


def test_temperature_zero_takes_the_best_and_of_equals_the_lowest_id():
    assert choose([1, 3, 3, 2], coin=0.99, temperature=0) == 1
    assert choose([-math.inf, -5], temperature=0) == 1


def test_without_filters_shares_are_the_softmax():
    probabilities = [0.1, 0.2, 0.3, 0.4]
    assert np.allclose(shares(logits_of(probabilities), **PLAIN), probabilities, atol=2e-4)


def test_temperature_divides_logits():
    logits = np.array([0.0, 1.0, 2.0])
    for temperature in (0.5, 2.0):
        expected = np.exp(logits / temperature) / np.exp(logits / temperature).sum()
        options = {**PLAIN, "temperature": temperature}
        assert np.allclose(shares(logits, **options), expected, atol=2e-4)


def test_a_tiny_temperature_is_greedy():
    assert shares([1, 1.001, 0, -1000], n=100, **{**PLAIN, "temperature": 1e-300})[1] == 1


def test_top_k_keeps_the_k_best_in_order():
    logits = np.array([3.0, 1.0, 4.0, 1.0, 5.0, 9.0, -np.inf], np.float32)
    assert list(top_k(logits, 3)) == [5, 4, 2]
    assert list(top_k(logits, 0)) == [5, 4, 2, 0, 1, 3]
    assert list(top_k(logits, 5)) == [5, 4, 2, 0, 1]
    assert list(top_k(np.array([1.0, -np.inf, 0.0, -np.inf]), 3)) == [0, 2]
    assert list(top_k(logits, 7)) == list(top_k(logits, 99)) == [5, 4, 2, 0, 1, 3]


def test_top_p_keeps_as_few_as_reach_p():
    logits = np.log([0.5, 0.25, 0.125, 0.125])
    for p, n in ((0, 1), (0.4, 1), (0.51, 2), (0.74, 2), (0.76, 3), (0.9, 4), (1, 4)):
        assert top_p(logits, p) == n, p
    assert top_p(np.zeros(4), 0.5) == 2  # exactly reached


def test_min_p_keeps_what_is_near_the_best():
    logits = np.log([0.5, 0.25, 0.15, 0.1])
    for p, n in ((0, 4), (0.19, 4), (0.21, 3), (0.31, 2), (0.51, 1), (1, 1)):
        assert min_p(logits, p) == n, p


def test_filters_see_probabilities_before_temperature():
    # top-p: flattened by the temperature, 0.9 would take three tokens and not two.
    logits = logits_of([0.7, 0.25, 0.05])
    hot = {"temperature": 10.0, "top_k": 0, "top_p": 0.9}
    assert (shares(logits, n=1000, **hot) > 0).tolist() == [True, True, False]
    hot = {"temperature": 10.0, "top_k": 0, "top_p": 1.0, "min_p": 0.2}
    assert (shares(logits, n=1000, **hot) > 0).tolist() == [True, True, False]


def test_top_k_comes_before_top_p():
    # Among the best two 0.4 is half of all; of the whole it would not reach 0.45.
    logits = logits_of([0.4, 0.4, 0.1, 0.1])
    assert (shares(logits, n=1000, temperature=1, top_k=2, top_p=0.45) > 0).sum() == 1
    assert (shares(logits, n=1000, temperature=1, top_k=0, top_p=0.45) > 0).sum() == 2


def test_penalties_work_as_written():
    logits = np.array([2.0, -2.0, 2.0, 0.5], np.float32)
    options = SamplingOptions(repeat_penalty=2, presence_penalty=0.25, frequency_penalty=0.5)
    changed = bias_and_penalize(logits, options, [0, 1, 0])
    assert changed.tolist() == [1 - 1.25, -4 - 0.75, 2.0, 0.5]
    assert logits.tolist() == [2.0, -2.0, 2.0, 0.5]


@pytest.mark.parametrize(("last_n", "penalized"), [(0, []), (1, [2]), (2, [1, 2]), (-1, [0, 1, 2])])
def test_only_recent_tokens_are_penalized(last_n, penalized):
    options = SamplingOptions(presence_penalty=1, repeat_last_n=last_n)
    changed = bias_and_penalize(np.zeros(4, np.float32), options, (0, 1, 2))
    assert np.flatnonzero(changed).tolist() == penalized


def test_penalties_count_at_temperature_zero():
    assert choose([1, 0.9], temperature=0, history=[0], presence_penalty=0.5) == 1


def test_bias_is_added_and_can_forbid():
    assert choose([1, 0], temperature=0, logit_bias={1: 2}) == 1
    assert choose([1, 0], coin=0.999, logit_bias={0: -math.inf}) == 1
    with pytest.raises(LocalmixError, match="token 2"):
        choose([1, 0], logit_bias={2: 1.0})


def test_forbidden_tokens_are_never_chosen():
    logits = [-math.inf, 1, -math.inf, 1, -math.inf]
    for options in (PLAIN, {}, {"temperature": 0}, {"top_k": 4, "top_p": 1.0}):
        assert {choose(logits, c, **options) for c in (0.0, 0.5, 1 - 2**-53)} <= {1, 3}


def test_coins_at_the_border_choose_the_next_token():
    assert [draw(np.array([0.5, 0.0, 0.5]), coin) for coin in (0.0, 0.499, 0.5, 1 - 2**-53)] == [
        0, 0, 2, 2
    ]  # fmt: skip


@pytest.mark.parametrize("bad", [math.nan, math.inf])
@pytest.mark.parametrize("temperature", [0, 1])
def test_logits_that_are_no_numbers_are_refused(bad, temperature):
    with pytest.raises(LocalmixError) as error:
        choose([0, bad, 1], temperature=temperature)
    assert error.value.hint


def test_no_choice_at_all_is_refused():
    with pytest.raises(LocalmixError, match="no token can be chosen"):
        choose([-math.inf, -math.inf])
    with pytest.raises(LocalmixError, match="no token can be chosen"):
        choose([0, 1], logit_bias={0: -math.inf, 1: -math.inf})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *[("temperature", value) for value in (-0.1, math.nan, math.inf)],
        *[
            ("top_k", -1),
            ("repeat_last_n", -2),
            ("repeat_penalty", 0),
            ("repeat_penalty", math.nan),
        ],
        *[(name, value) for name in ("top_p", "min_p") for value in (-0.1, 1.1, math.nan)],
        *[("presence_penalty", math.inf), ("frequency_penalty", math.nan)],
        *[("logit_bias", {-1: 0.0}), ("logit_bias", {0: math.nan}), ("logit_bias", {0: math.inf})],
    ],
)
def test_senseless_options_are_refused(name, value):
    with pytest.raises(LocalmixError) as error:
        SamplingOptions(**{name: value})
    assert name.replace("_", "-") in error.value.hint


def test_log_probability_is_the_plain_softmax():
    probabilities = [0.1, 0.2, 0.7]
    for token, probability in enumerate(probabilities):
        expected = math.log(probability)
        assert log_probability(logits_of(probabilities) + 500, token) == pytest.approx(
            expected, abs=1e-4
        )
    assert log_probability(np.array([0, -np.inf], np.float32), 1) == -math.inf
    uniform = np.full(32_000, 1e4, np.float32)
    assert log_probability(uniform, 5) == pytest.approx(-math.log(32_000), abs=1e-9)


def slow_sample(logits, options, coin):
    """Every rule on sorted lists of Python floats."""
    ranked = sorted((-x, i) for i, x in enumerate(logits) if x > -math.inf)
    ranked = [(i, -x) for x, i in ranked][: options.top_k or None]

    def normalized(values):
        exps = [math.exp(v - max(values)) for v in values]
        return [e / sum(exps) for e in exps]

    kept, total = [], 0.0
    for (i, x), p in zip(ranked, normalized([x for _, x in ranked]), strict=True):
        kept.append((i, x))
        total += p
        if options.top_p < 1 and total >= options.top_p:
            break
    if options.min_p:
        kept = [(i, x) for i, x in kept if x >= kept[0][1] + math.log(options.min_p)]
    final = normalized([x / options.temperature for _, x in kept])
    total = 0.0
    for (i, _), p in zip(kept, final, strict=True):
        total += p
        if total > coin:
            return i
    return kept[-1][0]


@settings(derandomize=True, max_examples=500, deadline=None)
@given(
    st.lists(st.sampled_from([-math.inf, *np.linspace(-3, 3, 25)]), min_size=1, max_size=30),
    st.integers(0, 12),
    st.sampled_from([0.0, 0.3, 0.77, 0.93, 1.0]),
    st.sampled_from([0.0, 0.07, 0.4]),
    st.sampled_from([0.3, 1.0, 1.7]),
    st.floats(0.001, 0.999),
)
def test_fast_sampling_is_slow_sampling(logits, k, p, least, temperature, coin):
    logits = np.array([*logits, 0.1], np.float32)
    options = SamplingOptions(temperature, k, p, least)
    assert sample(logits, options, (), coin) == slow_sample(logits.tolist(), options, coin)


def test_softmax_adds_up_to_one():
    assert softmax(np.array([1000.0, 0.0, -1000.0])).tolist() == [1.0, 0.0, 0.0]
    assert softmax(np.arange(50.0), 3.0).sum() == pytest.approx(1)


@pytest.mark.parametrize("n", [5, 300, 2048, 32_000, 32_001, 128_256])
def test_the_kth_highest_is_that_of_a_sorted_list(n):
    rng = np.random.default_rng(n)
    for logits in (
        rng.standard_normal(n).astype(np.float32),
        rng.integers(0, 3, n).astype(np.float32),  # many equals
        np.sort(rng.standard_normal(n).astype(np.float32)),  # the highest all in one block
        np.where(rng.random(n) < 0.99, -np.inf, 1.0).astype(np.float32),
    ):
        ranked = np.sort(logits)[::-1]
        for k in (1, 2, 40, 255, 256, 257, n - 1):
            if 0 < k < n:
                assert kth_highest(logits, k) == ranked[k - 1]


def test_log_probability_is_that_of_float64_to_six_digits():
    rng = np.random.default_rng(3)
    for scale in (0.1, 3.0, 30.0):
        logits = (rng.standard_normal(32_000) * scale).astype(np.float32)
        wide = logits.astype(np.float64)
        exact = wide - wide.max() - np.log(np.exp(wide - wide.max()).sum())
        for token in (0, 5, int(np.argmax(logits)), int(np.argmin(logits))):
            assert log_probability(logits, token) == pytest.approx(exact[token], abs=2e-6)
