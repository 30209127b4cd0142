"""A file comes whole and right through whatever goes wrong, or not at all."""

import errno
import threading
import tracemalloc
from dataclasses import dataclass

import pytest
from support.fake_hub import Pattern
from support.fetching import PART, QUICK, STALLS_SOON, Fetching
from support.hub_faults import (
    FOREVER,
    Changed,
    Cut,
    IgnoreRange,
    OtherRange,
    Portal,
    Reset,
    Stall,
    Status,
    WrongBytes,
    WrongLength,
)
from support.windows import OpenFiles

from localmix.errors import ChecksumMismatch, DownloadFailed, ModelNotFound
from localmix.registry.download.parts import Parts

SIZE = 8 * PART + 12_345
LAST = SIZE - 1
DATA = Pattern(SIZE)


@pytest.fixture
def fetching(fake_hub, tmp_path):
    return Fetching(fake_hub, tmp_path, DATA)


def flip(path, at):
    """Change a byte on the disk."""
    with path.open("r+b") as stream:
        stream.seek(at)
        byte = stream.read(1)[0]
        stream.seek(at)
        stream.write(bytes([byte ^ 0xFF]))


def all_but_last(progress):
    """Say whether all parts but the last one are here and hashed."""
    return progress.hashed_bytes >= 8 * PART


def begin(fetching, **more):
    """Fetch all but some of the last part, then press Ctrl-C."""
    fetching.repo.faults.append(Stall(after=1_000, at=LAST))
    fetching.interrupt(all_but_last, **more)


def named(*faults):
    return "+".join(type(fault).__name__ for fault in faults)


# All is well


def test_a_file_comes_in_parts_each_byte_once(fetching, fake_hub):
    assert fetching.fetch() == SIZE
    assert fetching.is_right()
    asked = sorted(request.range for request in fake_hub.stored())
    ranges = [f"bytes={i * PART}-{min(SIZE, (i + 1) * PART) - 1}" for i in range(9)]
    assert asked == sorted(ranges)


