"""The cache of kernels: whole, damaged, of older versions, or where nothing can be written."""

import os
import tempfile
import time

import pytest
from support.findings import one
from support.links import link

from localmix.doctor import kernels
from localmix.doctor.folders import writable
from localmix.kernels import isa, library

OLD = "avx2-0123456789abcdef"


def put(folder, name, content=b"code"):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.o").write_bytes(library.sealed(content))
    return folder


@pytest.fixture
def ours(cache):
    """The folder of this version, this processor and its best tier."""
    return put(library.folder_of(library.this_machine()), "matmul_q4_0")


@pytest.fixture
def old(cache):
    return put(cache / "kernels" / OLD, "matmul_q4_0")


def test_kernels_are_counted(ours):
    found = one(kernels.kernels())
    tier = library.this_machine().tier.name
    assert (found.state, found.text) == ("good", f"1 for {tier}, 36 B")


def test_a_damaged_kernel_is_said(ours):
    (ours / "rotate.o").write_bytes(b"cut")
    found = one(kernels.kernels())
    assert (found.state, found.details) == ("note", ("rotate.o",))


def test_before_the_first_kernel_there_is_a_hint(cache):
    found = one(kernels.kernels())
    assert (found.state, found.hint) == ("note", "localmix warmup")


def test_a_tier_that_cannot_be_used_is_told_of_elsewhere(cache, monkeypatch):
    monkeypatch.setenv("LOCALMIX_ISA", "sse9")
    assert list(kernels.kernels()) == []


def test_older_kernels_are_removed_and_those_in_use_stay(cache, ours, old, later):
    found = one(kernels.older_kernels(cache / "kernels", later))
    assert found.state == "note"
    assert found.text == "1 folder of older versions or other processors, 36 B"
    assert found.fix() == "1 folder of older kernels removed, 36 B freed"
    assert not old.exists()
    assert list(ours.glob("*.o"))
    assert list(kernels.older_kernels(cache / "kernels", later)) == []


def test_kernels_of_lower_tiers_of_this_machine_are_in_use(cache, later):
    for tier in isa.possible_on(library.host_features()):
        for tile in (tier.tile, *isa.OTHER_TILES[tier.name]):
            put(library.folder_of(library.machine_at(tier.name, tile)), "rotate")
    assert list(kernels.older_kernels(cache / "kernels", later)) == []


def test_what_another_installation_uses_is_left_alone(cache, old, later):
    found = one(kernels.older_kernels(cache / "kernels", time.time))
    assert found.fix is None
    assert found.text.endswith("; 1 used within two days, so left alone")
    long_ago = put(cache / "kernels" / "neon-4x4-0123456789abcdef", "rotate")
    only_read = put(cache / "kernels" / "i8mm-0123456789abcdef", "rotate")
    for path in (long_ago / "rotate.o", long_ago, only_read / "rotate.o", only_read):
        os.utime(path, (0, 0))
    os.utime(only_read / "rotate.o", (time.time(), 0))
    one(kernels.older_kernels(cache / "kernels", time.time)).fix()
    assert old.exists()
    assert only_read.exists()
    assert not long_ago.exists()


def test_folders_that_are_not_ours_are_left_alone(cache, tmp_path, later):
    put(cache / "kernels" / "notes", "x")
    put(cache / "kernels" / "avx2-short", "x")
    put(cache / "kernels" / f"{OLD}-copy", "x")
    put(tmp_path / "elsewhere", "x")
    link(cache / "kernels" / OLD, tmp_path / "elsewhere")
    assert list(kernels.older_kernels(cache / "kernels", later)) == []


def test_a_folder_that_can_be_written(cache):
    assert one(writable("folder", cache, "LOCALMIX_CACHE")).state == "good"
    assert list(cache.iterdir()) == []


def test_a_folder_that_is_missing_is_made(cache):
    folder = cache / "kernels" / "deeper"
    found = one(writable("folder", folder, "LOCALMIX_CACHE"))
    assert (found.state, found.text) == ("note", "not made yet")
    assert not folder.exists()
    found.fix()
    found.fix()
    assert one(writable("folder", folder, "LOCALMIX_CACHE")).state == "good"


def test_a_file_in_place_of_a_folder_is_bad(cache):
    (cache / "kernels").write_text("x")
    assert one(writable("folder", cache / "kernels", "LOCALMIX_CACHE")).text == "is a file"
    for folder in (cache / "kernels", cache / "kernels" / "below"):
        found = one(writable("folder", folder, "LOCALMIX_CACHE"))
        assert (found.state, found.fix) == ("bad", None)
        assert found.hint == "set LOCALMIX_CACHE to a folder that can be written"


def test_a_folder_on_a_disk_that_is_read_only_is_bad(cache, monkeypatch):
    def refuse(**options):
        raise OSError(30, "Read-only file system", str(options["dir"]))

    monkeypatch.setattr(tempfile, "TemporaryFile", refuse)
    found = one(writable("folder", cache, "LOCALMIX_CACHE"))
    assert (found.state, found.text) == ("bad", "cannot be written: Read-only file system")
    monkeypatch.setattr(os, "access", lambda *arguments: False)
    found = one(writable("folder", cache / "kernels", "LOCALMIX_CACHE"))
    assert (found.state, found.text) == ("bad", "is not there and cannot be made")


def test_a_folder_that_may_not_be_read_is_bad(cache, monkeypatch):
    def refuse(path):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(type(cache), "iterdir", refuse)
    found = one(writable("folder", cache, "LOCALMIX_CACHE"))
    assert (found.state, found.text) == ("bad", "cannot be read: Permission denied")
    assert found.details == (str(cache),)
