"""Damage at random: a file opens and reads, or is refused with a typed error; nothing else."""

import tracemalloc

from hypothesis import assume, given, settings
from hypothesis import strategies as st
from support.tiny_gguf import open_bytes, small_file, u64

from localmix.errors import InvalidGGUF, LocalmixError, UnsupportedQuant

CONTENT = small_file()
PLACES = st.integers(0, len(CONTENT) - 1)
COUNTS = st.sampled_from([0, 1, 2, 7, 31, 2**31 - 1, 2**32, 2**40, 2**63 - 1, 2**63, 2**64 - 1])

FLIP = st.tuples(st.just("flip"), PLACES, st.integers(1, 255))
COUNT = st.tuples(st.just("count"), PLACES, COUNTS)
CUT = st.tuples(st.just("cut"), PLACES, st.integers(1, 64))
INSERT = st.tuples(st.just("insert"), PLACES, st.binary(min_size=1, max_size=16))
STEPS = st.lists(FLIP | COUNT | CUT | INSERT, min_size=1, max_size=4)


def damage(content: bytes, steps) -> bytes:
    data = bytearray(content)
    for kind, at, what in steps:
        if kind == "flip" and at < len(data):
            data[at] ^= what
        elif kind == "count":
            data[at : at + 8] = u64(what)
        elif kind == "cut":
            del data[at : at + what]
        elif kind == "insert":
            data[at:at] = what
    return bytes(data)


def read_all(content: bytes) -> None:
    """Open a file and touch all that it holds."""
    with open_bytes(content) as file:
        for key in file.metadata:
            _ = file.metadata[key]
        for tensor in file.tensors.values():
            assert tensor.to_float32().shape == tensor.shape


def refusal_of(content: bytes) -> LocalmixError | None:
    """Read a file in little memory; any error but a typed one comes out and fails the test."""
    tracemalloc.start()
    try:
        read_all(content)
    except LocalmixError as error:
        return error
    else:
        return None
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 1_000_000


def assert_sound_or_well_refused(content: bytes) -> LocalmixError | None:
    error = refusal_of(content)
    assert error is None or (error.message.isprintable() and error.hint)
    return error


def test_the_file_is_sound_before_the_damage():
    assert refusal_of(CONTENT) is None


def test_every_single_byte_may_take_extreme_values():
    outcomes = set()
    for at in range(len(CONTENT)):
        for value in (0x00, 0x7F, 0x80, 0xFF):
            content = CONTENT[:at] + bytes([value]) + CONTENT[at + 1 :]
            outcomes.add(type(assert_sound_or_well_refused(content)))
    assert outcomes == {type(None), InvalidGGUF, UnsupportedQuant}


@settings(max_examples=1000, deadline=None, derandomize=True, database=None)
@given(steps=STEPS)
def test_any_damage_is_survived(steps):
    damaged = damage(CONTENT, steps)
    assume(damaged)
    assert_sound_or_well_refused(damaged)


@settings(max_examples=200, deadline=None, derandomize=True, database=None)
@given(tail=st.binary(max_size=400))
def test_any_bytes_after_the_version_are_survived(tail):
    assert_sound_or_well_refused(CONTENT[:8] + tail)
