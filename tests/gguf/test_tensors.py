"""Tensors: shapes, views and values as the gguf package wrote them."""

import struct
import subprocess
import sys

import gguf
import numpy as np
import pytest
from support.tiny_gguf import F32, TensorBytes, build, small_file

from localmix.errors import InvalidGGUF
from localmix.gguf import GGUFFile, Tensor
from localmix.quant import FORMATS, dequantize

RNG_SEED = 5


def blocks(name: str, rows: int, columns: int) -> np.ndarray:
    """Random bytes of (rows, columns) weights, all finite: (rows, row bytes) uint8."""
    block = FORMATS[name]
    rng = np.random.default_rng(RNG_SEED)
    return rng.integers(0, 60, (rows, columns // block.n_elements * block.n_bytes), dtype=np.uint8)


def write(path, tensors: dict[str, tuple[str, np.ndarray]], alignment: int = 32) -> None:
    writer = gguf.GGUFWriter(path, "llama")
    if alignment != 32:
        writer.add_custom_alignment(alignment)
    for name, (kind, raw) in tensors.items():
        writer.add_tensor(name, raw, raw_dtype=gguf.GGMLQuantizationType[kind])
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


@pytest.mark.parametrize("alignment", [32, 64, 256])
def test_every_format_reads_back(tmp_path, alignment):
    written = {f"{name}.weight": (name, blocks(name, 3, 512)) for name in FORMATS}
    write(tmp_path / "all.gguf", written, alignment)
    with GGUFFile.open(tmp_path / "all.gguf") as file:
        assert list(file.tensors) == list(written)
        for name, (kind, raw) in written.items():
            tensor = file.tensors[name]
            assert tensor.name == name
            assert tensor.format is FORMATS[kind]
            assert tensor.shape == (3, 512)
            assert tensor.n_elements == 3 * 512
            assert tensor.n_bytes == raw.size
            np.testing.assert_array_equal(tensor.raw, raw.reshape(-1))
            theirs = gguf.quants.dequantize(raw, gguf.GGMLQuantizationType[kind])
            values = tensor.to_float32()
            assert values.dtype == np.float32
            np.testing.assert_array_equal(values, theirs.reshape(3, 512))


@pytest.mark.parametrize("shape", [(256,), (2, 256), (3, 2, 256), (2, 3, 2, 256)])
def test_shapes_are_in_numpy_order(tmp_path, shape):
    raw = blocks("Q4_K", int(np.prod(shape[:-1])), shape[-1]).reshape(*shape[:-1], -1)
    write(tmp_path / "x.gguf", {"x": ("Q4_K", raw)})
    tensor = GGUFFile.open(tmp_path / "x.gguf").tensors["x"]
    assert tensor.shape == shape
    assert tensor.to_float32().shape == shape


def test_each_tensor_has_its_own_format(tmp_path):
    """Old Mixtral files hold one expert per tensor, not always of its neighbour's type."""
    kinds = ["Q4_K", "Q5_K", "Q4_K", "Q8_0"]
    written = {f"blk.0.ffn_up.{i}.weight": (k, blocks(k, 2, 256)) for i, k in enumerate(kinds)}
    write(tmp_path / "old.gguf", written)
    tensors = GGUFFile.open(tmp_path / "old.gguf").tensors
    for i, kind in enumerate(kinds):
        tensor = tensors[f"blk.0.ffn_up.{i}.weight"]
        assert tensor.format.name == kind
        expected = dequantize(written[tensor.name][1], kind).reshape(2, 256)
        np.testing.assert_array_equal(tensor.to_float32(), expected)


def test_a_version_2_file_reads_like_version_3(tmp_path):
    content = small_file()
    assert content[4:8] == struct.pack("<I", 3)
    (tmp_path / "v3.gguf").write_bytes(content)
    (tmp_path / "v2.gguf").write_bytes(content[:4] + struct.pack("<I", 2) + content[8:])
    v2, v3 = (GGUFFile.open(tmp_path / f"v{i}.gguf") for i in (2, 3))
    assert (v2.version, v3.version) == (2, 3)
    assert list(v2.metadata) == list(v3.metadata)
    for name, tensor in v3.tensors.items():
        np.testing.assert_array_equal(v2.tensors[name].raw, tensor.raw)


@pytest.fixture
def small(tmp_path):
    (tmp_path / "small.gguf").write_bytes(small_file())
    return GGUFFile.open(tmp_path / "small.gguf")


def test_the_file_knows_its_path_and_size(small, tmp_path):
    assert small.path == tmp_path / "small.gguf"
    assert small.shards == (small.path,)
    assert small.size_bytes == len(small_file())


def test_a_part_is_one_slice_of_the_leading_axis(small):
    merged = small.tensors["blk.0.ffn_up_exps.weight"]
    assert merged.shape == (4, 3, 2)
    for i in range(4):
        part = merged.part(i)
        assert part.shape == (3, 2)
        assert part.format is merged.format
        assert str(i) in part.name
        assert np.shares_memory(part.raw, merged.raw)
        np.testing.assert_array_equal(part.to_float32(), merged.to_float32()[i])


@pytest.mark.parametrize("i", [-1, 4])
def test_there_is_no_part_beyond_the_axis(small, i):
    with pytest.raises(IndexError):
        small.tensors["blk.0.ffn_up_exps.weight"].part(i)


def test_a_vector_has_no_parts(small):
    with pytest.raises(IndexError):
        small.tensors["output_norm.weight"].part(0)


def test_rows_come_in_the_order_asked_for(small):
    matrix = small.tensors["output.weight"]
    whole = matrix.to_float32()
    assert whole.shape == (3, 32)
    np.testing.assert_array_equal(matrix.rows([2, 0, 2]), whole[[2, 0, 2]])
    np.testing.assert_array_equal(matrix.rows(np.array([1], np.int32)), whole[1:2])
    assert matrix.rows([]).shape == (0, 32)
    with pytest.raises(IndexError):
        matrix.rows([3])


def test_tensors_are_read_only_views_on_the_map(small):
    tensor = small.tensors["output.weight"]
    assert not tensor.raw.flags.writeable
    assert not tensor.raw.flags.owndata
    with pytest.raises(TypeError):
        small.tensors["output.weight"] = tensor
    with pytest.raises(AttributeError):
        tensor.name = "x"


def test_a_tensor_outlives_its_file(small):
    tensor = small.tensors["output.weight"]
    before = tensor.to_float32()
    small.close()
    assert dict(small.tensors) == {}
    assert dict(small.metadata) == {}
    np.testing.assert_array_equal(tensor.to_float32(), before)
    small.close()


def test_tensors_may_share_bytes(tmp_path):
    content = build(
        [],
        [
            TensorBytes("a", (8,), F32, bytes(32)),
            TensorBytes("b", (4,), F32, b"", offset=0),
        ],
    )
    (tmp_path / "shared.gguf").write_bytes(content)
    tensors = GGUFFile.open(tmp_path / "shared.gguf").tensors
    assert np.shares_memory(tensors["a"].raw, tensors["b"].raw)


def test_the_last_tensor_needs_no_padding(tmp_path):
    content = build([], [TensorBytes("a", (3,), F32, struct.pack("<3f", 1, 2, 3))])
    (tmp_path / "cut.gguf").write_bytes(content[:-20])
    assert GGUFFile.open(tmp_path / "cut.gguf").tensors["a"].to_float32().tolist() == [1, 2, 3]
    (tmp_path / "cut.gguf").write_bytes(content[:-21])
    with pytest.raises(InvalidGGUF):
        GGUFFile.open(tmp_path / "cut.gguf")


def test_reading_needs_neither_the_gguf_package_nor_numba():
    code = (
        "import sys, localmix.gguf; "
        "assert not {'gguf', 'numba', 'huggingface_hub'} & sys.modules.keys()"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_path_may_be_text(tmp_path):
    (tmp_path / "x.gguf").write_bytes(small_file())
    assert isinstance(GGUFFile.open(str(tmp_path / "x.gguf")).tensors["output.weight"], Tensor)
