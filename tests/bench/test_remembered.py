"""What bench measured of the machine, kept for fit and for the figures after an answer."""

import json
from dataclasses import replace

import pytest

from localmix.bench.limits import Machine
from localmix.bench.predict import Efficiency
from localmix.bench.remembered import recall, recall_efficiency, remember, remember_efficiency
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
