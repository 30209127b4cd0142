"""The figures of a report, by hand; the keys of the interface and of llama-bench."""

import csv
import dataclasses
import io

import pytest

from localmix.bench.cost import TokenCost
from localmix.bench.limits import Machine
from localmix.bench.report import Report, Subject, as_csv, as_llama_bench, as_markdown, as_record
from localmix.bench.run import BenchOptions, Measurement, Series

GB = 10**9

REPORT = Report(
    Subject(
        name="mistral",
        path="/models/m.gguf",
        architecture="llama",
        file_bytes=4 * 2**30,
        n_parameters=7_240_000_000,
        quantization="Q4_K_M",
        executor="reference",
        isa=None,
        threads=2,
        kv="f16",
        weights="mapped",
        reads_blocks=True,
        load_s=0.5,
        jit_s=0.0,
        window=None,
        cost=TokenCost(4 * GB, 7 * GB, GB, 1_000_000),
    ),
    Machine("A CPU", 2, 32 * 2**20, 40.0),
    BenchOptions(n_prompt=500, n_generated=100, depth=950, n_repetitions=2),
    Measurement(Series(500, [5.0, 10.0]), Series(100, [25.0, 20.0]), 7.5, 5 * GB),
)


def with_(**changes):
    return dataclasses.replace(REPORT, **changes)


def test_decode_reads_weights_and_the_average_of_its_positions():
    assert REPORT.decode_bytes == 4 * GB + 1000 * 1_000_000
    assert REPORT.read_gb_s == pytest.approx(5.0 * 4.5)
    assert REPORT.pct_of_read_bandwidth == pytest.approx(100 * 22.5 / 40)


def test_a_window_bounds_what_is_read():
    report = with_(subject=dataclasses.replace(REPORT.subject, window=100))
    assert report.decode_bytes == 4 * GB + 100 * 1_000_000


def test_a_model_in_the_caches_has_no_share_of_the_bandwidth():
    report = with_(machine=Machine("A CPU", 2, 6 * GB, 40.0))
    assert report.pct_of_read_bandwidth is None
    assert as_record(report)["decode"]["pct_of_read_bandwidth"] is None


def test_an_executor_that_does_not_read_blocks_has_no_share_of_the_bandwidth():
    report = with_(subject=dataclasses.replace(REPORT.subject, reads_blocks=False))
    assert report.pct_of_read_bandwidth is None


def test_prefill_counts_the_output_matrix_once():
    assert REPORT.gop_s == pytest.approx(2 * (500 * 7 + 1) / 500 * 75.0)


def test_there_is_no_int8_share_without_a_measured_peak():
    assert REPORT.pct_of_int8_peak is None
    peak = with_(machine=Machine("A CPU", 2, None, 40.0, int8_gop_s=2000.0))
    assert peak.pct_of_int8_peak == pytest.approx(100 * REPORT.gop_s / 2000)


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
        "ttft_s": 7.5,
        "peak_rss_bytes": 5 * GB,
        "prefill": {
            "tokens": 500,
            "tok_s": {"median": 75.0, "min": 50.0, "max": 100.0},
            "gop_s": REPORT.gop_s,
            "pct_of_int8_peak": None,
        },
        "decode": {
            "tokens": 100,
            "depth": 950,
            "tok_s": {"median": 4.5, "min": 4.0, "max": 5.0},
            "read_gb_s": REPORT.read_gb_s,
            "pct_of_read_bandwidth": REPORT.pct_of_read_bandwidth,
        },
        "machine": {"cpu": "A CPU", "cores": 2, "read_gb_s": 40.0, "int8_gop_s": None},
    }


def test_the_figures_of_a_part_that_was_left_out_are_null():
    options = BenchOptions(n_prompt=0, n_generated=100)
    measured = dataclasses.replace(REPORT.measured, ttft_s=None, prefill=Series(0, []))
    report = with_(options=options, measured=measured)
    prefill = as_record(report)["prefill"]
    assert prefill["tok_s"] == {"median": None, "min": None, "max": None}
    assert prefill["tokens"] == 0
    assert as_record(report)["ttft_s"] is None


# FACTS of llama-bench: the keys of its JSON output, in its order.
LLAMA_BENCH_KEYS = (
    "build_commit build_number cpu_info gpu_info backends model_filename model_type model_size "
    "model_n_params n_batch n_ubatch n_threads cpu_mask cpu_strict poll type_k type_v "
    "n_gpu_layers n_cpu_moe split_mode main_gpu no_kv_offload flash_attn devices tensor_split "
    "tensor_buft_overrides load_mode lazy_mode embeddings no_op_offload no_host repack fit_target "
    "fit_min_ctx n_prompt n_gen n_depth test_time avg_ns stddev_ns avg_ts stddev_ts samples_ns "
    "samples_ts"
).split()


def llama_bench():
    return as_llama_bench(REPORT, "2026-01-02T03:04:05Z", "0.1.0")


def test_llama_bench_has_a_record_per_test_with_its_keys_in_its_order():
    prefill, decode = llama_bench()
    assert list(prefill) == list(decode) == LLAMA_BENCH_KEYS
    assert (prefill["n_prompt"], prefill["n_gen"], prefill["n_depth"]) == (500, 0, 0)
    assert (decode["n_prompt"], decode["n_gen"], decode["n_depth"]) == (0, 100, 950)
    assert decode["samples_ns"] == [25 * GB, 20 * GB]
    assert decode["avg_ns"] == 22.5 * GB
    assert decode["avg_ts"] == 4.5
    assert decode["stddev_ts"] == pytest.approx(0.7071, abs=1e-4)


def test_llama_bench_has_what_was_used():
    for record in llama_bench():
        assert (record["n_threads"], record["type_k"], record["type_v"]) == (2, "f16", "f16")
        assert record["load_mode"] == "mmap"
    subject = dataclasses.replace(REPORT.subject, threads=7, kv="q8_0", weights="resident")
    for record in as_llama_bench(with_(subject=subject), "now", "0"):
        assert (record["n_threads"], record["type_k"], record["type_v"]) == (7, "q8_0", "q8_0")
        assert record["load_mode"] == "none"


def test_llama_bench_leaves_out_what_was_not_measured():
    measured = dataclasses.replace(REPORT.measured, prefill=Series(0))
    (only,) = as_llama_bench(with_(measured=measured), "now", "0")
    assert only["n_gen"] == 100


def test_markdown_is_llama_benchs_table():
    assert as_markdown(llama_bench()) == (
        "| model | size | params | backend | threads | test | t/s |\n"
        "| --- | ---: | ---: | --- | ---: | ---: | ---: |\n"
        "| llama 7.24 B Q4_K_M | 4.00 GiB | 7.24 B | CPU | 2 | pp500 | 75.00 ± 35.36 |\n"
        "| llama 7.24 B Q4_K_M | 4.00 GiB | 7.24 B | CPU | 2 | tg100 @ d950 | 4.50 ± 0.71 |\n"
    )


def test_csv_reads_back():
    rows = list(csv.DictReader(io.StringIO(as_csv(llama_bench()))))
    assert [row["n_gen"] for row in rows] == ["0", "100"]
    assert list(rows[0]) == LLAMA_BENCH_KEYS[:-2]
    assert as_csv([]) == "\n"
