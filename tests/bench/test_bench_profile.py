"""Where time goes: one more repetition of each part, whose parts are all of its time."""

import itertools

import pytest

import localmix
from localmix.bench.profile import Spent, profile
from localmix.bench.run import BenchOptions


@pytest.fixture(scope="module")
def model():
    with localmix.load("tiny") as opened:
        yield opened


def test_parts_add_up_to_the_time_of_a_repetition(model):
    found = profile(model, model.executor, BenchOptions(n_prompt=64, n_generated=8))
    assert [one.name for one in found] == ["prefill", "decode"]
    for one in found:
        assert one.seconds > 0
        assert sum(one.parts.values()) == pytest.approx(one.seconds)
        assert {"attention", "experts", "barrier", "between batches"} <= set(one.parts)


def test_what_is_left_out_is_left_out(model):
    options = BenchOptions(n_prompt=0, n_generated=4)
    assert [one.name for one in profile(model, model.executor, options)] == ["decode"]
    options = BenchOptions(n_prompt=8, n_generated=0)
    assert [one.name for one in profile(model, model.executor, options)] == ["prefill"]


def test_time_outside_of_batches_is_told_by_the_clock_of_the_run(model):
    clock = itertools.count(0, 100.0).__next__  # every look at it is 100 s later
    (prefill,) = profile(model, model.executor, BenchOptions(8, 0), clock)
    assert prefill.seconds == 200.0
    assert prefill.parts["between batches"] == pytest.approx(200.0, abs=1.0)


def test_the_record_has_shares():
    spent = Spent("prefill", 2.0, {"attention": 1.5, "barrier": 0.5})
    assert spent.record() == {"seconds": 2.0, "pct": {"attention": 75.0, "barrier": 25.0}}
