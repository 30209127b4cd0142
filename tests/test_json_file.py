"""A small file is the old one or the new one, whatever happens while it is written."""

import json

import pytest

from localmix import json_file
from localmix.json_file import write_json


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
