"""Files are compared with the SHA-256 that somebody stated, or that we noted the first time."""

import pytest
from support.stored import (
    CATALOG,
    NAME,
    manifest_of,
    put,
    put_in_lm_studio,
    put_in_ollama,
    sha256_of,
    write_gguf,
)

from localmix.registry.disk import verify as module
from localmix.registry.disk.verify import Checked, verify
from localmix.registry.disk.verify import sha256_of as hash_of
from localmix.registry.naming import copy_name, import_path
from localmix.registry.removal import remove
from localmix.registry.resolve import find


@pytest.fixture
def states(inventory):
    """Verify a model by its name."""

    def check(name):
        model = find(name, inventory.home, CATALOG)
        return [each.state for each in verify(model, inventory.records)]

    return check


def test_a_file_as_it_was_stated_is_right(store, inventory, states):
    manifest = put(store, manifest_of())
    assert states(NAME) == ["right"]
    path = store.place(manifest, manifest.files[0])
    [checked] = verify(store.list()[0], inventory.records)
    assert checked == Checked(path, "right")
    assert not (inventory.home / "hashes.json").exists()


def test_one_changed_bit_is_wrong(store, states):
    manifest = put(store, manifest_of())
    store.place(manifest, manifest.files[0]).write_bytes(b"x" * 9 + b"y")
    assert states(NAME) == ["wrong"]


def test_each_part_is_checked(store, inventory):
    manifest = put(store, manifest_of(n_shards=4), n_files=3)
    store.place(manifest, manifest.files[1]).write_bytes(b"y" * 10)
    checked = verify(store.list()[0], inventory.records)
    assert [each.state for each in checked] == ["right", "wrong", "right", "missing"]
    assert [each.path.name for each in checked] == [file.path for file in manifest.files]


def test_letters_of_either_case_are_the_same_hash(store, inventory):
    manifest = manifest_of()
    loud = [type(f)(f.path, f.size_bytes, f.sha256.upper()) for f in manifest.files]
    put(store, type(manifest)(*list(vars(manifest).values())[:4], tuple(loud)))
    assert [each.state for each in verify(store.list()[0], inventory.records)] == ["right"]


def test_a_copy_is_compared_with_what_the_hub_stated(store, inventory, states):
    manifest = put(store, manifest_of())
    copy_name(NAME, "mine", inventory, CATALOG)
    assert states("mine") == ["right"]
    store.place(manifest, manifest.files[0]).write_bytes(b"y" * 10)
    assert states("mine") == ["wrong"]


def test_a_blob_of_ollama_is_compared_with_its_name(states):
    blob = put_in_ollama()
    assert states("ollama/mistral") == ["right"]
    blob.write_bytes(b"y" * 10)
    assert states("ollama/mistral") == ["wrong"]


def test_what_nobody_stated_is_noted_then_compared(states, inventory):
    path = put_in_lm_studio()
    assert states(NAME) == ["noted"]
    assert inventory.records.hashes() == {str(path): sha256_of(b"x" * 10)}
    assert states(NAME) == ["right"]
    path.write_bytes(b"y" * 10)
    assert states(NAME) == ["wrong"]
    assert states(NAME) == ["wrong"]


def test_a_file_that_is_imported_anew_is_noted_anew(states, inventory, tmp_path):
    path = write_gguf(tmp_path / "m.gguf")
    import_path(path, inventory, "mine", CATALOG)
    assert states("mine") == ["noted"]
    path.write_bytes(path.read_bytes() + b"newer")
    assert states("mine") == ["wrong"]
    remove("mine", inventory, CATALOG)
    import_path(path, inventory, "mine", CATALOG)
    assert states("mine") == ["noted"]


def test_a_file_that_is_missing_is_not_noted(inventory, tmp_path):
    path = write_gguf(tmp_path / "m.gguf")
    [named] = import_path(path, inventory, "mine", CATALOG)
    path.unlink()
    assert verify(named.stored(), inventory.records) == [Checked(path, "missing")]
    assert inventory.records.hashes() == {}


def test_a_large_file_is_hashed_in_pieces_that_are_told(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "_CHUNK_BYTES", 4)
    (tmp_path / "m").write_bytes(b"0123456789")
    told = []
    digest = hash_of(tmp_path / "m", lambda path, n_bytes: told.append((path.name, n_bytes)))
    assert digest == sha256_of(b"0123456789")
    assert told == [("m", 4), ("m", 8), ("m", 10)]


def test_the_hash_of_nothing_is_known(tmp_path):
    (tmp_path / "m").write_bytes(b"")
    assert hash_of(tmp_path / "m") == sha256_of(b"")
