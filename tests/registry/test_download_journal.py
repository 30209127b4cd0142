import errno
import json

import pytest

from localmix.registry.download.journal import Journal, arrived_parts
from localmix.registry.manifest import RepoFile

FILE = RepoFile("m.gguf", 250, "ab" * 32)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "m.gguf.part.journal"


def opened(path, file=FILE, part_bytes=100):
    return Journal(path, file, part_bytes)


def begin(path):
    """Leave a journal of two whole parts and a piece of the third."""
    journal = opened(path)
    journal.note(0, 100)
    journal.note(1, 40)
    journal.note(1, 100)
    journal.note(2, 20)
    journal.note_digest(0, "aa")
    journal.note_digest(1, "bb")
    journal.close()


def test_what_was_noted_is_there_when_it_is_opened_again(path):
    begin(path)
    journal = opened(path)
    assert not journal.is_new
    assert journal.done == [100, 100, 20]
    assert journal.digests == {0: "aa", 1: "bb"}
    assert [journal.size_of(i) for i in range(3)] == [100, 100, 50]
    journal.close()


def test_a_journal_that_is_opened_again_is_short(path):
    journal = opened(path)
    for n_bytes in range(1, 101):
        journal.note(0, n_bytes)
    journal.close()
    opened(path).close()
    assert len(path.read_text().splitlines()) == 2


def test_a_part_that_was_lost_and_hashes_that_were_taken_back_stay_so(path):
    begin(path)
    journal = opened(path)
    journal.note(1, 0)
    journal.forget_digests(1)
    journal.close()
    journal = opened(path)
    assert (journal.done, journal.digests) == ([100, 0, 20], {0: "aa"})
    journal.close()


@pytest.mark.parametrize(
    "other",
    [
        RepoFile("m.gguf", 250, "cd" * 32),
        RepoFile("m.gguf", 251, "ab" * 32),
    ],
)
def test_the_journal_of_another_version_begins_anew(path, other):
    begin(path)
    journal = opened(path, other)
    assert (journal.is_new, journal.done, journal.digests) == (True, [0, 0, 0], {})
    journal.close()
    assert arrived_parts(path, FILE) == {}


def test_a_journal_of_parts_of_another_size_begins_anew(path):
    begin(path)
    journal = opened(path, part_bytes=50)
    assert journal.is_new
    assert sum(journal.done) == 0
    journal.close()


@pytest.mark.parametrize("n_torn", range(1, 20))
def test_a_torn_last_line_costs_that_line(path, n_torn):
    begin(path)
    path.write_bytes(path.read_bytes()[:-n_torn])
    journal = opened(path)
    assert journal.done == [100, 100, 20]
    assert journal.digests == ({0: "aa", 1: "bb"} if n_torn == 1 else {0: "aa"})
    journal.note(2, 50)
    journal.close()
    assert arrived_parts(path, FILE) == {0: 100, 1: 100, 2: 50}


@pytest.mark.parametrize("content", [b"", b"\n", b"\xff\x00", b"[]\n", b"null\n", b"{}\n", b"x"])
def test_a_file_that_is_no_journal_begins_anew(path, content):
    path.write_bytes(content)
    assert arrived_parts(path, FILE) == {}
    journal = opened(path)
    assert journal.is_new
    journal.close()


@pytest.mark.parametrize(
    "line",
    [
        {"part": 3, "bytes": 9},
        {"part": -1, "bytes": 9},
        {"part": "0", "bytes": 9},
        {"bytes": 9},
        {"part": 0},
        {"part": 0, "bytes": "many", "sha256_so_far": 7},
        {"something": "newer"},
    ],
)
def test_a_line_that_makes_no_sense_says_nothing(path, line):
    begin(path)
    with path.open("a") as stream:
        stream.write(json.dumps(line) + "\n")
    journal = opened(path)
    assert (journal.done, journal.digests) == ([100, 100, 20], {0: "aa", 1: "bb"})
    journal.close()


@pytest.mark.parametrize(("n_bytes", "kept"), [(1_000, 100), (-5, 0)])
def test_a_part_is_never_longer_than_it_is(path, n_bytes, kept):
    begin(path)
    with path.open("a") as stream:
        stream.write(json.dumps({"part": 0, "bytes": n_bytes}) + "\n")
    journal = opened(path)
    assert journal.done[0] == kept
    journal.close()


def test_an_empty_file_has_no_parts(path):
    journal = opened(path, RepoFile("m.gguf", 0, "ab" * 32))
    assert journal.done == []
    journal.close()


class Tearing:
    """A stream of a disk that takes some bytes and is full then, until somebody makes room."""

    def __init__(self, stream, room_bytes):
        self.stream, self.room_bytes = stream, room_bytes

    def write(self, data):
        if not self.room_bytes:
            raise OSError(errno.ENOSPC, "No space left on device")
        n_bytes = min(len(data), self.room_bytes, 7)
        self.room_bytes -= n_bytes
        return self.stream.write(data[:n_bytes])

    def close(self):
        self.stream.close()


def test_a_disk_that_fills_up_in_a_line_costs_no_line_before_or_after(path):
    journal = opened(path)
    full = journal._stream = Tearing(journal._stream, 40)
    journal.note(0, 100)
    with pytest.raises(OSError, match="No space"):
        journal.note(1, 100)
    full.room_bytes = 1_000
    journal.note(2, 50)
    journal.close()
    assert arrived_parts(path, FILE) == {0: 100, 2: 50}