@pytest.mark.parametrize("size", [0, 1, PART - 1, PART, PART + 1])
def test_a_file_of_any_size_comes(fake_hub, tmp_path, size):
    fetching = Fetching(fake_hub, tmp_path, bytes(range(256)) * (size // 256) + bytes(size % 256))
    assert fetching.fetch() == size
    assert fetching.is_right()


def test_parts_come_on_several_connections_at_a_time(fetching):
    # Four connections say nothing: were there fewer, the fifth part would not come.
    fetching.repo.faults += [Stall(after=0, at=i * PART) for i in range(3)]
    fetching.interrupt(lambda progress: progress.done_bytes >= SIZE - 3 * PART)
    assert set(fetching.arrived()) == set(range(3, 9))


def test_progress_never_goes_back_and_ends_with_all_of_it_here_and_hashed(fetching):
    seen = []
    fetching.fetch(seen.append)
    assert [p.done_bytes for p in seen] == sorted(p.done_bytes for p in seen)
    assert [p.hashed_bytes for p in seen] == sorted(p.hashed_bytes for p in seen)
    assert (seen[-1].done_bytes, seen[-1].hashed_bytes, seen[-1].trouble) == (SIZE, SIZE, "")


def test_bytes_that_somebody_has_read_already_are_not_asked_for(fetching):
    assert fetching.fetch(begin=DATA[:1_000]) == SIZE - 1_000
    assert fetching.is_right()


def test_wrong_bytes_that_somebody_has_read_are_found_out(fetching):
    fetching.fetch(begin=bytes(1_000))
    assert fetching.is_right()


def test_the_memory_it_takes_does_not_grow_with_the_file(fake_hub, tmp_path):
    fetching = Fetching(fake_hub, tmp_path, Pattern(64 << 20))
    fetching.content.file()
    tracemalloc.start()
    try:
        fetching.fetch(part_bytes=8 << 20)
        assert tracemalloc.get_traced_memory()[1] < 16 << 20
    finally:
        tracemalloc.stop()


# What goes wrong for a moment

PASSING = [
    [Cut(after=1_000)],
    [Cut(after=1_000, reset=True)],
    [Cut(after=10, at=0), Cut(after=10, at=LAST)],
    [Reset(times=2)],
    [Status(408)],
    [Status(429, retry_after=0)],
    [Status(500)],
    [Status(503, times=2)],
    [Status(403)],
    [Portal()],
    [OtherRange(by=4096)],
    [WrongLength(by=10)],
    [WrongLength(by=-10)],
    [WrongLength(total_by=-1)],
    [WrongBytes(at=0)],
    [WrongBytes(at=3 * PART)],
    [WrongBytes(at=LAST)],
    [WrongBytes(at=PART - 1, n=2)],
    [WrongBytes(at=10), WrongBytes(at=5 * PART + 10)],
    [WrongBytes(at=5 * PART, n=PART), Cut(after=1_000, at=2 * PART)],
    [IgnoreRange()],
    [IgnoreRange(times=FOREVER)],
    [IgnoreRange(times=FOREVER), Cut(after=3 * PART + 100)],
    [IgnoreRange(times=FOREVER), WrongBytes(at=4 * PART)],
    [Cut(after=100_000, at=2 * PART), IgnoreRange(at=5 * PART)],
]


@pytest.mark.parametrize("faults", PASSING, ids=lambda faults: named(*faults))
@pytest.mark.parametrize("n_connections", [1, 4])
def test_a_fault_that_passes_leaves_the_right_file(fake_hub, tmp_path, faults, n_connections):
    fetching = Fetching(fake_hub, tmp_path, DATA)
    fetching.repo.faults += [type(fault)(**vars(fault)) for fault in faults]
    fetching.fetch(n_connections=n_connections)
    assert fetching.is_right()


@pytest.mark.parametrize("after", [-1, 0, 1_000])
def test_a_connection_that_says_nothing_is_left_and_the_trouble_is_told(
    fetching, monkeypatch, after
):
    fetching.repo.faults.append(Stall(after=after, at=3 * PART))
    told, is_told, pause = [], threading.Event(), Parts.pause

    def pause_until_told(parts, i_part, reason, wait_s):
        pause(parts, i_part, reason, 0.0)
        assert is_told.wait(30)

    def on_progress(progress):
        told.append(progress.trouble)
        if progress.trouble:
            is_told.set()

    monkeypatch.setattr(Parts, "pause", pause_until_told)
    fetching.fetch(on_progress, STALLS_SOON, n_connections=1)
    assert fetching.is_right()
    assert any(text.startswith("localhost:") for text in told)
    assert told[-1] == ""


def test_as_long_as_something_comes_a_connection_may_be_cut_ever_so_often(fetching):
    fetching.repo.faults.append(Cut(after=PART // 8, times=FOREVER))
    assert fetching.fetch(n_connections=1) == SIZE
    assert fetching.is_right()


def test_a_file_that_comes_whole_may_be_cut_as_long_as_it_gets_further(fetching):
    fetching.repo.faults += [RangelessCut(after=n * PART + 9) for n in range(1, 8)]
    fetching.repo.faults.append(IgnoreRange(times=FOREVER))
    fetching.fetch(n_connections=1)
    assert fetching.is_right()


def test_a_file_that_comes_whole_and_never_gets_further_is_given_up(fetching):
    fetching.repo.faults.append(RangelessCut(after=PART + 9, times=FOREVER))
    with pytest.raises(DownloadFailed, match="was cut"):
        fetching.fetch()


@dataclass
class RangelessCut(IgnoreRange):
    """The whole file where a range was asked for, and not even all of it."""

    after: int

    def spoil(self, asked, answer):
        return Cut(after=self.after).spoil(asked, super().spoil(asked, answer))


def test_the_wait_is_the_one_that_the_server_asks_for(fetching, monkeypatch):
    waits = []
    monkeypatch.setattr(Parts, "pause", lambda parts, i, reason, wait_s: waits.append(wait_s))
    fetching.repo.faults += [Status(503, retry_after=77), Status(429, retry_after=5)]
    fetching.fetch(n_connections=1)
    assert waits == [77.0, 5.0]


def test_links_that_expire_in_the_middle_are_renewed(fetching, fake_hub):
    begin(fetching)
    fake_hub.expire_links()
    fetching.fetch()
    assert fetching.is_right()


def test_links_that_are_good_for_one_use_are_enough(fake_hub, tmp_path):
    fetching = Fetching(fake_hub, tmp_path, DATA, link_uses=1)
    assert fetching.fetch() < SIZE + 10_000  # with the pages of refusals
    assert fetching.is_right()


# What does not pass

LASTING = [
    Cut(after=0, times=FOREVER),
    Reset(times=FOREVER),
    Status(503, times=FOREVER),
    Status(429, times=FOREVER),
    Status(403, times=FOREVER),
    Status(404, times=FOREVER),
    Portal(times=FOREVER),
    WrongLength(total_by=1, times=FOREVER),
    OtherRange(by=4096, times=FOREVER),
]


@pytest.mark.parametrize("fault", LASTING, ids=named)
def test_a_fault_that_lasts_is_a_failure_with_a_next_step(fake_hub, tmp_path, fault):
    fetching = Fetching(fake_hub, tmp_path, DATA)
    fetching.repo.faults.append(type(fault)(**vars(fault)))
    with pytest.raises(DownloadFailed) as caught:
        fetching.fetch()
    assert caught.value.hint
    fetching.repo.faults.clear()
    fetching.fetch()
    assert fetching.is_right()


@pytest.mark.parametrize(
    "fault",
    [
        WrongBytes(at=0, times=FOREVER),
        WrongBytes(at=4 * PART, n=9, times=FOREVER),
        Changed(),
        Changed(at=5 * PART),
    ],
    ids=named,
)
@pytest.mark.parametrize("also", [[], [IgnoreRange(times=FOREVER)]], ids=["ranges", "no ranges"])
def test_bytes_that_stay_wrong_leave_nothing(fake_hub, tmp_path, fault, also):
    fetching = Fetching(fake_hub, tmp_path, DATA)
    fetching.repo.faults += [type(fault)(**vars(fault))]
    if isinstance(fault, Changed):
        fetching.repo.faults += [type(other)(**vars(other)) for other in also]
    with pytest.raises(ChecksumMismatch, match="not even the second time"):
        fetching.fetch()
    assert list(tmp_path.glob("Model*")) == []


def test_a_file_that_is_gone_is_said_to_be_gone(fetching, monkeypatch):
    def gone():
        raise ModelNotFound("it is gone", "another one")

    monkeypatch.setattr(fetching, "new_link", gone)
    with pytest.raises(ModelNotFound):
        fetching.fetch()


# Repairs


def test_one_wrong_byte_costs_the_parts_up_to_it(fetching):
    fetching.repo.faults.append(WrongBytes(at=2 * PART + 7))
    assert fetching.fetch(n_connections=1) == SIZE + 3 * PART
    assert fetching.is_right()


def test_a_part_that_was_cut_is_suspected_first(fetching):
    # Cut after its wrong byte: the rest comes in a second request.
    fetching.repo.faults.append(WrongCut(after=1_000, at=6 * PART))
    assert fetching.fetch(n_connections=1) == SIZE + PART
    assert fetching.is_right()


class WrongCut(Cut):
    """A connection that ends early, after a wrong byte."""

    def spoil(self, asked, answer):
        answer.flips = range(10, 11)
        return super().spoil(asked, answer)


def test_a_repair_is_told(fetching):
    fetching.repo.faults += [WrongBytes(at=LAST)]
    seen = []
    fetching.fetch(seen.append)
    assert seen[-1].comparing
    assert not seen[0].comparing


def test_a_part_that_is_damaged_on_the_disk_between_two_runs_comes_again_alone(fetching):
    begin(fetching)
    kept = sum(fetching.arrived().values())
    flip(fetching.place, 3 * PART + 5)
    assert fetching.fetch() == SIZE - kept + PART
    assert fetching.is_right()


def test_a_part_that_is_damaged_on_the_disk_comes_again_without_ranges_too(fetching):
    begin(fetching)
    flip(fetching.place, 3 * PART + 5)
    fetching.repo.faults.append(IgnoreRange(times=FOREVER))
    fetching.fetch()
    assert fetching.is_right()


def test_damage_and_wrong_bytes_at_once_are_repaired(fetching):
    begin(fetching)
    flip(fetching.place, 3 * PART + 5)
    fetching.repo.faults += [WrongBytes(at=3 * PART), WrongBytes(at=LAST)]
    fetching.fetch()
    assert fetching.is_right()


def test_what_has_been_hashed_is_not_written_over_by_a_server_without_ranges(fetching):
    begin(fetching)
    fetching.repo.faults += [IgnoreRange(times=FOREVER)]
    fetching.repo.served["Model-Q4_K_M.gguf"] = Damaged(SIZE)
    fetching.fetch()
    assert fetching.is_right()


class Damaged(Pattern):
    """The same file, but for the bytes that are here already."""

    def file(self):
        stream = super().file()
        stream.seek(10)
        stream.write(b"damage")
        stream.flush()
        return stream


# What a failure leaves


def test_ctrl_c_keeps_what_has_arrived_and_the_rest_comes_next_time(fetching):
    begin(fetching)
    kept = sum(fetching.arrived().values())
    assert kept >= 8 * PART
    assert fetching.fetch() == SIZE - kept
    assert fetching.is_right()


def test_a_partial_goes_on_without_ranges_and_through_a_cut(fetching):
    begin(fetching)
    fetching.repo.faults += [RangelessCut(after=5 * PART), IgnoreRange(times=FOREVER)]
    fetching.fetch()
    assert fetching.is_right()


def test_all_that_had_arrived_is_hashed_before_it_is_believed(fetching):
    fetching.fetch()
    flip(fetching.place, 5 * PART)
    assert fetching.fetch() == PART
    assert fetching.is_right()


def test_a_torn_journal_costs_what_its_last_line_said(fetching):
    begin(fetching)
    text = fetching.journal().read_bytes()
    fetching.journal().write_bytes(text[:-5])
    fetching.fetch()
    assert fetching.is_right()


def test_a_file_without_its_journal_comes_again(fetching):
    begin(fetching)
    fetching.journal().unlink()
    assert fetching.fetch() == SIZE
    assert fetching.is_right()


def test_a_journal_without_its_file_counts_for_nothing(fetching):
    begin(fetching)
    fetching.place.unlink()
    assert fetching.fetch() == SIZE
    assert fetching.is_right()


def test_a_file_that_was_cut_short_between_two_runs_is_repaired(fetching):
    begin(fetching)
    with fetching.place.open("r+b") as stream:
        stream.truncate(4 * PART + 100)
    fetching.fetch()
    assert fetching.is_right()


def test_what_has_come_of_another_version_is_not_used(fake_hub, tmp_path):
    begin(Fetching(fake_hub, tmp_path, Pattern(SIZE, seed=1)))
    fetching = Fetching(fake_hub, tmp_path, DATA)
    assert fetching.fetch() == SIZE
    assert fetching.is_right()


@pytest.mark.parametrize("room_bytes", [0, 30, 100, PART, 3 * PART + 17])
def test_a_full_disk_keeps_what_it_took(fetching, room_bytes):
    place, fetching.place = fetching.place, full_disk(fetching.place, room_bytes)
    with pytest.raises(OSError, match="No space left"):
        fetching.fetch(n_connections=1)
    fetching.place = place
    assert sum(fetching.arrived().values()) >= room_bytes - PART - 1_000  # a chunk and notes
    fetching.fetch()
    assert fetching.is_right()


def full_disk(path, room_bytes):
    """Give a path whose files take some bytes, all together, and no more."""

    class Limited:
        room_bytes = 0

        def __init__(self, stream):
            self.stream = stream

        def write(self, data):
            n_bytes = min(len(data), Limited.room_bytes)
            if not n_bytes and len(data):
                raise OSError(errno.ENOSPC, "No space left on device")
            Limited.room_bytes -= n_bytes
            return self.stream.write(data[:n_bytes])

        def __getattr__(self, name):
            return getattr(self.stream, name)

        def __enter__(self):
            return self

        def __exit__(self, *exc_info):
            self.stream.close()

    class FullPath(type(path)):
        def open(self, mode="r", *args, **more):
            stream = super().open(mode, *args, **more)
            return Limited(stream) if mode in ("r+b", "ab") else stream

    Limited.room_bytes = room_bytes
    return FullPath(path)


@pytest.mark.parametrize("n_stalled", [1, 4])
def test_ctrl_c_does_not_wait_for_a_connection_that_says_nothing(fetching, n_stalled):
    fetching.repo.faults += [Stall(after=1_000, at=(8 - i) * PART) for i in range(n_stalled)]
    enough = SIZE - n_stalled * PART
    fetching.interrupt(lambda progress: progress.done_bytes >= enough, patience=QUICK)
    assert fetching.fetch(patience=STALLS_SOON) < SIZE
    assert fetching.is_right()


def test_wrong_bytes_that_windows_keeps_open_count_for_nothing(fake_hub, tmp_path, monkeypatch):
    fetching = Fetching(fake_hub, tmp_path, DATA)
    fetching.repo.faults += [WrongBytes(at=4 * PART, n=9, times=FOREVER)]
    windows = OpenFiles(monkeypatch)
    windows.paths = {fetching.place}
    with pytest.raises(ChecksumMismatch):
        fetching.fetch()
    assert [path.name for path in tmp_path.glob("Model*")] == [fetching.place.name]
