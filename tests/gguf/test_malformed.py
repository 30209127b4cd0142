"""Every broken file is a typed error with a sentence and a hint, at once and without memory."""

import os
import struct
import sys
import tracemalloc

import pytest
from support.tiny_gguf import (
    ARRAY_TYPE,
    BOOL_TYPE,
    F32,
    Q8_0,
    STRING_TYPE,
    TensorBytes,
    array_key,
    build,
    key,
    open_bytes,
    small_file,
    string_key,
    text,
    u32,
    u32_key,
    u64,
)

from localmix.errors import InvalidGGUF, UnsupportedQuant
from localmix.gguf import GGUFFile
from localmix.gguf.header import read_header

HUGE = 2**60
GOOD = TensorBytes("a", (8,), F32, bytes(32))


def tensor(**changes) -> bytes:
    """A file with one tensor that differs from a good one by the changes."""
    return build([], [TensorBytes(**{**vars(GOOD), **changes})])


def swapped(content: bytes) -> bytes:
    return content[:4] + content[4:8][::-1] + content[8:]


def versioned(version: int) -> bytes:
    return build([], [GOOD], version=version)


# name: (the file, words of its message)
BROKEN = {
    "no magic": (b"GGUX" + small_file()[4:], "not a GGUF file"),
    "only magic": (b"GGUF", "ends inside the version"),
    "shorter than magic": (b"GG", "not a GGUF file"),
    "old ggml": (b"tjgg" + bytes(100), "old GGML file"),
    "zip": (b"PK\x03\x04" + bytes(100), "PyTorch"),
    "web page": (b"<!DOCTYPE html>", "web page"),
    "git lfs pointer": (b"version https://git-lfs.github.com/spec/v1\n", "Git LFS pointer"),
    "version 0": (versioned(0), "version 0"),
    "version 1": (versioned(1), "version 1"),
    "version 4": (versioned(4), "version 4"),
    "big-endian": (swapped(small_file()), "big-endian"),
    "huge n_tensors": (build([], [], n_tensors=HUGE), "number of tensors"),
    "huge n_keys": (build([], [], n_keys=HUGE), "number of keys"),
    "largest n_keys": (build([], [], n_keys=2**64 - 1), "number of keys"),
    "one key too many": (build([u32_key("a", 1)], [], n_keys=2), "a key is empty"),
    "one tensor too many": (build([], [GOOD], n_tensors=2), "name is empty"),
    "huge key length": (build([u64(HUGE) + bytes(40)], [], n_keys=1), "a key has a length"),
    "key longer than allowed": (build([string_key("k" * 65536, "")], []), "a key has a length"),
    "huge string": (build([key("a", STRING_TYPE, u64(HUGE))], []), "a has a length"),
    "huge array of numbers": (
        build([key("a", ARRAY_TYPE, u32(4) + u64(HUGE))], []),
        "ends inside a",
    ),
    "overflowing array of numbers": (
        build([key("a", ARRAY_TYPE, u32(12) + u64(2**61 + 1))], []),
        "ends inside a",
    ),
    "huge array of strings": (
        build([key("a", ARRAY_TYPE, u32(STRING_TYPE) + u64(HUGE))], []),
        "length of a",
    ),
    "huge string in an array": (
        build([array_key("a", STRING_TYPE, [text("x"), u64(2**63), text("y")])], []),
        "inside a|strings of a",
    ),
    "huge last string in an array": (
        build([array_key("a", STRING_TYPE, [text("x"), u64(2**64 - 1)])], []),
        "inside a|strings of a",
    ),
    "array of arrays": (
        build([array_key("a", ARRAY_TYPE, [u32(4) + u64(1) + u32(7)])], []),
        "array of arrays",
    ),
    "unknown value type": (build([key("a", 13, bytes(8))], []), "unknown type 13"),
    "unknown item type": (build([array_key("a", 77, [bytes(8)])], []), "unknown type 77"),
    "flag of two": (build([key("a", BOOL_TYPE, b"\x02")], []), "flag of value 2"),
    "duplicate key": (build([u32_key("a", 1), u32_key("a", 2)], []), "key a is there twice"),
    "empty key": (build([string_key("", "x")], []), "a key is empty"),
    "key not UTF-8": (build([key(b"\xff\xfe", 4, u32(1))], []), "not UTF-8"),
    "alignment zero": (build([u32_key("general.alignment", 0)], [GOOD]), "power of two"),
    "alignment odd": (build([u32_key("general.alignment", 48)], [GOOD]), "power of two"),
    "alignment text": (build([string_key("general.alignment", "32")], [GOOD]), "power of two"),
    "alignment beyond the file": (
        build([u32_key("general.alignment", 2**31)], [GOOD]),
        "ends at byte",
    ),
    "duplicate tensor": (build([], [GOOD, GOOD]), "tensor a is there twice"),
    "tensor name not UTF-8": (tensor(name=b"\xc3\x28"), "not UTF-8"),
    "no dims": (tensor(dims=()), "0 dimensions"),
    "five dims": (tensor(dims=(1, 1, 1, 1, 8)), "5 dimensions"),
    "zero dim": (tensor(dims=(8, 0)), "dimension of zero"),
    "rows not whole blocks": (tensor(dims=(33,), kind=Q8_0), "multiple of 32"),
    "whole blocks but not per row": (tensor(dims=(16, 2), kind=Q8_0), "multiple of 32"),
    "larger than the file": (tensor(dims=(9,)), "ends at byte"),
    "dims that overflow 64 bits": (tensor(dims=(2**32, 2**32, 2**32, 2**32)), "ends at byte"),
    "dims whose product wraps to zero": (tensor(dims=(2**63, 2)), "ends at byte"),
    "offset outside": (tensor(offset=32), "ends at byte"),
    "offset far outside": (tensor(offset=2**64 - 32), "ends at byte"),
    "offset misaligned": (tensor(offset=8), "multiple of 32"),
}  # fmt: skip


