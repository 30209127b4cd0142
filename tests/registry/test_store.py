"""The folder of pulled models: what a person finds there, and what no damage may hide."""

import json
import os
from datetime import datetime, timezone

import pytest
from support.links import link
from support.stored import (
    NAME,
    REPO,
    begin,
    files_in,
    manifest_of,
    put,
    somebody_downloads,
    verified,
)

from localmix.errors import LocalmixError
from localmix.registry.disk.store import part_path
from localmix.registry.manifest import RepoFile, read_manifest, write_manifest

FOLDER = f"models/{REPO}"


def test_an_empty_store_lists_nothing_and_makes_no_folder(store):
    assert store.list() == []
    assert list(store.partial_manifests()) == []
    assert store.partial_folders() == ()
    assert not store.home.exists()


def test_a_home_that_is_a_file_lists_nothing(store):
    store.home.write_text("mine")
    assert store.list() == []
    store.home.unlink()
    store.home.mkdir()
    store.folder.write_text("mine")
    assert store.list() == []


def test_a_pulled_model_lies_under_its_repositorys_name(store):
    put(store, manifest_of())
    [model] = store.list()
    assert model.path == store.home / FOLDER / "Model-Q4_K_M.gguf"
    assert (model.name, model.origin, model.size_bytes, model.complete) == (
        NAME,
        "pulled",
        10,
        True,
    )
    assert model.path.with_name("Model-Q4_K_M.gguf.json").is_file()
    assert model.sha256 == (manifest_of().files[0].sha256,)


def test_the_time_of_a_model_is_that_of_its_newest_file_in_utc(store):
    manifest = put(store, manifest_of())
    os.utime(store.manifest_path(manifest), (1_000_000_000, 1_000_000_000))
    os.utime(store.place(manifest, manifest.files[0]), (1_700_000_000, 1_700_000_000))
    [model] = store.list()
    assert model.modified == datetime.fromtimestamp(1_700_000_000, tz=timezone.utc)


def test_a_model_without_its_file_is_incomplete(store):
    put(store, manifest_of(), n_files=0)
    [model] = store.list()
    assert (model.complete, model.size_bytes, model.whole_bytes) == (False, 0, 10)


@pytest.mark.parametrize("size_bytes", [0, 9, 11])
def test_a_file_of_another_size_is_incomplete(store, size_bytes):
    manifest = put(store, manifest_of(), size_bytes=size_bytes)
    assert not store.list()[0].complete
    assert store.missing(manifest) == manifest.files


def test_a_missing_shard_makes_a_model_incomplete(store):
    put(store, manifest_of(n_shards=3), n_files=2)
    [model] = store.list()
    assert (model.complete, model.size_bytes, len(model.paths)) == (False, 20, 3)


def test_all_shards_are_one_model_that_opens_at_the_first(store):
    put(store, manifest_of(n_shards=3))
    [model] = store.list()
    assert (model.complete, model.size_bytes) == (True, 30)
    assert model.path.name == "Model-Q4_K_M-00001-of-00003.gguf"


def test_what_has_arrived_of_a_download_is_shown(store):
    begin(store, manifest_of(), n_bytes=7)
    [model] = store.list()
    assert (model.name, model.complete) == (NAME, False)
    assert (model.size_bytes, model.whole_bytes) == (7, 10)


def test_a_whole_shard_of_a_download_counts_whole(store):
    manifest = manifest_of(n_shards=2)
    staging = begin(store, manifest, n_bytes=3)
    (staging / manifest.files[1].path).write_bytes(b"x" * 10)
    assert store.list()[0].size_bytes == 13
    assert store.missing(manifest) == manifest.files[:1]
    assert store.arrived_bytes(manifest, manifest.files[0]) == 3


def test_an_older_model_stays_beside_the_download_of_a_newer_one(store):
    put(store, manifest_of())
    begin(store, manifest_of(size_bytes=20))
    whole, partial = store.list()
    assert (whole.name, whole.complete, whole.size_bytes) == (NAME, True, 10)
    assert (partial.name, partial.complete, partial.whole_bytes) == (NAME, False, 20)


def test_a_model_gets_its_place_when_all_of_it_is_verified(store):
    manifest = manifest_of(n_shards=2)
    staging = store.stage(manifest)
    for file in manifest.files:
        (staging / file.path).write_bytes(b"x" * 10)
    model = store.publish(verified(manifest))
    assert model.complete
    names = [file.path for file in manifest.files]
    assert files_in(store.folder / REPO) == sorted([*names, f"{names[0]}.json"])
    assert store.missing(manifest) == ()


