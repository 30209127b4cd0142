"""Keys and values: what the gguf package writes is what we read."""

import tracemalloc

import gguf
import numpy as np
import pytest
from support.tiny_gguf import (
    ARRAY_TYPE,
    F32_TYPE,
    STRING_TYPE,
    array_key,
    build,
    key,
    string_key,
    text,
    u32,
    u64,
)

from localmix.errors import InvalidGGUF
from localmix.gguf import GGUFFile, Metadata

T = gguf.GGUFValueType
SCALARS = {
    T.UINT8: 255,
    T.INT8: -128,
    T.UINT16: 65535,
    T.INT16: -32768,
    T.UINT32: 2**32 - 1,
    T.INT32: -(2**31),
    T.FLOAT32: 0.15625,
    T.UINT64: 2**64 - 1,
    T.INT64: -(2**63),
    T.FLOAT64: 1e-300,
    T.BOOL: True,
    T.STRING: "déjà vu \N{SNOWMAN}\n",
}
ARRAYS = {
    T.UINT8: [0, 255],
    T.INT8: [-128, 127],
    T.UINT16: [0, 65535],
    T.INT16: [-32768, 7],
    T.UINT32: [0, 2**32 - 1],
    T.INT32: [-(2**31), 5],
    T.FLOAT32: [0.5, -0.25],
    T.UINT64: [0, 2**64 - 1],
    T.INT64: [-(2**63), 5],
    T.FLOAT64: [1e300, -1e-300],
    T.BOOL: [True, False, True],
    T.STRING: ["", "a", "é", "\N{SNOWMAN}" * 100],
}


@pytest.fixture
def written(tmp_path):
    """A file of the gguf package with a key of every type and an array of every type."""
    path = tmp_path / "all.gguf"
    writer = gguf.GGUFWriter(path, "llama")
    for kind, value in SCALARS.items():
        writer.add_key_value(f"scalar.{kind.name}", value, kind)
    for kind, values in ARRAYS.items():
        writer.add_key_value(f"array.{kind.name}", values, T.ARRAY, sub_type=kind)
    writer.add_uint32("last", 42)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def open_with(tmp_path, *keys: bytes) -> Metadata:
    path = tmp_path / "keys.gguf"
    path.write_bytes(build(list(keys), []))
    return GGUFFile.open(path).metadata


def test_every_scalar_type_reads_back(written):
    metadata = GGUFFile.open(written).metadata
    for kind, value in SCALARS.items():
        read = metadata[f"scalar.{kind.name}"]
        assert read == value
        assert type(read) is type(value)


def test_every_array_type_reads_back(written):
    metadata = GGUFFile.open(written).metadata
    for kind, values in ARRAYS.items():
        read = metadata[f"array.{kind.name}"]
        assert list(read) == values
        if kind is not T.STRING:
            assert read.itemsize == np.dtype(kind.name.lower()).itemsize
            assert not read.flags.writeable or kind is T.BOOL


def test_keys_stand_in_the_order_of_the_file(written):
    metadata = GGUFFile.open(written).metadata
    names = [f"scalar.{k.name}" for k in SCALARS] + [f"array.{k.name}" for k in ARRAYS]
    assert list(metadata) == ["general.architecture", *names, "last"]
    assert len(metadata) == len(names) + 2
    assert metadata["last"] == 42
    assert "array.STRING" in metadata
    assert "nothing" not in metadata
    assert metadata.get("nothing") is None
    with pytest.raises(KeyError):
        metadata["nothing"]


def test_typed_readers_take_their_types(written):
    metadata = GGUFFile.open(written).metadata
    assert metadata.text("scalar.STRING") == SCALARS[T.STRING]
    assert metadata.flag("scalar.BOOL") is True
    for kind in (T.UINT8, T.INT8, T.UINT16, T.INT16, T.UINT32, T.INT32, T.UINT64, T.INT64):
        assert metadata.integer(f"scalar.{kind.name}") == SCALARS[kind]
        assert metadata.number(f"scalar.{kind.name}") == float(SCALARS[kind])
    assert metadata.number("scalar.FLOAT32") == 0.15625
    assert type(metadata.number("scalar.UINT8")) is float
    assert metadata.strings("array.STRING") == ARRAYS[T.STRING]
    assert metadata.pieces("array.STRING") == [s.encode() for s in ARRAYS[T.STRING]]
    assert metadata.array("array.INT32").tolist() == ARRAYS[T.INT32]
    assert metadata.array("array.BOOL").dtype == np.bool_


