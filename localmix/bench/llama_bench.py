"""A report as llama-bench writes it: the same keys, the same columns.

They are those of llama.cpp, tools/llama-bench/llama-bench.cpp, so that scripts written for it read
ours; what has no meaning here has the value that says so (no GPU layers, no repacking).
"""

from __future__ import annotations

import csv
import io
import statistics
from collections.abc import Sequence
from typing import Any

from localmix.bench.report import Report
from localmix.bench.run import Series
from localmix.engine.tuned import CHUNK_TOKENS

COMMIT_PREFIX = "localmix-"
"""Begins our version, which stands where llama-bench has its commit."""


def as_llama_bench(report: Report, test_time: str, version: str) -> list[dict[str, Any]]:
    """One record per test with llama-bench's keys.

    `test_time` is ISO 8601 in UTC; `version`, ours, stands where llama-bench has its commit.
    """
    measured, options = report.measured, report.options
    tests = [
        (measured.prefill, options.n_prompt, 0, 0),
        (measured.decode, 0, options.n_generated, options.depth),
    ]
    return [
        {
            **_common_keys(report, version),
            "n_prompt": n_prompt,
            "n_gen": n_generated,
            "n_depth": depth,
            "test_time": test_time,
            **_sample_keys(series),
        }
        for series, n_prompt, n_generated, depth in tests
        if series.samples_s
    ]


def as_markdown(records: Sequence[dict[str, Any]]) -> str:
    """llama-bench's table; sizes in its GiB and MiB."""
    head = ["model", "size", "params", "backend", "threads", "test", "t/s"]
    lines = [head, ["---", "---:", "---:", "---", "---:", "---:", "---:"]]
    for record in records:
        lines.append(
            [
                record["model_type"],
                _binary_size(record["model_size"]),
                _millions(record["model_n_params"]),
                record["backends"],
                str(record["n_threads"]),
                _label(record),
                f"{record['avg_ts']:.2f} ± {record['stddev_ts']:.2f}",
            ]
        )
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def as_csv(records: Sequence[dict[str, Any]]) -> str:
    """One line per test; the samples, which are lists, are left out as in llama-bench."""
    keys = [key for key in records[0] if not key.startswith("samples")] if records else []
    text = io.StringIO()
    writer = csv.DictWriter(
        text, keys, extrasaction="ignore", quoting=csv.QUOTE_ALL, lineterminator="\n"
    )
    writer.writeheader()
    for record in records:  # llama-bench writes yes and no as 1 and 0
        writer.writerow({k: int(v) if isinstance(v, bool) else v for k, v in record.items()})
    return text.getvalue()


def _common_keys(report: Report, version: str) -> dict[str, Any]:
    subject = report.subject
    return {
        "build_commit": f"{COMMIT_PREFIX}{version}",
        "build_number": 0,
        "cpu_info": report.machine.cpu,
        "gpu_info": "",
        "backends": "CPU",
        "model_filename": subject.path,
        "model_type": " ".join(
            (subject.architecture, _millions(subject.n_parameters), subject.quantization)
        ),
        "model_size": subject.file_bytes,
        "model_n_params": subject.n_parameters,
        "n_batch": CHUNK_TOKENS,
        "n_ubatch": CHUNK_TOKENS,
        "n_threads": subject.threads,
        "cpu_mask": "0x0",
        "cpu_strict": False,
        "poll": 0,
        "type_k": subject.kv,
        "type_v": subject.kv,
        "n_gpu_layers": 0,
        "n_cpu_moe": 0,
        "split_mode": "none",
        "main_gpu": 0,
        "no_kv_offload": False,
        "flash_attn": 0,
        "devices": "none",
        "tensor_split": "0.00",
        "tensor_buft_overrides": "none",
        "load_mode": "mmap" if subject.weights == "mapped" else "none",
        "lazy_mode": False,
        "embeddings": False,
        "no_op_offload": 0,
        "no_host": False,
        "repack": False,
        "fit_target": 0,
        "fit_min_ctx": 0,
    }


def _sample_keys(series: Series) -> dict[str, Any]:
    samples_ns = [round(seconds * 1e9) for seconds in series.samples_s]
    return {
        "avg_ns": round(statistics.mean(samples_ns)),
        "stddev_ns": round(_deviation(samples_ns)),
        "avg_ts": statistics.mean(series.tok_s),
        "stddev_ts": _deviation(series.tok_s),
        "samples_ns": samples_ns,
        "samples_ts": series.tok_s,
    }


def _deviation(samples: Sequence[float]) -> float:
    """Sample standard deviation; 0 for a single one, as llama-bench has it."""
    return statistics.stdev(samples) if len(samples) > 1 else 0.0


def _label(record: dict[str, Any]) -> str:
    """llama-bench's name of a test: `pp512`, `tg128`, `tg128 @ d512`."""
    name = f"pp{record['n_prompt']}" if record["n_prompt"] else f"tg{record['n_gen']}"
    return f"{name} @ d{record['n_depth']}" if record["n_depth"] else name


def _binary_size(n_bytes: int) -> str:
    return f"{n_bytes / 2**30:.2f} GiB" if n_bytes >= 2**30 else f"{n_bytes / 2**20:.2f} MiB"


def _millions(n: int) -> str:
    return f"{n / 1e9:.2f} B" if n >= 1e9 else f"{n / 1e6:.2f} M"
