"""A small file is the old one or the new one, whatever happens while it is written."""

import json
from types import SimpleNamespace

import pytest
from support.windows import OpenFiles

from localmix import json_file
from localmix.json_file import take_place, write_json


def test_a_value_is_written_for_people_to_read(tmp_path):
    path = tmp_path / "deep" / "folder" / "x.json"
    write_json(path, {"é": [1, 2]})
    assert path.read_text(encoding="utf-8") == '{\n  "é": [\n    1,\n    2\n  ]\n}\n'


def test_a_newer_value_takes_the_place_of_the_older(tmp_path):
    for value in (1, [2], None):
        write_json(tmp_path / "x.json", value)
        assert json.loads((tmp_path / "x.json").read_text()) == value
    assert [path.name for path in tmp_path.iterdir()] == ["x.json"]


def test_a_write_that_fails_leaves_the_old_file_and_no_litter(tmp_path, monkeypatch):
    write_json(tmp_path / "x.json", "old")

    def fail(handle):
        raise OSError("disk full")

    monkeypatch.setattr(json_file.os, "fsync", fail)
    with pytest.raises(OSError, match="disk full"):
        write_json(tmp_path / "x.json", "new")
    assert (tmp_path / "x.json").read_text() == '"old"\n'
    assert [path.name for path in tmp_path.iterdir()] == ["x.json"]


def test_a_value_that_is_no_json_leaves_the_old_file_and_no_litter(tmp_path):
    write_json(tmp_path / "x.json", "old")
    with pytest.raises(TypeError):
        write_json(tmp_path / "x.json", object())
    assert [path.name for path in tmp_path.iterdir()] == ["x.json"]


@pytest.fixture
def windows(monkeypatch):
    return OpenFiles(monkeypatch)


@pytest.fixture
def waits(monkeypatch):
    """Seconds that were waited, without waiting."""
    waits = []
    monkeypatch.setattr(json_file, "time", SimpleNamespace(sleep=waits.append))
    return waits


def drafted(tmp_path):
    (tmp_path / "draft").write_text("new")
    (tmp_path / "x").write_text("old")
    return tmp_path / "draft", tmp_path / "x"


def test_windows_is_asked_again_while_somebody_reads_the_old_file(tmp_path, windows, waits):
    draft, path = drafted(tmp_path)
    windows.paths, windows.closes_after = {path}, 3
    take_place(draft, path)
    assert (path.read_text(), len(waits)) == ("new", 3)
    assert not draft.exists()


def test_a_file_that_stays_open_on_windows_stays_as_it_is(tmp_path, windows, waits):
    draft, path = drafted(tmp_path)
    windows.paths = {path}
    with pytest.raises(PermissionError):
        take_place(draft, path)
    assert (path.read_text(), draft.read_text()) == ("old", "new")
    assert 0.5 < sum(waits) < 2


def test_other_systems_are_asked_once(tmp_path, windows, waits, monkeypatch):
    draft, path = drafted(tmp_path)
    monkeypatch.setattr("sys.platform", "linux")
    windows.paths = {path}
    with pytest.raises(PermissionError):
        take_place(draft, path)
    assert waits == []


def test_a_record_is_written_although_it_is_being_read(tmp_path, windows, waits):
    write_json(tmp_path / "x.json", "old")
    windows.paths, windows.closes_after = {tmp_path / "x.json"}, 2
    write_json(tmp_path / "x.json", "new")
    assert (tmp_path / "x.json").read_text() == '"new"\n'
