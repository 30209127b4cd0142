"""All models on this machine in one list, and which of them a name means."""

import os
from pathlib import Path

import pytest
from support.links import link
from support.stored import (
    CATALOG,
    NAME,
    REPO,
    begin,
    manifest_of,
    put,
    put_in_lm_studio,
    put_in_ollama,
    sha256_of,
    write_gguf,
)

from localmix.registry.disk.inventory import Inventory
from localmix.registry.disk.store import Store
from localmix.registry.manifest import Manifest, RepoFile
from localmix.registry.names import HubName, OllamaName
from localmix.registry.naming import copy_name, import_path
from localmix.registry.removal import remove
from localmix.registry.resolve import resolve

pytestmark = pytest.mark.usefixtures("embedded_file")


def listed(inventory):
    return [(model.name, model.origin) for model in inventory.list()]


def of_file(file, quantization="Q4_K_M", content=b"x" * 10):
    files = (RepoFile(file, len(content), sha256_of(content)),)
    return Manifest(f"hf.co/{REPO}/{file}", REPO, "c0ffee", quantization, files)


def test_the_embedded_model_is_always_there_and_nothing_is_written(inventory, embedded_file):
    [tiny] = inventory.list()
    assert (tiny.name, tiny.origin, tiny.complete) == ("tiny", "embedded", True)
    assert (tiny.path, tiny.size_bytes) == (embedded_file, 8)
    inventory.find(HubName(REPO))
    inventory.find_contents(("ab" * 32,))
    assert not inventory.home.exists()


def test_a_build_without_the_embedded_model_lists_none(inventory, embedded_file):
    embedded_file.unlink()
    assert inventory.list() == []


def test_ours_come_by_name_before_those_of_other_programs(inventory, store, tmp_path):
    put(store, manifest_of("Q8_0"))
    begin(store, manifest_of("Q2_K"))
    import_path(write_gguf(tmp_path / "Zoo.gguf"), inventory)
    copy_name("zoo", "another", inventory)
    put_in_ollama()
    put_in_lm_studio("me/Mine/m-Q4_0.gguf")
    assert listed(inventory) == [
        ("tiny", "embedded"),
        ("another", "imported"),
        (f"hf.co/{REPO}:Q2_K", "pulled"),
        (f"hf.co/{REPO}:Q8_0", "pulled"),
        ("Zoo", "imported"),
        ("ollama/mistral:latest", "Ollama"),
        ("hf.co/me/Mine:Q4_0", "LM Studio"),
    ]


def test_hidden_models_are_not_listed_and_can_still_be_found(inventory):
    path = put_in_lm_studio()
    inventory.records.hide(path)
    assert listed(inventory) == [("tiny", "embedded")]
    name = HubName(REPO, "Q4_K_M")
    assert inventory.find(name) is None
    assert inventory.find(name, with_hidden=True).path == path


def test_our_own_folder_is_not_taken_for_another_programs():
    inventory = Inventory(Path.home() / ".lmstudio")
    put(inventory.store, manifest_of())
    assert [model.origin for model in inventory.list()] == ["embedded", "pulled"]


def test_a_link_in_a_circle_among_other_programs_files_does_no_harm(inventory):
    path = put_in_lm_studio()
    path.unlink()
    link(path, path)
    put_in_ollama()
    assert ("ollama/mistral:latest", "Ollama") in listed(inventory)


# ---- which one a name means --------------------------------------------------------------------


def test_a_quantization_is_found_in_any_case(inventory, store):
    for quantization in ("Q8_0", "Q2_K"):
        put(store, manifest_of(quantization))
    assert inventory.find(HubName("Owner/model-gguf", "q8_0")).name.endswith("Q8_0")
    assert inventory.find(HubName(REPO, "Q6_K")) is None
    assert inventory.find(HubName("owner/Other", "Q8_0")) is None


@pytest.mark.parametrize("n_whole", [1, 2])
def test_of_two_models_of_one_quantization_the_whole_one_is_found(inventory, store, n_whole):
    for n_shards in (1, 2):
        put(store, manifest_of(n_shards=n_shards), n_files=None if n_shards == n_whole else 0)
    found = inventory.find(HubName(REPO, "Q4_K_M"))
    assert found.complete
    assert len(found.paths) == n_whole


def test_of_two_whole_models_of_one_quantization_the_plainer_is_found(inventory, store):
    for file in ("a/Model-Q4_K_M.gguf", "Model-Q4_K_M.gguf", "A-Model-Q4_K_M.gguf"):
        put(store, of_file(file))
    found = inventory.find(HubName(REPO, "Q4_K_M"))
    assert found.path == store.folder / REPO / "Model-Q4_K_M.gguf"
    found = inventory.find(HubName(REPO, file="a/Model-Q4_K_M.gguf"))
    assert found.path == store.folder / REPO / "a/Model-Q4_K_M.gguf"


def test_a_file_is_found_by_its_own_name_only(inventory, store):
    put(store, manifest_of(n_shards=2))
    assert inventory.find(HubName(REPO, file="Model-Q4_K_M-00002-of-00002.gguf")).complete
    assert inventory.find(HubName(REPO, file="Model.gguf")) is None


