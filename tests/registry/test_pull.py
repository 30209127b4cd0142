import shutil
import threading
from collections import namedtuple
from datetime import datetime, timezone

import pytest
from support.stored import REPO

from localmix.errors import ChecksumMismatch, DownloadFailed, NotEnoughDisk, NotPulled
from localmix.registry.plan import plan_pull
from localmix.registry.pull import PullProgress, pull
from localmix.registry.resolve import resolve

NAME = f"hf.co/{REPO}:Q4_K_M"
FILE = "Model-Q4_K_M.gguf"
DATA = bytes(range(256)) * 4000
NOON = datetime(2026, 1, 2, 12, tzinfo=timezone.utc)
SHARDS = {f"Q8_0/Model-Q8_0-0000{i}-of-00003.gguf": bytes([i]) * (i * 1000) for i in (1, 2, 3)}


def pulled(name, store, hub, on_progress=lambda progress: None):
    return pull(plan_pull(name, store, hub), store, hub, on_progress, clock=lambda: NOON)


def files_in(folder):
    return sorted(path.name for path in folder.rglob("*") if path.is_file())


def names(store):
    return [model.name for model in store.list() if model.origin == "pulled"]


def test_a_pulled_model_is_the_hubs_file_and_can_be_resolved(fake_hub, hub, store):
    fake_hub.add(REPO, {FILE: DATA, "Model-Q8_0.gguf": b"other"})
    model = pulled(NAME, store, hub)
    assert model.complete
    assert resolve(NAME, store.home).read_bytes() == DATA
    assert resolve(NAME, store.home) == model.path
    assert model.manifest.pulled_at == "2026-01-02T12:00:00+00:00"


def test_a_pull_leaves_the_file_and_its_manifest_and_nothing_else(fake_hub, hub, store):
    fake_hub.add(REPO, {FILE: DATA})
    pulled(NAME, store, hub)
    assert files_in(store.repo_folder(REPO)) == [FILE, f"{FILE}.json"]
    assert not (store.repo_folder(REPO) / ".partial").exists()


def test_all_shards_are_pulled(fake_hub, hub, store):
    fake_hub.add(REPO, SHARDS)
    model = pulled(f"hf.co/{REPO}", store, hub)
    assert model.complete
    assert model.size_bytes == 6000
    assert [path.read_bytes() for path in model.paths] == list(SHARDS.values())
    assert resolve(f"hf.co/{REPO}:Q8_0", store.home) == model.paths[0]


def test_a_second_pull_asks_for_nothing(fake_hub, hub, store):
    fake_hub.add(REPO, {FILE: DATA})
    first = pulled(NAME, store, hub)
    fake_hub.requests.clear()
    assert pulled(NAME, store, hub) == first
    assert fake_hub.requests == []


def test_progress_goes_from_nothing_to_the_whole_of_each_file_in_both_stages(fake_hub, hub, store):
    fake_hub.add(REPO, SHARDS)
    events = []
    pulled(f"hf.co/{REPO}", store, hub, events.append)
    expected = [
        PullProgress(stage, path, i_file, 3, done_bytes, len(data))
        for i_file, (path, data) in enumerate(SHARDS.items())
        for stage in ("download", "verify")
        for done_bytes in (0, len(data))
    ]
    assert events == expected


def test_wrong_bytes_are_never_taken_for_the_model(fake_hub, hub, store):
    fake_hub.add(REPO, {FILE: DATA}, served={FILE: DATA[:-1] + b"!"})
    with pytest.raises(ChecksumMismatch, match="SHA-256") as caught:
        pulled(NAME, store, hub)
    assert caught.value.hint == f"localmix pull {NAME}"
    assert names(store) == []
    assert files_in(store.repo_folder(REPO)) == []


def test_wrong_bytes_in_one_shard_remove_no_other(fake_hub, hub, store):
    second = list(SHARDS)[1]
    repo = fake_hub.add(REPO, SHARDS, served={second: b"\xff" * 2000})
    with pytest.raises(ChecksumMismatch, match="00002-of-00003"):
        pulled(f"hf.co/{REPO}:Q8_0", store, hub)
    [model] = [m for m in store.list() if m.origin == "pulled"]
    assert (model.complete, model.size_bytes) == (False, 1000)
    with pytest.raises(NotPulled, match="has not finished"):
        resolve(f"hf.co/{REPO}:Q8_0", store.home)

    repo.served.clear()
    fake_hub.requests.clear()
    assert pulled(f"hf.co/{REPO}:Q8_0", store, hub).complete
    fetched = [path.rpartition("/")[2] for path in fake_hub.paths() if "/storage/" in path]
    assert fetched == ["Model-Q8_0-00002-of-00003.gguf", "Model-Q8_0-00003-of-00003.gguf"]


