import pytest
from support.fake_hub import REVISION
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

from localmix.errors import DownloadFailed, ModelNotFound, NotPulled
from localmix.registry.hub import RepoListing
from localmix.registry.manifest import RepoFile
from localmix.registry.names import parse_name
from localmix.registry.naming import copy_name, import_path
from localmix.registry.plan import choose_files, plan_pull


def chosen(name, *paths):
    files = {path: RepoFile(path, 1, "") for path in paths}
    return choose_files(RepoListing("o/r", "main", files), parse_name(name)).paths


def test_a_quantization_is_looked_up_in_the_file_names_in_any_case():
    for asked in ("Q5_K_M", "q5_k_m"):
        found = chosen(f"hf.co/o/r:{asked}", "m.Q4_K_M.gguf", "m.q5_k_m.gguf", "m.Q5_K_S.gguf")
        assert found == ("m.q5_k_m.gguf",)


def test_a_quantization_is_not_taken_for_the_beginning_of_another():
    assert chosen("hf.co/o/r:Q4_K", "m-Q4_K_M.gguf", "m-Q4_K.gguf") == ("m-Q4_K.gguf",)
    with pytest.raises(ModelNotFound):
        chosen("hf.co/o/r:Q4_0", "m-Q4_0_4_4.gguf", "m-IQ4_0.gguf", "m-Q4_0x.gguf")


def test_no_quantization_means_q4_k_m_or_the_only_model():
    assert chosen("hf.co/o/r", "m-Q8_0.gguf", "m-Q4_K_M.gguf") == ("m-Q4_K_M.gguf",)
    assert chosen("hf.co/o/r", "m-Q8_0.gguf", "README.md") == ("m-Q8_0.gguf",)
    with pytest.raises(ModelNotFound, match="those that exist: Q2_K, Q8_0") as caught:
        chosen("hf.co/o/r", "m-Q8_0.gguf", "m-Q2_K.gguf")
    assert caught.value.hint == "localmix pull hf.co/o/r:Q2_K"


def test_an_unknown_quantization_lists_those_that_exist():
    with pytest.raises(ModelNotFound, match="no quantization Q9_K; those that exist: Q4_0, Q8_0"):
        chosen("hf.co/o/r:Q9_K", "m-Q8_0.gguf", "m-Q4_0.gguf")


def test_a_file_that_is_named_wins():
    paths = ("m-Q8_0.gguf", "m-Q4_K_M.gguf", "a/odd.gguf")
    assert chosen("hf.co/o/r/a/odd.gguf", *paths) == ("a/odd.gguf",)
    with pytest.raises(ModelNotFound, match=r"has no file none\.gguf"):
        chosen("hf.co/o/r/none.gguf", *paths)


def test_one_shard_that_is_named_means_all_of_them():
    paths = tuple(f"m-Q8_0-0000{i}-of-00003.gguf" for i in (1, 2, 3))
    for name in ("hf.co/o/r:Q8_0", f"hf.co/o/r/{paths[1]}"):
        assert chosen(name, *paths) == paths


def test_a_repository_that_lacks_a_shard_is_refused():
    with pytest.raises(DownloadFailed, match="only 2 of the 3 shards"):
        chosen("hf.co/o/r:Q8_0", "m-Q8_0-00001-of-00003.gguf", "m-Q8_0-00002-of-00003.gguf")


def test_of_two_files_with_one_quantization_the_plainer_is_taken():
    for other in ("a/m-Q4_K_M.gguf", "z/m-Q4_K_M.gguf", "a-m-Q4_K_M.gguf", "m-z-Q4_K_M.gguf"):
        assert chosen("hf.co/o/r", other, "m-Q4_K_M.gguf") == ("m-Q4_K_M.gguf",)
    assert chosen("hf.co/o/r", "a/Q4_K_M.gguf", "long-m-Q4_K_M.gguf") == ("long-m-Q4_K_M.gguf",)


def test_a_repository_without_model_files_says_so():
    with pytest.raises(ModelNotFound, match=r"no \.gguf file") as caught:
        chosen("hf.co/o/r", "model.safetensors", "mmproj-f16.gguf")
    assert "-GGUF" in caught.value.hint


def test_a_plan_names_repository_files_and_sizes_and_writes_nothing(fake_hub, hub, inventory):
    fake_hub.add(REPO, {"Model-Q4_K_M.gguf": b"x" * 70, "Model-Q8_0.gguf": b"x" * 90})
    plan = plan_pull("small", inventory, hub, CATALOG)
    assert (plan.name, plan.manifest.name) == ("small:1b-q4_K_M", "small:1b-q4_K_M")
    assert (plan.manifest.repo, plan.manifest.quantization) == (REPO, "Q4_K_M")
    assert (plan.manifest.revision, plan.manifest.pulled_at) == (REVISION, "")
    assert plan.manifest.files == (RepoFile("Model-Q4_K_M.gguf", 70, sha256_of(b"x" * 70)),)
    assert plan.missing == plan.manifest.files
    assert (plan.size_bytes, plan.missing_bytes, plan.stored) == (70, 70, None)
    assert plan.others == (("Q8_0", 90),)
    assert not inventory.home.exists()
    assert fake_hub.paths("HEAD") == []


