"""Models on this disk, whole and broken; none is ever touched."""

import json

import pytest
from support import stored
from support.findings import one
from support.links import link

from localmix.doctor import store as looks
from localmix.doctor.checks import looked
from localmix.registry.disk.inventory import Inventory
from localmix.registry.disk.records import NamedFile


@pytest.fixture
def inventory(home):
    return Inventory(home)


def test_a_new_home_has_the_embedded_model_and_nothing_wrong(inventory):
    found = looked(looks.looks(inventory.home))
    assert [(f.name, f.state, f.text) for f in found] == [
        ("folder", "good", "can be written"),
        ("models", "good", "1 embedded"),
    ]


def test_models_are_counted_by_origin(inventory):
    stored.put(inventory.store, stored.manifest_of(), None)
    stored.put_in_ollama()
    file = stored.write_gguf(inventory.home.parent / "own.gguf")
    inventory.records.add(NamedFile("mine", (str(file),), "imported"))
    found = one(looks.models(inventory))
    assert found.text == "1 embedded, 1 pulled, 1 imported, 1 of Ollama; pulled ones take 10 B"


def test_without_any_model_the_installation_is_broken(inventory, monkeypatch):
    from localmix.registry.disk import inventory as module

    monkeypatch.setattr(module, "embedded_model", lambda: None)
    assert one(looks.models(inventory)).state == "warn"


def test_whole_files_are_good(inventory):
    stored.put(inventory.store, stored.manifest_of(n_shards=2))
    found = one(looks.files(inventory))
    assert (found.state, found.text) == ("good", "2 files of pulled models, each of its size")


def test_a_file_that_is_cut_is_bad(inventory):
    stored.put(inventory.store, stored.manifest_of(), size_bytes=4)
    found = one(looks.files(inventory))
    assert (found.state, found.text) == (
        "bad",
        "1 file of pulled models missing or of the wrong size",
    )
    assert found.details == (f"{stored.NAME}: Model-Q4_K_M.gguf has 4 bytes (4 B), not 10 B",)


def test_a_shard_that_is_missing_is_bad(inventory):
    stored.put(inventory.store, stored.manifest_of(n_shards=3), n_files=2)
    found = one(looks.files(inventory))
    assert found.details == (f"{stored.NAME}: Model-Q4_K_M-00003-of-00003.gguf is missing",)


def test_a_model_behind_a_broken_link_is_bad_and_told_once(inventory):
    manifest = stored.put(inventory.store, stored.manifest_of())
    place = inventory.store.place(manifest, manifest.files[0])
    place.unlink()
    link(place, inventory.home / "gone.gguf")
    found = one(looks.files(inventory))
    assert found.details == (f"{stored.NAME}: Model-Q4_K_M.gguf is a link to nothing",)
    assert list(looks.links(inventory)) == []


def test_a_manifest_that_cannot_be_read_is_bad(inventory):
    manifest = stored.put(inventory.store, stored.manifest_of())
    inventory.store.manifest_path(manifest).write_text("{cut")
    found = one(looks.files(inventory))
    assert (found.state, found.text) == ("bad", "1 model with a manifest that cannot be read")
    assert found.details == (f"hf.co/{stored.REPO}/Model-Q4_K_M.gguf",)


def test_downloads_on_their_way_are_named_and_left_to_prune(inventory):
    staging = stored.begin(inventory.store, stored.manifest_of())
    found = one(looks.downloads(inventory))
    assert (found.state, found.fix, found.details) == ("note", None, (stored.NAME,))
    assert found.text.startswith("1 download unfinished, ")
    assert "localmix prune" in found.hint
    (staging / "manifest.json").write_text("{cut")
    assert one(looks.downloads(inventory)).details == (staging.name,)


def test_a_name_whose_file_has_gone_is_a_warning(inventory):
    file = stored.write_gguf(inventory.home.parent / "own.gguf")
    inventory.records.add(NamedFile("mine", (str(file),), "imported"))
    assert one(looks.names(inventory)).state == "good"
    file.unlink()
    found = one(looks.names(inventory))
    assert (found.state, found.text) == ("warn", "1 of 1 name without a file: it has gone")
    assert found.details == (f"mine: {file}",)


def test_a_link_that_leads_nowhere_is_a_warning(inventory):
    place = inventory.store.folder / "own" / "Model" / "a.gguf"
    target = stored.write_gguf(inventory.home / "target.gguf")
    link(place, target)
    assert list(looks.links(inventory)) == []
    target.unlink()
    found = one(looks.links(inventory))
    assert (found.state, found.details) == ("warn", (str(place),))


def test_a_store_that_may_not_be_read_hides_nothing_else(inventory, monkeypatch):
    def refuse(self):
        raise PermissionError(13, "Permission denied", str(self.folder))

    monkeypatch.setattr(type(inventory.store), "manifests", refuse)
    found = {f.name: f for f in looked(looks.looks(inventory.home))}
    assert found["files"].text == "could not be checked: PermissionError (EACCES)"
    assert found["folder"].state == "good"


def test_no_look_writes_anything(inventory):
    stored.put(inventory.store, stored.manifest_of(), size_bytes=4)
    stored.begin(inventory.store, stored.manifest_of("Q8_0"))
    (inventory.home / "hidden.json").write_text(json.dumps(["x"]))
    before = {path: path.lstat() for path in inventory.home.rglob("*")}
    looked(looks.looks(inventory.home))
    after = {path: path.lstat() for path in inventory.home.rglob("*")}
    assert list(before) == list(after)
    assert [s.st_size for s in before.values()] == [s.st_size for s in after.values()]
