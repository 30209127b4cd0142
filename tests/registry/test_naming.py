"""Files get names where they lie, and models get further ones; nothing is copied."""

import os

import pytest
from support.links import link
from support.stored import (
    CATALOG,
    NAME,
    REPO,
    files_in,
    manifest_of,
    put,
    put_in_lm_studio,
    put_in_ollama,
    write_gguf,
    write_shards,
)

from localmix.errors import InvalidGGUF, LocalmixError, ModelNotFound, NotPulled
from localmix.registry.naming import copy_name, import_path
from localmix.registry.resolve import resolve

pytestmark = pytest.mark.usefixtures("embedded_file")


@pytest.fixture
def file(tmp_path):
    return write_gguf(tmp_path / "folder" / "My Model.gguf")


def listed(inventory):
    return {model.name: model.complete for model in inventory.list()[1:]}


# ---- import ------------------------------------------------------------------------------------


def test_an_imported_file_stays_where_it_is(inventory, file):
    [named] = import_path(file, inventory, catalog=CATALOG)
    assert (named.name, named.paths, named.origin) == ("My-Model", (str(file),), "imported")
    assert resolve("my-model", inventory.home) == file
    assert files_in(inventory.home) == ["names/my-model.json"]
    assert files_in(file.parent) == ["My Model.gguf"]


def test_an_imported_file_may_be_given_a_name(inventory, file):
    [named] = import_path(file, inventory, "mine:q4", CATALOG)
    assert resolve("MINE:Q4", inventory.home) == file
    assert listed(inventory) == {named.name: True}


def test_a_relative_path_is_kept_as_a_whole_one(inventory, file, monkeypatch):
    monkeypatch.chdir(file.parent)
    for path in (file, type(file)("My Model.gguf"), type(file)("../folder/My Model.gguf")):
        [named] = import_path(path, inventory, "m", CATALOG)
        assert named.paths == (str(file),)


@pytest.mark.parametrize("given", [0, 1, 2])
def test_any_part_imports_the_whole_set(inventory, tmp_path, given):
    paths = write_shards(tmp_path / "set")
    [named] = import_path(paths[given], inventory, catalog=CATALOG)
    assert (named.name, named.paths) == ("m-Q8_0", tuple(map(str, paths)))
    assert resolve("m-q8_0", inventory.home) == paths[0]


def test_a_folder_imports_every_model_in_it(inventory, tmp_path):
    write_gguf(tmp_path / "all" / "a.gguf")
    write_gguf(tmp_path / "all" / "deep" / "b.gguf")
    write_gguf(tmp_path / "all" / "mmproj-a.gguf")
    (tmp_path / "all" / "README.md").write_text("no model")
    write_shards(tmp_path / "all" / "set")
    names = [named.name for named in import_path(tmp_path / "all", inventory, catalog=CATALOG)]
    assert sorted(names) == ["a", "b", "m-Q8_0"]
    assert len(inventory.records.find("m-q8_0").paths) == 3


def test_several_models_cannot_have_one_name(inventory, tmp_path):
    for name in ("a", "b"):
        write_gguf(tmp_path / "all" / f"{name}.gguf")
    with pytest.raises(LocalmixError, match="holds 2 models") as caught:
        import_path(tmp_path / "all", inventory, "mine", CATALOG)
    assert "one by one" in caught.value.hint
    assert listed(inventory) == {}
    (tmp_path / "all" / "b.gguf").unlink()
    assert [n.name for n in import_path(tmp_path / "all", inventory, "mine", CATALOG)] == ["mine"]


