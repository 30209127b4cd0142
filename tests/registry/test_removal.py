"""A name goes off the list; a file goes only if we downloaded it and nothing else names it."""

import json

import pytest
from support.links import link
from support.stored import (
    CATALOG,
    NAME,
    REPO,
    begin,
    files_in,
    manifest_of,
    put,
    put_in_lm_studio,
    put_in_ollama,
    somebody_downloads,
    write_gguf,
)
from support.windows import OpenFiles

from localmix.errors import LocalmixError, ModelNotFound, NotPulled
from localmix.registry.disk.records import NamedFile
from localmix.registry.naming import copy_name, import_path
from localmix.registry.removal import prune, remove
from localmix.registry.resolve import resolve

pytestmark = pytest.mark.usefixtures("embedded_file")


@pytest.fixture
def rm(inventory):
    return lambda name: remove(name, inventory, CATALOG)


def names(inventory):
    return [model.name for model in inventory.list()[1:]]


# ---- what we downloaded ------------------------------------------------------------------------


@pytest.mark.parametrize("name", [NAME, f"hf.co/{REPO}", "small", "SMALL:1B-q4_k_m"])
def test_a_pulled_model_is_deleted_with_all_its_files(inventory, store, rm, name):
    put(store, manifest_of(n_shards=3))
    done = rm(name)
    assert (done.name, done.freed_bytes, done.kept, done.reason) == (NAME, 30, (), "")
    assert files_in(store.home) == []
    assert not (store.folder / "owner").exists()
    with pytest.raises(NotPulled):
        rm(name)


def test_other_models_of_the_repository_and_foreign_files_stay(inventory, store, rm):
    put(store, manifest_of())
    put(store, manifest_of("Q8_0"))
    (store.folder / REPO / "notes.txt").write_text("mine")
    rm(NAME)
    kept = ["Model-Q8_0.gguf", "Model-Q8_0.gguf.json", "notes.txt"]
    assert files_in(store.folder / REPO) == kept


def test_a_file_stays_until_its_last_name_goes(inventory, store, rm):
    manifest = put(store, manifest_of())
    path = store.place(manifest, manifest.files[0])
    copy_name(NAME, "mine", inventory, CATALOG)
    copy_name("mine", "second", inventory, CATALOG)
    done = rm(NAME)
    assert (done.freed_bytes, done.kept) == (0, (path,))
    assert done.reason == "mine is the same model"
    assert names(inventory) == ["mine", "second"]
    assert resolve("mine", store.home) == path
    assert rm("mine").kept == (path,)
    done = rm("SECOND")
    assert (done.name, done.freed_bytes, done.kept) == ("second", 10, ())
    assert files_in(store.home) == []


def test_a_copy_may_go_first(inventory, store, rm):
    put(store, manifest_of(n_shards=2))
    copy_name(NAME, "mine", inventory, CATALOG)
    assert rm("mine").reason == f"{NAME} is the same model"
    assert names(inventory) == [NAME]
    assert inventory.list()[1].complete
    assert rm(NAME).freed_bytes == 20
    assert files_in(store.home) == []


def test_a_name_of_a_part_of_a_model_holds_it_too(inventory, store, rm):
    manifest = put(store, manifest_of(n_shards=2))
    second = write_gguf(store.place(manifest, manifest.files[1]))
    import_path(second, inventory, "mine", CATALOG)
    assert rm(NAME).reason == "mine is the same model"
    assert second.exists()


def test_a_download_that_has_not_finished_is_deleted(inventory, store, rm):
    begin(store, manifest_of(), n_bytes=5)
    done = rm(NAME)
    assert (done.name, done.kept) == (NAME, ())
    assert done.freed_bytes > 0
    assert files_in(store.home) == []


