"""Which cores get a thread: physical ones, fast ones, and as many as a container lends."""

import os

import pytest

from localmix import cores as module
from localmix import system
from localmix.cores import Cores, cores, cpu_quota, n_threads_by_default


@pytest.fixture
def linux(monkeypatch, tmp_path):
    """Describe a machine as Linux does: which logical CPUs share a core, and which are fast."""

    def describe(allowed, siblings, fast=None, capacities=()):
        for cpu, together in siblings.items():
            folder = tmp_path / f"cpu{cpu}/topology"
            folder.mkdir(parents=True)
            (folder / "thread_siblings_list").write_text(together + "\n")
        for cpu, capacity in enumerate(capacities):
            (tmp_path / f"cpu{cpu}").mkdir(exist_ok=True)
            (tmp_path / f"cpu{cpu}/cpu_capacity").write_text(f"{capacity}\n")
        if fast is not None:
            (tmp_path / "fast").write_text(fast + "\n")
        monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(allowed), raising=False)
        return cores(tmp_path, tmp_path / "fast")

    return describe


def test_two_threads_of_one_core_count_once(linux):
    siblings = {0: "0,4", 1: "1,5", 2: "2,6", 3: "3,7", 4: "0,4", 5: "1,5", 6: "2,6", 7: "3,7"}
    assert linux(range(8), siblings) == Cores(4, 0, 8, (0, 1, 2, 3))


def test_only_cpus_that_this_process_may_use_count(linux):
    assert linux({0, 1}, {cpu: str(cpu) for cpu in range(8)}) == Cores(2, 0, 2, (0, 1))


def test_slow_cores_are_told_apart_from_fast_ones(linux):
    siblings = {0: "0-1", 1: "0-1", 2: "2-3", 3: "2-3", 4: "4", 5: "5", 6: "6", 7: "7"}
    found = linux(range(8), siblings, fast="0-3")
    assert found == Cores(2, 4, 8, (0, 2), (4, 5, 6, 7))
    assert (found.physical, str(found)) == (6, "2 performance and 4 efficiency cores")


def test_a_process_on_slow_cores_alone_uses_them(linux):
    assert linux({4, 5}, {}, fast="0-3") == Cores(2, 0, 2, (4, 5))


def test_arm_machines_tell_capacities(linux):
    found = linux(range(6), {}, capacities=(400, 400, 400, 400, 1024, 1024))
    assert (found.fast_cpus, found.slow_cpus) == ((4, 5), (0, 1, 2, 3))
    assert linux(range(4), {}, capacities=(1024,) * 4).slow == 0


def test_a_system_that_tells_nothing_has_one_core_for_each_cpu(linux):
    found = linux(range(6), {})
    assert (found.fast, found.slow, str(found)) == (6, 0, "6 cores")
    assert str(Cores(1, 0, 2)) == "1 core"


def test_macos_tells_both_kinds(monkeypatch):
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 12)
    told = {"hw.perflevel0.physicalcpu": "8", "hw.perflevel1.physicalcpu": "4"}
    assert cores(sysctl=told.__getitem__) == Cores(8, 4, 12)


@pytest.mark.parametrize(("physical", "fast"), [(6, 6), (None, 12)])
def test_elsewhere_physical_cores_count_if_they_are_told(monkeypatch, physical, fast):
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 12)
    monkeypatch.setattr(system, "physical_cores", lambda: physical)
    assert cores(sysctl=lambda name: "") == Cores(fast, 0, 12)


@pytest.fixture
def quota(monkeypatch, tmp_path):
    monkeypatch.setattr(system, "CGROUP_MEMBERSHIP", tmp_path / "cgroup")
    monkeypatch.setattr(system, "CGROUPS", tmp_path)

    def write(membership, files):
        (tmp_path / "cgroup").write_text(membership)
        for name, text in files.items():
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_text(text)
        return cpu_quota()

    return write


@pytest.mark.parametrize(
    ("membership", "files", "told"),
    [
        ("0::/a\n", {"a/cpu.max": "150000 100000\n"}, 1.5),
        ("0::/a\n", {"a/cpu.max": "max 100000\n"}, None),
        ("0::/a/b\n", {"a/b/cpu.max": "400000 100000", "a/cpu.max": "200000 100000"}, 2.0),
        ("0::/a\n", {"a/cpu.max": "nonsense"}, None),
        (
            "4:cpu,cpuacct:/a\n",
            {"cpu/a/cpu.cfs_quota_us": "300000", "cpu/a/cpu.cfs_period_us": "100000"},
            3.0,
        ),
        (
            "4:cpu:/a\n",
            {"cpu/a/cpu.cfs_quota_us": "-1", "cpu/a/cpu.cfs_period_us": "100000"},
            None,
        ),
        ("", {}, None),
    ],
)
def test_a_container_tells_its_share_of_time(quota, membership, files, told):
    assert quota(membership, files) == told


@pytest.mark.parametrize(("limit", "threads"), [(None, 8), (1.5, 2), (0.2, 1), (20.0, 8)])
def test_threads_are_no_more_than_the_container_has_time_for(monkeypatch, limit, threads):
    monkeypatch.setattr(module, "cores", lambda: Cores(8, 4, 20))
    monkeypatch.setattr(module, "cpu_quota", lambda: limit)
    assert n_threads_by_default() == threads
