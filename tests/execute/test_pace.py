"""Work that takes a share of the time, and a profile that says where time goes."""

import numpy as np
import pytest

import localmix
from localmix.execute.pace import LEAST_REST_S, Pace
from localmix.execute.profile import BARRIER, OUTSIDE, Profile, empty_table, parts_of
from localmix.kernels.layout import Spent


@pytest.mark.parametrize("power", [10, 25, 50, 99])
def test_rests_make_work_that_share_of_the_time(power):
    rests = []
    pace = Pace(power, rests.append)
    for _ in range(10_000):
        pace.worked(0.003)
    worked = 10_000 * 0.003
    share = worked / (worked + sum(rests))
    assert share == pytest.approx(power / 100, rel=0.01)
    assert min(rests) >= LEAST_REST_S


def test_short_work_saves_its_rests_up():
    rests = []
    pace = Pace(50, rests.append)
    for _ in range(9):
        pace.worked(LEAST_REST_S / 10)
    assert rests == []
    pace.worked(LEAST_REST_S / 5)
    assert rests == [pytest.approx(1.1 * LEAST_REST_S)]


@pytest.fixture(scope="module")
def expected():
    with localmix.load("tiny") as model:
        return model.logits(range(300, 360))


def test_a_model_at_less_power_rests_and_has_the_same_bits(expected, monkeypatch):
    rests = []
    monkeypatch.setattr("localmix.execute.pace.LEAST_REST_S", 0.0)
    with localmix.load("tiny", power=30) as model:
        model.executor._pace = Pace(30, rests.append)
        assert (model.logits(range(300, 360)) == expected).all()
    assert len(rests) > model.config.n_layers  # one in each layer
    assert all(rest > 0 for rest in rests)


def test_at_full_power_nothing_rests():
    with localmix.load("tiny") as model:
        assert model.executor._pace is None


def test_a_profile_names_all_parts_and_adds_up_to_the_time(expected):
    with localmix.load("tiny") as model, model.executor.profiled() as profile:
        assert (model.logits(range(300, 360)) == expected).all()
    seconds = profile.seconds(elapsed_s=2 * profile.walk_s)
    parts = {"matrix products", "attention", "experts", "norms, rounding", "rope, cache"}
    assert parts <= set(seconds)
    assert {BARRIER, OUTSIDE} <= set(seconds)
    assert all(value >= 0 for value in seconds.values())
    assert sum(seconds.values()) == pytest.approx(2 * profile.walk_s)
    assert seconds[OUTSIDE] == pytest.approx(profile.walk_s)
    assert list(seconds.values()) == sorted(seconds.values(), reverse=True)


def test_nothing_is_noted_after_the_profile_was_closed():
    with localmix.load("tiny") as model:
        with model.executor.profiled() as profile:
            model.logits([5, 6])
        walked_s = profile.walk_s
        model.logits([5, 6])
    assert profile.walk_s == walked_s > 0


def test_ticks_become_seconds_of_the_wall_clock():
    profile = Profile()
    spent = empty_table(2, 2)  # two threads, two steps and the wait at the end
    spent[0, :, Spent.WORKING] = [30, 10, 0]
    spent[1, :, Spent.WORKING] = [20, 20, 0]
    spent[:, 2, Spent.WAITING] = [5, 15]
    profile.add(spent, ["attention", "experts"], 2.0)
    assert profile.seconds() == {
        "attention": pytest.approx(1.0),
        "experts": pytest.approx(0.6),
        BARRIER: pytest.approx(0.4),
    }
    assert Profile().seconds() == {}
    assert Profile().seconds(1.0) == {OUTSIDE: 1.0}


def test_steps_of_a_mixture_are_its_own():
    class Mixture:
        first, end = 2, 4

    kernels = ["quantize", "matmul_q4_k", "pack_256", "matmul_q4_k", "combine", "attend_f16"]
    assert parts_of(kernels, [Mixture]) == [
        "norms, rounding",
        "matrix products",
        "experts",
        "experts",
        "experts",
        "attention",
    ]


def test_every_kernel_of_a_model_is_a_part_of_something():
    with localmix.load("tiny") as model:
        model.logits(np.arange(5, 25))
        for tape in model.executor._tapes.values():
            assert len(tape._parts) == len(tape._records)
