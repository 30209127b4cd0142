"""What one worker does at moments that no server can be made to hit."""

import pytest

from localmix.registry.download.journal import Journal
from localmix.registry.download.parts import Parts
from localmix.registry.download.patience import Patience
from localmix.registry.download.worker import Worker
from localmix.registry.manifest import RepoFile

DATA = bytes(range(250))


class Scripted:
    """A source and its answer: gives bytes of the file, and lets something happen meanwhile."""

    def __init__(self, data=DATA, is_range=True, meanwhile=lambda: None):
        self.data, self.is_range, self.meanwhile = data, is_range, meanwhile
        self.file = RepoFile("m", 250, "")
        self.asked = []

    def open(self, first, last):
        self.asked.append((first, last))
        self.first = first if self.is_range else 0
        self.pieces = [self.data[self.first : last + 1]]
        return self

    def read(self):
        self.meanwhile()
        return self.pieces.pop() if self.pieces else b""

    def __enter__(self):
        return self

    def __exit__(self, *exc_info):
        pass


@pytest.fixture
def place(tmp_path):
    place = tmp_path / "m.part"
    place.write_bytes(bytes(250))
    return place


@pytest.fixture
def parts(tmp_path):
    parts = Parts(Journal(tmp_path / "m.journal", RepoFile("m", 250, ""), 100))
    yield parts
    parts.journal.close()


def worker(parts, source, place, on_compared=lambda i_part, differs: None):
    return Worker(parts, source, place, Patience(tries=2, first_s=0.0), on_compared)


def test_parts_are_asked_for_in_order_and_written_to_their_place(parts, place):
    source = Scripted()
    worker(parts, source, place).work()
    assert source.asked == [(0, 99), (100, 199), (200, 249)]
    assert place.read_bytes() == DATA
    assert parts.journal.done == [100, 100, 50]


def test_what_is_read_after_the_end_of_work_is_not_believed(parts, place):
    worker(parts, Scripted(b"\xff" * 250, meanwhile=parts.end), place).work()
    assert place.read_bytes() == bytes(250)
    assert parts.journal.done == [0, 0, 0]


def test_a_comparison_that_is_over_changes_nothing(parts, place):
    place.write_bytes(DATA)
    parts.compare_again([0, 1])

    def on_compared(i_part, differs):
        parts.end()  # the hash has become right

    source = Scripted()
    worker(parts, source, place, on_compared).work()
    assert source.asked == [(0, 99)]
    late = worker(parts, source, place)
    with place.open("r+b") as disk:
        late._take(1, 0, b"\xff" * 100, disk)
    assert place.read_bytes() == DATA


def test_a_comparison_says_which_part_was_wrong_and_repairs_it(parts, place):
    place.write_bytes(DATA[:150] + b"!" + DATA[151:])
    parts.compare_again(range(3))
    said = []
    worker(parts, Scripted(), place, lambda *what: said.append(what)).work()
    assert said == [(0, False), (1, True), (2, False)]
    assert place.read_bytes() == DATA


def test_one_worker_reads_everything_when_there_are_no_ranges(parts, place):
    source = Scripted(is_range=False)
    worker(parts, source, place).work()
    worker(parts, source, place).work()
    assert source.asked == [(0, 99), (0, 249)]
    assert place.read_bytes() == DATA
    assert parts.journal.done == [100, 100, 50]


def test_a_lost_part_comes_again_even_if_another_one_reads_everything(parts, place):
    parts.leave_ranges()
    source = Scripted(is_range=False)
    worker(parts, source, place).fetch(1)
    assert parts.journal.done == [0, 0, 0]  # the other one's work
    worker(parts, source, place).fetch(1, is_lost=True)
    assert parts.journal.done == [100, 100, 50]
