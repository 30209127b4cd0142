import errno
import os
import shutil
import threading
from collections import namedtuple
from contextlib import contextmanager
from datetime import datetime, timezone
from pathlib import Path
from types import SimpleNamespace

import pytest
from support.fake_hub import REVISION, Pattern
from support.hub_faults import FOREVER, Stall, Status, WrongBytes
from support.links import link
from support.stored import REPO
from support.windows import OpenFiles

from localmix.errors import ChecksumMismatch, DownloadFailed, LocalmixError, NotEnoughDisk
from localmix.registry.disk.inventory import Inventory
from localmix.registry.disk.store import part_path
from localmix.registry.download.journal import journal_path
from localmix.registry.download.patience import Patience
from localmix.registry.manifest import read_manifest
from localmix.registry.plan import plan_pull
from localmix.registry.pull import PullProgress, pull

NAME = f"hf.co/{REPO}:Q4_K_M"
FILE = "Model-Q4_K_M.gguf"
DATA = bytes(range(256)) * 4000
NOON = datetime(2026, 1, 2, 12, tzinfo=timezone.utc)
QUICK = Patience(tries=3, first_s=0.001, longest_s=0.002)

SHARDED = f"hf.co/{REPO}:Q8_0"
SHARDS = {f"Q8_0/Model-Q8_0-0000{i}-of-00003.gguf": bytes([i]) * (i * 1000) for i in (1, 2, 3)}
OTHERS = {path: bytes([9]) + data[1:] for path, data in SHARDS.items()}  # of the same sizes
SECOND = list(SHARDS)[1]

Usage = namedtuple("Usage", "total used free")


@pytest.fixture
def inventory(store):
    return Inventory(store.home)


@pytest.fixture
def pulled(inventory, hub):
    """Pull a model by its name."""

    def pull_it(name, on_progress=lambda progress: None, newest=False, **more):
        plan = plan_pull(name, inventory, hub, newest=newest)
        return pull(
            plan, inventory.store, hub, on_progress, clock=lambda: NOON, patience=QUICK, **more
        )

    return pull_it


def files_in(folder):
    return sorted(path.name for path in folder.rglob("*") if path.is_file())


def listed(store):
    return [(model.name, model.complete) for model in store.list()]


def repo_folder(store):
    return store.folder / REPO


def part_of(store):
    return repo_folder(store) / ".partial" / "Model-Q4_K_M" / f"{FILE}.part"


def fetched(fake_hub):
    """The names of the files that the storage was asked for."""
    return [request.path.rpartition("/")[2] for request in fake_hub.stored()]


def interrupt(when):
    def on_progress(progress):
        if when(progress):
            raise KeyboardInterrupt

    return on_progress


# All is well


def test_a_pulled_model_is_the_hubs_file_in_its_place(fake_hub, pulled, store):
    fake_hub.add(REPO, {FILE: DATA, "Model-Q8_0.gguf": b"other"})
    model = pulled(NAME)
    assert (model.name, model.complete) == (NAME, True)
    assert model.path == repo_folder(store) / FILE
    assert model.path.read_bytes() == DATA
    manifest = read_manifest(repo_folder(store) / f"{FILE}.json")
    assert (manifest.pulled_at, manifest.revision) == ("2026-01-02T12:00:00+00:00", REVISION)


def test_a_pull_leaves_the_file_and_its_manifest_and_nothing_else(fake_hub, pulled, store):
    fake_hub.add(REPO, {FILE: DATA})
    pulled(NAME)
    assert files_in(repo_folder(store)) == [FILE, f"{FILE}.json"]
    assert not (repo_folder(store) / ".partial").exists()


def test_all_shards_are_pulled(fake_hub, pulled):
    fake_hub.add(REPO, SHARDS)
    model = pulled(f"hf.co/{REPO}")
    assert (model.complete, model.size_bytes) == (True, 6000)
    assert [path.read_bytes() for path in model.paths] == list(SHARDS.values())


