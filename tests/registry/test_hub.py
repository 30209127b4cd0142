import socket
import subprocess
import sys

import pytest
from support.fake_hub import FakeHub, sha256
from support.hub_faults import FOREVER, Status
from support.proxy import proxy

from localmix.errors import DownloadFailed, ModelNotFound
from localmix.registry.download.patience import Patience, Trouble
from localmix.registry.hub import Hub
from localmix.registry.manifest import RepoFile

REPO = "owner/Model-GGUF"
SECRET = "hf_secret"
ONCE = Patience(tries=1)
QUICK = Patience(tries=3, first_s=0.001)
FILE = RepoFile("m-Q4_0.gguf", 3, sha256(b"abc"))


def test_a_listing_has_the_model_files_with_size_and_hash(fake_hub, hub):
    from support.fake_hub import REVISION

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


def test_a_token_that_was_saved_by_a_login_opens_a_gated_repository(fake_hub, hub, tmp_path):
    fake_hub.add(REPO, {"m-Q4_0.gguf": b"abc"}, token=SECRET)
    (tmp_path / "no_token").write_text(SECRET)
    assert hub.list_files(REPO).files
    assert hub.link(REPO, "main", FILE).headers == {}


# Links


def test_a_link_leads_to_the_storage_and_brings_no_token_there(fake_hub):
    fake_hub.add(REPO, {"m-Q4_0.gguf": b"abc"}, token=SECRET)
    link = Hub(fake_hub.url, SECRET).link(REPO, "main", FILE)
    assert link.url.startswith(f"http://localhost:{fake_hub.port}/storage/")
    assert link.headers == {}
    [request] = fake_hub.requests
    assert (request.method, request.token) == ("HEAD", SECRET)


def test_a_file_that_the_hub_itself_gives_is_asked_for_with_the_token(fake_hub):
    fake_hub.add(REPO, {"m-Q4_0.gguf": b"abc"}, token=SECRET, lfs=())
    link = Hub(fake_hub.url, SECRET).link(REPO, "main", FILE)
    assert link.url.startswith(fake_hub.url)
    assert link.headers == {"Authorization": f"Bearer {SECRET}"}
    assert Hub(fake_hub.url).token is None


def test_a_link_to_a_repository_that_was_renamed_is_found(fake_hub, hub):
    fake_hub.add(REPO, {}, renamed_to="owner/New-GGUF")
    fake_hub.add("owner/New-GGUF", {"m-Q4_0.gguf": b"abc"})
    assert "owner/New-GGUF" in hub.link(REPO, "main", FILE).url


@pytest.mark.parametrize("content", [b"abd", b"abcd"])
def test_a_file_that_is_another_one_by_now_is_not_downloaded(fake_hub, hub, content):
    fake_hub.add(REPO, {"m-Q4_0.gguf": content})
    with pytest.raises(DownloadFailed, match="changed on the Hub meanwhile") as caught:
        hub.link(REPO, "main", FILE)
    assert not isinstance(caught.value, Trouble)
    assert "pull again" in caught.value.hint


@pytest.mark.parametrize(("status", "retry_after"), [(429, 7), (500, None), (503, 7)])
def test_a_hub_that_is_too_busy_for_a_link_is_trouble_that_may_pass(
    fake_hub, hub, status, retry_after
):
    repo = fake_hub.add(REPO, {"m-Q4_0.gguf": b"abc"})
    repo.faults.append(Status(status, retry_after=retry_after, where="resolve"))
    with pytest.raises(Trouble) as caught:
        hub.link(REPO, "main", FILE)
    assert caught.value.retry_after_s == retry_after
    assert hub.link(REPO, "main", FILE).url


@pytest.mark.parametrize("token", [None, "hf_wrong"])
def test_a_gated_file_says_that_a_token_is_needed(fake_hub, token):
    fake_hub.add(REPO, {"m-Q4_0.gguf": b"abc"}, token=SECRET, open_listing=True)
    hub = Hub(fake_hub.url, token)
    assert hub.list_files(REPO).files
    with pytest.raises(DownloadFailed, match="gated: it needs a token") as caught:
        hub.link(REPO, "main", FILE)
    assert "HF_TOKEN" in caught.value.hint
    assert SECRET not in caught.value.message


# What goes wrong


def test_the_token_is_not_shown_by_printing_a_hub():
    assert SECRET not in repr(Hub(token=SECRET))


def test_a_hub_that_is_busy_for_a_moment_is_asked_again(fake_hub):
    repo = fake_hub.add(REPO, {"m-Q4_0.gguf": b"abc"})
    repo.faults += [Status(503, where="api"), Status(429, where="api", retry_after=0)]
    assert Hub(fake_hub.url, patience=QUICK).list_files(REPO).files


