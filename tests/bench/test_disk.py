"""The speed of a disk: bytes over time, and nothing is left behind."""

import itertools

import pytest

from localmix.bench import disk
from localmix.bench.disk import PIECE_BYTES, disk_gb_s
from localmix.errors import NotEnoughDisk


def test_speed_is_bytes_over_time_and_every_byte_is_read(tmp_path, monkeypatch):
    read = []
    real = disk._read_piece

    def read_piece(path, at):
        n = real(path, at)
        read.append((at, n))
        return n

    monkeypatch.setattr(disk, "_read_piece", read_piece)
    clock = itertools.count(0, 2).__next__
    found = disk_gb_s(tmp_path, n_bytes=3 * PIECE_BYTES, clock=clock)
    assert found == pytest.approx(3 * PIECE_BYTES / 2 / 1e9)
    assert sorted(read) == [(i * PIECE_BYTES, PIECE_BYTES) for i in range(3)]
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_not_there_is_measured_where_it_would_be(tmp_path):
    assert disk_gb_s(tmp_path / "a" / "b", n_bytes=PIECE_BYTES) > 0
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_said(tmp_path, monkeypatch):
    def write(path, n_bytes):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(disk, "_write", write)
    with pytest.raises(NotEnoughDisk, match="No space left") as caught:
        disk_gb_s(tmp_path)
    assert caught.value.hint
    assert list(tmp_path.iterdir()) == []
