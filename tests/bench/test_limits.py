"""What is said about the machine is measured or left out, never made up."""

import itertools
import os
import re
import subprocess
import sys

import pytest

from localmix.bench.limits import (
    CACHE_BYTES_GUESS,
    FLOAT32,
    INT8,
    PEAK_KERNELS,
    Machine,
    Multiplier,
    buffer_bytes,
    cache_bytes,
    cpu_name,
    measure_machine,
    peak,
    read_bandwidth,
)
from localmix.cores import Cores
from localmix.kernels import isa, library

MB = 2**20


def test_bandwidth_is_bytes_over_the_best_time():
    # Each run asks the clock twice; the runs take 4, 2, 3 s.
    times = iter([0.0, 4.0, 10.0, 12.0, 20.0, 23.0])
    assert read_bandwidth(2, 8 * MB, n_repetitions=2, clock=lambda: next(times)) == (
        pytest.approx(8 * MB / 2.0 / 1e9)
    )


@pytest.mark.parametrize("n_threads", [1, 2, 3])
def test_every_byte_is_read_once(n_threads, monkeypatch):
    import numpy as np

    read = []

    class Add:
        @staticmethod
        def reduce(share):
            read.append(share.nbytes)
            return share.sum()

    monkeypatch.setattr(np, "add", Add)
    read_bandwidth(n_threads, 4 * MB, n_repetitions=1, clock=itertools.count().__next__)
    assert len(read) == 2 * n_threads
    assert sum(read) == 2 * 4 * MB


def test_the_buffer_lives_in_another_process(monkeypatch):
    # Else its 256 MB would be the peak memory that `bench` reports for a small model.
    def read_here(n_threads, n_bytes):
        raise AssertionError("the buffer was read in this process")

    monkeypatch.setattr("localmix.bench.limits.read_bandwidth", read_here)
    assert measure_machine(1).read_gb_s > 0


def test_the_buffer_is_larger_than_the_caches_and_not_absurd():
    assert buffer_bytes(None) == 256 * MB
    assert buffer_bytes(32 * MB) == 256 * MB
    assert buffer_bytes(100 * MB) == 400 * MB
    assert buffer_bytes(2000 * MB) == 1024 * MB


def multiplier(kind=INT8):
    return Multiplier(library.load([kind.kernel]), kind)


@pytest.mark.parametrize("tier", ["generic", None])
@pytest.mark.parametrize("kind", [INT8, FLOAT32], ids=lambda kind: kind.kernel)
def test_products_of_ones_add_up_to_their_number(monkeypatch, tier, kind):
    if tier:
        monkeypatch.setenv("LOCALMIX_ISA", tier)
    one = multiplier(kind)
    per_round = one.multiply(1)
    lanes = library.this_machine().tier.lane_bytes // (1 if kind is INT8 else 4)
    assert per_round % (8 * lanes) == 0
    assert per_round > 0
    assert [one.multiply(n) for n in (0, 2, 1000)] == [0, 2 * per_round, 1000 * per_round]


def test_the_peak_is_operations_over_the_best_time():
    # The first try of 2,000 rounds takes 1 s, so a run has 100; runs take 9 (a warm-up), 4, 2, 3 s.
    times = itertools.accumulate([0.0, 1.0, 5.0, 9.0, 5.0, 4.0, 5.0, 2.0, 5.0, 3.0])
    n_products = 3 * multiplier().multiply(100)
    found = peak(INT8, 3, n_repetitions=3, clock=lambda: next(times))
    assert found == pytest.approx(2 * n_products / 2.0 / 1e9)