def test_a_model_goes_with_the_download_of_its_newer_version(inventory, store, rm):
    put(store, manifest_of())
    begin(store, manifest_of(size_bytes=20))
    begin(store, manifest_of("Q8_0"))
    assert rm(NAME).freed_bytes > 10
    assert [name.rpartition(":")[2] for name in names(inventory)] == ["Q8_0"]


def test_a_file_without_a_manifest_is_not_deleted_with_a_download(inventory, store, rm):
    manifest = manifest_of()
    begin(store, manifest)
    store.place(manifest, manifest.files[0]).write_bytes(b"mine")
    rm(NAME)
    assert files_in(store.folder) == [f"{REPO}/Model-Q4_K_M.gguf"]


def test_a_model_that_lacks_files_is_deleted(inventory, store, rm):
    put(store, manifest_of(n_shards=3), n_files=2)
    assert rm(NAME).freed_bytes == 20
    assert files_in(store.home) == []


@pytest.mark.parametrize("also_here", [True, False])
def test_a_model_that_is_being_downloaded_stays(inventory, store, rm, also_here):
    if also_here:
        put(store, manifest_of())
    begin(store, manifest_of(size_bytes=20))
    before = files_in(store.home)
    with somebody_downloads(store, manifest_of()):
        with pytest.raises(LocalmixError, match="being downloaded") as caught:
            rm(NAME)
        assert "Ctrl-C" in caught.value.hint
    assert files_in(store.home) == before
    rm(NAME)
    assert files_in(store.home) == []


def test_a_model_whose_manifest_is_damaged_can_be_removed_by_its_listed_name(inventory, store, rm):
    manifest = put(store, manifest_of(n_shards=2))
    put(store, manifest_of("Q8_0"))
    store.manifest_path(manifest).write_text("{")
    [damaged] = [name for name in names(inventory) if "Q4_K_M" in name]
    assert rm(damaged).freed_bytes == 20
    left = ["Model-Q8_0.gguf", "Model-Q8_0.gguf.json"]
    assert files_in(store.folder / REPO) == left


def test_a_manifest_that_names_files_outside_its_folder_deletes_none_of_them(inventory, store, rm):
    manifest = put(store, manifest_of())
    victim = write_gguf(store.folder / "owner" / "Other" / "victim.gguf")
    path = store.manifest_path(manifest)
    document = json.loads(path.read_text())
    document["files"].append({**document["files"][0], "path": "../Other/victim.gguf"})
    path.write_text(json.dumps(document))
    [listed] = names(inventory)
    rm(listed)
    assert victim.exists()


def test_a_download_whose_manifest_is_damaged_can_be_removed_by_its_listed_name(
    inventory, store, rm
):
    (begin(store, manifest_of()) / "manifest.json").write_text("{")
    [damaged] = names(inventory)
    assert rm(damaged).freed_bytes > 0
    assert files_in(store.home) == []


def test_a_model_that_cannot_be_deleted_stays_in_the_list(inventory, store, rm, monkeypatch):
    put(store, manifest_of())

    def refuse(path, missing_ok=False):
        raise PermissionError(13, "in use", str(path))  # as Windows does for a file that is mapped

    monkeypatch.setattr("pathlib.Path.unlink", refuse)
    with pytest.raises(PermissionError, match="in use"):
        rm(NAME)
    monkeypatch.undo()
    assert files_in(store.folder / REPO) == ["Model-Q4_K_M.gguf", "Model-Q4_K_M.gguf.json"]


def test_a_file_behind_a_link_out_of_the_store_is_kept(inventory, store, rm, tmp_path):
    manifest = put(store, manifest_of(), n_files=0)
    (tmp_path / "elsewhere.gguf").write_bytes(b"x" * 10)
    link(store.place(manifest, manifest.files[0]), tmp_path / "elsewhere.gguf")
    done = rm(NAME)
    assert (done.freed_bytes, done.reason) == (0, "localmix did not put it there")
    assert (tmp_path / "elsewhere.gguf").exists()
    assert names(inventory) == []