def test_a_folder_without_models_says_so(inventory, tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(ModelNotFound, match=r"holds no \.gguf file"):
        import_path(tmp_path / "empty", inventory, catalog=CATALOG)


def test_a_file_that_is_not_there_cannot_be_imported(inventory, tmp_path):
    with pytest.raises(ModelNotFound, match="no file"):
        import_path(tmp_path / "none.gguf", inventory, catalog=CATALOG)
    assert not inventory.home.exists()


@pytest.mark.parametrize("content", [b"", b"GGUF", b"<!DOCTYPE html>", b"x" * 100])
def test_what_is_no_model_is_not_imported(inventory, tmp_path, content):
    (tmp_path / "m.gguf").write_bytes(content)
    with pytest.raises(InvalidGGUF):
        import_path(tmp_path / "m.gguf", inventory, catalog=CATALOG)
    assert not inventory.home.exists()


def test_a_set_that_lacks_a_part_is_not_imported(inventory, tmp_path):
    first, second, _ = write_shards(tmp_path)
    second.unlink()
    with pytest.raises(InvalidGGUF, match="missing"):
        import_path(first, inventory, catalog=CATALOG)


def test_a_file_may_be_imported_twice(inventory, file):
    for name in ("", "", "My-MODEL", "other"):
        import_path(file, inventory, name, CATALOG)
    assert listed(inventory) == {"My-MODEL": True, "other": True}


def test_a_name_of_another_file_is_not_taken_away(inventory, file, tmp_path):
    import_path(file, inventory, "mine", CATALOG)
    other = write_gguf(tmp_path / "other.gguf")
    for name in ("mine", "Mine", "mine:latest"):
        with pytest.raises(LocalmixError, match="mine is the name of another file") as caught:
            import_path(other, inventory, name, CATALOG)
        assert "localmix rm mine" in caught.value.hint
    assert resolve("mine", inventory.home) == file


@pytest.mark.parametrize("name", ["small", "SMALL:1b", "small:1b-q4_K_M", "tiny"])
def test_a_name_of_the_catalog_is_not_taken_away(inventory, store, file, name):
    put(store, manifest_of())
    for give in (
        lambda: import_path(file, inventory, name, CATALOG),
        lambda: copy_name(NAME, name, inventory, CATALOG),
    ):
        with pytest.raises(LocalmixError, match="is a name of the catalog") as caught:
            give()
        assert f"my-{name.partition(':')[0]}" in caught.value.hint
    assert inventory.records.named() == []


def test_a_file_named_like_a_model_of_the_catalog_wants_another_name(inventory, tmp_path):
    with pytest.raises(LocalmixError, match="is a name of the catalog"):
        import_path(write_gguf(tmp_path / "small.gguf"), inventory, catalog=CATALOG)


@pytest.mark.parametrize("name", ["../x", "a/b", "m.gguf", "hf.co/o/r", "x" * 101])
def test_an_impossible_name_is_refused(inventory, store, file, name):
    put(store, manifest_of())
    with pytest.raises(LocalmixError, match="can be no name"):
        import_path(file, inventory, name, CATALOG)
    with pytest.raises(LocalmixError, match="can be no name"):
        copy_name(NAME, name, inventory, CATALOG)
    assert inventory.records.named() == []


@pytest.mark.parametrize("given", [0, 2])
def test_importing_a_hidden_file_brings_it_back_to_the_list(inventory, given):
    first = put_in_lm_studio(f"{REPO}/m-Q8_0-00001-of-00003.gguf")
    paths = write_shards(first.parent)
    inventory.records.hide(first)
    import_path(paths[given], inventory, "mine", CATALOG)
    assert listed(inventory) == {"mine": True, f"hf.co/{REPO}:Q8_0": True}


def test_a_file_that_went_away_is_said_to_have_gone(inventory, file):
    import_path(file, inventory, "mine", CATALOG)
    file.unlink()
    assert listed(inventory) == {"mine": False}
    with pytest.raises(NotPulled, match="has gone") as caught:
        resolve("mine", inventory.home)
    assert str(file) in caught.value.message
    assert "localmix rm mine" in caught.value.hint
    write_gguf(file)
    assert resolve("mine", inventory.home) == file


def test_an_imported_link_stays_a_link(inventory, file, tmp_path):
    link(tmp_path / "link.gguf", file)
    [named] = import_path(tmp_path / "link.gguf", inventory, "mine", CATALOG)
    assert named.paths == (str(tmp_path / "link.gguf"),)


def test_a_pulled_file_that_is_imported_is_a_copy(inventory, store):
    manifest = put(store, manifest_of())
    path = write_gguf(store.place(manifest, manifest.files[0]))
    [named] = import_path(path, inventory, "mine", CATALOG)
    assert (named.origin, named.sha256) == ("copied", (manifest.files[0].sha256,))


# ---- cp ----------------------------------------------------------------------------------------


def test_a_copy_is_another_name_for_the_same_files(inventory, store):
    manifest = put(store, manifest_of(n_shards=2))
    before = files_in(store.folder)
    named = copy_name(NAME, "mine", inventory, CATALOG)
    assert named.origin == "copied"
    assert named.paths == tuple(str(store.place(manifest, file)) for file in manifest.files)
    assert named.sha256 == tuple(file.sha256 for file in manifest.files)
    assert resolve("mine", store.home) == resolve(NAME, store.home)
    assert files_in(store.folder) == before


@pytest.mark.parametrize("put_there", [put_in_lm_studio, put_in_ollama])
def test_a_model_of_another_program_is_named_where_it_lies(inventory, put_there):
    path = put_there()
    copy_name(inventory.list()[1].name, "mine", inventory, CATALOG)
    assert resolve("mine", inventory.home) == path


def test_the_embedded_model_may_get_another_name(inventory, embedded_file):
    copy_name("tiny", "t", inventory, CATALOG)
    assert resolve("t", inventory.home) == embedded_file


def test_a_copy_of_a_path_is_an_import(inventory, file):
    named = copy_name(str(file), "mine", inventory, CATALOG)
    assert (named.origin, named.paths) == ("imported", (str(file),))


def test_a_copy_of_an_imported_file_is_imported_too(inventory, file):
    import_path(file, inventory, "mine", CATALOG)
    assert copy_name("Mine", "other", inventory, CATALOG).origin == "imported"


def test_a_name_that_is_taken_cannot_be_given_again(inventory, store, file):
    put(store, manifest_of())
    import_path(file, inventory, "mine", CATALOG)
    for name in ("mine", "MINE", "mine:latest"):
        with pytest.raises(LocalmixError, match="is a name already"):
            copy_name(NAME, name, inventory, CATALOG)


def test_what_is_not_here_whole_cannot_be_copied(inventory, store):
    for source in ("small", NAME, "hf.co/o/none", "ollama/none"):
        with pytest.raises(NotPulled):
            copy_name(source, "mine", inventory, CATALOG)
    put(store, manifest_of(n_shards=2), n_files=1)
    with pytest.raises(NotPulled, match="not finished"):
        copy_name(NAME, "mine", inventory, CATALOG)
    with pytest.raises(ModelNotFound):
        copy_name("nobody", "mine", inventory, CATALOG)
    assert inventory.records.named() == []


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write")
def test_a_home_that_cannot_be_written_is_an_error_of_the_system(inventory, file):
    inventory.home.mkdir(mode=0o500)
    with pytest.raises(OSError, match="denied"):
        import_path(file, inventory, "mine", CATALOG)