def test_a_second_pull_asks_for_nothing(fake_hub, pulled):
    fake_hub.add(REPO, {FILE: DATA})
    first = pulled(NAME)
    fake_hub.requests.clear()
    assert pulled(NAME) == first
    assert fake_hub.requests == []


def test_first_bytes_that_were_read_before_are_not_downloaded_again(fake_hub, pulled):
    fake_hub.add(REPO, {FILE: DATA})
    assert pulled(NAME, begins={FILE: DATA[:1_000]}).complete
    assert fake_hub.sent_bytes == len(DATA) - 1_000


def test_progress_counts_the_bytes_of_all_files_and_names_the_one_at_work(fake_hub, pulled):
    fake_hub.add(REPO, SHARDS)
    events = []
    pulled(SHARDED, events.append)
    for i_file, (path, data) in enumerate(SHARDS.items()):
        of_this = [event for event in events if event.file == path]
        last = PullProgress("verify", path, i_file, 3, len(data), len(data))
        assert of_this[-1] == last
        before = sum(i * 1000 for i in range(1, i_file + 1))
        downloads = [event for event in of_this if event.stage == "download"]
        assert all(event.total_bytes == 6000 for event in downloads)
        assert all(before <= event.done_bytes < before + len(data) for event in downloads)


# Wrong bytes


def test_wrong_bytes_are_never_taken_for_the_model(fake_hub, pulled, store):
    fake_hub.add(REPO, {FILE: DATA}, served={FILE: DATA[:-1] + b"!"})
    with pytest.raises(ChecksumMismatch, match="SHA-256") as caught:
        pulled(NAME)
    assert "pull again" in caught.value.hint
    assert listed(store) == [(NAME, False)]
    assert [name for name in files_in(repo_folder(store)) if name.startswith(FILE)] == []


def test_wrong_bytes_that_come_once_are_repaired_and_told(fake_hub, pulled):
    fake_hub.add(REPO, {FILE: DATA}, faults=[WrongBytes(at=100)])
    stages = []
    model = pulled(NAME, lambda progress: stages.append(progress.stage))
    assert model.path.read_bytes() == DATA
    assert stages[-1] == "repair"


def test_wrong_bytes_in_one_shard_remove_no_other(fake_hub, pulled, store):
    repo = fake_hub.add(REPO, SHARDS, served={SECOND: b"\xff" * 2000})
    with pytest.raises(ChecksumMismatch, match="00002-of-00003"):
        pulled(SHARDED)
    [model] = store.list()
    assert (model.complete, model.size_bytes) == (False, 1000)

    repo.served.clear()
    fake_hub.requests.clear()
    assert pulled(SHARDED).complete
    assert fetched(fake_hub) == [path.rpartition("/")[2] for path in list(SHARDS)[1:]]


def test_a_file_that_is_too_short_is_a_failed_download(fake_hub, pulled, store):
    fake_hub.add(REPO, {FILE: DATA}, served={FILE: DATA[:1000]})
    with pytest.raises(DownloadFailed):
        pulled(NAME)
    assert listed(store) == [(NAME, False)]


# What a failure leaves


def begin(fake_hub, pulled):
    """Pull all but the last bytes of a file, which the storage holds back, and press Ctrl-C."""
    repo = fake_hub.add(REPO, {FILE: DATA}, faults=[Stall(after=len(DATA) - 100)])
    with pytest.raises(KeyboardInterrupt):
        pulled(NAME, interrupt(lambda progress: progress.done_bytes >= len(DATA) - 100))
    return repo


def test_ctrl_c_is_passed_on_and_what_has_arrived_is_kept(fake_hub, pulled, store, inventory, hub):
    begin(fake_hub, pulled)
    [model] = store.list()
    assert (model.complete, model.size_bytes) == (False, len(DATA) - 100)
    plan = plan_pull(NAME, inventory, hub)
    assert (plan.missing_bytes, plan.arrived_bytes) == (100, len(DATA) - 100)
    fake_hub.sent_bytes = 0
    assert pulled(NAME).path.read_bytes() == DATA
    assert fake_hub.sent_bytes == 100


