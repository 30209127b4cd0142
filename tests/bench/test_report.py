"""The figures of a report, by hand; the keys of the interface."""

import dataclasses
import json

import pytest
from support.bench import GB, REPORT, as_schema, with_, with_speeds

from localmix.bench.conditions import Around
from localmix.bench.cost import TokenCost
from localmix.bench.limits import Machine
from localmix.bench.report import all_notes, as_record
from localmix.bench.run import BenchOptions, Series

PEAKS = Machine("A CPU", 2, 32 * 2**20, 40.0, 2000.0, 500.0, 25.0, 4)
STEADY = {"prefill": [98.0, 100.0, 102.0], "decode": [4.9, 5.0, 5.1]}


def test_decode_reads_weights_and_the_average_of_its_positions():
    assert REPORT.decode_bytes == 4 * GB + 1000 * 1_000_000
    assert REPORT.read_gb_s == pytest.approx(5.0 * 4.5)
    assert REPORT.decode.ceiling == pytest.approx(40 / 5.0)
    assert REPORT.decode.pct_of_ceiling == pytest.approx(100 * 22.5 / 40)


def test_a_window_bounds_what_is_read():
    report = with_(subject=dataclasses.replace(REPORT.subject, window=100))
    assert report.decode_bytes == 4 * GB + 100 * 1_000_000


def test_a_model_in_the_caches_has_no_share_of_the_bandwidth():
    report = with_(machine=Machine("A CPU", 2, 6 * GB, 40.0))
    assert report.decode.pct_of_ceiling is None
    assert as_record(report)["decode"]["pct_of_read_bandwidth"] is None


def test_an_executor_that_does_not_read_blocks_has_no_limits():
    report = with_(subject=dataclasses.replace(REPORT.subject, reads_blocks=False), machine=PEAKS)
    assert report.decode.ceiling is None
    assert report.prefill.ceiling is None


def test_prefill_counts_the_output_matrix_once():
    assert REPORT.gop_s == pytest.approx(2 * (500 * 7 + 1) / 500 * 75.0)


def test_there_is_no_int8_share_without_a_measured_peak():
    assert REPORT.prefill.pct_of_ceiling is None
    report = with_speeds(**STEADY, machine=PEAKS)
    assert report.prefill.ceiling == pytest.approx(2000 / (2 * (7 + 1 / 500)))
    share = as_record(report)["prefill"]["pct_of_int8_peak"]
    assert share == pytest.approx(100 * report.gop_s / 2000)


def test_a_model_of_floats_is_held_against_the_float32_peak():
    cost = TokenCost(4 * GB, 7 * GB, GB, 0, n_float_weights=7 * GB)
    subject = dataclasses.replace(REPORT.subject, cost=cost)
    slow = {"prefill": [20.0, 20.0], "decode": [4.0]}
    report = with_speeds(**slow, machine=PEAKS, subject=subject)
    record = as_record(report)["prefill"]
    assert record["pct_of_int8_peak"] is None
    assert record["pct_of_ceiling"] == pytest.approx(100 * report.gop_s / 500)
    assert report.prefill.limit == "the float32 peak"


@pytest.mark.parametrize(
    ("around", "word"),
    [
        (Around(others_cpus=1.0), "other programs took 50 %"),
        (Around(throttled=True), "heat"),
        (Around(on_battery=True), "battery"),
    ],
)
def test_a_share_is_not_stated_when_the_machine_was_not_ours(around, word):
    machine = dataclasses.replace(PEAKS, slow_cores=0)
    report = with_speeds(**STEADY, machine=machine, decode_around=around)
    record = as_record(report)
    assert record["decode"]["pct_of_read_bandwidth"] is None
    assert record["decode"]["pct_of_ceiling"] is None
    assert record["decode"]["tok_s"]["median"] == pytest.approx(5.0)
    assert record["decode"]["ceiling_tok_s"] == pytest.approx(8.0)
    assert record["prefill"]["pct_of_int8_peak"] is not None  # the other part was quiet
    assert word in record["conditions"]["notes"][0]
    assert record["conditions"]["steady"] is False