def test_a_publication_that_was_cut_short_goes_on(store):
    manifest = manifest_of(n_shards=2)
    staging = store.stage(manifest)
    for file in manifest.files:
        (staging / file.path).write_bytes(b"x" * 10)
    write_manifest(staging / "manifest.json", verified(manifest))
    (staging / manifest.files[0].path).replace(store.place(manifest, manifest.files[0]))
    assert store.is_verified(manifest)
    assert store.missing(manifest) == ()
    assert store.publish(verified(manifest)).complete


def test_staged_files_of_another_version_are_thrown_away(store):
    old, new = manifest_of(n_shards=2), manifest_of(n_shards=2, size_bytes=20)
    staging = store.stage(old)
    for file in old.files:
        (staging / file.path).write_bytes(b"x" * 20)
    store.stage(new)
    assert files_in(staging) == ["manifest.json"]


def test_models_are_listed_by_name(store):
    for quantization in ("Q8_0", "Q2_K", "Q4_K_M"):
        put(store, manifest_of(quantization))
    names = [model.name.rpartition(":")[2] for model in store.list()]
    assert names == ["Q2_K", "Q4_K_M", "Q8_0"]


def test_a_lock_lets_one_in_at_a_time(store):
    manifest, waited = manifest_of(), []
    with somebody_downloads(store, manifest):
        with store.left_alone(store.staging_folder(manifest)) as is_idle:
            assert not is_idle
        other = store.staging_folder(manifest_of("Q8_0"))
        with store.left_alone(other) as is_idle:
            assert is_idle
    with store.locked(manifest, lambda: waited.append(1)):
        pass
    assert waited == []


# ---- damage -----------------------------------------------------------------------------------


def manifest_text(**changes):
    sound = {"name": "n", "repo": REPO, "revision": "", "quantization": "", "pulled_at": ""}
    file = {"path": "Model-Q4_K_M.gguf", "size_bytes": 1, "sha256": ""} | changes.pop("file", {})
    return json.dumps(sound | {"files": [file]} | changes)


def with_second_file(path):
    first = {"path": "Model-Q4_K_M.gguf", "size_bytes": 10, "sha256": ""}
    return manifest_text(files=[first, first | {"path": path}])


DAMAGES = [
    *("", "{", "[]", "{}", "null", "\x00", "[" * 100_000),
    manifest_text(files=[]),
    manifest_text(files=3),
    manifest_text(files={"a": 1}),
    manifest_text(repo="../.."),
    manifest_text(repo="owner/Other"),
    manifest_text(file={"path": "../../a.gguf"}),
    manifest_text(file={"path": "/etc/a.gguf"}),
    *(with_second_file(path) for path in ("../Other/a.gguf", "/etc/a.gguf", "C:a.gguf", "")),
    manifest_text(file={"path": "another.gguf"}),
    manifest_text(file={"size_bytes": "many"}),
    manifest_text(file={"size_bytes": -1}),
    manifest_text(file={"size_bytes": float("inf")}),
    manifest_text(file={"size_bytes": None}),
]


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda text: text[:60])
def test_a_damaged_manifest_is_shown_as_incomplete_and_hides_nothing(store, damage):
    manifest = put(store, manifest_of())
    put(store, manifest_of("Q8_0"))
    store.manifest_path(manifest).write_text(damage)
    damaged, sound = store.list()
    assert (damaged.name, damaged.complete) == (f"hf.co/{REPO}/Model-Q4_K_M.gguf", False)
    assert damaged.size_bytes == 10
    assert sound.complete
    assert store.missing(manifest) == manifest.files


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda text: text[:60])
def test_a_download_whose_manifest_is_damaged_is_shown_too(store, damage):
    staging = begin(store, manifest_of())
    begin(store, manifest_of("Q8_0"))
    (staging / "manifest.json").write_text(damage)
    damaged, sound = store.list()
    assert (damaged.name, damaged.complete) == (f"hf.co/{REPO}/Model-Q4_K_M.gguf", False)
    assert damaged.size_bytes > 0
    assert sound.name.endswith("Q8_0")


def test_a_damaged_manifest_stands_for_all_shards_and_no_other_file(store):
    manifest = put(store, manifest_of(n_shards=3))
    store.manifest_path(manifest).write_text("{")
    for name in ("Model-Q4_K_M.gguf", "Model-Q4_K_M-00001-of-00002.gguf"):
        (store.folder / REPO / name).write_bytes(b"mine")
    [model] = store.list()
    assert [path.name for path in model.paths] == [file.path for file in manifest.files]
    assert model.size_bytes == 30


