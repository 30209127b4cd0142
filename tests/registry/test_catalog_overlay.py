"""A person's own `models.toml` in LOCALMIX_HOME goes over the one that comes with localmix."""

import pytest

from localmix.errors import LocalmixError, ModelNotFound, NotPulled
from localmix.registry.catalog_file import load_catalog
from localmix.registry.names import AliasName
from localmix.registry.plan import plan_pull
from localmix.registry.resolve import resolve


def entry(name, *, repo="me/Mine-GGUF", aliases=None, more=""):
    aliases = "" if aliases is None else f"aliases = {aliases}\n"
    return f"""[[model]]
name = "{name}"
{aliases}repo = "{repo}"
{more}
[model.quantizations]
Q4_K_M = 1.5
"""


@pytest.fixture
def home(tmp_path):
    """A home that does not exist yet."""
    return tmp_path / "home"


@pytest.fixture
def own(home):
    """Write a person's own catalog; gives both as one."""

    def write(*entries):
        home.mkdir(exist_ok=True)
        (home / "models.toml").write_text("\n".join(entries), encoding="utf-8")
        return load_catalog(home=home)

    return write


def repo_of(catalog, text):
    return catalog.find(AliasName(text)).hub_name.repo


def test_without_a_file_of_their_own_people_have_ours(home):
    ours = load_catalog()
    assert load_catalog(home=home) == ours
    home.mkdir()
    assert load_catalog(home=home) == ours


def test_a_home_that_is_a_file_holds_no_catalog(home):
    home.write_bytes(b"")
    assert load_catalog(home=home) == load_catalog()


def test_an_empty_file_changes_nothing(own):
    assert own("# nothing yet\n") == load_catalog()


def test_a_new_entry_is_added(own):
    catalog = own(entry("mine:1b", aliases=["mine"]))
    assert catalog.find(AliasName("mine")).name == "mine:1b-q4_K_M"
    assert len(catalog.entries) == len(load_catalog().entries) + 1
    assert repo_of(catalog, "mistral") == repo_of(load_catalog(), "mistral")


def test_an_entry_of_the_same_name_replaces_ours_whole(own):
    catalog = own(entry("Zephyr:7B-beta", aliases=["z"]))
    assert repo_of(catalog, "zephyr:7b-beta") == repo_of(catalog, "z") == "me/Mine-GGUF"
    assert list(catalog.find(AliasName("z")).entry.quantizations) == ["Q4_K_M"]
    assert catalog.find(AliasName("z")).entry.licence == ""
    with pytest.raises(ModelNotFound):  # an alias of ours, which the new entry does not have
        catalog.find(AliasName("zephyr"))


def test_a_replacement_without_aliases_keeps_ours(own):
    catalog = own(entry("zephyr:7b-beta"), entry("other:1b", repo="a/b", aliases=["zephyr:7b"]))
    assert repo_of(catalog, "zephyr") == "me/Mine-GGUF"
    assert repo_of(catalog, "zephyr:7b") == "a/b"


def test_an_alias_that_a_person_uses_is_taken_from_ours(own):
    catalog = own(entry("mine:1b", aliases=["mistral"]))
    assert repo_of(catalog, "mistral") == "me/Mine-GGUF"
    assert repo_of(catalog, "mistral:7b") == repo_of(load_catalog(), "mistral:7b")


def test_a_name_that_is_an_alias_of_ours_is_taken_too(own):
    catalog = own(entry("mistral"))
    assert repo_of(catalog, "mistral") == "me/Mine-GGUF"
    assert repo_of(catalog, "mistral:latest") == repo_of(load_catalog(), "mistral")


def test_an_entry_whose_own_name_is_taken_goes_by_its_next_alias(own):
    catalog = own(entry("mine:1b", aliases=["llama2:13b-chat", "tiny"]))
    assert repo_of(catalog, "llama2:13b-chat") == repo_of(catalog, "tiny") == "me/Mine-GGUF"
    assert catalog.find(AliasName("llama2:13b")).name == "llama2:13b-q4_K_M"
    assert not any(entry.is_embedded for entry in catalog.entries)  # tiny had no other name


def test_a_persons_name_of_a_repository_goes_first(own):
    repo = repo_of(load_catalog(), "zephyr")
    catalog = own(entry("mine:7b", repo=repo))
    assert catalog.name_of(repo, "Q4_K_M") == "mine:7b-q4_K_M"
    assert catalog.name_of(repo, "Q8_0") == "zephyr:7b-beta-q8_0"


def test_close_names_know_a_persons_own(own):
    assert own(entry("wizard:13b")).close_names("wizzard:13b") == ["wizard:13b"]


def test_the_embedded_model_may_get_another_alias(own):
    catalog = own('[[model]]\nname = "tiny"\naliases = ["t"]\n')
    assert catalog.find(AliasName("t")).hub_name is None


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        (entry("mine:1b", repo="nobody"), "mine:1b gives no repository OWNER/REPO"),
        (entry("mine:1b", more='size = "big"'), "mine:1b has a field 'size'"),
        ('[[model]]\nname = "mine"\n', "mine names no repository"),
        ('[[model]]\nname = "mistral:7b-instruct-v0.3"\n', "v0.3 names no repository"),
        (entry("mine:1b") + entry("mine:1b"), "mine:1b stands there twice"),
        ("[[model]]\nname = mine\n", "line 2"),
        ("name = 'mine'\n", "something else than"),
    ],
)
def test_a_mistake_names_the_file_and_the_entry(own, home, wrong, says):
    with pytest.raises(LocalmixError, match="cannot be read") as caught:
        own(wrong)
    assert says in caught.value.message
    assert str(home / "models.toml") in caught.value.message
    assert "models.toml" in caught.value.hint


def test_a_file_that_is_no_text_is_a_mistake_too(home):
    home.mkdir()
    (home / "models.toml").write_bytes(b"\xff\xfe[[model]]")
    with pytest.raises(LocalmixError, match="cannot be read"):
        load_catalog(home=home)
    (home / "models.toml").unlink()
    (home / "models.toml").mkdir()
    with pytest.raises(LocalmixError, match="cannot be read"):
        load_catalog(home=home)


def test_a_name_is_looked_up_in_a_persons_own_catalog(own, home):
    own(entry("mine:1b", aliases=["mistral"]))
    with pytest.raises(NotPulled):
        resolve("mine:1b", home)
    with pytest.raises(ModelNotFound):
        resolve("mine:1b", home / "another")


def test_a_pull_knows_a_persons_own_catalog(own, inventory, fake_hub, hub):
    assert own(entry("mine:1b", aliases=["mistral"]))
    fake_hub.add("me/Mine-GGUF", {"Mine-Q4_K_M.gguf": b"x" * 70})
    plan = plan_pull("mistral", inventory, hub)
    assert (plan.name, plan.manifest.repo) == ("mine:1b-q4_K_M", "me/Mine-GGUF")
