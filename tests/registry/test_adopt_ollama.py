import json
import os
from datetime import datetime, timezone
from pathlib import Path

import pytest
from support.links import link

from localmix import settings
from localmix.registry.adopt import adopted_models
from localmix.registry.names import HubName, parse_name

WEIGHTS = "application/vnd.ollama.image.model"
DIGITS = "ab" * 32


class Ollama:
    """A folder as `ollama pull` leaves it."""

    def __init__(self, folder):
        self.folder = folder

    def blob(self, content, digits=DIGITS):
        path = self.folder / "blobs" / f"sha256-{digits}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        return path

    def manifest(self, place, document, folder="manifests"):
        path = self.folder / folder / place
        path.parent.mkdir(parents=True, exist_ok=True)
        text = document if isinstance(document, str) else json.dumps(document)
        path.write_text(text, encoding="utf-8")
        return path

    def put(self, place, content=b"GGUF-weights", digits=DIGITS):
        self.manifest(place, manifest_of(layer(content, digits)))
        return self.blob(content, digits)


def layer(content=b"GGUF-weights", digits=DIGITS, kind=WEIGHTS):
    return {"mediaType": kind, "digest": f"sha256:{digits}", "size": len(content)}


def manifest_of(*layers):
    template = {"mediaType": "application/vnd.ollama.image.template", "digest": "x", "size": 1}
    return {"schemaVersion": 2, "config": {}, "layers": [*layers, template]}


@pytest.fixture
def ollama(tmp_path, monkeypatch):
    monkeypatch.setenv("OLLAMA_MODELS", str(tmp_path / "ollama"))
    return Ollama(tmp_path / "ollama")


def test_a_model_is_used_where_ollama_put_it(ollama):
    blob = ollama.put("registry.ollama.ai/library/mistral/7b")
    os.utime(blob, (1_700_000_000, 1_700_000_000))
    [model] = adopted_models()
    assert (model.name, model.origin, model.paths) == ("ollama/mistral:7b", "Ollama", (blob,))
    assert (model.size_bytes, model.complete, model.sha256) == (12, True, (DIGITS,))
    assert model.modified == datetime.fromtimestamp(1_700_000_000, tz=timezone.utc)
    assert model.hub_name is None


@pytest.mark.parametrize(
    ("place", "name"),
    [
        ("registry.ollama.ai/library/mistral/latest", "ollama/mistral:latest"),
        ("registry.ollama.ai/someone/m/v1", "ollama/someone/m:v1"),
        ("ollama.com/library/mistral/7b", "ollama/mistral:7b"),
        ("hf.co/o/r-GGUF/Q4_K_M", "ollama/hf.co/o/r-GGUF:Q4_K_M"),
        ("registry.example.org/library/m/x", "ollama/registry.example.org/library/m:x"),
    ],
)
def test_a_name_is_what_one_types_after_ollama(ollama, place, name):
    ollama.put(place)
    [model] = adopted_models()
    assert model.name == name
    assert parse_name(name).text == name


@pytest.mark.parametrize(
    ("place", "hub_name"),
    [
        ("hf.co/o/r/Q4_K_M", HubName("o/r", "Q4_K_M")),
        ("huggingface.co/o/r/q8_0", HubName("o/r", "Q8_0")),
        ("hf.co/o/r/latest", HubName("o/r")),
        ("hf.co/o/r/m-Q5_K_S.gguf", HubName("o/r", "Q5_K_S", "m-Q5_K_S.gguf")),
        ("hf.co/o/r-/Q4_K_M", None),
    ],
)
def test_a_model_pulled_from_the_hub_says_so(ollama, place, hub_name):
    ollama.put(place)
    [model] = adopted_models()
    assert model.hub_name == hub_name


def test_a_blob_of_another_size_is_not_complete(ollama):
    ollama.put("registry.ollama.ai/library/m/x").write_bytes(b"GGUF")
    [model] = adopted_models()
    assert (model.complete, model.size_bytes) == (False, 4)


def test_a_download_that_has_not_finished_is_not_listed(ollama):
    blob = ollama.put("registry.ollama.ai/library/m/x")
    blob.rename(blob.with_name(f"{blob.name}-partial"))
    assert adopted_models() == []


def test_several_files_of_weights_cannot_run_from_blobs(ollama):
    layers = [layer(b"one", "a" * 64), layer(b"two", "b" * 64)]
    ollama.manifest("registry.ollama.ai/library/m/x", manifest_of(*layers))
    ollama.blob(b"one", "a" * 64)
    ollama.blob(b"two", "b" * 64)
    [model] = adopted_models()
    assert (model.complete, len(model.paths), model.size_bytes) == (False, 2, 6)


def test_weights_with_an_adapter_are_another_model_and_not_listed(ollama):
    ollama.put("registry.ollama.ai/library/m/x")
    adapter = layer(kind="application/vnd.ollama.image.adapter")
    ollama.manifest("registry.ollama.ai/library/m/x", manifest_of(layer(), adapter))
    assert adopted_models() == []


