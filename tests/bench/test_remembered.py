"""What bench measured of the machine, kept for the figures after an answer."""

import json

from localmix.bench.limits import Machine, cpu_name
from localmix.bench.remembered import read_gb_s, remember

HERE = Machine(cpu_name(), 2, None, 40.0)


def test_what_was_measured_is_known_for_the_same_processor_and_threads(tmp_path):
    remember(tmp_path / "cache", HERE, 2)
    assert read_gb_s(tmp_path / "cache", 2) == 40.0
    assert read_gb_s(tmp_path / "cache", 4) is None


def test_another_processor_is_another_machine(tmp_path):
    remember(tmp_path, Machine("Another CPU", 2, None, 90.0), 2)
    assert read_gb_s(tmp_path, 2) is None


def test_a_later_measurement_replaces_an_earlier_one_and_no_other(tmp_path):
    for gb_s, n_threads in ((40.0, 2), (70.0, 4), (42.0, 2)):
        remember(tmp_path, Machine(cpu_name(), 2, None, gb_s), n_threads)
    assert (read_gb_s(tmp_path, 2), read_gb_s(tmp_path, 4)) == (42.0, 70.0)


def test_a_damaged_file_knows_nothing_and_is_written_anew(tmp_path):
    for text in ("", "[]", "{", json.dumps({f"{cpu_name()}, 2 threads": "fast"})):
        (tmp_path / "machine.json").write_text(text)
        assert read_gb_s(tmp_path, 2) is None
    remember(tmp_path, HERE, 2)
    assert read_gb_s(tmp_path, 2) == 40.0


def test_a_folder_that_cannot_be_written_is_no_error(tmp_path):
    (tmp_path / "file").write_text("no folder")
    remember(tmp_path / "file", HERE, 2)
    assert read_gb_s(tmp_path / "file", 2) is None