def test_a_hub_that_stays_busy_is_a_sentence_and_what_has_arrived_is_kept(fake_hub, pulled):
    repo = begin(fake_hub, pulled)
    repo.faults.append(Status(503, times=FOREVER))
    with pytest.raises(DownloadFailed, match="HTTP 503") as caught:
        pulled(NAME)
    assert "what has arrived is kept" in caught.value.hint
    repo.faults.clear()
    fake_hub.sent_bytes = 0
    assert pulled(NAME).complete
    assert fake_hub.sent_bytes == 100


def test_a_partial_of_which_the_bytes_are_gone_is_downloaded_anew(
    fake_hub, pulled, store, inventory, hub
):
    begin(fake_hub, pulled)
    part_of(store).unlink()
    plan = plan_pull(NAME, inventory, hub)
    assert plan.missing_bytes == len(DATA)
    assert store.first_bytes(plan.manifest, plan.missing[0]) == 0
    assert pulled(NAME).path.read_bytes() == DATA


def test_a_partial_of_another_version_is_downloaded_anew(fake_hub, pulled):
    repo = begin(fake_hub, pulled)
    repo.update({FILE: DATA[::-1]})
    assert pulled(NAME).path.read_bytes() == DATA[::-1]


def test_a_file_that_changes_on_the_hub_between_plan_and_pull_is_the_one_that_was_planned(
    fake_hub, inventory, hub
):
    repo = fake_hub.add(REPO, {FILE: DATA})
    plan = plan_pull(NAME, inventory, hub)
    repo.update({FILE: DATA[::-1]})
    assert pull(plan, inventory.store, hub, patience=QUICK).path.read_bytes() == DATA


def test_a_commit_that_is_gone_from_the_hub_is_said_to_be_gone(fake_hub, inventory, hub):
    repo = fake_hub.add(REPO, {FILE: DATA})
    plan = plan_pull(NAME, inventory, hub)
    repo.update({FILE: DATA[::-1]}, forget=True)
    with pytest.raises(LocalmixError, match="any more"):
        pull(plan, inventory.store, hub, patience=QUICK)


# Publication


class Crash(BaseException):
    """The process dies here."""


@contextmanager
def crash_after(n_files):
    """Let the process die when so many files have their place."""
    replace, n_done = Path.replace, 0

    def dying(path, target):
        nonlocal n_done
        if Path(target).suffix == ".gguf" and ".partial" not in Path(target).parts:
            if n_done == n_files:
                raise Crash
            n_done += 1
        return replace(path, target)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Path, "replace", dying)
        with pytest.raises(Crash):
            yield


@pytest.mark.parametrize("n_files", [0, 1, 2])
def test_a_crash_between_two_shards_is_finished_without_a_byte_downloaded(
    fake_hub, pulled, store, n_files
):
    fake_hub.add(REPO, SHARDS)
    with crash_after(n_files):
        pulled(SHARDED)
    assert listed(store) == [(SHARDED, False)]
    fake_hub.requests.clear()
    model = pulled(SHARDED)
    assert [path.read_bytes() for path in model.paths] == list(SHARDS.values())
    assert fetched(fake_hub) == []
    assert listed(store) == [(SHARDED, True)]
    assert not (repo_folder(store) / ".partial").exists()


