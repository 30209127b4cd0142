from typing import get_args

import pytest

from localmix.errors import LocalmixError, ModelNotFound
from localmix.registry.catalog import CHAT_FORMATS, Score
from localmix.registry.catalog_file import catalog_path, load_catalog
from localmix.registry.file_names import quantization_of
from localmix.registry.names import AliasName
from localmix.text.chatml import ChatMLFormat
from localmix.text.llama2 import Llama2Format
from localmix.text.mistral import Version

ENTRY = """
[[model]]
name = "small:1b"
aliases = ["small"]
repo = "owner/Small-1B-GGUF"
file = "Small-1B.{quant}.gguf"
chat = "chatml"
context = 2048
notes = "made up"
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
        ("mixtral:8x22b", "mixtral:8x22b-instruct-v0.1-q4_K_M"),
        ("mixtral:8x22b-instruct-v0.3", "mixtral:8x22b-instruct-v0.1-q4_K_M"),
        ("mistral:7b-v0.2", "mistral:7b-v0.2-q4_K_M"),
        ("mixtral:8x7b-v0.1", "mixtral:8x7b-v0.1-q4_K_M"),
        ("dolphin-mistral", "dolphin-mistral:7b-v2.8-q4_K_M"),
        ("dolphin-mistral:7b", "dolphin-mistral:7b-v2.8-q4_K_M"),
        ("zephyr", "zephyr:7b-beta-q4_K_M"),
        ("openhermes", "openhermes:7b-mistral-v2.5-q4_K_M"),
        ("llama2", "llama2:7b-chat-q4_K_M"),
        ("llama2:13b", "llama2:13b-chat-q4_K_M"),
        ("codellama", "codellama:7b-instruct-q4_K_M"),
        ("codellama:7b-code-q8_0", "codellama:7b-code-q8_0"),
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


def test_an_alias_alone_its_latest_and_its_size_mean_one_model(catalog):
    for family, size in [
        ("mistral", "7b"), ("mixtral", "8x7b"), ("dolphin-mistral", "7b"), ("zephyr", "7b"),
        ("llama2", "7b"), ("codellama", "7b"),
    ]:  # fmt: skip
        alone = find(catalog, family).name
        assert find(catalog, f"{family}:latest").name == find(catalog, f"{family}:{size}").name
        assert find(catalog, f"{family}:{size}").name == alone


def test_every_entry_says_what_a_person_should_know(catalog):
    for entry in catalog.entries:
        assert entry.description, entry.name
        assert entry.licence, entry.name
        assert entry.chat in CHAT_FORMATS, entry.name
        assert entry.context in {4096, 16384, 32768, 65536}, entry.name
        for line in (entry.description, entry.notes):
            assert "\n" not in line
            assert len(line) <= 110, entry.name


def test_a_base_model_and_a_split_file_say_so(catalog):
    for entry in catalog.entries:
        assert (entry.chat == "none") == ("does not chat" in entry.notes), entry.name
        assert entry.name.endswith("-split") == entry.notes.startswith("split experts"), entry.name


def test_chat_formats_are_called_as_the_text_package_calls_them():
    ours = {f"mistral-v{version}" for version in get_args(Version)}
    ours |= {ChatMLFormat.name, Llama2Format.name, "template"}
    assert set(CHAT_FORMATS) == ours | {"none"}


def test_a_file_name_says_its_quantization_unless_there_are_shards(catalog):
    in_shards = {entry.name for entry in catalog.entries if not entry.file}
    assert in_shards == {"tiny", "mixtral:8x22b-instruct-v0.1", "mixtral:8x22b-v0.1"}
    for entry in catalog.entries:
        for known in entry.quantizations.values():
            assert (quantization_of(known.file) == known.name) == bool(entry.file), known


def test_a_default_download_is_q4_k_m(catalog):
    assert {e.default for e in catalog.entries if not e.is_embedded} == {"Q4_K_M"}


def test_mixtral_comes_from_a_repository_with_merged_experts(catalog):
    # Every Mixtral file of TheBloke has the split layout that other programs refuse.
    for name in ("mixtral:8x7b-instruct-v0.1", "mixtral:8x7b-v0.1"):
        merged = find(catalog, name).entry.quantizations.values()
        assert not any(known.repo.startswith("TheBloke/") for known in merged)
        assert find(catalog, f"{name}-split").quantization.repo.startswith("TheBloke/")


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
        ("mixtrall", "mixtral"),
        ("lama2", "llama2"),
        ("lama2:13b", "llama2:13b"),
        ("zefir", "zephyr"),
        ("hermes", "openhermes"),
        ("dolphin", "dolphin-mistral"),
        ("code-llama", "codellama"),
        ("mistral-7b", "mistral:7b"),
    ],
)
def test_an_unknown_name_offers_close_ones(catalog, typed, close):
    with pytest.raises(ModelNotFound, match="close names") as caught:
        find(catalog, typed)
    assert caught.value.message.partition("close names: ")[2].split(", ")[0] == close
    assert caught.value.hint == f"localmix run {close}"


@pytest.mark.parametrize("typed", ["mixtral:70b-chat-hf", "mixtral:7b", "mixtral:text-q4_0"])
def test_a_wrong_tag_offers_names_of_the_same_model(catalog, typed):
    close = catalog.close_names(typed)
    assert close
    assert all(name.startswith("mixtral") for name in close)


def test_a_name_like_no_other_lists_the_families(catalog):
    with pytest.raises(ModelNotFound, match="llama2, mistral, mixtral, openhermes, tiny, zephyr"):
        find(catalog, "xyzzy")


def test_close_names_are_of_different_models(catalog):
    for typed in ("mistrl", "mistral:latst", "mixtral:8x22", "llama2:70b"):
        entries = [find(catalog, name).entry.name for name in catalog.close_names(typed)]
        assert 1 < len(entries) == len(set(entries)) <= 3
    assert not any(name.endswith(":latest") for name in catalog.close_names("mistral:latst"))


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


def test_a_quantization_has_the_file_of_the_pattern_or_its_own(tmp_path):
    def file_of(text):
        known = find(load_catalog(written(tmp_path, text)), "small:q8_0").quantization
        return known.file

    own = 'Q8_0 = { size_gb = 1.1, file = "sub/odd-Q8.gguf" }'
    elsewhere = 'Q8_0 = { size_gb = 1.1, repo = "other/Small-1B-Q8" }'
    assert file_of(ENTRY.replace(elsewhere, "Q8_0 = 1.1")) == "Small-1B.Q8_0.gguf"
    assert file_of(ENTRY.replace(elsewhere, "q8_0 = 1.1")) == "Small-1B.Q8_0.gguf"
    assert file_of(ENTRY.replace(elsewhere, own)) == "sub/odd-Q8.gguf"
    # The pattern is that of the entry's repository: of another one it says nothing.
    assert file_of(ENTRY) == ""
    assert file_of(ENTRY.replace('Q8" }', 'Q8", file = "s-{quant}.gguf" }')) == "s-Q8_0.gguf"


PUBLISHED = """
[[model]]
name = "known:7b"
repo = "a/b"
parameters = 100
active = 40
window = 512
kv_bytes = 64
strengths = "small talk"
strengths_source = "its card"
relative = "Small:1B"
scores_source = "a paper"
perplexity_source = "a page"
[model.scores]
mt_bench = 7
mmlu = { value = 50.5, source = "a leaderboard" }
[model.quantizations]
Q4_K_M = { size_gb = 0.7, perplexity = 5.5 }
Q8_0 = 1.1
"""


def test_what_is_published_is_read_with_its_sources(tmp_path):
    entry = find(load_catalog(written(tmp_path, PUBLISHED)), "known:7b").entry
    assert (entry.parameters, entry.active, entry.window, entry.kv_bytes) == (100, 40, 512, 64)
    assert (entry.strengths, entry.strengths_source) == ("small talk", "its card")
    assert (entry.relative, entry.perplexity_source) == ("small:1b", "a page")
    assert entry.scores == {"mt_bench": Score(7.0, "a paper"), "mmlu": Score(50.5, "a leaderboard")}
    perplexities = {name: each.perplexity for name, each in entry.quantizations.items()}
    assert perplexities == {"Q4_K_M": 5.5, "Q8_0": None}
    assert find(load_catalog(written(tmp_path, ENTRY)), "small").entry.scores == {}


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        (PUBLISHED.replace("active = 40", "active = 101"), "more active weights than parameters"),
        (PUBLISHED.replace("active = 40", "active = -1"), "active below zero"),
        (PUBLISHED.replace("Small:1B", "./small"), "the relative './small', which no model"),
        (PUBLISHED.replace("mt_bench", "mtbench"), "a score 'mtbench', which is none of mt_bench"),
        (PUBLISHED.replace("mt_bench = 7", "mt_bench = 70"), "no number above 0 and up to 10"),
        (PUBLISHED.replace("mt_bench = 7", "mt_bench = true"), "no number above 0 and up to 10"),
        (PUBLISHED.replace("mt_bench = 7", "mt_bench = nan"), "no number above 0 and up to 10"),
        (PUBLISHED.replace("value = 50.5", "value = '50'"), "no number above 0 and up to 100"),
        (PUBLISHED.replace("value = 50.5", "score = 50.5"), "a field 'score' for mmlu"),
        (PUBLISHED.replace('scores_source = "a paper"', ""), "no source for mt_bench"),
        (PUBLISHED.replace('"a leaderboard"', '" "'), "no source for mmlu"),
        (PUBLISHED.replace('"a leaderboard"', "7"), "no source for mmlu"),
        (PUBLISHED.replace('strengths_source = "its card"', ""), "no strengths_source"),
        (PUBLISHED.replace('perplexity_source = "a page"', ""), "no perplexity_source"),
        (PUBLISHED.replace("perplexity = 5.5", "perplexity = 0"), "a perplexity for Q4_K_M that"),
        (PUBLISHED.replace("perplexity = 5.5", "perplexity = inf"), "a perplexity for Q4_K_M that"),
        (PUBLISHED.replace("[model.scores]", "[[model.scores]]"), "a scores that is no table"),
    ],
)
def test_what_is_published_is_checked(tmp_path, wrong, says):
    assert wrong != PUBLISHED
    with pytest.raises(LocalmixError, match="known:7b") as caught:
        load_catalog(written(tmp_path, wrong))
    assert says in caught.value.message


GEOMETRY = {
    "mixtral:8x7b": (32, 4096, 14336, 32, 8, 32000),
    "mixtral:8x22b-v0.1": (56, 6144, 16384, 48, 8, 32000),
    "mixtral:8x22b-instruct-v0.1": (56, 6144, 16384, 48, 8, 32768),
    "mistral:7b-v0.3": (32, 4096, 14336, 32, 8, 32768),
    "mistral:7b-instruct-v0.3": (32, 4096, 14336, 32, 8, 32768),
    "mistral:7b": (32, 4096, 14336, 32, 8, 32000),
    "zephyr": (32, 4096, 14336, 32, 8, 32000),
    "dolphin-mistral": (32, 4096, 14336, 32, 8, 32002),
    "openhermes": (32, 4096, 14336, 32, 8, 32002),
    "llama2:7b": (32, 4096, 11008, 32, 32, 32000),
    "llama2:13b": (40, 5120, 13824, 40, 40, 32000),
    "codellama": (32, 4096, 11008, 32, 32, 32016),
}
"""Layers, dim, hidden dim, query heads, key/value heads, vocabulary, by the beginning of a name."""


def weights_of(geometry, n_experts, n_present):
    """Count the weights of a model of which so many experts a layer are there."""
    layers, dim, hidden, heads, kv_heads, vocabulary = geometry
    attention = 2 * dim * dim + 2 * dim * kv_heads * (dim // heads)
    router = dim * n_experts if n_experts > 1 else 0
    layer = attention + n_present * 3 * dim * hidden + router + 2 * dim
    return layers * layer + 2 * vocabulary * dim + dim


def test_parameters_active_weights_and_keys_follow_from_the_geometry(catalog):
    for entry in catalog.entries:
        if entry.is_embedded:
            continue
        start = max((start for start in GEOMETRY if entry.name.startswith(start)), key=len)
        geometry = GEOMETRY[start]
        layers, dim, _, heads, kv_heads, _ = geometry
        n_experts = 8 if entry.name.startswith("mixtral") else 1
        assert weights_of(geometry, n_experts, n_experts) == entry.parameters, entry.name
        active = weights_of(geometry, n_experts, 2) if n_experts > 1 else 0
        assert active == entry.active, entry.name
        assert 2 * 2 * layers * kv_heads * (dim // heads) == entry.kv_bytes, entry.name


def test_a_window_is_told_to_programs_and_to_people(catalog):
    for entry in catalog.entries:
        assert bool(entry.window) == ("sliding window" in entry.notes), entry.name
        assert not entry.window or f"last {entry.window:,} positions" in entry.notes, entry.name


def test_perplexity_grows_as_bits_get_fewer(catalog):
    known = [e for e in catalog.entries if e.perplexity_source]
    assert len(known) == 3
    for entry in known:
        by_size = [e.perplexity for e in entry.quantizations.values() if e.perplexity]
        assert len(by_size) >= 3
        assert min(by_size) == by_size[-1] or entry.name.startswith("mistral")
        assert max(by_size) == by_size[0], entry.name


def test_an_entry_is_read_whole(tmp_path):
    entry = find(load_catalog(written(tmp_path, ENTRY)), "small").entry
    assert (entry.chat, entry.context, entry.notes) == ("chatml", 2048, "made up")
    assert (entry.licence, entry.parameters, entry.default) == ("", 0, "Q4_K_M")


def test_a_byte_order_mark_is_no_mistake(tmp_path):
    assert (
        find(load_catalog(written(tmp_path, "\ufeff" + ENTRY)), "small").name == "small:1b-q4_K_M"
    )


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
        (ENTRY.replace("Q8_0 =", "Q8O ="), "small:1b has a quantization Q8O"),
        (ENTRY.replace("0.7", "nan"), "size in GB for Q4_K_M"),
        (ENTRY.replace("0.7", "inf"), "size in GB for Q4_K_M"),
        (ENTRY.replace("Q4_K_M", "Q4_0"), "its default"),
        (ENTRY + ENTRY, "twice"),
        ("[[model]]\nname = 'x'\nrepo = 'a/b'\n", "no quantization"),
        ("[[model]]\nname = 'tiny'\n[[model]]\nlicence = 'MIT'\n", "entry 2 has no name"),
        (ENTRY.replace("small:1b", "./small"), "'./small', which no model can have"),
        (ENTRY.replace('["small"]', "[7]"), "small:1b has the name 7"),
        (ENTRY.replace("chatml", "chatlm"), "small:1b has a chat that is none of mistral-v1"),
        (ENTRY.replace("2048", "'2k'"), "small:1b has a context that is no whole number"),
        (ENTRY.replace("2048", "true"), "small:1b has a context that is no whole number"),
        (ENTRY.replace("2048", "-1"), "small:1b has a context below zero"),
        (ENTRY.replace('"made up"', "7"), "small:1b has a notes that is no text"),
        (ENTRY.replace("{quant}", "Q4_K_M"), "small:1b has a file without {quant}"),
        (ENTRY.replace(".gguf", ".bin"), "no .gguf file of a repository for Q4_K_M"),
        (ENTRY.replace('file = "', 'file = "../'), "no .gguf file of a repository for Q4_K_M"),
        (ENTRY.replace("size_gb = 1.1,", "size_gb = 1.1, fiel = 'x',"), "'fiel' for Q8_0"),
        (ENTRY.replace("size_gb = 1.1,", ""), "size in GB for Q8_0"),
        (ENTRY + "a = " + "[" * 5000 + "]" * 5000, "cannot be read"),
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
