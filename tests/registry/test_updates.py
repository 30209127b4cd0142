"""Each pulled model is compared with the Hub, whatever is wrong with the others."""

from dataclasses import replace

import pytest
from support.stored import begin, manifest_of, put, put_in_ollama

from localmix.errors import LocalmixError
from localmix.registry.download.patience import Patience
from localmix.registry.hub import Hub
from localmix.registry.manifest import RepoFile
from localmix.registry.updates import freshness

FILE = "Model-Q4_K_M.gguf"


@pytest.fixture
def pulled(store):
    """Put a model of `owner/NAME` into the store."""

    def put_one(name, **changes):
        return put(store, manifest_of(repo=f"owner/{name}", **changes))

    return put_one


def compared(inventory, hub):
    return {each.manifest.repo.partition("/")[2]: each for each in freshness(inventory, hub)}


def test_nothing_pulled_is_nothing_to_compare(inventory, fake_hub, hub):
    put_in_ollama()
    assert list(freshness(inventory, hub)) == []
    assert fake_hub.requests == []
    assert not inventory.home.exists()


def test_same_changed_and_gone_are_told_apart(inventory, fake_hub, hub, pulled):
    for name in ("Same", "Changed", "Larger", "Fileless", "Gone"):
        pulled(name)
    fake_hub.add("owner/Same", {FILE: b"x" * 10, "README.md": b"new"})
    fake_hub.add("owner/Changed", {FILE: b"y" * 10})
    fake_hub.add("owner/Larger", {FILE: b"x" * 11})
    fake_hub.add("owner/Fileless", {"Model-Q8_0.gguf": b"x" * 10})
    found = compared(inventory, hub)
    assert {name for name, each in found.items() if each.is_outdated} == {"Changed", "Larger"}
    assert (found["Same"].problem, found["Same"].is_outdated) == ("", False)
    assert found["Same"].revision == fake_hub.repos["owner/Same"].sha
    assert "not have it any more" in found["Fileless"].problem
    assert "no repository owner/Gone" in found["Gone"].problem
    assert found["Gone"].revision == ""


def test_another_commit_alone_makes_nothing_outdated(inventory, fake_hub, hub, pulled):
    pulled("Same")
    repo = fake_hub.add("owner/Same", {FILE: b"x" * 10})
    repo.update({"README.md": b"new"})
    found = compared(inventory, hub)["Same"]
    assert (found.is_outdated, found.revision) == (False, repo.sha)
    assert found.revision != found.manifest.revision


@pytest.mark.parametrize("changed", [0, 1])
def test_one_changed_part_makes_a_model_outdated(inventory, fake_hub, hub, pulled, changed):
    manifest = pulled("Parts", n_shards=2)
    contents = {file.path: b"x" * 10 for file in manifest.files}
    fake_hub.add("owner/Parts", {**contents, manifest.files[changed].path: b"y" * 10})
    assert compared(inventory, hub)["Parts"].is_outdated


def test_one_missing_part_is_a_problem(inventory, fake_hub, hub, pulled):
    manifest = pulled("Parts", n_shards=2)
    fake_hub.add("owner/Parts", {manifest.files[0].path: b"x" * 10})
    found = compared(inventory, hub)["Parts"]
    assert (found.is_outdated, bool(found.problem)) == (False, True)


def test_a_repository_is_asked_once_for_all_its_models(inventory, fake_hub, hub, pulled):
    for quantization in ("Q4_K_M", "Q8_0"):
        pulled("Two", quantization=quantization)
    fake_hub.add("owner/Two", {FILE: b"x" * 10, "Model-Q8_0.gguf": b"y" * 10})
    found = {e.manifest.quantization: e.is_outdated for e in freshness(inventory, hub)}
    assert found == {"Q4_K_M": False, "Q8_0": True}
    assert len(fake_hub.requests) == 1


def test_a_refused_repository_does_not_stop_the_others(inventory, fake_hub, hub, pulled):
    for name in ("A", "B", "C"):
        pulled(name)
    fake_hub.add("owner/A", {FILE: b"y"}, status=403)
    fake_hub.add("owner/B", {FILE: b"y"}, token="secret")
    fake_hub.add("owner/C", {FILE: b"y"})
    found = compared(inventory, hub)
    assert [found[name].is_outdated for name in "ABC"] == [False, False, True]
    assert "refuses" in found["A"].problem
    assert "gated" in found["B"].problem


def test_a_hub_that_is_out_of_reach_is_said_of_every_model(inventory, pulled):
    pulled("A")
    pulled("B")
    nowhere = Hub("http://127.0.0.1:9", patience=Patience(tries=1))
    assert ["could not be read" in each.problem for each in freshness(inventory, nowhere)] == [
        True,
        True,
    ]
    offline = Hub(offline=True)
    assert all("HF_HUB_OFFLINE" in each.problem for each in freshness(inventory, offline))


def test_a_repository_that_is_busy_does_not_stop_the_others(inventory, fake_hub, hub, pulled):
    pulled("A")
    pulled("B")
    fake_hub.add("owner/A", {FILE: b"y"}, status=503)
    fake_hub.add("owner/B", {FILE: b"y"})
    found = compared(inventory, replace(hub, patience=Patience(tries=1)))
    assert "503" in found["A"].problem
    assert found["B"].is_outdated


def test_damaged_manifests_and_downloads_are_passed_over(inventory, store, fake_hub, hub, pulled):
    store.manifest_path(pulled("A")).write_text("{")
    begin(store, manifest_of(repo="owner/B"))
    pulled("C")
    fake_hub.add("owner/C", {FILE: b"x" * 10})
    assert list(compared(inventory, hub)) == ["C"]


def test_a_comparison_reads_no_file_of_a_model(inventory, store, fake_hub, hub, pulled):
    manifest = pulled("A")
    store.place(manifest, manifest.files[0]).unlink()
    fake_hub.add("owner/A", {FILE: b"x" * 10})
    assert not compared(inventory, hub)["A"].is_outdated
    assert all("resolve" not in path for path in fake_hub.paths())


def test_a_sound_listing_is_needed(inventory, store, fake_hub, hub):
    put(store, replace(manifest_of(), files=(RepoFile(FILE, 10, "ab" * 32),)))
    fake_hub.add("owner/Model-GGUF", {FILE: b"x" * 10, "a/../b.gguf": b"x"})
    [found] = freshness(inventory, hub)
    assert "may be an attack" in found.problem
    with pytest.raises(LocalmixError):
        hub.list_files("owner/Model-GGUF")
