"""Measurement, cost and limits put together: our JSON object, and llama-bench's tables.

Keys and columns of the second kind are those of llama-bench (llama.cpp,
tools/llama-bench/llama-bench.cpp), so that scripts written for it read ours; what has no meaning
here has the value that says so (no GPU layers, no repacking).
"""

from __future__ import annotations

import csv
import io
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from localmix.bench.cost import TokenCost
from localmix.bench.limits import Machine
from localmix.bench.run import BenchOptions, Measurement, Series
from localmix.engine.tuned import CHUNK_TOKENS


@dataclass(frozen=True)
class Subject:
    """What was measured, as far as a report names it.

    Attributes:
        isa: tier of the kernels; None for the reference executor, which has none.
        kv: type of the cached keys and values.
        weights: "mapped" or "resident", as they were asked for.
        reads_blocks: the executor multiplies the file's own blocks.
        load_s: seconds of loading, those of compiling among them.
        jit_s: seconds of compiling; 0 when the kernels were there, or there are none.
        window: positions that a token attends to at most; None: all.
    """

    name: str
    path: str
    architecture: str
    file_bytes: int
    n_parameters: int
    quantization: str
    executor: str
    isa: str | None
    threads: int
    kv: str
    weights: str
    reads_blocks: bool
    load_s: float
    jit_s: float
    window: int | None
    cost: TokenCost

    def decode_bytes(self, n_positions: float) -> float:
        """Bytes that a token reads after so many positions, of which it sees one window."""
        seen = n_positions if self.window is None else min(n_positions, self.window)
        return self.cost.decode_bytes(seen)


@dataclass(frozen=True)
class Report:
    """A finished run of `bench`."""

    subject: Subject
    machine: Machine
    options: BenchOptions
    measured: Measurement

    @property
    def decode_bytes(self) -> float:
        """Bytes that an average decoded token read."""
        return self.subject.decode_bytes(self.options.depth + self.options.n_generated / 2)

    @property
    def read_gb_s(self) -> float:
        """What decode got through per second, in 10⁹ bytes of the file and the cache."""
        return self.decode_bytes * self.measured.decode.median / 1e9

    @property
    def gop_s(self) -> float:
        """What prefill computed per second, in 10⁹ operations."""
        n_tokens = self.options.n_prompt
        if not n_tokens:
            return 0.0
        per_token = self.subject.cost.prefill_operations(n_tokens) / n_tokens
        return per_token * self.measured.prefill.median / 1e9

    @property
    def pct_of_read_bandwidth(self) -> float | None:
        """Share of the read bandwidth; None when caches hold the weights or blocks are not read."""
        in_cache = self.machine.holds_in_cache(self.decode_bytes)
        if in_cache or not self.subject.reads_blocks or not self.machine.read_gb_s:
            return None
        return 100 * self.read_gb_s / self.machine.read_gb_s

    @property
    def pct_of_int8_peak(self) -> float | None:
        """Share of the machine's int8 peak; None where there are no kernels to measure it."""
        peak = self.machine.int8_gop_s
        return 100 * self.gop_s / peak if peak else None


def as_record(report: Report) -> dict[str, Any]:
    """The public JSON object of `bench --json`; the figures of a part left out are null."""
    subject, machine, measured = report.subject, report.machine, report.measured
    prefill = {
        "tokens": report.options.n_prompt,
        "tok_s": _spread(measured.prefill),
        "gop_s": report.gop_s,
        "pct_of_int8_peak": report.pct_of_int8_peak,
    }
    decode = {
        "tokens": report.options.n_generated,
        "depth": report.options.depth,
        "tok_s": _spread(measured.decode),
        "read_gb_s": report.read_gb_s,
        "pct_of_read_bandwidth": report.pct_of_read_bandwidth,
    }
    return {
        "model": subject.name,
        "file_bytes": subject.file_bytes,
        "quantization": subject.quantization,
        "isa": subject.isa,
        "threads": subject.threads,
        "kv": subject.kv,
        "load_s": subject.load_s,
        "jit_s": subject.jit_s,
        "ttft_s": measured.ttft_s,
        "peak_rss_bytes": measured.peak_rss_bytes,
        "prefill": prefill,
        "decode": decode,
        **({"streamed": measured.streamed.record()} if measured.streamed else {}),
        "machine": {
            "cpu": machine.cpu,
            "cores": machine.cores,
            "read_gb_s": machine.read_gb_s,
            "int8_gop_s": machine.int8_gop_s,
        },
    }


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


def _spread(series: Series) -> dict[str, float | None]:
    if not series.samples_s:
        return {"median": None, "min": None, "max": None}
    return {"median": series.median, "min": min(series.tok_s), "max": max(series.tok_s)}


def _common_keys(report: Report, version: str) -> dict[str, Any]:
    subject = report.subject
    return {
        "build_commit": f"localmix-{version}",
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
