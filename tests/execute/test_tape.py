"""A tape has the barriers that it needs and no others; an arena never gives memory out twice."""

import numpy as np
import pytest

from localmix.execute.buffers import SLACK_BYTES, Arena, Buffer, view_of
from localmix.execute.tape import Sizes, Tape
from localmix.kernels.layout import LINE, RECORD_WORDS, Quantize, Record

A, B, C = (Buffer(LINE * (1 + i), LINE) for i in range(3))


@pytest.fixture
def tape():
    return Tape()


@pytest.fixture
def arena():
    return Arena()


def add(tape, reads=(), writes=(), kernel="k", **operands):
    return tape.add(
        kernel,
        lambda sizes: sizes.n_rows,
        lambda sizes: 10,
        reads=tuple(reads),
        writes=tuple(writes),
        fields=Quantize,
        **operands,
    )


def barriers(tape):
    return tape.finish(dict.fromkeys(tape.kernels, 1))[:, Record.BARRIER].tolist()


# Barriers.


def test_steps_that_share_nothing_run_at_the_same_time(tape):
    add(tape, reads=[A], writes=[B])
    add(tape, reads=[A], writes=[C])
    add(tape, reads=[A])
    assert barriers(tape) == [0, 0, 0]


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ({"writes": [A]}, {"reads": [A]}),
        ({"reads": [A]}, {"writes": [A]}),
        ({"writes": [A]}, {"writes": [A]}),
        ({"reads": [A], "writes": [A]}, {"reads": [A], "writes": [A]}),
        ({"writes": [B, A]}, {"reads": [C, A]}),
    ],
    ids=["read after write", "write after read", "write after write", "in place", "one of several"],
)
def test_steps_that_share_what_is_written_stand_apart(tape, first, second):
    add(tape, **first)
    add(tape, **second)
    assert barriers(tape) == [0, 1]


def test_a_barrier_settles_everything_before_it(tape):
    add(tape, writes=[A])
    add(tape, writes=[B])
    add(tape, reads=[A])  # waits for both
    add(tape, reads=[B])
    assert barriers(tape) == [0, 0, 1, 0]


def test_what_follows_a_barrier_counts_anew(tape):
    add(tape, writes=[A])
    add(tape, reads=[A], writes=[B])
    add(tape, reads=[B])
    add(tape, reads=[A])
    add(tape, writes=[A])  # the third and fourth step read since the last barrier
    assert barriers(tape) == [0, 1, 1, 0, 1]


def test_every_conflict_has_a_barrier_in_between_whatever_the_steps():
    rng = np.random.default_rng(1)
    buffers = [Buffer(LINE * (1 + i), LINE) for i in range(5)]
    for _ in range(200):
        tape, steps = Tape(), []
        for _ in range(12):
            reads, writes = (
                {buffers[i] for i in rng.integers(0, 5, rng.integers(0, 3))} for _ in range(2)
            )
            steps.append((reads, writes))
            add(tape, reads=reads, writes=writes)
        found = barriers(tape)
        for j, (reads, writes) in enumerate(steps):
            conflicts = [
                i for i, (r, w) in enumerate(steps[:j]) if w & (reads | writes) or r & writes
            ]
            assert all(any(found[i + 1 : j + 1]) for i in conflicts)
            since = max((i for i in range(j) if found[i]), default=0)
            assert found[j] == any(i >= since for i in conflicts)


# Records.


def test_a_record_holds_numbers_floats_and_addresses(tape):
    n = add(tape, kernel="quantize", X=A, WIDTH=96, EPS=0.25)
    m = add(tape, kernel="other", X=B)
    assert (n, m) == (0, 1)
    records = tape.finish({"quantize": 1234, "other": 99})
    assert records.shape == (2, RECORD_WORDS)
    assert records.dtype == np.int64
    assert records[:, Record.KERNEL].tolist() == [1234, 99]
    assert records[0, Quantize.X] == A.address
    assert records[0, Quantize.WIDTH] == 96
    assert records[0, [Quantize.EPS]].view(np.float32)[0] == 0.25
    used = [Record.KERNEL, Quantize.X, Quantize.WIDTH, Quantize.EPS]
    assert not np.delete(records[0], used).any()


