import json
import os
from pathlib import Path

import pytest
from support.links import link

from localmix.registry.adopt import adopted_models
from localmix.registry.names import HubName, parse_name

REPO = "lmstudio-community/Model-GGUF"


@pytest.fixture
def home():
    return Path.home() / ".lmstudio"


def put(folder, path="m-Q4_K_M.gguf", repo=REPO, content=b"GGUF"):
    place = folder / repo / path
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_bytes(content)
    return place


def write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def names():
    return [model.name for model in adopted_models()]


def test_a_model_is_used_where_lm_studio_put_it(home):
    path = put(home / "models")
    [model] = adopted_models()
    assert (model.name, model.origin) == (f"hf.co/{REPO}:Q4_K_M", "LM Studio")
    assert (model.paths, model.size_bytes, model.complete) == ((path,), 4, True)
    assert model.hub_name == HubName(REPO, "Q4_K_M", "m-Q4_K_M.gguf")
    assert model.sha256 == ("",)


def test_shards_are_one_model(home):
    first = put(home / "models", "Q8_0/m-Q8_0-00001-of-00002.gguf")
    assert [model.complete for model in adopted_models()] == [False]
    second = put(home / "models", "Q8_0/m-Q8_0-00002-of-00002.gguf")
    [model] = adopted_models()
    assert (model.paths, model.complete) == ((first, second), True)


@pytest.mark.parametrize(
    "name",
    ["m-Q4_K_M.gguf.part", "downloading_m-Q4_K_M.gguf.part", "mmproj-m-F16.gguf", "m.imatrix.gguf",
     "config.json"],
)  # fmt: skip
def test_what_is_not_a_whole_model_is_not_listed(home, name):
    put(home / "models", name)
    assert names() == []


def test_a_file_that_lies_higher_or_deeper_is_none_of_lm_studios_models(home):
    put(home / "models", repo=".")
    put(home / "models", repo="owner")
    put(home / "models", "a/b/m-Q4_K_M.gguf")
    put(home / "models", repo=".hidden/r")
    put(home / "models", repo="o/.hidden")
    assert names() == []


def test_the_older_home_is_looked_at_too():
    put(Path.home() / ".cache/lm-studio/models")
    assert names() == [f"hf.co/{REPO}:Q4_K_M"]


def test_the_pointer_names_another_home(tmp_path):
    put(tmp_path / "moved/models")
    assert names() == []
    write(Path.home() / ".lmstudio-home-pointer", f"{tmp_path / 'moved'}\n")
    assert names() == [f"hf.co/{REPO}:Q4_K_M"]


def test_the_settings_name_another_folder_and_what_was_left_behind_is_still_found(home, tmp_path):
    put(tmp_path / "disk")
    put(home / "models", "m-Q8_0.gguf")
    write(home / "settings.json", json.dumps({"downloadsFolder": str(tmp_path / "disk")}))
    assert names() == [f"hf.co/{REPO}:Q4_K_M", f"hf.co/{REPO}:Q8_0"]


@pytest.mark.parametrize("place", [".config", "Library/Application Support", "AppData/Roaming"])
def test_older_versions_kept_their_settings_with_those_of_the_system(tmp_path, place):
    put(tmp_path / "disk")
    document = "\ufeff" + json.dumps({"downloadsFolder": str(tmp_path / "disk")})
    write(Path.home() / place / "LM Studio" / "settings.json", document)
    assert names() == [f"hf.co/{REPO}:Q4_K_M"]


@pytest.mark.parametrize(
    "document",
    ["", "{", "[]", "null", "{}", '{"downloadsFolder": 3}', '{"downloadsFolder": ""}',
     '{"downloadsFolder": "models"}', '{"downloadsFolder": "/\\u0000"}', "[" * 100_000],
)  # fmt: skip
def test_damaged_settings_and_pointers_change_nothing(home, tmp_path, monkeypatch, document):
    monkeypatch.chdir(tmp_path)
    put(tmp_path / "models", "here-Q4_0.gguf")  # a relative path would find it
    put(home / "models")
    write(home / "settings.json", document)
    for pointer in (document, ".", "", "\x00"):
        write(Path.home() / ".lmstudio-home-pointer", pointer)
        assert names() == [f"hf.co/{REPO}:Q4_K_M"]


def test_one_folder_by_two_ways_is_looked_at_once(home, tmp_path):
    put(tmp_path / "disk", repo="My Models/the best")
    home.mkdir()
    link(home / "models", tmp_path / "disk")
    write(home / "settings.json", json.dumps({"downloadsFolder": str(tmp_path / "disk")}))
    assert len(names()) == 1


def test_an_imported_file_may_be_a_link_and_one_to_nothing_is_incomplete(home, tmp_path):
    imported = tmp_path / "m.gguf"
    imported.write_bytes(b"GGUF")
    link(home / "models" / REPO / "m-Q4_0.gguf", imported)
    assert [model.complete for model in adopted_models()] == [True]
    imported.unlink()
    assert [model.complete for model in adopted_models()] == [False]


def test_folders_that_are_links_end_even_in_a_circle(home, tmp_path):
    put(tmp_path / "disk", repo="r")
    link(home / "models/owner", tmp_path / "disk")
    link(tmp_path / "disk/circle", tmp_path / "disk")
    assert "hf.co/owner/r:Q4_K_M" in names()


def test_a_folder_that_names_no_repository_leaves_the_path_as_the_name(home):
    path = put(home / "models", repo="My Models/the best")
    [model] = adopted_models()
    assert (model.name, model.hub_name) == (str(path), None)
    assert parse_name(model.name).path == path


def test_a_name_twice_in_a_repository_is_the_files(home):
    put(home / "models", "a-Q4_0.gguf")
    put(home / "models", "b-Q4_0.gguf")
    assert names() == [f"hf.co/{REPO}/a-Q4_0.gguf", f"hf.co/{REPO}/b-Q4_0.gguf"]


def test_a_folder_that_cannot_be_read_counts_as_empty(home, monkeypatch):
    write(home / "models", "a file where a folder should be")
    assert names() == []
    (home / "models").unlink()
    put(home / "models")

    def refuse(*args):
        raise PermissionError("not yours")

    monkeypatch.setattr(os, "scandir", refuse)
    assert names() == []


@pytest.mark.skipif(
    os.name == "nt" or not hasattr(os, "geteuid") or os.geteuid() == 0,
    reason="the administrator may read everything",
)
def test_a_folder_that_may_not_be_entered_counts_as_empty(home):
    put(home / "models")
    home.chmod(0)
    try:
        assert names() == []
    finally:
        home.chmod(0o700)


def test_programs_come_one_after_the_other_each_by_name(home):
    put(home / "models", repo="Zoe/b")
    put(home / "models", repo="adam/c")
    cached = Path(os.environ["HF_HOME"]) / "hub/models--o--r/snapshots/c1/m-Q4_0.gguf"
    write(cached, "GGUF")
    assert [(model.origin, model.name) for model in adopted_models()] == [
        ("Hugging Face", "hf.co/o/r:Q4_0"),
        ("LM Studio", "hf.co/adam/c:Q4_K_M"),
        ("LM Studio", "hf.co/Zoe/b:Q4_K_M"),
    ]