def test_an_update_keeps_the_old_model_whole_until_the_new_one_is_verified(fake_hub, pulled, store):
    repo = fake_hub.add(REPO, SHARDS)
    old = pulled(SHARDED)
    repo.update(OTHERS)
    repo.served[SECOND] = b"\xff" * 2000
    with pytest.raises(ChecksumMismatch):
        pulled(SHARDED, newest=True)
    assert (SHARDED, True) in listed(store)
    assert [path.read_bytes() for path in old.paths] == list(SHARDS.values())
    assert pulled(SHARDED).path == old.path  # without `newest` it is good enough

    repo.served.clear()
    new = pulled(SHARDED, newest=True)
    assert [path.read_bytes() for path in new.paths] == list(OTHERS.values())
    assert listed(store) == [(SHARDED, True)]


@pytest.mark.parametrize("n_files", [1, 2])
def test_a_mixture_of_an_old_and_a_new_version_is_never_listed_as_complete(
    fake_hub, pulled, store, n_files
):
    repo = fake_hub.add(REPO, SHARDS)
    pulled(SHARDED)
    repo.update(OTHERS)
    with crash_after(n_files):
        pulled(SHARDED, newest=True)
    assert listed(store) == [(SHARDED, False)]
    fake_hub.requests.clear()
    model = pulled(SHARDED)
    assert [path.read_bytes() for path in model.paths] == list(OTHERS.values())
    assert fetched(fake_hub) == []


def test_an_update_of_one_shard_downloads_that_one_only(fake_hub, pulled):
    repo = fake_hub.add(REPO, SHARDS)
    pulled(SHARDED)
    repo.update({SECOND: OTHERS[SECOND]})
    fake_hub.requests.clear()
    model = pulled(SHARDED, newest=True)
    assert [path.read_bytes() for path in model.paths] == list((SHARDS | repo.files).values())
    assert fetched(fake_hub) == [SECOND.rpartition("/")[2]]


def test_a_new_version_on_the_hub_is_not_mixed_with_old_shards(fake_hub, pulled):
    repo = fake_hub.add(REPO, SHARDS, served={SECOND: b"\xff" * 2000})
    with pytest.raises(ChecksumMismatch):
        pulled(SHARDED)
    repo.served.clear()
    repo.update(OTHERS)
    model = pulled(SHARDED)
    assert [path.read_bytes() for path in model.paths] == list(OTHERS.values())


def test_a_shard_of_an_old_version_that_was_verified_is_never_taken_for_a_new_one(fake_hub, pulled):
    first, _, third = SHARDS
    repo = fake_hub.add(REPO, SHARDS, served={third: b"\xff" * 3000})
    with pytest.raises(ChecksumMismatch):
        pulled(SHARDED)  # the first two are here
    repo.served.clear()
    repo.update(OTHERS)
    repo.faults.append(Status(404, path=first, times=FOREVER))
    with pytest.raises(DownloadFailed):
        pulled(SHARDED)
    repo.faults.clear()
    model = pulled(SHARDED)
    assert [path.read_bytes() for path in model.paths] == list(OTHERS.values())


# The disk


def test_a_disk_without_room_is_noticed_before_the_first_byte(fake_hub, pulled, store, monkeypatch):
    fake_hub.add(REPO, {FILE: DATA})
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(0, 0, len(DATA) - 1))
    with pytest.raises(NotEnoughDisk, match=r"needs 1\.02 MB, but .* has 1\.02 MB free") as caught:
        pulled(NAME)
    assert "LOCALMIX_HOME" in caught.value.hint
    assert fake_hub.stored() == []
    assert not store.home.exists()


def test_a_disk_with_just_enough_room_is_enough(fake_hub, pulled, monkeypatch):
    fake_hub.add(REPO, {FILE: DATA})
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(0, 0, len(DATA)))
    assert pulled(NAME).complete


def test_what_has_arrived_needs_no_more_room(fake_hub, pulled, monkeypatch):
    begin(fake_hub, pulled)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(0, 0, 100))
    assert pulled(NAME).complete


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
def test_a_disk_that_fills_up_on_the_way_is_not_enough(fake_hub, pulled, store, code):
    fake_hub.add(REPO, {FILE: DATA})

    def fill(progress):
        raise OSError(code, "No space left on device")

    with pytest.raises(NotEnoughDisk, match="filled up; what has arrived") as caught:
        pulled(NAME, fill)
    assert "free some space" in caught.value.hint
    assert listed(store) == [(NAME, False)]
    assert part_of(store).exists()