def test_a_model_goes_by_the_name_it_was_pulled_under_when_the_catalog_lost_it(
    inventory, store, rm
):
    manifest = manifest_of()
    put(store, type(manifest)("gone:1b-q4_K_M", *list(vars(manifest).values())[1:]))
    assert rm("gone:1b-q4_K_M").freed_bytes == 10


# ---- what others put there ---------------------------------------------------------------------


def test_an_imported_file_is_kept(inventory, store, rm, tmp_path):
    path = write_gguf(tmp_path / "m.gguf")
    import_path(path, inventory, "mine", CATALOG)
    done = rm("MINE:latest")
    assert (done.name, done.freed_bytes, done.kept) == ("mine", 0, (path,))
    assert done.reason == "localmix did not put it there"
    assert path.exists()
    assert names(inventory) == []


def test_an_imported_file_in_the_folder_of_models_is_kept_too(inventory, store, rm):
    path = write_gguf(store.folder / "me" / "Mine" / "m.gguf")
    import_path(path, inventory, "mine", CATALOG)
    copy_name("mine", "other", inventory, CATALOG)
    rm("mine")
    rm("other")
    assert path.exists()
    assert names(inventory) == []


def test_an_imported_file_that_has_gone_goes_off_the_list(inventory, rm, tmp_path):
    path = write_gguf(tmp_path / "m.gguf")
    import_path(path, inventory, "mine", CATALOG)
    path.unlink()
    rm("mine")
    assert names(inventory) == []


@pytest.mark.parametrize("put_there", [put_in_lm_studio, put_in_ollama])
def test_a_model_of_another_program_is_kept_and_no_longer_listed(inventory, rm, put_there):
    path = put_there()
    [name] = names(inventory)
    done = rm(name)
    assert (done.name, done.freed_bytes, done.kept) == (name, 0, (path,))
    assert done.reason.endswith("put it there")
    assert path.exists()
    assert names(inventory) == []
    with pytest.raises(NotPulled):
        rm(name)


def test_a_copy_of_another_programs_model_leaves_it_alone(inventory, rm):
    path = put_in_ollama()
    copy_name("ollama/mistral", "mine", inventory, CATALOG)
    rm("mine")
    assert names(inventory) == ["ollama/mistral:latest"]
    copy_name("ollama/mistral", "mine", inventory, CATALOG)
    rm("ollama/mistral")
    assert names(inventory) == ["mine"]
    rm("mine")
    assert path.exists()


def test_of_two_of_one_name_ours_goes_first(inventory, store, rm):
    path = put_in_lm_studio()
    put(store, manifest_of())
    assert rm(NAME).freed_bytes == 10
    assert rm(NAME).kept == (path,)
    assert names(inventory) == []


def test_a_record_that_points_into_the_store_deletes_no_model_that_has_a_name(inventory, store, rm):
    manifest = put(store, manifest_of())
    path = store.place(manifest, manifest.files[0])
    inventory.records.add(NamedFile("evil", (str(path),), "copied"))
    rm("evil")
    assert path.exists()


# ---- what cannot be removed --------------------------------------------------------------------


def test_the_embedded_model_stays(rm, embedded_file):
    with pytest.raises(LocalmixError, match="inside localmix") as caught:
        rm("tiny")
    assert caught.value.hint == "pip uninstall localmix"
    assert embedded_file.exists()


def test_a_path_is_no_name_to_remove(rm, store, tmp_path):
    path = write_gguf(tmp_path / "m.gguf")
    manifest = put(store, manifest_of())
    for each in (path, store.place(manifest, manifest.files[0])):
        with pytest.raises(LocalmixError, match="is a file of yours"):
            rm(str(each))
        assert each.exists()


