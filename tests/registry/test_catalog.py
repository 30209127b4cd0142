import pytest

from localmix.errors import LocalmixError, ModelNotFound
from localmix.registry.catalog_file import catalog_path, load_catalog
from localmix.registry.names import AliasName

ENTRY = """
[[model]]
name = "small:1b"
aliases = ["small"]
repo = "owner/Small-1B-GGUF"
[model.quantizations]
Q4_K_M = 0.7
Q8_0 = { size_gb = 1.1, repo = "other/Small-1B-Q8" }
"""


@pytest.fixture(scope="module")
def catalog():
    return load_catalog()


def find(catalog, text):
    return catalog.find(AliasName(text))


def written(tmp_path, text):
    path = tmp_path / "models.toml"
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("alias", "name"),
    [
        ("tiny", "tiny"),
        ("mistral", "mistral:7b-instruct-v0.3-q4_K_M"),
        ("mistral:7b-instruct-v0.3-q4_K_M", "mistral:7b-instruct-v0.3-q4_K_M"),
        ("Mistral:7B-Instruct-v0.3-Q4_K_M", "mistral:7b-instruct-v0.3-q4_K_M"),
        ("mistral:q5_k_m", "mistral:7b-instruct-v0.3-q5_K_M"),
        ("mistral:7b-instruct-v0.2", "mistral:7b-instruct-v0.2-q4_K_M"),
        ("mistral:7b-v0.1-q8_0", "mistral:7b-v0.1-q8_0"),
        ("mixtral", "mixtral:8x7b-instruct-v0.1-q4_K_M"),
        ("mixtral:8x7b", "mixtral:8x7b-instruct-v0.1-q4_K_M"),
        ("mixtral:8x7b-instruct-v0.1-q4_0", "mixtral:8x7b-instruct-v0.1-q4_0"),
        ("mixtral:8x22b", "mixtral:8x22b-instruct-v0.3-q4_K_M"),
    ],
)
def test_an_alias_means_one_quantization_of_one_entry(catalog, alias, name):
    assert find(catalog, alias).name == name


def test_every_name_of_the_catalog_can_be_typed(catalog):
    for entry in catalog.entries:
        for name in entry.names:
            assert find(catalog, name).entry is entry
        for quantization in entry.quantizations:
            model = find(catalog, entry.full_name(quantization))
            assert (model.entry, model.quantization.name) == (entry, quantization)


def test_mixtral_comes_from_a_repository_with_merged_experts(catalog):
    # Every Mixtral file of TheBloke has the split layout that other programs refuse.
    assert not find(catalog, "mixtral").quantization.repo.startswith("TheBloke/")
    assert find(catalog, "mixtral:8x7b-instruct-v0.1-split").quantization.repo.startswith(
        "TheBloke/"
    )


def test_the_sizes_of_the_catalog_grow_with_the_bits(catalog):
    for entry in catalog.entries:
        sizes_gb = [quantization.size_gb for quantization in entry.quantizations.values()]
        assert sizes_gb == sorted(sizes_gb), entry.name


def test_the_size_of_an_entry_fits_its_parameters(catalog):
    for entry in catalog.entries:
        for quantization in entry.quantizations.values():
            bits = quantization.size_gb * 8e9 / entry.parameters
            assert 2.5 < bits < 8.6, (entry.name, quantization)


def test_the_embedded_model_has_no_repository(catalog):
    model = find(catalog, "tiny")
    assert model.entry.is_embedded
    assert model.hub_name is None


@pytest.mark.parametrize(
    ("typed", "close"),
    [
        ("mistrl", "mistral"),
        ("mixtrall:8x7b", "mixtral:8x7b"),
        ("mistral:7b-instruct-v0.4", "mistral:7b-instruct-v0.3"),
        ("tinny", "tiny"),
    ],
)
def test_an_unknown_name_offers_close_ones(catalog, typed, close):
    with pytest.raises(ModelNotFound, match="close names") as caught:
        find(catalog, typed)
    assert close in caught.value.message.partition("close names: ")[2].split(", ")
    assert caught.value.hint.startswith("localmix run ")


@pytest.mark.parametrize("typed", ["mixtral:70b-chat-hf", "mixtral:7b", "mixtral:text-q4_0"])
def test_a_wrong_tag_offers_names_of_the_same_model(catalog, typed):
    close = catalog.close_names(typed)
    assert close
    assert all(name.startswith("mixtral") for name in close)


def test_a_name_like_no_other_lists_the_families(catalog):
    with pytest.raises(ModelNotFound, match="mistral, mixtral, tiny"):
        find(catalog, "xyzzy")


def test_an_unknown_quantization_lists_those_that_exist(catalog):
    with pytest.raises(ModelNotFound, match="no quantization q9_K_M") as caught:
        find(catalog, "mistral:7b-instruct-v0.3-q9_K_M")
    for known in ("q4_K_M", "q8_0"):
        assert known in caught.value.message


def test_the_embedded_model_has_no_quantization_to_choose(catalog):
    with pytest.raises(ModelNotFound, match="tiny has no quantization q4_0"):
        find(catalog, "tiny:q4_0")


def test_a_quantization_may_come_from_another_repository(tmp_path):
    catalog = load_catalog(written(tmp_path, ENTRY))
    assert find(catalog, "small").hub_name.text == "hf.co/owner/Small-1B-GGUF:Q4_K_M"
    assert find(catalog, "small:q8_0").hub_name.text == "hf.co/other/Small-1B-Q8:Q8_0"


def test_a_repositorys_quantization_is_known_by_its_catalog_name(tmp_path):
    catalog = load_catalog(written(tmp_path, ENTRY))
    assert catalog.name_of("Owner/small-1b-gguf", "Q4_K_M") == "small:1b-q4_K_M"
    assert catalog.name_of("owner/Small-1B-GGUF", "Q8_0") is None
    assert catalog.name_of("other/Small-1B-Q8", "Q8_0") == "small:1b-q8_0"


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ("[[model]\n", "line 1"),
        ("[models]\na = 1\n", "something else"),
        ("model = 3\n", "something else"),
        ("[[model]]\nrepo = 'a/b'\n", "no name"),
        (ENTRY.replace("aliases", "alias"), "'alias'"),
        (ENTRY.replace('["small"]', '"small"'), "aliases"),
        (ENTRY.replace("owner/", "../"), "OWNER/REPO"),
        (ENTRY.replace("0.7", '"big"'), "size in GB for Q4_K_M"),
        (ENTRY.replace("0.7", "true"), "size in GB for Q4_K_M"),
        (ENTRY.replace("0.7", "-1"), "size in GB for Q4_K_M"),
        (ENTRY.replace("Q4_K_M", "Q4_0"), "its default"),
        (ENTRY + ENTRY, "twice"),
        ("[[model]]\nname = 'x'\nrepo = 'a/b'\n", "no quantization"),
    ],
)
def test_a_mistake_in_the_catalog_is_named(tmp_path, wrong, says):
    with pytest.raises(LocalmixError, match="cannot be read") as caught:
        load_catalog(written(tmp_path, wrong))
    assert says in caught.value.message
    assert "models.toml" in caught.value.hint


def test_a_missing_catalog_is_an_error(tmp_path):
    with pytest.raises(LocalmixError, match="cannot be read"):
        load_catalog(tmp_path / "none.toml")


def test_the_catalog_that_people_edit_is_the_one_that_is_read():
    assert catalog_path().name == "models.toml"
    assert catalog_path().exists()