@pytest.mark.parametrize(
    "digest",
    ["sha256:folder/../../../secret", f"sha256:{'a' * 63}", f"sha256:{'g' * 64}", "sha256:", "",
     f"sha256:{'a' * 65}", f"md5:{DIGITS}", f"sha256:{DIGITS}/", f"sha256:{DIGITS}\n", None, 7],
)  # fmt: skip
def test_a_digest_that_is_none_becomes_no_path(ollama, digest):
    ollama.put("registry.ollama.ai/library/m/x")
    (ollama.folder.parent / "secret").write_bytes(b"GGUF-weights")
    (ollama.folder / "blobs/sha256-folder").mkdir()
    for digits in ("", "a" * 63, "a" * 65, "g" * 64):
        ollama.blob(b"GGUF-weights", digits)
    hostile = manifest_of(layer() | {"digest": digest})
    ollama.manifest("registry.ollama.ai/library/m/x", hostile)
    assert adopted_models() == []


@pytest.mark.parametrize(
    "document",
    ["", "{", "null", "[]", "7", '"x"', "{}", '{"layers": 3}', '{"layers": [1, null, []]}',
     '{"layers": {}}', '{"manifests": [{"digest": "sha256:x"}, 1]}', "[" * 100_000, "\ud800",
     " " * 2_000_000 + json.dumps({"layers": [layer()]})],
)  # fmt: skip
def test_a_damaged_manifest_hides_nothing_but_itself(ollama, document):
    ollama.put("registry.ollama.ai/library/good/x")
    path = ollama.manifest("registry.ollama.ai/library/bad/x", "")
    path.write_bytes(document.encode("utf-8", "surrogatepass"))
    assert [model.name for model in adopted_models()] == ["ollama/good:x"]


@pytest.mark.parametrize(
    "place",
    ["registry.ollama.ai/library/m", "registry.ollama.ai/library/a/b/c", ".hidden/library/m/x",
     "registry.ollama.ai/library/m m/x", "registry.ollama.ai/library/a..b/x"],
)  # fmt: skip
def test_a_file_that_ollama_could_not_have_put_is_no_manifest(ollama, place):
    ollama.put(place)
    assert adopted_models() == []


def test_later_versions_link_manifests_and_list_one_per_program(ollama):
    blob = ollama.put("registry.ollama.ai/library/m/x")
    child = manifest_of(layer())
    other = manifest_of(layer(kind="application/vnd.ollama.image.tensor"))
    ollama.blob(json.dumps(other).encode(), "c" * 64)
    ollama.blob(json.dumps(child).encode(), "d" * 64)
    parent = {"manifests": [{"digest": f"sha256:{d * 64}", "runner": "r"} for d in "cd"]}
    ollama.blob(json.dumps(parent).encode(), "e" * 64)
    for tag in "xy":
        place = ollama.folder / f"manifests-v2/ollama.com/library/m/{tag}"
        link(place, Path("../../../../blobs") / f"sha256-{'e' * 64}")
    models = adopted_models()
    assert [model.name for model in models] == ["ollama/m:x", "ollama/m:y"]
    assert all(model.paths == (blob,) and model.complete for model in models)


def test_a_list_of_manifests_may_hold_them_in_full(ollama):
    ollama.put("registry.ollama.ai/library/m/x")
    parent = {"manifests": [manifest_of(), manifest_of(layer())]}
    ollama.manifest("ollama.com/library/m/y", parent, "manifests-v2")
    assert [model.name for model in adopted_models()] == ["ollama/m:x", "ollama/m:y"]


def test_a_model_in_two_folders_is_listed_once_and_whole(tmp_path, monkeypatch):
    monkeypatch.delenv("OLLAMA_MODELS")
    monkeypatch.setattr(settings, "_OLLAMA_SERVICE_FOLDERS", (tmp_path / "service",))
    own = Ollama(Path.home() / ".ollama" / "models")
    own.put("registry.ollama.ai/library/m/x").write_bytes(b"")
    blob = Ollama(tmp_path / "service").put("registry.ollama.ai/library/m/x")
    Ollama(tmp_path / "service").put("registry.ollama.ai/library/other/x")
    models = adopted_models()
    assert [model.name for model in models] == ["ollama/m:x", "ollama/other:x"]
    assert models[0].path == blob


def test_the_variable_means_its_folder_alone(ollama):
    Ollama(Path.home() / ".ollama" / "models").put("registry.ollama.ai/library/m/x")
    assert adopted_models() == []


def test_folders_that_cannot_be_read_count_as_empty(ollama, monkeypatch):
    assert adopted_models() == []
    ollama.put("registry.ollama.ai/library/m/x")
    (ollama.folder / "manifests-v2").write_text("a file where a folder should be")
    assert len(adopted_models()) == 1

    def refuse(*args):
        raise PermissionError("not yours")

    monkeypatch.setattr(os, "scandir", refuse)
    assert adopted_models() == []


def test_nothing_is_written(ollama, tmp_path):
    ollama.put("registry.ollama.ai/library/m/x")
    before = sorted(tmp_path.rglob("*")), sorted(Path.home().rglob("*"))
    adopted_models()
    assert (sorted(tmp_path.rglob("*")), sorted(Path.home().rglob("*"))) == before
