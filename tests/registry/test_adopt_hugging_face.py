import os
from pathlib import Path

import pytest
from support.fake_hub import sha256
from support.links import link

from localmix.registry.adopt import adopted_models
from localmix.registry.names import HubName, parse_name

REPO = "owner/Model-GGUF"


class Cache:
    """A cache as huggingface_hub leaves it."""

    def __init__(self, folder):
        self.folder = folder

    def repo(self, repo=REPO):
        return self.folder / ("models--" + repo.replace("/", "--"))

    def put(self, path, content=b"GGUF", commit="c1", repo=REPO):
        """Put a blob and its link; the content may be missing."""
        name = sha256(content or path.encode())
        blob = self.repo(repo) / "blobs" / name
        blob.parent.mkdir(parents=True, exist_ok=True)
        if content is not None:
            blob.write_bytes(content)
        place = self.repo(repo) / "snapshots" / commit / path
        link(place, Path(*[".."] * (2 + len(Path(path).parts) - 1), "blobs", name))
        return place

    def main(self, commit, repo=REPO):
        path = self.repo(repo) / "refs" / "main"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(commit, encoding="utf-8")


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    return Cache(tmp_path / "hub")


def names():
    return [model.name for model in adopted_models()]


def test_what_huggingface_hub_downloads_is_found(cache, fake_hub):
    from huggingface_hub import hf_hub_download

    files = {
        "Model-Q4_K_M.gguf": b"GGUF-four",
        "Q8_0/Model-Q8_0-00001-of-00002.gguf": b"GGUF-eight-1",
        "Q8_0/Model-Q8_0-00002-of-00002.gguf": b"GGUF-eight-2",
        "README.md": b"# A model",
    }
    fake_hub.add(REPO, files)
    places = {
        path: hf_hub_download(
            REPO, path, cache_dir=cache.folder, endpoint=fake_hub.url, token=False
        )
        for path in files
    }
    four, eight = adopted_models()
    assert (four.name, four.origin) == ("hf.co/owner/Model-GGUF:Q4_K_M", "Hugging Face")
    assert four.paths == (Path(places["Model-Q4_K_M.gguf"]),)
    assert four.hub_name == HubName(REPO, "Q4_K_M", "Model-Q4_K_M.gguf")
    assert (four.size_bytes, four.complete) == (9, True)
    assert four.sha256 == (sha256(b"GGUF-four"),)
    assert eight.name == "hf.co/owner/Model-GGUF:Q8_0"
    assert [str(path) for path in eight.paths] == [places[path] for path in list(files)[1:3]]
    assert eight.hub_name.file == "Q8_0/Model-Q8_0-00001-of-00002.gguf"
    assert eight.sha256 == (sha256(b"GGUF-eight-1"), sha256(b"GGUF-eight-2"))
    assert (eight.size_bytes, eight.complete) == (24, True)


def test_a_shard_that_is_missing_makes_a_model_incomplete(cache):
    cache.put("m-Q8_0-00001-of-00003.gguf", b"one")
    cache.put("m-Q8_0-00003-of-00003.gguf", b"three")
    [model] = adopted_models()
    assert (model.complete, len(model.paths), model.size_bytes) == (False, 2, 8)


def test_a_link_that_leads_to_nothing_makes_a_model_incomplete(cache):
    cache.put("m-Q4_0.gguf", None)
    [model] = adopted_models()
    assert (model.name, model.complete) == ("hf.co/owner/Model-GGUF:Q4_0", False)
    assert model.size_bytes == 0


def test_a_link_that_goes_round_in_circles_makes_a_model_incomplete(cache):
    snapshot = cache.put("other-Q8_0.gguf").parent
    link(snapshot / "m-Q4_0.gguf", "m-Q4_0.gguf")
    assert [model.complete for model in adopted_models()] == [False, True]


def test_a_link_out_of_the_cache_is_not_followed(cache, tmp_path):
    secret = tmp_path / "secret.gguf"
    secret.write_bytes(b"GGUF")
    snapshot = cache.put("good-Q8_0.gguf").parent
    link(snapshot / "bad-Q4_0.gguf", secret)
    link(snapshot / "worse-Q5_0.gguf", Path("../../../../secret.gguf"))
    link(cache.folder / "models--o--linked", snapshot.parent.parent)
    link(snapshot / "folder", tmp_path)
    assert names() == ["hf.co/owner/Model-GGUF:Q8_0"]


def test_the_cache_itself_may_be_a_link(cache, tmp_path, monkeypatch):
    cache.put("m-Q4_0.gguf")
    link(tmp_path / "elsewhere", cache.folder)
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "elsewhere"))
    assert names() == ["hf.co/owner/Model-GGUF:Q4_0"]


