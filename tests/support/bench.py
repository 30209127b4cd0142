"""A run of `bench` whose figures are known."""

import dataclasses

from localmix.bench.cost import TokenCost
from localmix.bench.limits import Machine
from localmix.bench.report import Report
from localmix.bench.run import BenchOptions, Measurement, Series
from localmix.bench.subject import Subject

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


def with_speeds(prefill=(), decode=(), **changes):
    """The same report with other speeds, in tokens per second."""
    measured = dataclasses.replace(
        REPORT.measured,
        prefill=Series(500, [500 / speed for speed in prefill]),
        decode=Series(100, [100 / speed for speed in decode]),
        **{key: changes.pop(key) for key in ("prefill_around", "decode_around") if key in changes},
    )
    return with_(measured=measured, **changes)


def as_schema(value):
    """The kinds of a JSON value: numbers are "number", lists hold the kind of their first one."""
    if isinstance(value, dict):
        return {key: as_schema(item) for key, item in value.items()}
    if isinstance(value, list):
        return [as_schema(value[0])] if value else []
    if value is None or isinstance(value, bool):
        return "null" if value is None else "bool"
    return "text" if isinstance(value, str) else "number"
