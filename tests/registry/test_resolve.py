import subprocess
import sys
from contextlib import suppress
from dataclasses import replace

import pytest
from support.stored import (
    CATALOG,
    NAME,
    REPO,
    begin,
    manifest_of,
    put,
    put_in_lm_studio,
    put_in_ollama,
    write_gguf,
)

from localmix.errors import ModelNotFound, NotPulled
from localmix.registry.names import PathName
from localmix.registry.naming import copy_name, import_path
from localmix.registry.resolve import find, resolve

pytestmark = pytest.mark.usefixtures("embedded_file")


def test_a_path_that_exists_is_taken_as_it_is(store, tmp_path):
    path = tmp_path / "any.gguf"
    path.write_bytes(b"")
    assert resolve(str(path), store.home) == path


def test_a_path_that_does_not_exist_is_not_found(store, tmp_path):
    with pytest.raises(ModelNotFound, match=r"no file .*none\.gguf"):
        resolve(str(tmp_path / "none.gguf"), store.home)


def test_a_repository_without_its_host_is_told_how_to_write_it(store):
    with pytest.raises(ModelNotFound) as caught:
        resolve("owner/Model-GGUF:Q8_0", store.home)
    assert "localmix pull hf.co/owner/Model-GGUF:Q8_0" in caught.value.hint


def test_the_embedded_model_is_always_here(store, embedded_file):
    assert resolve("tiny", store.home) == embedded_file


def test_an_installation_without_the_embedded_model_says_so(store, embedded_file):
    embedded_file.unlink()
    with pytest.raises(ModelNotFound, match="missing from this installation"):
        resolve("tiny", store.home)


def test_an_alias_and_its_repository_are_the_same_file(store):
    put(store, manifest_of())
    path = store.folder / REPO / "Model-Q4_K_M.gguf"
    for name in ("small", "SMALL:1b", "small:1b-q4_K_M", f"hf.co/{REPO}", f"hf.co/{REPO}:q4_k_m"):
        assert resolve(name, store.home, CATALOG) == path


@pytest.mark.parametrize("name", ["small", f"hf.co/{REPO}:Q8_0", "hf.co/owner/Other"])
def test_a_known_name_without_its_file_says_how_to_pull_it(store, name):
    put(store, manifest_of("Q2_K"))
    with pytest.raises(NotPulled, match="not on this machine") as caught:
        resolve(name, store.home, CATALOG)
    assert caught.value.hint == f"localmix pull {name}"


def test_a_download_that_did_not_finish_is_never_opened(store):
    put(store, manifest_of(n_shards=2), n_files=1)
    with pytest.raises(NotPulled, match="has not finished"):
        resolve("small", store.home, CATALOG)


def test_a_download_on_its_way_is_never_opened(store):
    begin(store, manifest_of())
    with pytest.raises(NotPulled, match="has not finished") as caught:
        resolve("small", store.home, CATALOG)
    assert caught.value.hint == "localmix pull small"


def test_the_older_version_runs_while_the_newer_one_arrives(store):
    put(store, manifest_of())
    begin(store, manifest_of(size_bytes=20))
    assert resolve("small", store.home, CATALOG).read_bytes() == b"x" * 10


def test_a_model_whose_manifest_is_damaged_is_to_be_pulled_again(store):
    manifest = put(store, manifest_of())
    store.manifest_path(manifest).write_text("{")
    with pytest.raises(NotPulled, match="has not finished"):
        resolve("small", store.home, CATALOG)


def test_a_name_that_was_given_goes_before_one_of_the_catalog(inventory, store, tmp_path):
    put(store, manifest_of())
    path = write_gguf(tmp_path / "m.gguf")
    inventory.records.add(replace(import_path(path, inventory, "mine", CATALOG)[0], name="small"))
    assert resolve("small", store.home, CATALOG) == path
    assert find("SMALL:latest", store.home, CATALOG).origin == "imported"


def test_a_given_name_reads_no_catalog(inventory, store, tmp_path):
    path = write_gguf(tmp_path / "m.gguf")
    import_path(path, inventory, "mine")
    (store.home / "models.toml").write_text("broken")
    assert resolve("mine", store.home) == path