def test_an_operand_that_a_kernel_does_not_have_is_noticed(tape):
    with pytest.raises(AttributeError):
        add(tape, NO_SUCH_FIELD=1)


def test_chunks_and_costs_depend_on_the_batch(tape):
    add(tape)
    tape.add(
        "k", lambda s: 2 * s.n_tiles, lambda s: s.n_wanted, reads=(), writes=(), fields=Quantize
    )
    assert tape.counts(Sizes(7, 1, 3, True)).tolist() == [[7, 10], [6, 1]]
    assert tape.counts(Sizes(50, 2, 4, False)).tolist() == [[50, 10], [8, 2]]
    assert tape.counts(Sizes(1, 1, 1, True)).dtype == np.int64


# Memory.


def overlaps(a, b):
    return a.address < b.address + b.n_bytes + SLACK_BYTES and b.address < a.address + a.n_bytes


def assert_apart(buffers):
    for i, a in enumerate(buffers):
        assert a.address % LINE == 0
        assert not any(overlaps(a, b) or overlaps(b, a) for b in buffers[:i])


def test_buffers_that_live_at_the_same_time_do_not_overlap(arena):
    sizes = [1, 64, 64, 100, 4096, 64, 100]
    buffers = [arena.take(size) for size in sizes]
    buffers += [arena.reserve(64), arena.keep(np.arange(10, dtype=np.float32))]
    assert [buffer.n_bytes for buffer in buffers] == [*sizes, 64, 40]
    assert_apart(buffers)


def test_a_buffer_is_given_to_others_once_it_was_given_back_and_to_one_of_them(arena):
    first, other = arena.take(256), arena.take(256)
    arena.give_back(first)
    again, more = arena.take(256), arena.take(256)
    assert again == first
    assert_apart([again, more, other])


def test_a_buffer_of_another_size_is_not_reused(arena):
    first = arena.take(256)
    arena.give_back(first)
    assert_apart([first, arena.take(255), arena.take(512)])


def test_memory_that_is_kept_or_reserved_is_never_that_of_others(arena):
    freed = [arena.take(64) for _ in range(3)]
    for buffer in freed:
        arena.give_back(buffer)
    kept, reserved = arena.keep(np.zeros(8, np.int64)), arena.reserve(64)
    later = [arena.take(64) for _ in range(5)]
    assert set(freed) <= set(later)
    assert_apart([kept, reserved, *later])


def test_whatever_is_taken_and_given_back_buffers_stay_apart(arena):
    rng = np.random.default_rng(3)
    alive = []
    for _ in range(300):
        if alive and rng.random() < 0.5:
            arena.give_back(alive.pop(rng.integers(len(alive))))
        else:
            alive.append(arena.take(int(rng.choice([64, 128, 1000]))))
            view_of(alive[-1])[:] = len(alive) % 256
        assert len({buffer.address for buffer in alive}) == len(alive)
    assert_apart(alive)


def test_giving_back_twice_is_noticed(arena):
    buffer = arena.take(64)
    arena.give_back(buffer)
    with pytest.raises(AssertionError, match="twice"):
        arena.give_back(buffer)


@pytest.mark.parametrize("array", [np.arange(7, dtype=np.float32), np.eye(3, dtype=np.int64).T])
def test_what_is_kept_is_a_copy_byte_for_byte(arena, array):
    buffer = arena.keep(array)
    expected = array.copy()
    found = view_of(buffer).view(array.dtype).reshape(array.shape)
    assert np.array_equal(found, expected)
    array[...] = 0
    assert np.array_equal(found, expected)


def test_fresh_memory_is_zero(arena):
    assert not view_of(arena.take(5000)).any()
