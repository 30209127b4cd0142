"""What is said about the machine is measured or left out, never made up."""

import itertools

import pytest

from localmix.bench.limits import (
    CACHE_BYTES_GUESS,
    Machine,
    buffer_bytes,
    cache_bytes,
    cpu_name,
    measure_machine,
    read_bandwidth,
)

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
    assert machine.int8_gop_s is None