def test_a_model_keeps_the_name_it_was_pulled_under_when_the_catalog_loses_it(store):
    put(store, replace(manifest_of(), name="gone:1b-q4_K_M"))
    put(store, replace(manifest_of("Q8_0"), name="gone:1b-q8_0"))
    found = find("Gone:1b-Q8_0", store.home, CATALOG)
    assert (found.name, found.path.name) == ("gone:1b-q8_0", "Model-Q8_0.gguf")
    with pytest.raises(ModelNotFound):
        find("gone:1b", store.home, CATALOG)


@pytest.mark.parametrize(
    ("put_there", "name"),
    [
        (put_in_lm_studio, "small"),
        (put_in_lm_studio, NAME),
        (put_in_lm_studio, f"hf.co/{REPO}/Model-Q4_K_M.gguf"),
        (put_in_ollama, "ollama/mistral"),
        (put_in_ollama, "Ollama/Mistral:latest"),
        (lambda: put_in_ollama(f"hf.co/{REPO}/Q4_K_M"), "small"),
    ],
)
def test_a_model_of_another_program_is_run_where_it_lies(store, put_there, name):
    path = put_there()
    assert resolve(name, store.home, CATALOG) == path
    assert not store.home.exists()


def test_a_hidden_model_is_not_run(inventory):
    inventory.records.hide(put_in_lm_studio())
    with pytest.raises(NotPulled, match="not on this machine"):
        resolve("small", inventory.home, CATALOG)


def test_what_ollama_does_not_have_is_not_ours_to_pull(store):
    with pytest.raises(NotPulled, match="Ollama has no mistral"):
        resolve("ollama/mistral", store.home)
    put_in_ollama(size=99)
    with pytest.raises(NotPulled, match="not finished") as caught:
        resolve("ollama/mistral", store.home)
    assert caught.value.hint == "ollama pull mistral:latest"


def test_a_file_in_a_folder_named_ollama_is_a_path(store, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_gguf(tmp_path / "ollama" / "blob")
    found = find("ollama/blob", store.home)
    assert isinstance(found, PathName)
    assert found.path.exists()


def test_a_copy_of_a_model_that_lost_a_part_says_so(inventory, store):
    manifest = put(store, manifest_of(n_shards=2))
    copy_name(NAME, "mine", inventory, CATALOG)
    store.place(manifest, manifest.files[1]).unlink()
    with pytest.raises(NotPulled, match="has gone"):
        resolve("mine", store.home, CATALOG)


@pytest.mark.parametrize("name", ["small", NAME, "tiny", "smal", "ollama/m", "x/y", "m.gguf"])
def test_looking_for_a_name_writes_nothing(store, name):
    with suppress(ModelNotFound, NotPulled):
        resolve(name, store.home, CATALOG)
    assert not store.home.exists()


@pytest.mark.parametrize("name", ["small", NAME, "mine"])
def test_a_home_that_is_a_file_holds_no_model(store, name):
    store.home.write_text("mine")
    with pytest.raises((NotPulled, ModelNotFound)):
        resolve(name, store.home, CATALOG)


def test_an_unknown_name_offers_close_ones(store):
    with pytest.raises(ModelNotFound, match="close names: small"):
        resolve("smal", store.home, CATALOG)


def test_a_file_without_suffix_is_found_unless_an_alias_has_its_name(
    store, tmp_path, monkeypatch, embedded_file
):
    monkeypatch.chdir(tmp_path)
    for name in ("sha256-0123", "tiny"):
        (tmp_path / name).write_bytes(b"")
    assert resolve("sha256-0123", store.home).name == "sha256-0123"
    assert resolve("tiny", store.home) == embedded_file


def test_resolving_imports_no_heavy_library(tmp_path):
    heavy = ("huggingface_hub", "numba", "numpy", "typer", "rich", "filelock", "platformdirs")
    code = (
        "import sys, pathlib; from localmix.registry.resolve import resolve\n"
        "try: resolve('mistral', pathlib.Path(sys.argv[1]))\n"
        "except Exception as exc: assert type(exc).__name__ == 'NotPulled', exc\n"
        f"print([name for name in {heavy} if name in sys.modules])"
    )
    answer = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True
    )
    assert answer.stdout.strip() == "[]"
