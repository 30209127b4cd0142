"""The fake Hub is a Hub: huggingface_hub works against it, and each fault is what its name says."""

import http.client
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import urlsplit
from urllib.request import urlopen

import pytest
from support import hub_faults
from support.fake_hub import REVISION, FakeHub, Pattern, sha256
from support.hub_faults import (
    FOREVER,
    Changed,
    Cut,
    IgnoreRange,
    OtherRange,
    Portal,
    Reset,
    Stall,
    Status,
    Trickle,
    WrongBytes,
    WrongLength,
)

REPO = "owner/Model-GGUF"
FILE = "a/m-Q4_0.gguf"
DATA = bytes(range(251)) * 40
RANGE = {"Range": "bytes=100-199"}


@pytest.fixture
def repo(fake_hub):
    return fake_hub.add(REPO, {FILE: DATA, "README.md": b"hello"})


@pytest.fixture
def api(fake_hub, monkeypatch):
    """huggingface_hub, which does not sleep before it tries again."""
    from huggingface_hub import HfApi, file_download

    monkeypatch.setattr(
        file_download, "time", SimpleNamespace(sleep=lambda s: None, time=time.time)
    )
    return HfApi(endpoint=fake_hub.url, token=False)


def ask(url, headers=None, method="GET"):
    """Ask once, following nothing; say the status, the headers and the body."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.netloc, timeout=5)
    try:
        connection.request(method, f"{parts.path}?{parts.query}", headers=headers or {})
        answer = connection.getresponse()
        return answer.status, answer.headers, answer.read()
    finally:
        connection.close()


def address(fake_hub, path=FILE, revision="main"):
    return f"{fake_hub.url}/{REPO}/resolve/{revision}/{path}"


def link(fake_hub, path=FILE, revision="main"):
    status, headers, _ = ask(address(fake_hub, path, revision))
    assert status == 302
    return headers["Location"]


# What huggingface_hub sees


def test_model_info_has_sizes_and_hashes_if_asked_for(repo, api):
    info = api.model_info(REPO, files_metadata=True)
    assert (info.id, info.sha, info.gated, info.tags) == (REPO, REVISION, False, ["gguf"])
    model, readme = info.siblings
    assert (model.rfilename, model.size) == (FILE, len(DATA))
    assert (model.lfs.sha256, model.lfs.size) == (sha256(DATA), len(DATA))
    # git hash-object says the same of a file with "hello".
    assert (readme.blob_id, readme.lfs) == ("b6fc4c620b67d95f953a5c1c1230aaab5db5a1b0", None)
    assert {file.size for file in api.model_info(REPO).siblings} == {None}


def test_a_tree_is_listed_whole_or_by_folder_and_page_by_page(fake_hub, repo, api):
    fake_hub.page_size = 1
    [model, readme] = [f for f in api.list_repo_tree(REPO, recursive=True) if hasattr(f, "size")]
    assert (model.path, model.size, model.lfs.sha256) == (FILE, len(DATA), sha256(DATA))
    assert (readme.path, readme.lfs) == ("README.md", None)
    assert [entry.path for entry in api.list_repo_tree(REPO)] == ["a", "README.md"]
    assert [entry.path for entry in api.list_repo_tree(REPO, "a")] == [FILE]


def test_a_search_finds_words_in_names_and_sorts(fake_hub, api):
    for name, downloads, tags in [
        ("one/Mistral-7B-GGUF", 5, ("gguf",)),
        ("two/mistral-7b-gguf", 9, ("gguf", "fine")),
        ("two/Mistral-7B", 99, ()),
        ("two/Mixtral-GGUF", 7, ("gguf",)),
    ]:
        fake_hub.add(name, {}, downloads=downloads, tags=tags)
    found = list(api.list_models(search="7b mistral", filter="gguf", sort="downloads", limit=5))
    assert [model.id for model in found] == ["two/mistral-7b-gguf", "one/Mistral-7B-GGUF"]
    assert (found[0].downloads, found[0].likes, found[0].tags) == (9, 0, ["gguf", "fine"])
    assert [model.id for model in api.list_models(author="one")] == ["one/Mistral-7B-GGUF"]
    fake_hub.page_size = 1
    assert len(list(api.list_models(filter="gguf"))) == 3
    assert len(list(api.list_models(filter="gguf", limit=2))) == 2


def test_a_search_says_what_is_gated_only_if_asked_for(fake_hub, api):
    fake_hub.add(REPO, {}, token="hf_secret")
    [model] = api.list_models()
    assert (model.gated, model.last_modified) == (None, None)
    for more in ({"full": True}, {"expand": ["gated", "lastModified"]}):
        [model] = api.list_models(**more)
        assert (model.gated, model.last_modified.year) == ("auto", 2026)


def test_the_metadata_of_a_file_stand_in_the_redirect(fake_hub, repo, api):
    about = api.get_hf_file_metadata(url=address(fake_hub))
    assert (about.commit_hash, about.etag, about.size) == (REVISION, sha256(DATA), len(DATA))
    assert about.location.startswith(f"http://localhost:{fake_hub.port}/storage/{REPO}/{FILE}?")
    small = api.get_hf_file_metadata(url=address(fake_hub, "README.md"))
    assert (small.commit_hash, small.size) == (REVISION, 5)
    assert small.location == address(fake_hub, "README.md")


@pytest.mark.parametrize("path", [FILE, "README.md"])
@pytest.mark.parametrize("place", ["cache_dir", "local_dir"])
def test_a_file_is_downloaded(repo, api, tmp_path, place, path):
    arrived = api.hf_hub_download(REPO, path, **{place: tmp_path / "here"})
    assert Path(arrived).read_bytes() == repo.files[path]


def test_a_large_file_is_downloaded(fake_hub, api, tmp_path):
    pattern = Pattern(3_000_000, seed=1)
    fake_hub.add(REPO, {FILE: pattern})
    arrived = api.hf_hub_download(REPO, FILE, local_dir=tmp_path / "here")
    assert sha256(Path(arrived).read_bytes()) == pattern.sha256
    assert fake_hub.sent_bytes == 3_000_000


def test_a_cut_download_goes_on_where_it_was_cut(fake_hub, repo, api, tmp_path, monkeypatch):
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "DOWNLOAD_CHUNK_SIZE", 100)
    repo.faults += [Cut(after=1000), Cut(after=1000), Status(429, retry_after="0")]
    arrived = api.hf_hub_download(REPO, FILE, local_dir=tmp_path / "here")
    assert Path(arrived).read_bytes() == DATA
    ranges = [request.range for request in fake_hub.stored()]
    assert ranges == [None, "bytes=1000-", "bytes=2000-", "bytes=2000-"]
    assert fake_hub.sent_bytes == len(DATA)
    assert repo.faults == []


def test_an_expired_link_is_refused_and_a_new_one_is_good(fake_hub, repo, api, tmp_path):
    from huggingface_hub.errors import HfHubHTTPError

    old = link(fake_hub)
    repo.link_uses = 0
    fake_hub.expire_links()
    status, headers, body = ask(old)
    assert (status, headers["Content-Type"]) == (403, "application/xml")
    assert b"<Code>AccessDenied</Code>" in body

    # huggingface_hub asks for no other link by itself: who calls it has to.
    repo.link_uses = 1
    repo.faults.append(Cut(after=1000))
    with pytest.raises(HfHubHTTPError, match="403"):
        api.hf_hub_download(REPO, FILE, local_dir=tmp_path / "here")
    arrived = api.hf_hub_download(REPO, FILE, local_dir=tmp_path / "here")
    assert Path(arrived).read_bytes() == DATA


def test_a_token_that_reaches_the_storage_is_written_down(fake_hub):
    fake_hub.add(REPO, {FILE: DATA}, token="hf_secret")
    secret = {"Authorization": "Bearer hf_secret"}
    _, headers, _ = ask(address(fake_hub), secret)
    ask(headers["Location"], secret)
    assert [request.token for request in fake_hub.stored()] == ["hf_secret"]


def test_a_gated_repository_may_show_its_listing(fake_hub, api, tmp_path):
    from huggingface_hub.errors import GatedRepoError

    fake_hub.add(REPO, {FILE: DATA}, token="hf_secret", open_listing=True)
    assert api.model_info(REPO).gated == "auto"
    with pytest.raises(GatedRepoError):
        api.hf_hub_download(REPO, FILE, local_dir=tmp_path / "here")


def test_a_new_commit_leaves_the_old_one_as_it_was(fake_hub, repo, api, tmp_path):
    from huggingface_hub.errors import EntryNotFoundError, RevisionNotFoundError

    before = link(fake_hub)
    new = repo.update({FILE: DATA[::-1], "README.md": None})
    assert len(new) == 40
    assert api.model_info(REPO).sha == new != REVISION
    assert api.model_info(REPO, revision=REVISION).sha == REVISION
    assert [f.path for f in api.list_repo_tree(REPO, recursive=True)] == ["a", FILE]
    assert len(list(api.list_repo_tree(REPO, recursive=True, revision=REVISION))) == 3
    for revision, data in [("main", DATA[::-1]), (new, DATA[::-1]), (REVISION, DATA)]:
        assert ask(link(fake_hub, revision=revision))[2] == data
        assert api.get_hf_file_metadata(url=address(fake_hub, revision=revision)).etag == sha256(
            data
        )
    assert ask(before)[2] == DATA
    with pytest.raises(EntryNotFoundError):
        api.hf_hub_download(REPO, "README.md", local_dir=tmp_path)

    repo.update({}, forget=True)
    for revision in (REVISION, new):
        with pytest.raises(RevisionNotFoundError):
            api.model_info(REPO, revision=revision)
        with pytest.raises(RevisionNotFoundError):
            api.hf_hub_download(REPO, FILE, revision=revision, local_dir=tmp_path)


def test_a_renamed_repository_is_found_under_its_old_name(fake_hub, repo, api, tmp_path):
    fake_hub.add("old/Name", {}, renamed_to=REPO)
    status, headers, _ = ask(f"{fake_hub.url}/old/Name/resolve/main/{FILE}", method="HEAD")
    assert (status, headers["Location"][:1]) == (307, "/")
    assert api.model_info("old/Name", files_metadata=True).siblings[0].size == len(DATA)
    arrived = api.hf_hub_download("old/Name", FILE, local_dir=tmp_path / "here")
    assert Path(arrived).read_bytes() == DATA


# Ranges and large files


@pytest.mark.parametrize(
    ("wanted", "part"),
    [
        ("bytes=0-0", slice(0, 1)),
        ("bytes=100-199", slice(100, 200)),
        ("bytes=10000-", slice(10000, None)),
        ("bytes=10000-99999", slice(10000, None)),
        ("bytes=-7", slice(-7, None)),
    ],
)
@pytest.mark.parametrize("content", [DATA, Pattern(len(DATA))], ids=["bytes", "pattern"])
def test_a_range_is_answered_with_just_that_part(fake_hub, content, wanted, part):
    fake_hub.add(REPO, {FILE: content})
    first, end, _ = part.indices(len(DATA))
    status, headers, body = ask(link(fake_hub), {"Range": wanted})
    assert (status, body) == (206, content[:][part])
    assert headers["Content-Range"] == f"bytes {first}-{end - 1}/{len(DATA)}"
    assert (headers["Accept-Ranges"], headers["Content-Length"]) == ("bytes", str(end - first))
    assert fake_hub.sent_bytes == end - first
    assert fake_hub.stored()[0].range == wanted


def test_a_range_beyond_the_end_cannot_be_satisfied(fake_hub, repo):
    status, headers, _ = ask(link(fake_hub), {"Range": f"bytes={len(DATA)}-"})
    assert (status, headers["Content-Range"]) == (416, f"bytes */{len(DATA)}")


def test_a_range_of_another_version_is_not_given(fake_hub, repo):
    etag = ask(link(fake_hub), method="HEAD")[1]["ETag"]
    assert ask(link(fake_hub), {**RANGE, "If-Range": etag})[0] == 206
    assert ask(link(fake_hub), {**RANGE, "If-Match": etag})[0] == 206
    assert ask(link(fake_hub), {**RANGE, "If-Range": '"other"'})[0] == 200
    assert ask(link(fake_hub), {**RANGE, "If-Match": '"other"'})[0] == 412


def test_no_page_of_a_pattern_is_like_another():
    pattern = Pattern(2_500_001, seed=3)
    whole = pattern[:]
    assert len(whole) == len(pattern) == 2_500_001
    pages = {whole[first : first + 4096] for first in range(0, len(whole), 4096)}
    assert len(pages) == -(-len(whole) // 4096)
    assert pages.isdisjoint(
        {Pattern(2_500_001, seed=4)[i : i + 4096] for i in range(0, 10**5, 4096)}
    )
    assert sha256(pattern) == sha256(whole)
    for first, last in [(0, 1), (1_048_570, 1_048_590), (5000, 2_200_000), (2_500_000, 9_000_000)]:
        assert pattern[first:last] == whole[first:last]
    pattern.file().seek(0)
    assert pattern.file().read() == whole


def test_connections_are_throttled(fake_hub, repo):
    fake_hub.rate_bytes_s = 100_000
    started = time.monotonic()
    assert ask(link(fake_hub))[2] == DATA
    assert time.monotonic() - started >= 0.09


# Faults


def test_a_cut_ends_the_body_early(fake_hub, repo):
    repo.faults.append(Cut(after=1000))
    assert ask(link(fake_hub), RANGE)[2] == DATA[100:200]  # too short to be cut there
    fake_hub.sent_bytes = 0
    with pytest.raises(http.client.IncompleteRead) as caught:
        ask(link(fake_hub))
    assert caught.value.partial == DATA[:1000]
    assert fake_hub.sent_bytes == 1000
    assert ask(link(fake_hub))[2] == DATA


def test_a_cut_can_be_a_reset(fake_hub, repo):
    repo.faults.append(Cut(after=1000, reset=True))
    with pytest.raises(ConnectionResetError):
        ask(link(fake_hub))


def test_a_reset_comes_before_any_header(fake_hub, repo):
    repo.faults.append(Reset())
    with pytest.raises(ConnectionResetError):
        ask(link(fake_hub))
    assert fake_hub.sent_bytes == 0


@pytest.mark.parametrize("after", [0, 1000])
def test_a_stall_says_nothing_for_a_time(fake_hub, repo, after):
    repo.faults.append(Stall(after=after, seconds=0.2))
    started = time.monotonic()
    with urlopen(link(fake_hub)) as answer:
        assert answer.read(after) == DATA[:after]
        assert time.monotonic() - started < 0.2
        assert answer.read() == DATA[after:]
    assert time.monotonic() - started >= 0.2


def test_a_stall_can_come_before_the_headers(fake_hub, repo):
    repo.faults.append(Stall(after=-1, seconds=0.1, where="resolve"))
    started = time.monotonic()
    assert ask(address(fake_hub))[0] == 302
    assert time.monotonic() - started >= 0.1


def test_a_stall_does_not_outlive_its_client(fake_hub, repo):
    repo.faults.append(Stall(after=1000))
    n_before = threading.active_count()
    with pytest.raises(TimeoutError):
        urlopen(link(fake_hub), timeout=0.05).read()
    until = time.monotonic() + 2
    while threading.active_count() > n_before and time.monotonic() < until:
        time.sleep(0.005)
    assert threading.active_count() <= n_before


def test_the_end_of_the_hub_waits_for_no_stall_and_no_client(monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1,localhost")
    n_before = threading.active_count()
    with FakeHub().serve() as hub:
        repo = hub.add(REPO, {FILE: DATA})
        repo.faults += [Stall(after=1000), Trickle(0.1)]
        answers = [urlopen(link(hub)) for _ in range(2)]
        idle = http.client.HTTPConnection("127.0.0.1", hub.port)
        idle.request("HEAD", "/")
        idle.getresponse().read()
        started = time.monotonic()
    assert time.monotonic() - started < 1
    assert threading.active_count() == n_before
    idle.close()
    for answer in answers:
        answer.close()


def test_a_trickle_is_slow(fake_hub, repo):
    repo.faults.append(Trickle(2000))
    started = time.monotonic()
    assert ask(link(fake_hub), {"Range": "bytes=0-199"})[2] == DATA[:200]
    assert time.monotonic() - started >= 0.09


@pytest.mark.parametrize("content", [DATA, Pattern(len(DATA))], ids=["bytes", "pattern"])
def test_wrong_bytes_stand_where_they_should(fake_hub, content):
    repo = fake_hub.add(REPO, {FILE: content})
    repo.faults += [WrongBytes(at=150, n=2), WrongBytes()]
    right = content[100:200]
    wrong = [ask(link(fake_hub), RANGE)[2] for _ in range(2)]
    assert [i for i in range(100) if wrong[0][i] != right[i]] == [50, 51]
    assert [i for i in range(100) if wrong[1][i] != right[i]] == [0]
    assert ask(link(fake_hub), RANGE)[2] == right


@pytest.mark.parametrize("code", [403, 429, 500, 503])
def test_an_error_comes_instead_of_the_file(fake_hub, repo, code):
    repo.faults.append(Status(code, retry_after="1"))
    status, headers, body = ask(link(fake_hub))
    assert (status, headers["Retry-After"], body) == (code, "1", b"")


def test_a_portal_answers_with_a_page(fake_hub, repo):
    repo.faults.append(Portal())
    status, headers, body = ask(link(fake_hub), RANGE)
    assert (status, headers.get_content_type(), headers["ETag"]) == (200, "text/html", None)
    assert b"sign in" in body


def test_a_range_may_be_ignored(fake_hub, repo):
    repo.faults.append(IgnoreRange())
    assert ask(link(fake_hub))[0] == 200
    assert repo.faults  # nothing to ignore so far
    status, headers, body = ask(link(fake_hub), RANGE)
    assert (status, headers["Content-Range"], body) == (200, None, DATA)


def test_another_range_than_asked_for_may_come(fake_hub, repo):
    repo.faults.append(OtherRange(by=50))
    status, headers, body = ask(link(fake_hub), RANGE)
    assert (status, headers["Content-Range"]) == (206, f"bytes 150-249/{len(DATA)}")
    assert body == DATA[150:250]


def test_lengths_may_be_wrong(fake_hub, repo):
    repo.faults += [WrongLength(by=-10), WrongLength(by=10), WrongLength(total_by=7)]
    assert ask(link(fake_hub), RANGE)[2] == DATA[100:190]
    with pytest.raises(http.client.IncompleteRead):
        ask(link(fake_hub), RANGE)
    _, headers, body = ask(link(fake_hub), RANGE)
    assert headers["Content-Range"] == f"bytes 100-199/{len(DATA) + 7}"
    assert body == DATA[100:200]


@pytest.mark.parametrize("content", [DATA, Pattern(len(DATA))], ids=["bytes", "pattern"])
def test_a_changed_file_stays_changed(fake_hub, content):
    repo = fake_hub.add(REPO, {FILE: content})
    url = link(fake_hub)
    answers = [ask(url, RANGE)]
    repo.faults.append(Changed())
    answers += [ask(url, RANGE), ask(link(fake_hub), RANGE)]
    etags = [headers["ETag"] for _, headers, _ in answers]
    assert etags[0] != etags[1] == etags[2]
    assert answers[0][2] == content[100:200] != answers[1][2] == answers[2][2]
    assert {headers["Content-Range"] for _, headers, _ in answers} == {"bytes 100-199/10040"}
    old = {**RANGE, "If-Range": etags[0]}
    assert ask(url, old)[0] == 200


def test_the_first_answer_after_a_change_knows_of_it(fake_hub, repo):
    etag = ask(link(fake_hub), method="HEAD")[1]["ETag"]
    repo.faults.append(Changed())
    assert ask(link(fake_hub), {**RANGE, "If-Range": etag})[0] == 200


def test_a_fault_waits_for_what_it_fits(fake_hub, repo):
    repo.files["b.gguf"] = DATA
    repo.faults += [
        Status(500, path="b.*", times=2),
        Status(501, at=150, times=FOREVER),
        Status(502, where="resolve"),
        Status(503, where="api"),
    ]
    assert ask(address(fake_hub))[0] == 502
    assert ask(f"{fake_hub.url}/api/models/{REPO}")[0] == 503
    assert [ask(link(fake_hub, "b.gguf"), {"Range": "bytes=0-9"})[0] for _ in range(3)] == [
        500,
        500,
        206,
    ]
    assert [ask(link(fake_hub), RANGE)[0] for _ in range(3)] == [501] * 3
    assert ask(link(fake_hub), {"Range": "bytes=200-299"})[0] == 206
    assert [fault.code for fault in repo.faults] == [501]


def test_a_search_may_fail_too(fake_hub):
    fake_hub.faults.append(Status(503, where="api"))
    assert [ask(f"{fake_hub.url}/api/models")[0] for _ in range(2)] == [503, 200]


def test_parallel_requests_take_one_fault_each(fake_hub, repo):
    repo.faults.append(Status(503, times=3))
    url, answers = link(fake_hub), []
    threads = [threading.Thread(target=lambda: answers.append(ask(url)[0])) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=5)
    assert sorted(answers) == [200] * 5 + [503] * 3
    assert fake_hub.sent_bytes == 5 * len(DATA)


def test_links_are_good_for_some_uses(fake_hub, repo):
    repo.link_uses = 2
    first, second = link(fake_hub), link(fake_hub)
    assert first != second
    statuses = [ask(url)[0] for url in (first, first, first, second)]
    assert statuses == [200, 200, 403, 200]
    assert ask(second.replace("Q4_0", "Q8_0"))[0] == 403


def test_all_faults_are_known_here():
    known = {value for value in vars(hub_faults).values() if isinstance(value, type)}
    faults = {cls for cls in known if issubclass(cls, hub_faults.Fault)} - {hub_faults.Fault}
    assert faults <= {value for value in globals().values() if isinstance(value, type)}


def test_the_hub_is_a_command_too():
    command = [sys.executable, "-m", "support.fake_hub", "--file", "m.gguf=3k", "--file", "n=10"]
    command += ["--fault", "Status(429, path='m*', retry_after=1)"]
    tests = Path(__file__).parent.parent
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=tests) as process:
        try:
            url = process.stdout.readline().strip()
            statuses = []
            for _ in range(2):
                _, headers, _ = ask(f"{url}/{REPO}/resolve/main/m.gguf")
                statuses.append(ask(headers["Location"]))
        finally:
            process.terminate()
    assert process.returncode == 0
    assert [status for status, _, _ in statuses] == [429, 200]
    assert statuses[1][2] == Pattern(3000, seed=0)[:]
