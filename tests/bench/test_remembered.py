"""What bench measured of the machine, kept for fit and for the figures after an answer."""

import json
from dataclasses import replace

import pytest
from support.bench import with_speeds

from localmix.bench.conditions import Around
from localmix.bench.limits import Machine
from localmix.bench.predict import Efficiency
from localmix.bench.remembered import (
    recall,
    recall_efficiency,
    remember,
    remember_efficiency,
    remember_run,
)
from localmix.bench.run import Series
from localmix.engine.stats import Streamed
from localmix.system import cpu_name

HERE = Machine(cpu_name(), 2, 1000, 40.0, 900.0, 230.0, 30.0, 4)


def test_what_was_measured_is_known_for_the_same_processor_tier_and_threads(tmp_path):
    remember(tmp_path / "cache", HERE, 2, "avx2")
    assert recall(tmp_path / "cache", 2, "avx2") == HERE
    assert recall(tmp_path / "cache", 4, "avx2") is None
    assert recall(tmp_path / "cache", 2, "avx512") is None
    assert recall(tmp_path / "cache", 2, None) is None


def test_another_processor_is_another_machine(tmp_path):
    remember(tmp_path, replace(HERE, cpu="Another CPU"), 2, "avx2")
    assert recall(tmp_path, 2, "avx2") is None


def test_of_each_speed_the_best_is_kept(tmp_path):
    for read, int8, n_threads in ((40.0, 900.0, 2), (70.0, None, 4), (30.0, 950.0, 2)):
        machine = replace(HERE, read_gb_s=read, int8_gop_s=int8, cache_bytes=n_threads)
        remember(tmp_path, machine, n_threads, "avx2")
    two, four = (recall(tmp_path, n, "avx2") for n in (2, 4))
    assert (two.read_gb_s, two.int8_gop_s, four.read_gb_s) == (40.0, 950.0, 70.0)
    assert four.int8_gop_s is None
    assert (two.cache_bytes, four.cache_bytes) == (2, 4)


def test_how_near_to_the_limits_a_model_came_is_kept_by_its_quantization(tmp_path):
    remember(tmp_path, HERE, 2, "avx2")
    remember_efficiency(tmp_path, 2, "avx2", "Q4_K", Efficiency(0.9, 0.5))
    remember_efficiency(tmp_path, 2, "avx2", "Q8_0", Efficiency(0.8, 0.6))
    assert recall_efficiency(tmp_path, 2, "avx2", "Q4_K") == Efficiency(0.9, 0.5)
    assert recall_efficiency(tmp_path, 2, "avx2", "Q8_0") == Efficiency(0.8, 0.6)
    assert recall_efficiency(tmp_path, 2, "avx2", "Q6_K") is None
    assert recall_efficiency(tmp_path, 1, "avx2", "Q4_K") is None
    assert recall(tmp_path, 2, "avx2") == HERE


@pytest.mark.parametrize("damage", ["", "[]", "{", '{"machines": []}', '{"efficiencies": 3}'])
def test_a_damaged_file_knows_nothing_and_is_written_anew(tmp_path, damage):
    (tmp_path / "machine.json").write_text(damage)
    assert recall(tmp_path, 2, "avx2") is None
    assert recall_efficiency(tmp_path, 2, "avx2", "Q4_K") is None
    remember(tmp_path, HERE, 2, "avx2")
    assert recall(tmp_path, 2, "avx2") == HERE


@pytest.mark.parametrize("value", ["fast", {"cpu": "A"}, {"read_gb_s": -1, "cpu": "A"}, None])
def test_a_damaged_entry_knows_nothing(tmp_path, value):
    key = f"{cpu_name()}, avx2, 2 threads"
    known = {"machines": {key: value}, "efficiencies": {f"{key}, Q4_K": value}}
    (tmp_path / "machine.json").write_text(json.dumps(known))
    assert recall(tmp_path, 2, "avx2") is None
    assert recall_efficiency(tmp_path, 2, "avx2", "Q4_K") is None


def test_a_folder_that_cannot_be_written_is_no_error(tmp_path):
    (tmp_path / "file").write_text("no folder")
    remember(tmp_path / "file", HERE, 2, "avx2")
    assert recall(tmp_path / "file", 2, "avx2") is None


WITH_PEAK = Machine(cpu_name(), 2, 1, 200.0, 8000.0, 800.0)


def run_of(**changes):
    """A run of bench in which 100 and 20 tok/s were reached of 571 and 33."""
    given = with_speeds([100.0, 100.0], [20.0, 20.0])
    subject = replace(given.subject, isa="avx2", **changes.pop("subject", {}))
    options = replace(given.options, depth=0)
    return replace(given, machine=WITH_PEAK, subject=subject, options=options, **changes)


def test_a_run_is_kept_with_its_limits(tmp_path):
    remember_run(tmp_path, run_of(), "Q4_K")
    assert recall(tmp_path, 2, "avx2") == WITH_PEAK
    reached = recall_efficiency(tmp_path, 2, "avx2", "Q4_K")
    assert reached.decode == pytest.approx(20 * (4e9 + 50 * 1e6) / 200e9)
    assert reached.prefill == pytest.approx(100 * 2 * (7e9 + 1e9 / 500) / 8000e9)


def test_a_window_bounds_what_was_read(tmp_path):
    remember_run(tmp_path, run_of(subject={"window": 10}), "Q4_K")
    reached = recall_efficiency(tmp_path, 2, "avx2", "Q4_K")
    assert reached.decode == pytest.approx(20 * (4e9 + 10 * 1e6) / 200e9)


BUSY = Around(others_cpus=1.0)


@pytest.mark.parametrize(
    "change",
    [
        {"subject": {"power": 50}},
        {"measured": replace(run_of().measured, decode_around=BUSY)},
        {"measured": replace(run_of().measured, prefill_around=BUSY)},
        {"measured": replace(run_of().measured, streamed=Streamed(1, 1, 1, 1.0, 1))},
        {"measured": replace(run_of().measured, decode=Series(0))},
    ],
)
def test_of_a_run_that_says_nothing_of_the_code_only_the_limits_are_kept(tmp_path, change):
    remember_run(tmp_path, run_of(**change), "Q4_K")
    assert recall_efficiency(tmp_path, 2, "avx2", "Q4_K") is None
    assert recall(tmp_path, 2, "avx2") == WITH_PEAK