def test_measuring_the_peak_imports_no_numba():
    code = (
        "import sys; from localmix.bench.limits import measure_machine; "
        "machine = measure_machine(2, with_kernels=True); "
        "assert machine.int8_gop_s > machine.float32_gop_s > 0; "
        "sys.stdout.write(' '.join(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "localmix.kernels.library" in done.stdout.split()
    assert "numba" not in done.stdout.split()


@pytest.mark.parametrize(
    ("name", "triple", "instruction", "count"),
    [
        ("avx512", "x86_64-unknown-linux-gnu", "vpdpbusd", 8 * 12),
        ("avx2", "x86_64-unknown-linux-gnu", "vpmaddubsw", 8 * 4),
        ("neon", "arm64-apple-darwin", r"sdot(\.4s)?", 8 * 16),
        ("i8mm", "arm64-apple-darwin", r"smmla(\.4s)?", 8 * 16),
    ],
)
def test_each_product_of_a_round_is_an_instruction(tmp_path, name, triple, instruction, count):
    # Compiled for CPUs that are not here, too. A product computed once for all would be missed.
    tier = isa.tier_named(name)
    features = ",".join(f"+{feature}" for feature in sorted(tier.needs))
    command = [sys.executable, "-m", "localmix.kernels.build", tmp_path, name, "", features, triple]
    subprocess.run([*command, *PEAK_KERNELS], env={**os.environ, "LOCALMIX_ASM": "1"}, check=True)
    assembly = (tmp_path / "int8_peak.s").read_text(encoding="utf-8")
    assert len(re.findall(rf"^\s+{instruction}\s", assembly, re.MULTILINE)) == count
    assembly = (tmp_path / "float32_peak.s").read_text(encoding="utf-8")
    fused = re.findall(r"^\s+(?:vfmadd\d+ps|fmla(?:\.4s)?)\s", assembly, re.MULTILINE)
    assert len(fused) == 8 * (10 if name == "avx2" else 16)


def write_cache(cpus, cpu, index, level, size, shared_by):
    folder = cpus / f"cpu{cpu}" / "cache" / f"index{index}"
    folder.mkdir(parents=True)
    for name, text in (("level", level), ("size", size), ("shared_cpu_list", shared_by)):
        (folder / name).write_text(f"{text}\n")


def test_a_shared_cache_counts_once_and_the_first_level_not_at_all(tmp_path):
    for cpu in (0, 1):
        write_cache(tmp_path, cpu, 0, 1, "32K", cpu)
        write_cache(tmp_path, cpu, 2, 2, "1024K", cpu)
        write_cache(tmp_path, cpu, 3, 3, "32768K", "0-1")
    assert cache_bytes(tmp_path) == 34 * MB


def test_unknown_caches_are_none(tmp_path):
    assert cache_bytes(tmp_path / "nothing") is None
    write_cache(tmp_path, 0, 2, "two", "big", "?")
    assert cache_bytes(tmp_path) is None


def test_what_fits_the_caches_is_not_bound_by_memory():
    known = Machine("cpu", 2, 32 * MB, 30.0)
    assert known.holds_in_cache(32 * MB)
    assert not known.holds_in_cache(32 * MB + 1)
    unknown = Machine("cpu", 2, None, 30.0)
    assert unknown.holds_in_cache(CACHE_BYTES_GUESS)
    assert not unknown.holds_in_cache(CACHE_BYTES_GUESS + 1)


def test_this_machine_has_a_name_and_a_bandwidth(monkeypatch):
    monkeypatch.setattr("localmix.bench.limits.buffer_bytes", lambda cache: 16 * MB)
    machine = measure_machine()
    assert machine.cpu == cpu_name() != ""
    assert machine.cores >= 1
    assert 0.05 < machine.read_gb_s < 10_000


def test_one_thread_that_was_faster_than_all_is_the_limit(monkeypatch):
    monkeypatch.setattr("localmix.bench.limits.measure_read", lambda *arguments: (45.0, 40.0))
    machine = measure_machine(2)
    assert (machine.read_gb_s, machine.read_one_gb_s) == (45.0, 45.0)


def test_the_peaks_are_left_out_without_kernels(monkeypatch):
    peaks = {INT8: 500.0, FLOAT32: 120.0}
    monkeypatch.setattr("localmix.bench.limits.measure_read", lambda *arguments: (25.0, 40.0))
    monkeypatch.setattr("localmix.bench.limits.peak", lambda kind, *arguments: peaks[kind])
    bare = measure_machine(2)
    assert (bare.int8_gop_s, bare.float32_gop_s) == (None, None)
    whole = measure_machine(2, with_kernels=True)
    assert (whole.int8_gop_s, whole.float32_gop_s) == (500.0, 120.0)
    assert (whole.read_one_gb_s, whole.read_gb_s) == (25.0, 40.0)


def test_both_kinds_of_cores_are_told(monkeypatch):
    monkeypatch.setattr("localmix.bench.limits.cores", lambda: Cores(8, 4, 20))
    asked = []

    def measure_read(n_threads, n_bytes):
        asked.append(n_threads)
        return 20.0, 80.0

    monkeypatch.setattr("localmix.bench.limits.measure_read", measure_read)
    machine = measure_machine()
    assert (machine.cores, machine.slow_cores) == (8, 4)
    assert asked == [8]  # a thread per fast core
