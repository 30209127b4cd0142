import pytest
from support.stored import REPO, manifest_of, put

from localmix.errors import DownloadFailed, ModelNotFound
from localmix.registry.catalog import Catalog, CatalogEntry, Quantization
from localmix.registry.hub import RepoListing
from localmix.registry.manifest import RepoFile
from localmix.registry.names import parse_name
from localmix.registry.plan import choose_files, plan_pull

CATALOG = Catalog(
    (
        CatalogEntry("tiny"),
        CatalogEntry(
            "small:1b", ("small",), {"Q4_K_M": Quantization("Q4_K_M", 0.7, REPO)}, default="Q4_K_M"
        ),
    )
)


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


def test_a_plan_names_repository_files_and_sizes_and_writes_nothing(fake_hub, hub, store):
    fake_hub.add(REPO, {"Model-Q4_K_M.gguf": b"x" * 70, "Model-Q8_0.gguf": b"x" * 90})
    plan = plan_pull("small", store, hub, CATALOG)
    assert (plan.name, plan.repo, plan.quantization) == ("small:1b-q4_K_M", REPO, "Q4_K_M")
    assert [file.path for file in plan.files] == ["Model-Q4_K_M.gguf"]
    assert (plan.size_bytes, plan.missing_bytes, plan.stored) == (70, 70, None)
    assert not store.home.exists()
    assert fake_hub.paths("HEAD") == []


def test_a_model_outside_the_catalog_is_named_by_its_repository(fake_hub, hub, store):
    fake_hub.add("o/r", {"m-Q8_0.gguf": b"x", "odd.gguf": b"x"})
    assert plan_pull("hf.co/o/r:q8_0", store, hub, CATALOG).name == "hf.co/o/r:Q8_0"
    assert plan_pull("hf.co/o/r/odd.gguf", store, hub, CATALOG).name == "hf.co/o/r/odd.gguf"


def test_a_model_that_is_here_needs_no_hub(fake_hub, hub, store):
    put(store, manifest_of())
    plan = plan_pull("small", store, hub, CATALOG)
    assert plan.stored is not None
    assert plan.stored.complete
    assert (plan.missing, plan.size_bytes) == ((), 10)
    assert fake_hub.requests == []


def test_a_repository_alone_means_the_hubs_default_whatever_else_is_here(fake_hub, hub, store):
    put(store, manifest_of("Q8_0"))
    fake_hub.add(REPO, {"Model-Q8_0.gguf": b"x" * 10, "Model-Q4_K_M.gguf": b"x" * 70})
    plan = plan_pull(f"hf.co/{REPO}", store, hub, CATALOG)
    assert (plan.stored, plan.quantization, plan.missing_bytes) == (None, "Q4_K_M", 70)


def test_the_only_model_of_a_repository_is_known_to_be_here(fake_hub, hub, store):
    put(store, manifest_of("Q8_0"))
    fake_hub.add(REPO, {"Model-Q8_0.gguf": b"x" * 10})
    plan = plan_pull(f"hf.co/{REPO}", store, hub, CATALOG)
    assert plan.stored is not None
    assert plan.stored.complete


def test_the_embedded_model_needs_no_pull(fake_hub, hub, store, embedded_file):
    plan = plan_pull("tiny", store, hub, CATALOG)
    assert plan.stored is not None
    assert (plan.stored.path, plan.size_bytes) == (embedded_file, 8)
    assert fake_hub.requests == []


def test_a_path_is_nothing_to_pull(hub, store, tmp_path):
    path = tmp_path / "m.gguf"
    path.write_bytes(b"")
    with pytest.raises(ModelNotFound, match="on this disk already"):
        plan_pull(str(path), store, hub, CATALOG)
    with pytest.raises(ModelNotFound, match="no file") as caught:
        plan_pull("owner/Model-GGUF", store, hub, CATALOG)
    assert "hf.co/owner/Model-GGUF" in caught.value.hint