def test_a_name_that_no_repository_has_is_shown_as_a_path(store):
    path = store.folder / "owner" / "-odd-" / "m.gguf.json"
    path.parent.mkdir(parents=True)
    path.write_text("{")
    [model] = store.list()
    assert (model.name, model.hub_name) == (str(path.with_suffix("")), None)


def test_strange_files_in_the_store_do_no_harm(store):
    put(store, manifest_of())
    for place in (
        *("notes.json", "m.gguf.json", "owner/notes.json", "owner/m.gguf.json"),
        *(".locks/a--b.json", f"{REPO}/README.md", f"{REPO}/mine.gguf", f"{REPO}/.new-1"),
        f"{REPO}/.partial/x/config.json",
    ):
        (store.folder / place).parent.mkdir(parents=True, exist_ok=True)
        (store.folder / place).write_text("mine")
    (store.folder / REPO / "folder.gguf.json").mkdir()
    assert [model.name for model in store.list()] == [NAME]


def test_a_damaged_journal_says_that_nothing_has_arrived(store):
    staging = begin(store, manifest_of())
    (staging / "Model-Q4_K_M.gguf.part.journal").write_bytes(b"\xff\x00[]")
    [model] = store.list()
    assert (model.name, model.size_bytes) == (NAME, 0)


def test_a_journal_that_tells_of_more_than_there_is_is_not_believed(store):
    manifest = manifest_of()
    [file] = manifest.files
    part = part_path(begin(store, manifest, n_bytes=8) / file.path)
    part.write_bytes(b"x" * 3)
    assert (store.arrived_bytes(manifest, file), store.first_bytes(manifest, file)) == (3, 3)
    assert store.list()[0].size_bytes == 3
    part.unlink()
    assert (store.arrived_bytes(manifest, file), store.first_bytes(manifest, file)) == (0, 0)


# ---- what leads out of the store ---------------------------------------------------------------


@pytest.mark.parametrize(
    "place",
    [
        "owner",
        REPO,
        f"{REPO}/.partial",
        f"{REPO}/.partial/Model-Q4_K_M",
        f"{REPO}/.partial/Model-Q4_K_M/Model-Q4_K_M.gguf",
        f"{REPO}/.partial/Model-Q4_K_M/Model-Q4_K_M.gguf.part",
        f"{REPO}/.partial/Model-Q4_K_M/Model-Q4_K_M.gguf.part.journal",
        f"{REPO}/Model-Q4_K_M.gguf",
    ],
)
@pytest.mark.parametrize("target", ["folder", "file", "circle"])
def test_a_link_out_of_the_store_is_refused(store, tmp_path, place, target):
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_text("mine")
    path = store.folder / place
    link(path, path if target == "circle" else tmp_path / target)
    with pytest.raises(LocalmixError, match="is a link") as caught:
        store.stage(manifest_of())
    assert "LOCALMIX_HOME" in caught.value.hint
    assert (tmp_path / "file").read_text() == "mine"
    assert list((tmp_path / "folder").iterdir()) == []


def test_models_may_lie_on_another_disk(store, tmp_path):
    (tmp_path / "large disk").mkdir()
    link(store.folder, tmp_path / "large disk")
    begin(store, manifest_of("Q8_0"))
    put(store, manifest_of())
    assert [model.complete for model in store.list()] == [True, False]


def test_a_link_in_a_circle_is_an_incomplete_model(store):
    manifest = put(store, manifest_of(), n_files=0)
    path = store.place(manifest, manifest.files[0])
    link(path, path)
    assert [model.complete for model in store.list()] == [False]


# ---- manifests ---------------------------------------------------------------------------------


def test_a_manifest_is_read_as_it_was_written(tmp_path):
    path = tmp_path / "deep" / "m.json"
    manifest = manifest_of(n_shards=2)
    write_manifest(path, manifest)
    assert read_manifest(path) == manifest


def test_a_file_in_a_folder_of_its_repository_has_its_manifest_beside_it(store):
    manifest = manifest_of()
    inner = RepoFile("Q4/m.gguf", 10, manifest.files[0].sha256)
    put(store, type(manifest)(NAME, REPO, "c", "Q4_K_M", (inner,)))
    assert files_in(store.folder / REPO) == ["Q4/m.gguf", "Q4/m.gguf.json"]
    assert store.list()[0].complete