@pytest.mark.parametrize(
    ("reader", "name"),
    [
        ("text", "scalar.INT32"),
        ("text", "array.STRING"),
        ("integer", "scalar.FLOAT32"),
        ("integer", "scalar.BOOL"),
        ("integer", "array.INT32"),
        ("number", "scalar.STRING"),
        ("number", "scalar.BOOL"),
        ("flag", "scalar.UINT8"),
        ("strings", "array.INT32"),
        ("strings", "scalar.STRING"),
        ("pieces", "array.INT32"),
        ("array", "array.STRING"),
        ("array", "scalar.INT32"),
    ],
)
def test_typed_readers_refuse_other_types(written, reader, name):
    metadata = GGUFFile.open(written).metadata
    with pytest.raises(InvalidGGUF, match=name) as caught:
        getattr(metadata, reader)(name)
    assert caught.value.hint


@pytest.mark.parametrize("reader", ["text", "integer", "number", "flag"])
def test_a_missing_key_gives_the_default_or_an_error(written, reader):
    metadata = GGUFFile.open(written).metadata
    read = getattr(metadata, reader)
    assert read("nothing", None) is None
    assert read("nothing", "x") == "x"
    assert read("nothing", 0) == 0
    with pytest.raises(InvalidGGUF, match="nothing is missing"):
        read("nothing")
    with pytest.raises(InvalidGGUF):  # a default does not excuse a wrong type
        read("array.INT32", 1)


@pytest.mark.parametrize("reader", ["strings", "pieces", "array"])
def test_a_missing_array_is_an_error(written, reader):
    with pytest.raises(InvalidGGUF, match="nothing is missing"):
        getattr(GGUFFile.open(written).metadata, reader)("nothing")


@pytest.mark.parametrize("bits", [0x7FC00000, 0x7F800000, 0xFF800000])
def test_a_number_must_be_finite(tmp_path, bits):
    metadata = open_with(tmp_path, key("llama.rope.freq_base", F32_TYPE, u32(bits)))
    with pytest.raises(InvalidGGUF, match="not a finite number"):
        metadata.number("llama.rope.freq_base")


def test_empty_arrays_are_empty(tmp_path):
    metadata = open_with(
        tmp_path,
        array_key("a", STRING_TYPE, []),
        array_key("b", F32_TYPE, []),
        array_key("c", 7, []),
    )
    assert metadata.strings("a") == []
    assert metadata.array("b").tolist() == []
    assert metadata.array("c").tolist() == []


def test_pieces_hold_any_bytes_but_strings_must_be_utf8(tmp_path):
    metadata = open_with(
        tmp_path, array_key("tokens", STRING_TYPE, [text(b"ok"), text(b"\xff\x00"), text("é")])
    )
    assert metadata.pieces("tokens") == [b"ok", b"\xff\x00", "é".encode()]
    with pytest.raises(InvalidGGUF, match="entry 1 of tokens is not UTF-8"):
        metadata.strings("tokens")


def test_text_that_is_not_utf8_is_shown_with_marks(tmp_path):
    metadata = open_with(tmp_path, string_key("general.name", b"caf\xe9"))
    assert metadata.text("general.name") == "caf\N{REPLACEMENT CHARACTER}"


def test_flags_in_arrays_are_zero_or_one(tmp_path):
    metadata = open_with(tmp_path, array_key("flags", 7, [b"\x00", b"\x02"]))
    with pytest.raises(InvalidGGUF, match="neither 0 nor 1"):
        metadata.array("flags")


def test_opening_decodes_no_array(tmp_path):
    """A long vocabulary costs nothing until it is asked for, then about its size."""
    path = tmp_path / "long.gguf"
    items = b"".join(text(b"piece %d" % i) for i in range(20_000))
    payload = u32(STRING_TYPE) + u64(20_000) + items
    path.write_bytes(build([key("tokens", ARRAY_TYPE, payload)], []))
    GGUFFile.open(path)  # what a first time keeps for good is not counted
    tracemalloc.start()
    file = GGUFFile.open(path)
    opened = tracemalloc.get_traced_memory()[1]
    pieces = file.metadata.strings("tokens")
    decoded = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(pieces) == 20_000
    assert opened < 50_000 < 1_000_000 < decoded
