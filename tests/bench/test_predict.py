"""A prediction is cost over limits: checked by hand, and on what it must follow from."""

from dataclasses import replace

import pytest

from localmix.bench.cost import TokenCost
from localmix.bench.limits import Machine
from localmix.bench.predict import (
    ATTENTION_EFFICIENCY,
    MEASURED_ERROR,
    USUAL,
    USUAL_ERROR,
    Efficiency,
    peak_gop_s,
    predict,
    predict_streamed,
    reached_by,
)
from localmix.engine.memory import Needs

GB = 10**9
MACHINE = Machine("A CPU", 8, 32 * 2**20, 50.0, 2000.0, 400.0)
COST = TokenCost(4 * GB, 7 * GB, GB // 10, 131_072, 500_000)
WHOLE = Efficiency(1.0, 1.0)


def test_decode_is_bytes_over_the_bandwidth():
    found = predict(COST, MACHINE, WHOLE, n_positions=0)
    assert found.decode_tok_s == pytest.approx(50 / 4)
    found = predict(COST, MACHINE, WHOLE, n_positions=10_000)
    assert found.decode_tok_s == pytest.approx(50e9 / (4e9 + 10_000 * 131_072))
    half = predict(COST, MACHINE, Efficiency(0.5, 1.0), n_positions=0)
    assert half.decode_tok_s == pytest.approx(50 / 4 / 2)


def test_prefill_is_operations_over_the_peaks():
    matrices_s = 2 * (7e9 * 100 + 1e8) / 2000e9
    attention_s = 500_000 * (100 * 101 / 2) / (400e9 * ATTENTION_EFFICIENCY)
    found = predict(COST, MACHINE, WHOLE, n_prompt=100)
    assert found.prefill_tok_s == pytest.approx(100 / (matrices_s + attention_s))
    bare = predict(COST, replace(MACHINE, float32_gop_s=None), WHOLE, n_prompt=100)
    assert bare.prefill_tok_s == pytest.approx(100 / matrices_s)


def test_what_was_measured_here_goes_before_what_is_usual():
    usual, measured = predict(COST, MACHINE), predict(COST, MACHINE, USUAL)
    assert usual.decode_tok_s == measured.decode_tok_s
    assert (usual.error, measured.error) == (USUAL_ERROR, MEASURED_ERROR)


def test_what_cannot_be_told_is_not_told():
    assert predict(replace(COST, weight_bytes=10**6), MACHINE) is None
    assert predict(COST, replace(MACHINE, int8_gop_s=None)) is None


def test_a_mixture_waits_for_the_experts_that_are_not_there():
    fitting = predict(COST, MACHINE, WHOLE, n_positions=0)
    wanted = Needs(dense=2 * GB, experts=24 * GB, one_expert=GB // 10, cache=GB)
    found = predict_streamed(fitting, wanted, 18 * GB, n_used=2, n_layers=30, disk_gb_s=3.0)
    hit_rate = (180 - 2) / (240 - 2)
    assert found.streaming.hit_rate == pytest.approx(hit_rate)
    missed = (1 - hit_rate) * 2 * 30 * GB / 10  # 60 visits a token
    assert found.streaming.bytes_per_token == pytest.approx(missed)
    assert found.decode_tok_s == pytest.approx(1 / (4 / 50 + missed / 3e9))
    # a chunk of a prompt visits all experts
    chunk_s = 512 / fitting.prefill_tok_s + (1 - hit_rate) * 24 / 3
    assert found.prefill_tok_s == pytest.approx(512 / chunk_s)


def test_a_faster_disk_and_more_room_are_faster():
    fitting = predict(COST, MACHINE)
    wanted = Needs(dense=2 * GB, experts=24 * GB, one_expert=GB // 10, cache=GB)

    def speed(room, disk):
        return predict_streamed(fitting, wanted, room, 2, 30, disk).decode_tok_s

    assert speed(6 * GB, 3.0) < speed(12 * GB, 3.0) < speed(12 * GB, 6.0) < fitting.decode_tok_s
    assert speed(24 * GB, 3.0) == pytest.approx(fitting.decode_tok_s)


def test_what_a_run_reached_predicts_it_again():
    run = {"prefill_tok_s": 60.0, "decode_tok_s": 9.0, "n_prompt": 300, "n_positions": 164.0}
    reached = reached_by(COST, MACHINE, **run)
    again = predict(COST, MACHINE, reached, n_prompt=300, n_positions=164.0)
    assert again.prefill_tok_s == pytest.approx(60.0)
    assert again.decode_tok_s == pytest.approx(9.0)
    assert reached_by(COST, replace(MACHINE, int8_gop_s=None), **run) is None
    assert (
        reached_by(COST, MACHINE, **{**run, "prefill_tok_s": 1e9}) is None
    )  # faster than attention


def test_floats_are_held_against_the_peak_of_floats():
    floats = replace(COST, n_float_weights=7 * GB)
    assert (peak_gop_s(COST, MACHINE), peak_gop_s(floats, MACHINE)) == (2000.0, 400.0)
    slow, quick = predict(floats, MACHINE), predict(COST, MACHINE)
    assert slow.prefill_tok_s < quick.prefill_tok_s / 4
    assert slow.decode_tok_s == quick.decode_tok_s
