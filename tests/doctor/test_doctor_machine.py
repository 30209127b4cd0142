"""Processor, cores, memory and disks, of machines that are made up."""

import platform
import shutil
from collections import namedtuple

import pytest
from support.findings import one

from localmix.cores import Cores, cores
from localmix.doctor import machine
from localmix.doctor.checks import looked
from localmix.engine import memory
from localmix.kernels import library

HASWELL = ("64bit", "sse2", "avx", "avx2", "fma", "f16c")
ALDER_LAKE = (*HASWELL, "avxvnni")
ZEN_4 = (*HASWELL, "avx512f", "avx512bw", "avx512vl", "avx512dq", "avx512vnni")
NEHALEM = ("64bit", "sse2", "sse4.2")
M1 = ("neon", "dotprod", "fullfp16")
M2 = (*M1, "i8mm")


@pytest.fixture
def cpu(monkeypatch):
    def put(features):
        monkeypatch.setattr(library, "host_features", lambda: dict.fromkeys(features, True))

    return put


@pytest.mark.parametrize(
    ("features", "state", "text"),
    [
        (HASWELL, "good", "avx2: this CPU has avx2, f16c, fma; avxvnni needs avxvnni too"),
        (
            ALDER_LAKE,
            "good",
            "avxvnni: this CPU has avx2, avxvnni, f16c, fma;"
            " avx512 needs avx512bw, avx512dq, avx512f, avx512vl, avx512vnni too",
        ),
        (
            ZEN_4,
            "good",
            "avx512: this CPU has avx2, avx512bw, avx512dq, avx512f, avx512vl, avx512vnni, f16c,"
            " fma",
        ),
        (
            NEHALEM,
            "warn",
            "generic: this CPU has nothing that a better one needs; avx2 needs avx2, f16c, fma too",
        ),
        (M1, "good", "neon: this CPU has dotprod, fullfp16, neon; i8mm needs i8mm too"),
        (M2, "good", "i8mm: this CPU has dotprod, fullfp16, i8mm, neon"),
        (("neon",), "warn", "generic: this CPU has neon; neon needs dotprod too"),
    ],
)
def test_the_tier_and_what_the_next_better_one_needs(cpu, features, state, text):
    cpu(features)
    found = one(machine.tier())
    assert (found.state, found.text) == (state, text)


def test_a_tier_that_was_asked_for_is_said(cpu, monkeypatch):
    cpu(ZEN_4)
    monkeypatch.setenv("LOCALMIX_ISA", "avx2")
    found = one(machine.tier())
    assert (found.state, found.hint) == ("note", "unset LOCALMIX_ISA")
    assert found.text == "avx2, as LOCALMIX_ISA says; this CPU can run avx512"


def test_a_tier_that_the_processor_cannot_run_is_bad(cpu, monkeypatch):
    cpu(HASWELL)
    monkeypatch.setenv("LOCALMIX_ISA", "avx512")
    found = one(looked([("tier", machine.tier)]))
    assert (found.name, found.state) == ("tier", "bad")
    assert "cannot run the tier 'avx512'" in found.details[0]


def test_an_isa_that_does_not_exist_is_for_the_settings_to_tell(cpu, monkeypatch):
    cpu(HASWELL)
    monkeypatch.setenv("LOCALMIX_ISA", "sse9")
    assert one(machine.tier()).state == "good"


def test_the_processor_and_an_interpreter_that_is_translated(monkeypatch):
    monkeypatch.setattr(machine, "cpu_name", lambda: "VirtualApple @ 2.50GHz")
    monkeypatch.setattr(platform, "machine", lambda: "arm64")
    assert one(machine.processor()).state == "good"
    monkeypatch.setattr(platform, "machine", lambda: "x86_64")
    found = one(machine.processor())
    assert (found.state, found.hint) == ("warn", "install a Python for arm64")


def test_more_threads_than_cores_are_a_warning(monkeypatch):
    monkeypatch.setattr(machine, "cores", lambda: Cores(3, 1, 8))
    monkeypatch.setattr(machine, "n_threads_by_default", lambda: 3)
    monkeypatch.setattr(machine, "cpu_quota", lambda: None)
    kinds = "3 performance and 1 efficiency cores, 8 logical"
    for threads, state, text in (
        ("", "good", f"{kinds}, 3 threads"),
        ("1", "good", f"{kinds}, 1 thread"),
        ("4", "good", f"{kinds}, 4 threads"),
        ("8", "warn", f"{kinds}, but LOCALMIX_THREADS is 8"),
        ("many", "good", f"{kinds}, 3 threads"),
    ):
        monkeypatch.setenv("LOCALMIX_THREADS", threads)
        found = one(machine.threads())
        assert (found.state, found.text.partition(":")[0]) == (state, text)


def test_the_time_that_a_container_lends_is_told(monkeypatch):
    monkeypatch.setattr(machine, "cores", lambda: Cores(8, 0, 16))
    monkeypatch.setattr(machine, "n_threads_by_default", lambda: 2)
    monkeypatch.setattr(machine, "cpu_quota", lambda: 1.5)
    expected = "8 cores, 16 logical, time of 1.5 in this container, 2 threads"
    assert one(machine.threads()).text == expected


@pytest.mark.parametrize(
    ("free", "total", "state", "text"),
    [
        (16_000_000_000, 32_000_000_000, "good", "16.0 GB free of 32.0 GB"),
        (3_000_000_000, 8_000_000_000, "note", "3.00 GB free of 8.00 GB: little for"),
        (16_000_000_000, None, "good", "16.0 GB free"),
        (None, 8_000_000_000, "note", "8.00 GB, the system does not tell how much is free"),
        (None, None, "note", "the system does not tell how much is free"),
    ],
)
def test_memory(monkeypatch, free, total, state, text):
    monkeypatch.setattr(memory, "free_bytes", lambda: free)
    monkeypatch.setattr(memory, "total_bytes", lambda: total)
    found = one(machine.memory())
    assert found.state == state
    assert found.text.startswith(text)


def test_a_disk_is_that_of_the_nearest_folder_that_exists(tmp_path, monkeypatch):
    usage = namedtuple("usage", "total used free")
    asked = []

    def disk_usage(path):
        asked.append(path)
        return usage(100e9, 0, 4e9)

    monkeypatch.setattr(shutil, "disk_usage", disk_usage)
    found = one(machine.disk("disk", tmp_path / "a" / "b", 5e9))
    assert (asked, found.state, found.text) == ([tmp_path], "warn", "4.00 GB free of 100 GB")
    assert one(machine.disk("disk", tmp_path, 3e9)).state == "good"


def test_a_system_without_statistics_of_disks_is_a_finding(tmp_path, monkeypatch):
    def disk_usage(path):
        raise OSError(38, "Function not implemented")

    monkeypatch.setattr(shutil, "disk_usage", disk_usage)
    found = {f.name: f for f in looked(machine.looks(tmp_path, tmp_path))}
    assert found["disk of models"].text == "could not be checked: OSError (ENOSYS)"
    assert found["cores"].text.startswith(str(cores()))