def test_a_model_outside_the_catalog_is_named_by_its_repository(fake_hub, hub, inventory):
    fake_hub.add("o/r", {"m-Q8_0.gguf": b"x", "odd.gguf": b"y"})
    assert plan_pull("hf.co/o/r:q8_0", inventory, hub, CATALOG).name == "hf.co/o/r:Q8_0"
    assert plan_pull("hf.co/o/r/m-Q8_0.gguf", inventory, hub, CATALOG).name == "hf.co/o/r:Q8_0"
    assert plan_pull("hf.co/o/r/odd.gguf", inventory, hub, CATALOG).name == "hf.co/o/r/odd.gguf"


def test_a_name_means_one_model_where_a_quantization_is_there_twice(fake_hub, hub, inventory):
    paths = (
        "Model-Q4_K_M.gguf",
        "new/Model-Q4_K_M.gguf",
        "z-Q8_0-00001-of-00002.gguf",
        "zz-Q8_0.gguf",
    )
    fake_hub.add(REPO, {path: path.encode() for path in paths})
    names = {
        path: plan_pull(f"hf.co/{REPO}/{path}", inventory, hub, CATALOG).name
        for path in paths
        if "of" not in path
    }
    assert names == {
        "Model-Q4_K_M.gguf": "small:1b-q4_K_M",
        "new/Model-Q4_K_M.gguf": f"hf.co/{REPO}/new/Model-Q4_K_M.gguf",
        "zz-Q8_0.gguf": f"hf.co/{REPO}/zz-Q8_0.gguf",
    }
    for path, name in names.items():
        assert plan_pull(name, inventory, hub, CATALOG).manifest.files[0].path == path


@pytest.mark.parametrize("name", ["small", NAME, f"hf.co/{REPO}", "mine"])
def test_a_model_that_is_here_needs_no_hub(fake_hub, hub, inventory, store, name):
    put(store, manifest_of())
    copy_name(NAME, "mine", inventory, CATALOG)
    plan = plan_pull(name, inventory, hub, CATALOG)
    assert plan.stored is not None
    assert plan.stored.complete
    assert (plan.missing, plan.size_bytes) == ((), 10)
    assert fake_hub.requests == []


def test_a_model_that_lacks_a_part_lacks_that_part_only(fake_hub, hub, inventory, store):
    manifest = put(store, manifest_of(n_shards=3), n_files=2)
    fake_hub.add(REPO, {file.path: b"x" * 10 for file in manifest.files})
    plan = plan_pull(NAME, inventory, hub, CATALOG)
    assert plan.missing == manifest.files[2:]
    assert (plan.size_bytes, plan.missing_bytes) == (30, 10)


def test_what_an_earlier_pull_has_left_is_counted(fake_hub, hub, inventory, store):
    begin(store, manifest_of(), n_bytes=4)
    fake_hub.add(REPO, {"Model-Q4_K_M.gguf": b"x" * 10})
    plan = plan_pull(NAME, inventory, hub, CATALOG)
    assert (plan.arrived_bytes, plan.missing_bytes, plan.size_bytes) == (4, 6, 10)


def test_what_is_left_of_another_version_does_not_count(fake_hub, hub, inventory, store):
    begin(store, manifest_of(), n_bytes=4)
    fake_hub.add(REPO, {"Model-Q4_K_M.gguf": b"y" * 10})
    assert plan_pull(NAME, inventory, hub, CATALOG).missing_bytes == 10


def test_a_damaged_manifest_is_mended_by_a_pull(fake_hub, hub, inventory, store):
    manifest = put(store, manifest_of())
    store.manifest_path(manifest).write_text("{")
    fake_hub.add(REPO, {"Model-Q4_K_M.gguf": b"x" * 10})
    assert plan_pull(NAME, inventory, hub, CATALOG).missing == manifest.files


def test_a_repository_alone_means_the_hubs_default_whatever_else_is_here(
    fake_hub, hub, inventory, store
):
    put(store, manifest_of("Q8_0"))
    fake_hub.add(REPO, {"Model-Q8_0.gguf": b"x" * 10, "Model-Q4_K_M.gguf": b"x" * 70})
    plan = plan_pull(f"hf.co/{REPO}", inventory, hub, CATALOG)
    assert (plan.stored, plan.manifest.quantization, plan.missing_bytes) == (None, "Q4_K_M", 70)


def test_the_only_model_of_a_repository_is_known_to_be_here(fake_hub, hub, inventory, store):
    put(store, manifest_of("Q8_0"))
    fake_hub.add(REPO, {"Model-Q8_0.gguf": b"x" * 10})
    plan = plan_pull(f"hf.co/{REPO}", inventory, hub, CATALOG)
    assert plan.stored is not None
    assert plan.stored.complete


