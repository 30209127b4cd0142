import hashlib
import threading

import pytest

from localmix.errors import DownloadFailed
from localmix.registry.download.hasher import Hasher
from localmix.registry.download.journal import Journal
from localmix.registry.download.parts import Parts
from localmix.registry.manifest import RepoFile

DATA = bytes(range(250))
WHOLE = hashlib.sha256(DATA).hexdigest()


def sha256_so_far(i_part):
    return hashlib.sha256(DATA[: (i_part + 1) * 100]).hexdigest()


class Case:
    """A file of three parts, written and noted by hand."""

    def __init__(self, folder):
        self.place, self.refetched = folder / "m.part", []
        self.place.write_bytes(bytes(250))
        self.journal = Journal(folder / "m.part.journal", RepoFile("m", 250, WHOLE), 100)
        self.parts = Parts(self.journal)
        self.hasher = Hasher(self.parts, self.place, self.refetch)

    def arrive(self, i_part, at=0, end=None, data=DATA):
        start, end = i_part * 100, self.parts.size_of(i_part) if end is None else end
        with self.place.open("r+b") as stream:
            stream.seek(start + at)
            stream.write(data[start + at : start + end])
        self.parts.note(i_part, at, end)

    def refetch(self, i_part):
        self.refetched.append(i_part)
        self.arrive(i_part)


@pytest.fixture
def case(tmp_path):
    case = Case(tmp_path)
    yield case
    case.journal.close()


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 2, 0)])
def test_the_hash_follows_the_parts_in_whatever_order_they_arrive(case, order):
    thread = threading.Thread(target=case.hasher.work)
    thread.start()
    for i_part in order:
        case.arrive(i_part, end=30)
        case.arrive(i_part, at=30)
    thread.join(timeout=30)
    assert case.hasher.hexdigest() == WHOLE
    assert case.journal.digests == {i: sha256_so_far(i) for i in range(3)}
    assert case.parts.progress().hashed_bytes == 250


def test_the_hash_of_an_empty_file_needs_nothing(tmp_path):
    place = tmp_path / "m.part"
    place.write_bytes(b"")
    journal = Journal(tmp_path / "m.journal", RepoFile("m", 0, ""), 100)
    hasher = Hasher(Parts(journal), place, pytest.fail)
    hasher.work()
    journal.close()
    assert hasher.hexdigest() == hashlib.sha256(b"").hexdigest()


def test_a_part_that_has_changed_on_the_disk_is_fetched_again_and_no_other(case):
    for i_part in range(3):
        case.arrive(i_part)
        case.journal.note_digest(i_part, sha256_so_far(i_part))
    case.place.write_bytes(DATA[:150] + b"!" + DATA[151:])
    case.hasher.work()
    assert case.refetched == [1]
    assert case.hasher.hexdigest() == WHOLE


def test_a_part_that_had_come_wrong_is_believed_when_it_comes_otherwise_twice(case):
    for i_part in range(3):
        case.arrive(i_part)
        case.journal.note_digest(i_part, "of other bytes")
    case.hasher.work()
    assert case.refetched == [0]  # the notes of those behind it were worth nothing either
    assert case.journal.digests == {i: sha256_so_far(i) for i in range(3)}
    assert case.hasher.hexdigest() == WHOLE


def test_hashing_anew_from_a_part_sees_its_new_bytes(case):
    for i_part, data in enumerate((DATA, bytes(250), DATA)):
        case.arrive(i_part, data=data)
    case.hasher.work()
    assert case.hasher.hexdigest() != WHOLE
    case.arrive(1)
    case.hasher.again_from(1)
    assert case.hasher.hexdigest() == WHOLE
    assert case.journal.digests == {i: sha256_so_far(i) for i in range(3)}


def test_the_hasher_goes_home_when_work_is_over(case):
    case.arrive(0)
    thread = threading.Thread(target=case.hasher.work)
    thread.start()
    case.parts.end()
    thread.join(timeout=30)
    assert not thread.is_alive()
    assert case.hasher.hexdigest() != WHOLE


def test_a_file_that_becomes_shorter_meanwhile_is_a_sentence(case):
    for i_part in range(3):
        case.arrive(i_part)
    case.place.write_bytes(DATA[:120])
    with pytest.raises(DownloadFailed, match="cut short meanwhile"):
        case.hasher.work()