def test_a_hub_that_stays_busy_is_given_up(fake_hub):
    repo = fake_hub.add(REPO, {}, faults=[Status(429, where="api", times=FOREVER)])
    with pytest.raises(DownloadFailed, match="asks for a pause") as caught:
        Hub(fake_hub.url, patience=QUICK).list_files(REPO)
    assert "wait a few minutes" in caught.value.hint
    assert len(fake_hub.requests) == QUICK.tries
    assert repo.faults


@pytest.mark.parametrize(
    ("status", "says"), [(401, "refuses"), (403, "refuses"), (429, "pause"), (500, "HTTP 500")]
)
def test_a_refusal_is_explained(fake_hub, status, says):
    hub = Hub(fake_hub.url, patience=ONCE)
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
            Hub(url, patience=ONCE).list_files(REPO)
    assert "network" in caught.value.hint


def test_a_hub_behind_a_proxy_is_reached_through_it(fake_hub, hub, monkeypatch):
    import huggingface_hub

    fake_hub.add(REPO, {"m-Q4_0.gguf": b"abc"})
    with proxy() as through:
        for name in ("NO_PROXY", "no_proxy"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv("HTTP_PROXY", through.url)
        huggingface_hub.close_session()  # it reads the variable once
        assert hub.list_files(REPO).files
        assert hub.link(REPO, "main", FILE).url
        assert [method for method, _, _ in through.passed] == ["GET", "HEAD"]
        huggingface_hub.close_session()


def test_a_mirror_with_its_own_certificate_wants_ssl_cert_file(monkeypatch, fake_hub, certificate):
    import huggingface_hub

    with FakeHub().serve(tls=certificate.context) as tls_hub:
        tls_hub.add(REPO, {"m-Q4_0.gguf": b"abc"})
        hub = Hub(tls_hub.url, patience=ONCE)
        with pytest.raises(DownloadFailed, match="certificate verify failed") as caught:
            hub.list_files(REPO)
        assert "SSL_CERT_FILE" in caught.value.hint
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate.path))
        huggingface_hub.close_session()  # it reads the variable once
        assert hub.list_files(REPO).files
        assert hub.link(REPO, "main", FILE).url.startswith("https://localhost:")
        huggingface_hub.close_session()


@pytest.mark.parametrize("answer", [b"<html>sign in to the network</html>", b"[]", b"{}", b"3"])
def test_an_answer_that_is_no_hubs_is_a_failed_download(fake_hub, hub, monkeypatch, answer):
    from support import fake_hub as module

    # What a hotel's network or a wrong HF_ENDPOINT would say.
    fake_hub.add(REPO, {"m-Q4_0.gguf": b"abc"})
    monkeypatch.setattr(module.json, "dumps", lambda value: answer.decode())
    with pytest.raises(DownloadFailed, match="could not be read"):
        hub.list_files(REPO)


def test_offline_asks_nobody(fake_hub, monkeypatch):
    fake_hub.add(REPO, {"m-Q4_0.gguf": b"abc"})
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(DownloadFailed, match="HF_HUB_OFFLINE is set") as caught:
        Hub.from_environ().list_files(REPO)
    assert "unset HF_HUB_OFFLINE" in caught.value.hint
    with pytest.raises(DownloadFailed, match="HF_HUB_OFFLINE is set"):
        Hub.from_environ().link(REPO, "main", FILE)
    with pytest.raises(DownloadFailed, match="HF_HUB_OFFLINE is set"):
        Hub.from_environ().search("mistral", 5)
    assert fake_hub.requests == []


def test_a_file_or_a_commit_that_has_gone_meanwhile_is_not_found(fake_hub, hub):
    repo = fake_hub.add(REPO, {"m-Q4_0.gguf": b"abc"})
    listing = hub.list_files(REPO)
    repo.update({"m-Q4_0.gguf": None}, forget=True)
    for revision in (listing.revision, "main"):
        with pytest.raises(ModelNotFound, match="any more"):
            hub.link(REPO, revision, FILE)


def test_a_file_that_is_refused_after_the_listing_says_so(fake_hub, hub):
    repo = fake_hub.add(REPO, {"m-Q4_0.gguf": b"abc"})
    hub.list_files(REPO)
    repo.status = 403
    with pytest.raises(DownloadFailed, match="refuses") as caught:
        hub.link(REPO, "main", FILE)
    assert "HF_TOKEN" in caught.value.hint


def test_nothing_but_the_model_is_asked_for(fake_hub):
    # A process of its own: huggingface_hub reads HF_ENDPOINT, and reports, once in a process.
    fake_hub.add(REPO, {"m-Q4_0.gguf": b"abc"})
    code = f"""
from localmix.registry.hub import Hub
hub = Hub.from_environ()
listing = hub.list_files({REPO!r})
print(hub.link({REPO!r}, listing.revision, listing.files["m-Q4_0.gguf"]).url)
"""
    printed = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True).stdout
    assert printed.startswith(b"http://localhost:")
    assert [request.path for request in fake_hub.requests if REPO not in request.path] == []
