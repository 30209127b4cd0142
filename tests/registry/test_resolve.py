import subprocess
import sys

import pytest
from support.stored import REPO, manifest_of, put

from localmix.errors import ModelNotFound, NotPulled
from localmix.registry.catalog import Catalog, CatalogEntry, Quantization
from localmix.registry.resolve import resolve

pytestmark = pytest.mark.usefixtures("embedded_file")

CATALOG = Catalog(
    (
        CatalogEntry("tiny"),
        CatalogEntry(
            "small:1b", ("small",), {"Q4_K_M": Quantization("Q4_K_M", 0.7, REPO)}, default="Q4_K_M"
        ),
    )
)


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
    path = store.repo_folder(REPO) / "Model-Q4_K_M.gguf"
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
