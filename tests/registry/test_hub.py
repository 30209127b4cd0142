import socket
import subprocess
import sys

import pytest

from localmix.errors import DownloadFailed, ModelNotFound
from localmix.registry.hub import Hub

REPO = "owner/Model-GGUF"
SECRET = "hf_secret"


def test_a_listing_has_the_model_files_with_size_and_hash(fake_hub, hub):
    from support.fake_hub import REVISION, sha256

    fake_hub.add(REPO, {"a/m-Q4_0.GGUF": b"abc", "README.md": b"hello"})
    listing = hub.list_files(REPO)
    assert (listing.repo, listing.revision) == (REPO, REVISION)
    [file] = listing.files.values()
    assert (file.path, file.size_bytes, file.sha256) == ("a/m-Q4_0.GGUF", 3, sha256(b"abc"))


def test_a_mirror_without_hashes_in_its_short_answer_is_asked_for_the_tree(fake_hub, hub):
    fake_hub.add(REPO, {"m-Q4_0.gguf": b"abc"}, has_blobs=False)
    assert hub.list_files(REPO).files["m-Q4_0.gguf"].size_bytes == 3
    assert any("/tree/" in path for path in fake_hub.paths())


@pytest.mark.parametrize(
    "path", ["../m.gguf", "/etc/m.gguf", "a/../../m.gguf", "C:\\m.gguf", ".x/m.gguf"]
)
def test_a_repository_with_a_file_name_that_leaves_its_folder_is_refused(fake_hub, hub, path):
    fake_hub.add(REPO, {path: b"abc", "m-Q4_0.gguf": b"abc"})
    with pytest.raises(DownloadFailed, match="odd name"):
        hub.list_files(REPO)


def test_an_unknown_repository_is_not_found(fake_hub, hub):
    with pytest.raises(ModelNotFound, match="no repository owner/None") as caught:
        hub.list_files("owner/None")
    assert "spelling" in caught.value.hint


@pytest.mark.parametrize("token", [None, "hf_wrong"])
def test_a_gated_repository_says_that_a_token_is_needed_and_where_to_give_it(fake_hub, token):
    fake_hub.add(REPO, {"m-Q4_0.gguf": b"abc"}, token=SECRET)
    with pytest.raises(DownloadFailed, match="needs a token") as caught:
        Hub(fake_hub.url, token).list_files(REPO)
    assert "HF_TOKEN" in caught.value.hint
    assert f"{fake_hub.url}/{REPO}" in caught.value.hint


def test_the_token_of_the_environment_opens_a_gated_repository(fake_hub, monkeypatch):
    fake_hub.add(REPO, {"m-Q4_0.gguf": b"abc"}, token=SECRET)
    monkeypatch.setenv("HF_TOKEN", SECRET)
    assert Hub.from_environ().list_files(REPO).files


def test_the_token_is_not_sent_to_where_the_files_are_stored(fake_hub, tmp_path):
    fake_hub.add(REPO, {"m-Q4_0.gguf": b"abc"}, token=SECRET)
    hub = Hub(fake_hub.url, SECRET)
    listing = hub.list_files(REPO)
    hub.download(REPO, listing.revision, "m-Q4_0.gguf", tmp_path / "here", lambda n_bytes: None)
    tokens = {request.host.partition(":")[0]: request.token for request in fake_hub.requests}
    assert tokens == {"127.0.0.1": SECRET, "localhost": None}


def test_the_token_is_not_shown_by_printing_a_hub():
    assert SECRET not in repr(Hub(token=SECRET))


@pytest.mark.parametrize(
    ("status", "says"), [(401, "refuses"), (403, "refuses"), (429, "pause"), (500, "HTTP 500")]
)
def test_a_refusal_is_explained(fake_hub, hub, status, says):
    fake_hub.add(REPO, {}, status=status)
    # A bare 401 is also what the Hub answers for a repository that does not exist.
    with pytest.raises((DownloadFailed, ModelNotFound)) as caught:
        hub.list_files(REPO)
    if status != 401:
        assert says in caught.value.message
    assert caught.value.hint


def test_a_hub_that_cannot_be_reached_is_a_failed_download(fake_hub):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}"
        with pytest.raises(DownloadFailed, match="could not be read") as caught:
            Hub(url).list_files(REPO)
    assert "network" in caught.value.hint


@pytest.mark.parametrize("answer", [b"<html>sign in to the network</html>", b"[]", b"{}", b"3"])
def test_an_answer_that_is_no_hubs_is_a_failed_download(fake_hub, hub, monkeypatch, answer):
    from support import fake_hub as module

    # What a hotel's network or a wrong HF_ENDPOINT would say.
    fake_hub.add(REPO, {"m-Q4_0.gguf": b"abc"})
    monkeypatch.setattr(module.json, "dumps", lambda value: answer.decode())
    with pytest.raises(DownloadFailed, match="could not be read"):
        hub.list_files(REPO)


def test_offline_asks_nobody(fake_hub, monkeypatch, tmp_path):
    fake_hub.add(REPO, {"m-Q4_0.gguf": b"abc"})
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(DownloadFailed, match="HF_HUB_OFFLINE is set") as caught:
        Hub.from_environ().list_files(REPO)
    assert "unset HF_HUB_OFFLINE" in caught.value.hint
    assert fake_hub.requests == []


def test_a_file_that_has_gone_meanwhile_is_not_found(fake_hub, hub, tmp_path):
    repo = fake_hub.add(REPO, {"m-Q4_0.gguf": b"abc"})
    listing = hub.list_files(REPO)
    repo.files.clear()
    with pytest.raises(ModelNotFound, match="any more"):
        hub.download(REPO, listing.revision, "m-Q4_0.gguf", tmp_path / "here", lambda n_bytes: None)


def test_a_file_that_is_refused_after_the_listing_says_so(fake_hub, hub, tmp_path):
    repo = fake_hub.add(REPO, {"m-Q4_0.gguf": b"abc"})
    listing = hub.list_files(REPO)
    repo.status = 403
    with pytest.raises(DownloadFailed, match="refuses") as caught:
        hub.download(REPO, listing.revision, "m-Q4_0.gguf", tmp_path / "here", lambda n_bytes: None)
    assert "HF_TOKEN" in caught.value.hint


def test_nothing_but_the_model_is_asked_for(fake_hub, tmp_path):
    # A process of its own: huggingface_hub reads HF_ENDPOINT, and reports, once in a process.
    fake_hub.add(REPO, {"m-Q4_0.gguf": b"abc"})
    code = f"""
import sys
from pathlib import Path
from localmix.registry.hub import Hub
hub = Hub.from_environ()
revision = hub.list_files({REPO!r}).revision
hub.download({REPO!r}, revision, "m-Q4_0.gguf", Path(sys.argv[1]), lambda n_bytes: None)
"""
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "here")], check=True)
    assert (tmp_path / "here" / "m-Q4_0.gguf").read_bytes() == b"abc"
    assert [request.path for request in fake_hub.requests if REPO not in request.path] == []