def refusal(path, kind=InvalidGGUF):
    with pytest.raises(kind) as caught:
        GGUFFile.open(path)
    return caught.value


def assert_well_said(error) -> None:
    """One sentence for a terminal, no full stop, and something to do next."""
    assert error.message
    assert error.message.isprintable()
    assert not error.message.endswith(".")
    assert len(error.message) < 300
    assert error.hint


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_file_is_said_to_be(tmp_path, case):
    content, words = BROKEN[case]
    path = tmp_path / "broken.gguf"
    path.write_bytes(content)
    error = refusal(path)
    assert error.message.startswith("broken.gguf: ")
    assert_well_said(error)
    with pytest.raises(InvalidGGUF, match=words):
        GGUFFile.open(path)


@pytest.mark.parametrize(
    ("kind", "words"),
    [(16, "a: block format IQ2_XXS"), (31, "removed"), (43, "number 43"), (2**32 - 1, "number")],
)
def test_an_unknown_tensor_type_names_tensor_and_type(tmp_path, kind, words):
    path = tmp_path / "x.gguf"
    path.write_bytes(tensor(kind=kind))
    error = refusal(path, UnsupportedQuant)
    assert words in error.message
    assert_well_said(error)


def test_a_file_cut_anywhere_is_refused():
    content = small_file()
    for n_bytes in range(1, len(content)):
        with pytest.raises(InvalidGGUF) as caught:
            open_bytes(content[:n_bytes])
        assert_well_said(caught.value)


# ---- a header that is read before the rest of its file is here ----------------------------------


def header_bytes(content: bytes) -> int:
    """Where the tensor table ends, at the next multiple of the alignment."""
    return min(tensor.start for tensor in read_header(memoryview(content)).tensors)


def test_the_beginning_of_a_file_has_its_whole_header():
    content = small_file()
    begin = memoryview(content[: header_bytes(content)])
    ahead, whole = read_header(begin, len(content)), read_header(memoryview(content))
    assert ahead.tensors == whole.tensors
    assert list(ahead.stored) == list(whole.stored)
    assert ahead.stored["llama.block_count"] == 2


def test_padding_before_the_first_tensor_may_be_missing():
    content = build([], [GOOD])
    end = 24 + 8 + 1 + 4 + 8 + 4 + 8  # one tensor of one dimension, named by a letter
    assert end < header_bytes(content)
    assert read_header(memoryview(content[:end]), len(content)).tensors[0].n_bytes == 32
    with pytest.raises(InvalidGGUF, match="ends inside"):
        read_header(memoryview(content[: end - 1]), len(content))


def test_a_beginning_that_ends_too_early_is_refused_wherever_it_ends():
    content = small_file()
    end = header_bytes(content) - 32  # the last tensor's row is longer than the padding
    for n_bytes in range(end):
        with pytest.raises(InvalidGGUF):
            read_header(memoryview(content[:n_bytes]), len(content))


