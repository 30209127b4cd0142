"""Models in several files: any shard opens the set, and a set that does not fit is refused."""

import gguf
import numpy as np
import pytest
from support.tiny_gguf import F32, TensorBytes, build, key, small_file, string_key, u32

from localmix.errors import InvalidGGUF
from localmix.gguf import GGUFFile

N_TENSORS = 7


def tensor_values(i: int) -> np.ndarray:
    return np.full((2, 8), i, np.float32)


@pytest.fixture
def folder(tmp_path):
    """The folder of model-00001-of-00003.gguf to -00003-, with three, three and one tensors."""
    writer = gguf.GGUFWriter(tmp_path / "model.gguf", "llama", split_max_tensors=3)
    writer.add_uint32("llama.block_count", 5)
    for i in range(N_TENSORS):
        writer.add_tensor(f"blk.{i}.weight", tensor_values(i))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return tmp_path


def shard(folder, number: int):
    return folder / f"model-{number:05}-of-00003.gguf"


@pytest.mark.parametrize("given", [1, 2, 3])
def test_any_shard_opens_the_whole_set(folder, given):
    file = GGUFFile.open(shard(folder, given))
    assert file.path == shard(folder, 1)
    assert file.shards == tuple(shard(folder, i) for i in (1, 2, 3))
    assert file.size_bytes == sum(p.stat().st_size for p in folder.iterdir())
    assert file.metadata.integer("llama.block_count") == 5
    assert list(file.tensors) == [f"blk.{i}.weight" for i in range(N_TENSORS)]
    for i in range(N_TENSORS):
        np.testing.assert_array_equal(
            file.tensors[f"blk.{i}.weight"].to_float32(), tensor_values(i)
        )


@pytest.mark.parametrize("missing", [1, 2, 3])
def test_a_missing_shard_is_named(folder, missing):
    shard(folder, missing).unlink()
    given = 2 if missing == 1 else 1
    with pytest.raises(InvalidGGUF, match=shard(folder, missing).name) as caught:
        GGUFFile.open(shard(folder, given))
    assert "pull" in caught.value.hint


def test_a_renamed_shard_says_which_name_it_needs(folder):
    shard(folder, 1).rename(folder / "mixtral.gguf")
    with pytest.raises(InvalidGGUF, match=r"mixtral\.gguf is one of 3 parts") as caught:
        GGUFFile.open(folder / "mixtral.gguf")
    assert "NAME-00001-of-00003.gguf" in caught.value.hint


def test_exchanged_shards_are_refused(folder):
    shard(folder, 2).rename(folder / "x")
    shard(folder, 3).rename(shard(folder, 2))
    (folder / "x").rename(shard(folder, 3))
    with pytest.raises(InvalidGGUF, match="says it is part 3 of 3"):
        GGUFFile.open(shard(folder, 1))


def test_a_shard_of_another_set_is_refused(folder):
    shard(folder, 2).write_bytes(small_file())
    with pytest.raises(InvalidGGUF, match="00002-of-00003"):
        GGUFFile.open(shard(folder, 1))


def test_a_damaged_shard_is_named(folder):
    content = shard(folder, 3).read_bytes()
    shard(folder, 3).write_bytes(content[:-40])
    with pytest.raises(InvalidGGUF, match=r"model-00003-of-00003\.gguf: blk\.6\.weight ends"):
        GGUFFile.open(shard(folder, 1))


def u16_key(name: str, value: int) -> bytes:
    return key(name, 2, value.to_bytes(2, "little"))


def set_of_two(folder, names, n_tensors: int = 2) -> None:
    for i, name in enumerate(names):
        keys = [
            u16_key("split.no", i),
            u16_key("split.count", 2),
            key("split.tensors.count", 5, u32(n_tensors)),
        ]
        content = build(keys, [TensorBytes(name, (1,), F32, bytes(4))])
        (folder / f"m-{i + 1:05}-of-00002.gguf").write_bytes(content)


def test_a_tensor_in_two_shards_is_refused(tmp_path):
    set_of_two(tmp_path, ["same", "same"])
    with pytest.raises(InvalidGGUF, match="repeats the tensor same"):
        GGUFFile.open(tmp_path / "m-00001-of-00002.gguf")


def test_the_number_of_tensors_must_be_the_promised_one(tmp_path):
    set_of_two(tmp_path, ["a", "b"])
    assert len(GGUFFile.open(tmp_path / "m-00001-of-00002.gguf").tensors) == 2
    set_of_two(tmp_path, ["a", "b"], n_tensors=3)
    with pytest.raises(InvalidGGUF, match="3 tensors"):
        GGUFFile.open(tmp_path / "m-00001-of-00002.gguf")


def test_a_whole_file_may_have_the_name_of_a_shard(tmp_path):
    path = tmp_path / "small-00001-of-00004.gguf"
    path.write_bytes(small_file())
    assert GGUFFile.open(path).shards == (path,)


def test_a_split_of_one_file_needs_no_special_name(tmp_path):
    path = tmp_path / "one.gguf"
    path.write_bytes(build([u16_key("split.no", 0), u16_key("split.count", 1)], []))
    assert GGUFFile.open(path).shards == (path,)


def test_an_ill_typed_split_count_is_refused(tmp_path):
    path = tmp_path / "odd.gguf"
    path.write_bytes(build([string_key("split.count", "three")], []))
    with pytest.raises(InvalidGGUF, match=r"split\.count"):
        GGUFFile.open(path)
