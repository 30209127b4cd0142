"""What the system tells of this process: its memory, its share of the CPUs, its battery."""

import mmap
from types import SimpleNamespace

import psutil
import pytest

from localmix import system
from localmix.system import CpuTimes, ProcessMemory, cpu_times, on_battery, process_memory


def test_pages_of_files_are_told_apart_from_private_memory(tmp_path):
    before = process_memory()
    assert before.resident > 1_000_000
    if before.private is None:
        pytest.skip("this system does not tell")
    n_bytes = 32 << 20
    (tmp_path / "file").write_bytes(bytes(n_bytes))
    with (
        open(tmp_path / "file", "rb") as file,
        mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped,
    ):
        assert sum(mapped[::4096]) == 0  # every page was read
        of_file = process_memory()
    kept = bytearray(b"x" * n_bytes)
    private = process_memory()
    assert of_file.of_files - before.of_files > 0.9 * n_bytes
    assert of_file.private - before.private < 0.1 * n_bytes
    assert private.private - before.private > 0.9 * len(kept)


def test_what_is_not_told_is_none():
    assert ProcessMemory(100, None).of_files is None
    assert ProcessMemory(100, 130).of_files == 0


def test_others_are_what_is_busy_and_not_ours():
    start, end = CpuTimes(10.0, 50.0, 5.0), CpuTimes(20.0, 75.0, 20.0)
    assert end.others_since(start) == pytest.approx(1.0)  # 25 s busy, 15 ours, in 10 s
    assert start.others_since(start) == 0.0
    assert CpuTimes(20.0, 55.0, 20.0).others_since(start) == 0.0


def test_guests_are_not_counted_twice_and_waiting_for_a_disk_is_idle(monkeypatch):
    class Times(tuple):
        user, system, idle, iowait, steal, guest, guest_nice = 10.0, 2.0, 100.0, 7.0, 3.0, 4.0, 0.5

    times = Times((10.0, 2.0, 100.0, 7.0, 3.0, 4.0, 0.5))
    monkeypatch.setattr(psutil, "cpu_times", lambda: times)
    assert cpu_times().busy == pytest.approx(10.0 + 2.0 + 3.0)


def test_only_cpus_that_we_may_use_are_watched(monkeypatch):
    class Times(tuple):
        user, idle = property(lambda self: self[0]), property(lambda self: self[1])

    each = [Times((10.0 * i, 100.0)) for i in range(4)]

    def told(percpu=False):
        return each if percpu else Times((60.0, 400.0))

    monkeypatch.setattr(psutil, "cpu_times", told)
    monkeypatch.setattr(psutil, "cpu_count", lambda: 4)
    may_use = {1, 3}
    monkeypatch.setattr(system.os, "sched_getaffinity", lambda pid: may_use, raising=False)
    assert cpu_times().busy == pytest.approx(10.0 + 30.0)
    may_use |= {0, 2}
    assert cpu_times().busy == pytest.approx(60.0)
    may_use -= {0, 1, 2, 3}
    may_use |= {1, 9}  # some are offline, so that nobody knows which is which
    assert cpu_times().busy == pytest.approx(60.0)
    monkeypatch.delattr(system.os, "sched_getaffinity", raising=False)
    assert cpu_times().busy == pytest.approx(60.0)


@pytest.mark.parametrize(
    ("battery", "told"),
    [
        (None, None),
        (SimpleNamespace(power_plugged=None), None),
        (SimpleNamespace(power_plugged=True), False),
        (SimpleNamespace(power_plugged=False), True),
    ],
)
def test_the_battery_is_told_if_there_is_one(monkeypatch, battery, told):
    monkeypatch.setattr(psutil, "sensors_battery", lambda: battery, raising=False)
    assert on_battery() is told


def test_a_system_without_such_a_sensor_has_no_battery(monkeypatch):
    monkeypatch.delattr(psutil, "sensors_battery", raising=False)
    assert on_battery() is None


def test_only_macos_is_asked_by_sysctl(monkeypatch):
    def run(command, **options):
        assert command[-1] == "hw.memsize"
        return SimpleNamespace(stdout="17179869184\n")

    monkeypatch.setattr(system.subprocess, "run", run)
    monkeypatch.setattr(system, "_PLATFORM", "linux")
    assert system.sysctl("hw.memsize") == ""
    monkeypatch.setattr(system, "_PLATFORM", "darwin")
    assert system.sysctl("hw.memsize") == "17179869184"