def test_a_store_that_cannot_be_written_is_a_sentence(fake_hub, pulled, store):
    fake_hub.add(REPO, {FILE: DATA})
    store.home.write_text("a file where the folder should be")
    with pytest.raises(DownloadFailed, match="cannot be written") as caught:
        pulled(NAME)
    assert "LOCALMIX_HOME" in caught.value.hint


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root writes anywhere")
def test_a_home_that_may_only_be_read_is_a_sentence(fake_hub, pulled, store):
    fake_hub.add(REPO, {FILE: DATA})
    store.home.mkdir(mode=0o500)
    with pytest.raises(DownloadFailed, match=r"cannot be written: .*denied"):
        pulled(NAME)


@pytest.mark.parametrize("where", ["models", "models/owner", f"models/{REPO}/.partial"])
def test_a_folder_that_is_a_link_out_of_the_store_is_refused(
    fake_hub, pulled, store, tmp_path, where
):
    fake_hub.add(REPO, {FILE: DATA})
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    link(store.home / where, elsewhere)
    if where == "models":  # a person's own way to another disk
        assert pulled(NAME).complete
        return
    with pytest.raises(LocalmixError, match="link that leads elsewhere") as caught:
        pulled(NAME)
    assert caught.value.hint
    assert list(elsewhere.iterdir()) == []


@pytest.mark.parametrize("kind", ["part", "journal", "staged", "place", "manifest"])
def test_a_file_that_is_a_link_is_never_written_through(
    fake_hub, pulled, store, inventory, hub, tmp_path, kind
):
    fake_hub.add(REPO, {FILE: DATA})
    target = tmp_path / "precious"
    target.write_bytes(b"precious")
    manifest = plan_pull(NAME, inventory, hub).manifest
    staged = store.staging_folder(manifest) / FILE
    path = {
        "part": part_path(staged),
        "journal": journal_path(part_path(staged)),
        "staged": staged,
        "place": store.place(manifest, manifest.files[0]),
        "manifest": store.manifest_path(manifest),
    }[kind]
    link(path, target)
    if kind == "manifest":  # written beside it and put in its place
        assert pulled(NAME).complete
    else:
        with pytest.raises(LocalmixError, match="link that leads elsewhere"):
            pulled(NAME)
    assert target.read_bytes() == b"precious"


# Names


@pytest.mark.parametrize(
    "path",
    [
        "../m-Q8_0-00001-of-00001.gguf",
        "a/../../m-Q8_0-00001-of-00001.gguf",
        "/etc/m-Q8_0-00001-of-00001.gguf",
        ".partial/m-Q8_0.gguf",
        "C:\\m-Q8_0.gguf",
        "m-Q8_0\n.gguf",
    ],
)
def test_a_hostile_name_is_refused_and_nothing_is_written(fake_hub, pulled, store, path):
    fake_hub.add(REPO, {path: DATA, FILE: DATA})
    with pytest.raises(DownloadFailed, match="odd name"):
        pulled(NAME)
    assert not store.home.exists()


@pytest.mark.parametrize("file", ["sub folder/Mödel (1) 雪-Q4_K_M.gguf", "a%20b+c#d-Q4_K_M.gguf"])
def test_an_odd_but_honest_name_is_pulled(fake_hub, pulled, file):
    fake_hub.add(REPO, {file: DATA})
    assert pulled(NAME).path.read_bytes() == DATA


# Two at once


