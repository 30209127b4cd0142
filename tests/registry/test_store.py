import json
from datetime import datetime, timezone

import pytest
from support.stored import REPO, manifest_of, put

from localmix.registry.manifest import read_manifest, write_manifest
from localmix.registry.names import HubName

pytestmark = pytest.mark.usefixtures("embedded_file")


def pulled(store):
    return [model for model in store.list() if model.origin == "pulled"]


def test_an_empty_store_lists_the_embedded_model_and_makes_no_folder(store, embedded_file):
    [tiny] = store.list()
    assert (tiny.name, tiny.origin, tiny.complete) == ("tiny", "embedded", True)
    assert (tiny.path, tiny.size_bytes) == (embedded_file, 8)
    assert not store.home.exists()


def test_a_build_without_the_embedded_model_lists_none(store, embedded_file):
    embedded_file.unlink()
    assert store.list() == []


def test_a_pulled_model_lies_under_its_repositorys_name(store):
    manifest = put(store, manifest_of())
    [model] = pulled(store)
    assert model.path == store.home / "models/owner/Model-GGUF/Model-Q4_K_M.gguf"
    assert (model.name, model.size_bytes, model.complete) == (manifest.name, 10, True)
    assert model.path.with_name("Model-Q4_K_M.gguf.json").is_file()


def test_the_time_of_a_model_is_that_of_its_newest_file_in_utc(store):
    put(store, manifest_of())
    [model] = pulled(store)
    assert model.modified.tzinfo is timezone.utc
    newest_s = max(p.stat().st_mtime for p in store.repo_folder(REPO).iterdir())
    assert model.modified == datetime.fromtimestamp(newest_s, tz=timezone.utc)


def test_a_model_without_its_file_is_incomplete(store):
    put(store, manifest_of(), n_files=0)
    [model] = pulled(store)
    assert (model.complete, model.size_bytes) == (False, 0)


@pytest.mark.parametrize("size_bytes", [0, 9, 11])
def test_a_file_of_another_size_is_incomplete(store, size_bytes):
    put(store, manifest_of(), size_bytes=size_bytes)
    assert not pulled(store)[0].complete


def test_a_missing_shard_makes_a_model_incomplete(store):
    put(store, manifest_of(n_shards=3), n_files=2)
    [model] = pulled(store)
    assert (model.complete, model.size_bytes, len(model.paths)) == (False, 20, 3)


def test_all_shards_are_one_model_that_opens_at_the_first(store):
    put(store, manifest_of(n_shards=3))
    [model] = pulled(store)
    assert (model.complete, model.size_bytes) == (True, 30)
    assert model.path.name == "Model-Q4_K_M-00001-of-00003.gguf"


def test_the_bytes_of_a_killed_download_are_shown(store):
    manifest = put(store, manifest_of(), n_files=0)
    left = store.staging_folder(manifest) / ".cache/huggingface/download/x.incomplete"
    left.parent.mkdir(parents=True)
    left.write_bytes(b"x" * 7)
    [model] = pulled(store)
    assert (model.complete, model.size_bytes) == (False, 7)


def test_models_are_listed_by_name_after_the_embedded_one(store):
    for quantization in ("Q8_0", "Q2_K", "Q4_K_M"):
        put(store, manifest_of(quantization))
    names = [model.name.rpartition(":")[2] for model in store.list()]
    assert names == ["tiny", "Q2_K", "Q4_K_M", "Q8_0"]


def manifest_text(**changes):
    sound = {"name": "n", "repo": REPO, "revision": "", "quantization": "", "pulled_at": ""}
    files = [{"path": "a.gguf", "size_bytes": 1, "sha256": ""} | changes.pop("file", {})]
    return json.dumps(sound | {"files": files} | changes)


@pytest.mark.parametrize(
    "damage",
    [
        *("", "{", "[]", "{}", "null", "\x00"),
        manifest_text(files=[]),
        manifest_text(files=3),
        manifest_text(repo="../.."),
        manifest_text(file={"path": "../../a.gguf"}),
        manifest_text(file={"size_bytes": "many"}),
        manifest_text(file={"size_bytes": -1}),
    ],
)
def test_a_damaged_manifest_is_shown_as_incomplete_and_hides_nothing(store, damage):
    manifest = put(store, manifest_of())
    put(store, manifest_of("Q8_0"))
    store.manifest_path(manifest).write_text(damage)
    damaged, sound = pulled(store)
    assert (damaged.name, damaged.complete) == (f"hf.co/{REPO}/Model-Q4_K_M.gguf", False)
    assert damaged.size_bytes == 10
    assert sound.complete


def test_strange_files_in_the_store_do_no_harm(store):
    put(store, manifest_of())
    (store.folder / "notes.json").write_text("mine")
    (store.folder / "owner" / "notes.json").write_text("mine")
    (store.folder / ".locks").mkdir()
    (store.folder / ".locks" / "a--b.json").write_text("mine")
    (store.repo_folder(REPO) / "README.md").write_text("mine")
    (store.repo_folder(REPO) / ".partial" / "x").mkdir(parents=True)
    (store.repo_folder(REPO) / ".partial" / "x" / "config.json").write_text("not ours")
    assert len(pulled(store)) == 1


def test_a_quantization_is_found_in_any_case(store):
    for quantization in ("Q8_0", "Q2_K"):
        put(store, manifest_of(quantization))
    assert store.find(HubName("Owner/model-gguf", "q8_0")).name.endswith("Q8_0")
    assert store.find(HubName(REPO, "Q6_K")) is None
    assert store.find(HubName("owner/Other", "Q8_0")) is None


@pytest.mark.parametrize("n_whole", [1, 2])
def test_of_two_models_of_one_quantization_the_whole_one_is_found(store, n_whole):
    for n_shards in (1, 2):
        put(store, manifest_of(n_shards=n_shards), n_files=None if n_shards == n_whole else 0)
    found = store.find(HubName(REPO, "Q4_K_M"))
    assert found.complete
    assert len(found.paths) == n_whole


def test_a_file_is_found_by_its_own_name_only(store):
    put(store, manifest_of(n_shards=2))
    assert store.find(HubName(REPO, file="Model-Q4_K_M-00002-of-00002.gguf")).complete
    assert store.find(HubName(REPO, file="Model.gguf")) is None


def test_a_repository_alone_means_q4_k_m_or_the_only_model(store):
    put(store, manifest_of("Q8_0"))
    assert store.find(HubName(REPO)).name.endswith("Q8_0")
    put(store, manifest_of("Q2_K"))
    assert store.find(HubName(REPO)) is None
    put(store, manifest_of("Q4_K_M"))
    assert store.find(HubName(REPO)).name.endswith("Q4_K_M")


def test_a_manifest_is_read_as_it_was_written(tmp_path):
    path = tmp_path / "deep" / "m.json"
    manifest = manifest_of(n_shards=2)
    write_manifest(path, manifest)
    assert read_manifest(path) == manifest


def test_a_write_that_fails_leaves_the_old_manifest_and_no_litter(tmp_path, monkeypatch):
    path = tmp_path / "m.json"
    write_manifest(path, manifest_of("Q8_0"))

    def fail(handle):
        raise OSError("disk full")

    monkeypatch.setattr("localmix.registry.manifest.os.fsync", fail)
    with pytest.raises(OSError, match="disk full"):
        write_manifest(path, manifest_of("Q2_K"))
    assert read_manifest(path) == manifest_of("Q8_0")
    assert [p.name for p in tmp_path.iterdir() if p.suffix != ".gguf" and p.is_file()] == ["m.json"]