def test_a_file_instead_of_a_link_has_no_known_checksum(cache):
    path = cache.repo() / "snapshots/c1/m-Q4_0.gguf"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"GGUF")
    [model] = adopted_models()
    assert (model.paths, model.complete, model.sha256) == ((path,), True, ("",))


def test_of_two_snapshots_the_one_that_main_names_counts_and_else_the_newest(cache):
    old, new = (cache.put("m-Q4_0.gguf", c.encode(), commit=c) for c in ("a-old", "b-new"))
    os.utime(old.parent, (1_000, 1_000))
    os.utime(new.parent, (2_000, 2_000))
    assert [model.path for model in adopted_models()] == [new]
    cache.main("a-old\n")
    assert [model.path for model in adopted_models()] == [old]
    cache.main("../../../elsewhere")
    assert [model.path for model in adopted_models()] == [new]


def test_a_whole_model_of_an_older_snapshot_is_better_than_half_of_the_newest(cache):
    whole = cache.put("m-Q4_0.gguf", b"whole", commit="old")
    cache.put("m-Q4_0.gguf", None, commit="new")
    cache.put("m-Q8_0.gguf", b"eight", commit="new")
    cache.main("new")
    four, eight = adopted_models()
    assert (four.path, four.complete, eight.complete) == (whole, True, True)


def test_a_name_without_a_quantization_or_with_the_same_one_twice_is_the_files(cache):
    for path in ("a-Q4_0.gguf", "b-Q4_0.gguf", "plain.gguf", "c-Q8_0.gguf"):
        cache.put(path, path.encode())
    assert names() == [
        "hf.co/owner/Model-GGUF/a-Q4_0.gguf",
        "hf.co/owner/Model-GGUF/b-Q4_0.gguf",
        "hf.co/owner/Model-GGUF/plain.gguf",
        "hf.co/owner/Model-GGUF:Q8_0",
    ]
    for model in adopted_models():
        assert parse_name(model.name).text == model.name
        assert parse_name(model.name).repo == model.hub_name.repo


def test_what_is_no_model_is_not_listed(cache):
    for path in ("mmproj-m-F16.gguf", "m.imatrix.gguf", "m.safetensors", "README.md"):
        cache.put(path, path.encode())
    cache.put(".hidden/m-Q4_0.gguf")
    (cache.folder / ".locks" / "models--o--r").mkdir(parents=True)
    for folder in ("datasets--o--r", "models--r", "models--o--..", "models--a--b--c"):
        path = cache.folder / folder / "snapshots/c1/m-Q4_0.gguf"
        path.parent.mkdir(parents=True)
        path.write_bytes(b"GGUF")
    assert names() == []


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such names")
def test_a_name_that_could_not_be_shown_or_typed_is_not_listed(cache):
    cache.put("good-Q8_0.gguf")
    for name in (b"line\nbreak-Q4_0.gguf", b"not-utf-8-\xff-Q4_0.gguf", b"a:b-Q4_0.gguf"):
        try:
            cache.put(os.fsdecode(name), b"x")
        except (OSError, UnicodeEncodeError):
            pytest.skip("this file system has no such names")
    assert names() == ["hf.co/owner/Model-GGUF:Q8_0"]


def test_a_download_that_has_not_finished_is_not_listed(cache):
    blobs = cache.repo() / "blobs"
    blobs.mkdir(parents=True)
    (blobs / f"{'ab' * 32}.incomplete").write_bytes(b"GG")
    (cache.repo() / "snapshots" / "c1").mkdir(parents=True)
    assert names() == []


def test_the_cache_is_looked_up_in_the_mapping(tmp_path):
    cache = Cache(tmp_path / "home/.cache/huggingface/hub")
    cache.put("m-Q4_0.gguf")
    home = str(tmp_path / "home")
    environ = {"HOME": home, "USERPROFILE": home, "OLLAMA_MODELS": home}
    assert [model.origin for model in adopted_models(environ)] == ["Hugging Face"]
    assert adopted_models(environ | {"HF_HOME": str(tmp_path)}) == []


def test_a_cache_that_cannot_be_read_counts_as_empty(cache, monkeypatch):
    assert names() == []
    cache.put("m-Q4_0.gguf")
    (cache.repo("o/damaged") / "refs").mkdir(parents=True)
    (cache.repo("o/damaged") / "snapshots").write_text("no folder")
    cache.main("\x00")
    assert len(names()) == 1

    def refuse(*args):
        raise PermissionError("not yours")

    monkeypatch.setattr(os, "scandir", refuse)
    assert names() == []