@pytest.mark.parametrize("name", ["small", "hf.co/o/r", "ollama/none", f"hf.co/{REPO}:Q8_0"])
def test_what_is_not_here_cannot_be_removed(rm, inventory, name):
    with pytest.raises(NotPulled, match="not on this machine") as caught:
        rm(name)
    assert "localmix list" in caught.value.hint
    assert not inventory.home.exists()


def test_an_unknown_name_offers_close_ones(rm):
    with pytest.raises(ModelNotFound, match="close names: small"):
        rm("smal")


# ---- prune -------------------------------------------------------------------------------------


def test_prune_deletes_downloads_and_leaves_models(inventory, store):
    put(store, manifest_of())
    begin(store, manifest_of(size_bytes=20))
    begin(store, manifest_of("Q8_0"))
    planned = prune(inventory, is_dry_run=True)
    assert len(files_in(store.folder)) == 8
    done = prune(inventory)
    assert [each.name for each in done] == [NAME, f"hf.co/{REPO}:Q8_0"]
    assert [each.freed_bytes for each in done] == [each.freed_bytes for each in planned]
    assert all(each.freed_bytes > 0 for each in done)
    assert files_in(store.folder / REPO) == ["Model-Q4_K_M.gguf", "Model-Q4_K_M.gguf.json"]
    assert prune(inventory) == []


@pytest.mark.parametrize("is_damaged", [True, False])
def test_prune_leaves_a_download_that_somebody_is_at(inventory, store, is_damaged):
    staging = begin(store, manifest_of())
    begin(store, manifest_of("Q8_0"))
    if is_damaged:
        (staging / "manifest.json").write_text("{")
    with somebody_downloads(store, manifest_of()):
        assert [each.name for each in prune(inventory)] == [f"hf.co/{REPO}:Q8_0"]
    assert staging.is_dir()
    assert len(prune(inventory)) == 1
    assert files_in(store.folder) == []


def test_prune_leaves_foreign_files(inventory, store):
    begin(store, manifest_of())
    foreign = ["mine.gguf", "notes/a.json", f"{REPO}/m.gguf", f"{REPO}/.partial/notes.txt"]
    for place in foreign:
        (store.folder / place).parent.mkdir(parents=True, exist_ok=True)
        (store.folder / place).write_text("mine")
    prune(inventory)
    assert files_in(store.folder) == sorted(foreign)


@pytest.mark.parametrize("place", ["owner", REPO, f"{REPO}/.partial", f"{REPO}/.partial/x"])
def test_prune_follows_no_link(inventory, store, tmp_path, place):
    outside = tmp_path / "outside"
    inner = (outside / f"{REPO}/.partial/x").relative_to(outside / place)
    (outside / inner).mkdir(parents=True)
    (outside / inner / "m.gguf.part").write_text("mine")
    link(store.folder / place, outside)
    assert prune(inventory) == []
    assert (outside / inner / "m.gguf.part").exists()


def test_prune_of_nothing_writes_nothing(inventory):
    assert prune(inventory) == []
    assert not inventory.home.exists()


# ---- Windows -----------------------------------------------------------------------------------


def test_a_model_that_runs_stays_whole_and_listed_on_windows(inventory, store, rm, monkeypatch):
    put(store, manifest_of())
    windows = OpenFiles(monkeypatch)
    windows.paths = {store.folder / REPO / "Model-Q4_K_M.gguf"}
    with pytest.raises(LocalmixError, match="in use") as caught:
        rm(NAME)
    assert "localmix run" in caught.value.hint
    assert names(inventory) == [NAME]
    windows.paths = set()
    assert rm(NAME).freed_bytes == 10


def test_what_may_not_be_deleted_elsewhere_is_no_matter_of_use(store, rm, monkeypatch):
    put(store, manifest_of())
    windows = OpenFiles(monkeypatch)
    monkeypatch.setattr("sys.platform", "linux")
    windows.paths = {store.folder / REPO / "Model-Q4_K_M.gguf"}
    with pytest.raises(PermissionError):
        rm(NAME)