def test_two_pulls_of_one_model_share_the_download(fake_hub, store, inventory, hub):
    fake_hub.add(REPO, {FILE: Pattern(3_000_000)})
    plan = plan_pull(NAME, inventory, hub)
    models = []
    pulls = [
        threading.Thread(target=lambda: models.append(pull(plan, store, hub))) for _ in range(2)
    ]
    for thread in pulls:
        thread.start()
    for thread in pulls:
        thread.join(timeout=30)
    assert [model.complete for model in models] == [True, True]
    assert fake_hub.sent_bytes == 3_000_000


def test_the_second_pull_says_that_it_waits_and_is_done_when_the_first_is(
    fake_hub, store, inventory, hub
):
    fake_hub.add(REPO, {FILE: DATA})
    plan = plan_pull(NAME, inventory, hub)
    waits, events, models = threading.Event(), [], []

    def on_progress(progress):
        events.append(progress)
        waits.set()

    second = threading.Thread(target=lambda: models.append(pull(plan, store, hub, on_progress)))

    def start_second(progress):
        if second.ident is None:
            second.start()
        assert waits.wait(30)

    models.append(pull(plan, store, hub, start_second))
    second.join(timeout=30)
    assert [model.path for model in models] == [models[0].path] * 2
    assert [event.stage for event in events] == ["wait"]
    assert fake_hub.sent_bytes == len(DATA)


# Gated, gone, offline


def test_the_token_opens_a_gated_model_and_never_reaches_the_storage(fake_hub, inventory, hub):
    fake_hub.add(REPO, {FILE: DATA}, token="hf_secret")
    hub = type(hub)(fake_hub.url, "hf_secret")
    assert pull(plan_pull(NAME, inventory, hub), inventory.store, hub, patience=QUICK).complete
    tokens = {(request.host.partition(":")[0], request.token) for request in fake_hub.requests}
    assert tokens == {("127.0.0.1", "hf_secret"), ("localhost", None)}


def test_a_model_that_is_gated_after_its_listing_says_what_to_do(fake_hub, pulled):
    fake_hub.add(REPO, {FILE: DATA}, token="hf_secret", open_listing=True)
    with pytest.raises(DownloadFailed, match="gated") as caught:
        pulled(NAME)
    assert "HF_TOKEN" in caught.value.hint


def test_a_hub_that_is_busy_for_a_moment_is_asked_again(fake_hub, pulled):
    fake_hub.add(REPO, {FILE: DATA}, faults=[Status(503, where="resolve"), Status(429)])
    assert pulled(NAME).complete


# ---- Windows -----------------------------------------------------------------------------------


def test_a_model_that_runs_is_not_replaced_on_windows_and_the_new_one_kept(
    fake_hub, pulled, store, monkeypatch
):
    repo, newer = fake_hub.add(REPO, {FILE: DATA}), DATA[::-1]
    pulled(NAME)
    repo.update({FILE: newer})
    place = repo_folder(store) / FILE
    windows = OpenFiles(monkeypatch)
    monkeypatch.setattr("localmix.json_file.time", SimpleNamespace(sleep=lambda seconds: None))
    windows.paths = {place}
    with pytest.raises(LocalmixError, match="in use") as caught:
        pulled(NAME, newest=True)
    assert "the same command again" in caught.value.hint
    assert place.read_bytes() == DATA
    windows.paths = set()
    fake_hub.requests.clear()
    pulled(NAME, newest=True)
    assert place.read_bytes() == newer
    assert fetched(fake_hub) == []


def test_a_path_that_is_too_long_for_windows_is_said_to_be(fake_hub, pulled, monkeypatch):
    fake_hub.add(REPO, {FILE: DATA})

    def fail(folder, manifest):
        raise FileNotFoundError(errno.ENOENT, "The system cannot find the path specified")

    monkeypatch.setattr("sys.platform", "win32")
    monkeypatch.setattr("localmix.registry.disk.store.Store.stage", fail)
    with pytest.raises(DownloadFailed, match="cannot find the path") as caught:
        pulled(NAME)
    assert "shorter path" in caught.value.hint