def test_what_two_parts_share_is_said_once():
    on = Around(on_battery=True)
    report = with_speeds(**STEADY, machine=PEAKS, prefill_around=on, decode_around=on)
    assert report.notes == ["the machine runs on its battery"]
    assert all_notes([report, report]) == report.notes


def test_a_quiet_machine_has_no_notes():
    quiet = Around(others_cpus=0.1, throttled=False, on_battery=False)
    report = with_speeds(**STEADY, machine=PEAKS, prefill_around=quiet, decode_around=quiet)
    assert as_record(report)["conditions"] == {
        "others_pct": {
            "prefill": 0.0,
            "decode": 0.0,
            "limits": None,
        },  # four slow cores had nothing to do
        "on_battery": False,
        "throttled": False,
        "spread_pct": {"prefill": pytest.approx(2.0), "decode": pytest.approx(2.0)},
        "slowing_pct": {"prefill": None, "decode": None},
        "read_moved_pct": None,
        "notes": [],
        "steady": True,
    }


def test_limits_that_were_measured_among_others_give_no_shares():
    machine = dataclasses.replace(PEAKS, slow_cores=0)
    report = with_speeds(**STEADY, machine=machine, limits_around=Around(others_cpus=0.9))
    assert report.prefill.pct_of_ceiling is report.decode.pct_of_ceiling is None
    assert report.notes == [
        "other programs took 45 % of the cores while this machine's limits were measured, "
        "so these may be higher"
    ]
    conditions = as_record(report)["conditions"]
    assert conditions["others_pct"]["limits"] == pytest.approx(45.0)
    assert conditions["steady"] is False
    quiet = with_speeds(**STEADY, machine=machine, limits_around=Around(others_cpus=0.7))
    assert quiet.notes == []


def test_without_a_ceiling_its_doubts_are_nobodys_concern():
    in_cache = Machine("A CPU", 2, 6 * GB, 40.0)
    report = with_speeds(**STEADY, machine=in_cache, limits_around=Around(others_cpus=1.0))
    assert report.notes == []


def test_memory_that_got_faster_is_the_limit_and_said():
    report = with_speeds(**STEADY, read_again_gb_s=51.0)
    assert report.limits.read_gb_s == 51.0
    assert report.decode.pct_of_ceiling == pytest.approx(100 * 25 / 51)
    assert report.notes == [
        "memory was read at 40.0 GB/s before decode and at 51.0 GB/s after it; "
        "the larger one is the limit"
    ]
    assert as_record(report)["machine"]["read_gb_s"] == 51.0
    assert as_record(report)["conditions"]["read_moved_pct"] == pytest.approx(27.5)
    assert as_record(report)["conditions"]["steady"] is True


@pytest.mark.parametrize("again", [31.0, 49.0])
def test_memory_that_moved_a_little_is_not_spoken_of(again):
    report = with_speeds(**STEADY, read_again_gb_s=again)
    assert report.notes == []
    assert report.limits.read_gb_s == max(40.0, again)


def test_more_than_the_limit_is_no_share():
    report = with_speeds([100.0], [8.5], machine=PEAKS)
    assert report.decode.pct_of_ceiling is None
    assert "decode was faster than the read bandwidth allows" in report.notes[0]
    assert report.decode.conditions.steady
    nearly = with_speeds([100.0], [8.3], machine=PEAKS)
    assert nearly.decode.pct_of_ceiling == pytest.approx(103.75)