def test_a_file_that_is_too_short_is_a_failed_download(fake_hub, hub, store):
    fake_hub.add(REPO, {FILE: DATA}, served={FILE: DATA[:1000]})
    with pytest.raises(DownloadFailed):
        pulled(NAME, store, hub)
    assert names(store) == []


def test_ctrl_c_is_passed_on_and_leaves_no_half_model(fake_hub, hub, store):
    fake_hub.add(REPO, {FILE: DATA})

    def interrupt(progress):
        if progress.done_bytes:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        pulled(NAME, store, hub, interrupt)
    assert names(store) == []
    assert pulled(NAME, store, hub).complete


def test_what_a_killed_pull_left_is_listed_and_then_replaced(fake_hub, hub, store):
    fake_hub.add(REPO, {FILE: DATA})
    plan = plan_pull(NAME, store, hub)
    store.write(plan.manifest())
    left = store.staging_folder(plan.manifest()) / "half.incomplete"
    left.parent.mkdir(parents=True)
    left.write_bytes(DATA[:1000])
    [model] = [m for m in store.list() if m.origin == "pulled"]
    assert (model.complete, model.size_bytes) == (False, 1000)

    assert pulled(NAME, store, hub).complete
    assert files_in(store.repo_folder(REPO)) == [FILE, f"{FILE}.json"]


def test_a_disk_without_room_is_noticed_before_the_first_byte(fake_hub, hub, store, monkeypatch):
    fake_hub.add(REPO, {FILE: DATA})
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(0, 0, len(DATA) - 1))
    with pytest.raises(NotEnoughDisk, match=r"needs 1\.02 MB, but .* has 1\.02 MB free") as caught:
        pulled(NAME, store, hub)
    assert "LOCALMIX_HOME" in caught.value.hint
    assert fake_hub.paths("HEAD") == []
    assert not store.home.exists()


def test_a_disk_with_just_enough_room_is_enough(fake_hub, hub, store, monkeypatch):
    fake_hub.add(REPO, {FILE: DATA})
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(0, 0, len(DATA)))
    assert pulled(NAME, store, hub).complete


def test_a_disk_that_fills_up_on_the_way_is_not_enough(fake_hub, hub, store):
    import errno

    fake_hub.add(REPO, {FILE: DATA})

    def fill(progress):
        if progress.done_bytes:
            raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(NotEnoughDisk, match="filled up"):
        pulled(NAME, store, hub, fill)
    assert names(store) == []


def test_a_store_that_cannot_be_written_is_a_sentence(fake_hub, hub, store):
    fake_hub.add(REPO, {FILE: DATA})
    store.home.write_text("a file where the folder should be")
    with pytest.raises(DownloadFailed, match="cannot be written") as caught:
        pulled(NAME, store, hub)
    assert "LOCALMIX_HOME" in caught.value.hint


def test_two_pulls_of_one_model_share_the_download(fake_hub, hub, store):
    fake_hub.add(REPO, {FILE: DATA})
    plan = plan_pull(NAME, store, hub)
    models = []
    pulls = [
        threading.Thread(target=lambda: models.append(pull(plan, store, hub))) for _ in range(2)
    ]
    for thread in pulls:
        thread.start()
    for thread in pulls:
        thread.join(timeout=30)
    assert [model.complete for model in models] == [True, True]
    assert len([path for path in fake_hub.paths() if "/storage/" in path]) == 1


def test_a_new_version_on_the_hub_is_not_mixed_with_old_shards(fake_hub, hub, store):
    repo = fake_hub.add(REPO, SHARDS, served={list(SHARDS)[2]: b"\xff" * 3000})
    with pytest.raises(ChecksumMismatch):
        pulled(f"hf.co/{REPO}:Q8_0", store, hub)
    repo.served.clear()
    repo.files = {path: data[::-1] + b"new" for path, data in SHARDS.items()}
    model = pulled(f"hf.co/{REPO}:Q8_0", store, hub)
    assert [path.read_bytes() for path in model.paths] == list(repo.files.values())
