"""The keys and columns of llama-bench, filled with our figures."""

import csv
import dataclasses
import io

import pytest
from support.bench import GB, REPORT, with_

from localmix.bench.llama_bench import as_csv, as_llama_bench, as_markdown
from localmix.bench.run import Series

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