def test_the_record_has_exactly_the_keys_of_the_interface():
    assert as_record(REPORT) == {
        "model": "mistral",
        "file_bytes": 4 * 2**30,
        "quantization": "Q4_K_M",
        "isa": None,
        "threads": 2,
        "kv": "f16",
        "load_s": 0.5,
        "jit_s": 0.0,
        "warmup_s": 0.0,
        "ttft_s": 7.5,
        "peak_rss_bytes": 5 * GB,
        "peak_private_bytes": None,
        "peak_file_bytes": None,
        "prefill": {
            "tokens": 500,
            "tok_s": {"median": 75.0, "min": 50.0, "max": 100.0},
            "samples_tok_s": [100.0, 50.0],
            "gop_s": REPORT.gop_s,
            "pct_of_int8_peak": None,
            "gop_per_token": pytest.approx(2 * (7 + 1 / 500)),
            "ceiling_tok_s": None,
            "pct_of_ceiling": None,
        },
        "decode": {
            "tokens": 100,
            "depth": 950,
            "tok_s": {"median": 4.5, "min": 4.0, "max": 5.0},
            "samples_tok_s": [4.0, 5.0],
            "read_gb_s": REPORT.read_gb_s,
            "pct_of_read_bandwidth": REPORT.decode.pct_of_ceiling,
            "bytes_per_token": 5 * GB,
            "ceiling_tok_s": 8.0,
            "pct_of_ceiling": REPORT.decode.pct_of_ceiling,
        },
        "machine": {
            "cpu": "A CPU",
            "cores": 2,
            "slow_cores": 0,
            "cache_bytes": 32 * 2**20,
            "read_gb_s": 40.0,
            "read_one_gb_s": None,
            "int8_gop_s": None,
            "float32_gop_s": None,
        },
        "conditions": {
            "others_pct": {"prefill": None, "decode": None, "limits": None},
            "on_battery": None,
            "throttled": None,
            "spread_pct": {"prefill": pytest.approx(100 / 3), "decode": pytest.approx(100 / 9)},
            "slowing_pct": {"prefill": None, "decode": None},
            "read_moved_pct": None,
            "notes": ["the middle half of the repetitions of prefill spans 33 %"],
            "steady": False,
        },
    }


def test_further_tests_stand_beside_the_first_ones():
    first = with_speeds(**STEADY)
    longer = with_(
        options=BenchOptions(1000, 0),
        measured=dataclasses.replace(first.measured, prefill=Series(1000, [4.0]), decode=Series(0)),
    )
    record = as_record(first, [longer])
    assert [part["tokens"] for part in record["more"]] == [1000]
    assert "depth" not in record["more"][0]  # which decode alone has
    assert record["prefill"]["tokens"] == 500
    assert "more" not in as_record(first)


def test_the_figures_of_a_part_that_was_left_out_are_null():
    options = BenchOptions(n_prompt=0, n_generated=100)
    measured = dataclasses.replace(REPORT.measured, ttft_s=None, prefill=Series(0, []))
    report = with_(options=options, measured=measured, machine=PEAKS)
    prefill = as_record(report)["prefill"]
    assert prefill["tok_s"] == {"median": None, "min": None, "max": None}
    assert (prefill["tokens"], prefill["ceiling_tok_s"]) == (0, None)
    assert as_record(report)["ttft_s"] is None
    assert [part.name for part in report.parts] == ["decode"]


def test_every_value_of_the_record_is_of_the_promised_kind():
    record = json.loads(json.dumps(as_record(with_speeds(**STEADY, machine=PEAKS))))
    schema = as_schema(record)
    speeds = {"median": "number", "min": "number", "max": "number"}
    assert schema["prefill"] == {
        "tokens": "number", "tok_s": speeds, "samples_tok_s": ["number"], "gop_s": "number",
        "pct_of_int8_peak": "number", "gop_per_token": "number", "ceiling_tok_s": "number",
        "pct_of_ceiling": "number",
    }  # fmt: skip
    assert schema["decode"] == {
        "tokens": "number", "depth": "number", "tok_s": speeds, "samples_tok_s": ["number"],
        "read_gb_s": "number", "pct_of_read_bandwidth": "number", "bytes_per_token": "number",
        "ceiling_tok_s": "number", "pct_of_ceiling": "number",
    }  # fmt: skip
    assert set(schema["machine"].values()) == {"text", "number"}
    assert schema["conditions"]["notes"] == []
    assert schema["conditions"]["steady"] == "bool"