def test_the_newest_version_is_asked_for_when_wanted(fake_hub, hub, inventory, store):
    put(store, manifest_of())
    repo = fake_hub.add(REPO, {"Model-Q4_K_M.gguf": b"x" * 10})
    plan = plan_pull(NAME, inventory, hub, CATALOG, newest=True)
    assert plan.stored is not None
    repo.update({"Model-Q4_K_M.gguf": b"y" * 20})
    plan = plan_pull(NAME, inventory, hub, CATALOG, newest=True)
    assert (plan.stored, plan.missing_bytes, plan.manifest.revision) == (None, 20, repo.sha)
    assert plan_pull(NAME, inventory, hub, CATALOG).stored is not None


def test_an_older_one_is_brought_up_to_date_whatever_else_is_here(fake_hub, hub, inventory, store):
    put(store, manifest_of())
    put_in_ollama(content=b"y" * 20)
    fake_hub.add(REPO, {"Model-Q4_K_M.gguf": b"y" * 20})
    plan = plan_pull(NAME, inventory, hub, CATALOG, newest=True)
    assert (plan.stored, plan.missing_bytes) == (None, 20)


def test_a_model_that_ollama_has_is_not_downloaded_again(fake_hub, hub, inventory):
    blob = put_in_ollama(content=b"x" * 70)
    fake_hub.add(REPO, {"Model-Q4_K_M.gguf": b"x" * 70})
    plan = plan_pull("small", inventory, hub, CATALOG)
    assert (plan.name, plan.stored.path) == ("ollama/mistral:latest", blob)
    assert (plan.missing, plan.missing_bytes, plan.size_bytes) == ((), 0, 70)
    assert not inventory.home.exists()


@pytest.mark.parametrize(
    "put_there", [put_in_lm_studio, lambda: put_in_ollama(f"hf.co/{REPO}/Q4_K_M")]
)
def test_a_hidden_model_of_another_program_is_here(fake_hub, hub, inventory, put_there):
    path = put_there()
    inventory.records.hide(path)
    plan = plan_pull("small", inventory, hub, CATALOG)
    assert plan.stored.path == path
    assert fake_hub.requests == []


def test_a_model_that_another_program_has_not_whole_is_downloaded(fake_hub, hub, inventory):
    put_in_ollama(f"hf.co/{REPO}/Q4_K_M", size=99)
    fake_hub.add(REPO, {"Model-Q4_K_M.gguf": b"x" * 10})
    assert plan_pull("small", inventory, hub, CATALOG).missing_bytes == 10


def test_the_embedded_model_needs_no_pull(fake_hub, hub, inventory, embedded_file):
    plan = plan_pull("tiny", inventory, hub, CATALOG)
    assert plan.stored is not None
    assert (plan.stored.path, plan.size_bytes) == (embedded_file, 8)
    assert fake_hub.requests == []


def test_a_path_is_nothing_to_pull(hub, inventory, tmp_path):
    path = write_gguf(tmp_path / "m.gguf")
    with pytest.raises(ModelNotFound, match="nothing to pull") as caught:
        plan_pull(str(path), inventory, hub, CATALOG)
    assert caught.value.hint == f"localmix run {path}"
    with pytest.raises(ModelNotFound, match="no file") as caught:
        plan_pull("owner/Model-GGUF", inventory, hub, CATALOG)
    assert "hf.co/owner/Model-GGUF" in caught.value.hint


def test_a_model_of_ollama_is_nothing_to_pull(hub, inventory):
    with pytest.raises(ModelNotFound, match="nothing to pull"):
        plan_pull("ollama/mistral", inventory, hub, CATALOG)


def test_an_imported_file_that_has_gone_cannot_be_pulled(hub, inventory, tmp_path):
    path = write_gguf(tmp_path / "m.gguf")
    import_path(path, inventory, "mine", CATALOG)
    assert plan_pull("mine", inventory, hub, CATALOG).stored.path == path
    path.unlink()
    with pytest.raises(NotPulled, match="has gone"):
        plan_pull("mine", inventory, hub, CATALOG)


def test_what_is_here_under_another_name_is_found_under_the_hubs_name_too(fake_hub, hub, inventory):
    # Ollama's file is byte for byte the Hub's: a pull downloads nothing, and then it can be run.
    fake_hub.add(REPO, {"Model-Q4_K_M.gguf": b"the same bytes"})
    put_in_ollama(content=b"the same bytes")
    name = f"hf.co/{REPO}:Q4_K_M"
    plan = plan_pull(name, inventory, hub)
    assert plan.stored is not None
    assert plan.twin == f"{REPO}/Model-Q4_K_M.gguf"
    assert inventory.find(parse_name(name)) is None
    inventory.records.note_twin(plan.twin, plan.stored.name)
    assert inventory.find(parse_name(name)).path == plan.stored.path
    assert plan_pull(name, inventory, hub).twin == ""