def test_a_repository_alone_means_q4_k_m_or_the_only_model(inventory, store):
    put(store, manifest_of("Q8_0"))
    assert inventory.find(HubName(REPO)).name.endswith("Q8_0")
    put(store, manifest_of("Q2_K"))
    assert inventory.find(HubName(REPO)) is None
    put(store, manifest_of("Q4_K_M"))
    assert inventory.find(HubName(REPO)).name.endswith("Q4_K_M")


def test_two_quantizations_that_ollama_pulled_are_two_models(inventory):
    for quantization in ("Q2_K", "Q8_0"):
        put_in_ollama(f"hf.co/{REPO}/{quantization}", quantization.encode())
    assert inventory.find(HubName(REPO)) is None
    assert inventory.find(HubName(REPO, "Q8_0")).name == f"ollama/hf.co/{REPO}:Q8_0"


def test_one_model_that_two_programs_have_is_one_for_a_repository_alone(inventory):
    put_in_ollama(f"hf.co/{REPO}/Q8_0")
    path = put_in_lm_studio(f"{REPO}/Model-Q8_0.gguf")
    assert inventory.find(HubName(REPO)).complete
    assert inventory.find(HubName(REPO, file="Model-Q8_0.gguf")).path == path


def test_a_model_of_ollama_is_found_by_its_name_in_any_case(inventory):
    blob = put_in_ollama()
    assert inventory.find(OllamaName("mistral")).path == blob
    assert inventory.find(OllamaName("Mistral", "Latest")).path == blob
    assert inventory.find(OllamaName("mistral", "7b")) is None


def test_ours_goes_before_the_same_model_of_another_program(inventory, store):
    put_in_lm_studio()
    put(store, of_file("new/Model-Q4_K_M.gguf"))
    assert inventory.find(HubName(REPO, "Q4_K_M")).origin == "pulled"


@pytest.mark.parametrize("is_begun", [True, False])
def test_an_incomplete_one_of_ours_gives_way_to_a_whole_one_of_another_program(
    inventory, store, is_begun
):
    put_in_lm_studio()
    if is_begun:
        begin(store, manifest_of())
    else:
        put(store, manifest_of(), n_files=0)
    found = inventory.find(HubName(REPO, "Q4_K_M"))
    assert (found.origin, found.complete) == ("LM Studio", True)
    assert [name for name, _ in listed(inventory)] == ["tiny", NAME, NAME]


# ---- by contents -------------------------------------------------------------------------------


def test_a_model_is_found_by_what_is_in_its_files(inventory, store):
    put(store, manifest_of(n_shards=2))
    blob = put_in_ollama(content=b"y" * 10)
    same = sha256_of(b"x" * 10)
    assert inventory.find_contents((same, same)).name == NAME
    assert inventory.find_contents((sha256_of(b"y" * 10).upper(),)).path == blob
    assert inventory.find_contents((same,)) is None
    assert inventory.find_contents((same, same, same)) is None


def test_contents_that_nobody_stated_are_not_found(inventory):
    put_in_lm_studio()
    assert inventory.find_contents(("",)) is None
    assert inventory.find_contents(()) is None


def test_an_incomplete_model_is_not_found_by_its_contents(inventory, store):
    put(store, manifest_of(), n_files=0)
    put_in_ollama(content=b"y" * 10, size=11)
    for content in (b"x" * 10, b"y" * 10):
        assert inventory.find_contents((sha256_of(content),)) is None


def test_a_hidden_model_is_found_by_its_contents(inventory):
    blob = put_in_ollama()
    inventory.records.hide(blob)
    assert inventory.find_contents((sha256_of(b"x" * 10),)).path == blob


# ---- a home that cannot be written ---------------------------------------------------------------


@pytest.fixture
def read_only(inventory, store, tmp_path):
    """A home with a pulled and an imported model, that nobody may write any more."""
    if not hasattr(os, "geteuid") or os.geteuid() == 0:
        pytest.skip("root may write, and Windows has other rights")
    put(store, manifest_of())
    import_path(write_gguf(tmp_path / "m.gguf"), inventory, "mine", CATALOG)
    folders = [path for path in [inventory.home, *inventory.home.rglob("*")] if path.is_dir()]
    for folder in folders:
        folder.chmod(0o500)
    yield inventory
    for folder in folders:
        folder.chmod(0o700)


def test_a_home_that_cannot_be_written_can_be_read(read_only):
    assert {model.name for model in read_only.list()} == {"tiny", NAME, "mine"}
    assert resolve("mine", read_only.home).exists()
    assert resolve(NAME, read_only.home).exists()
    read_only.records.note_use(resolve("mine", read_only.home))
    assert read_only.records.last_used() == {}


@pytest.mark.parametrize("name", [NAME, "mine"])
def test_nothing_is_lost_of_a_home_that_cannot_be_written(read_only, name):
    with pytest.raises(OSError, match="denied"):
        remove(name, read_only, CATALOG)
    assert {model.name for model in read_only.list() if model.complete} == {"tiny", NAME, "mine"}


@pytest.mark.parametrize("place", ["owner", REPO, f"{REPO}/.partial", f"{REPO}/.partial/x"])
def test_a_folder_that_may_not_be_entered_hides_no_other(read_only, place):
    store = Store(read_only.home.parent / "second")
    other = put(store, manifest_of(repo="other/Model"))
    folder = store.folder / place
    (folder / "more").mkdir(parents=True)
    folder.chmod(0)
    try:
        found = [model.name for model in store.list()]
    finally:
        folder.chmod(0o700)
    assert found == [other.name]