def test_a_tensor_is_checked_against_the_size_of_the_whole_file():
    content = small_file()
    last = max(tensor.start + tensor.n_bytes for tensor in read_header(memoryview(content)).tensors)
    begin = memoryview(content[: header_bytes(content)])
    assert read_header(begin, last).tensors
    with pytest.raises(InvalidGGUF, match="beyond the file's"):
        read_header(begin, last - 1)
    with pytest.raises(InvalidGGUF, match="beyond the file's"):
        read_header(begin)


@pytest.mark.parametrize("name", ["\x1b[31mred\nkey", "k" * 60000])
def test_names_from_a_file_cannot_spoil_the_terminal(tmp_path, name):
    path = tmp_path / "x.gguf"
    for content in (
        build([u32_key(name, 1), u32_key(name, 1)], []),
        build([key(name, 99, b"")], []),
        tensor(name=name, dims=(0,)),
        tensor(name=name, dims=()),
        build([], [TensorBytes(name, (8,), F32, bytes(32))] * 2),
        build([string_key("general.alignment", name)], []),
    ):
        path.write_bytes(content)
        assert_well_said(refusal(path))
    path.write_bytes(tensor(name=name, kind=99))
    assert_well_said(refusal(path, UnsupportedQuant))


@pytest.mark.skipif(sys.platform == "win32", reason="no sparse files by truncation")
def test_absurd_numbers_allocate_nothing(tmp_path):
    """Lengths that a large file could hold: the file is sparse, 64 GiB long."""
    path = tmp_path / "sparse.gguf"
    for content in (
        build([key("a", STRING_TYPE, u64(2**34))], []),
        build([key("a", ARRAY_TYPE, u32(STRING_TYPE) + u64(2**32))], []),
        build([array_key("a", STRING_TYPE, [u64(2**34), text("x")])], []),
        build([u64(2**34)], [], n_keys=1),
        build([], [], n_keys=2**31),
        build([], [], n_tensors=2**30),
    ):
        path.write_bytes(content)
        os.truncate(path, 2**36)
        tracemalloc.start()
        error = refusal(path)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert_well_said(error)
        assert peak < 1_000_000


def test_an_empty_file_is_refused(tmp_path):
    path = tmp_path / "empty.gguf"
    path.touch()
    error = refusal(path)
    assert "is empty" in error.message
    assert_well_said(error)


def test_a_folder_is_refused(tmp_path):
    error = refusal(tmp_path)
    assert "is a folder" in error.message
    assert_well_said(error)


def test_a_missing_file_is_refused(tmp_path):
    for path in (tmp_path / "no.gguf", tmp_path / "no" / "no.gguf"):
        error = refusal(path)
        assert "does not exist" in error.message
        assert_well_said(error)


def test_a_path_through_a_file_is_refused(tmp_path):
    (tmp_path / "x.gguf").write_bytes(small_file())
    assert_well_said(refusal(tmp_path / "x.gguf" / "y.gguf"))


def test_an_impossible_path_is_refused(tmp_path):
    assert_well_said(refusal(f"{tmp_path}/a\0b.gguf"))
    assert refusal(tmp_path / ("x" * 5000)).hint


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes on this system")
def test_a_pipe_is_refused_without_waiting(tmp_path):
    os.mkfifo(tmp_path / "pipe.gguf")
    error = refusal(tmp_path / "pipe.gguf")
    assert "not a plain file" in error.message


def test_a_file_that_may_not_be_read_is_refused(tmp_path, monkeypatch):
    """Simulated, since tests may run as a user who may read everything."""
    path = tmp_path / "secret.gguf"
    path.write_bytes(small_file())

    def refuse(self, *args, **kwargs):
        raise PermissionError(13, "Permission denied", str(self))

    monkeypatch.setattr("pathlib.Path.open", refuse)
    error = refusal(path)
    assert "may not be read" in error.message
    assert_well_said(error)


def test_nan_weights_are_not_the_readers_business(tmp_path):
    path = tmp_path / "nan.gguf"
    path.write_bytes(build([], [TensorBytes("a", (1,), F32, struct.pack("<f", float("nan")))]))
    assert GGUFFile.open(path).tensors["a"].to_float32() != 0
