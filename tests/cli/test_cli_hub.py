"""`localmix search`, `outdated` and `update`, against the Hub on the loopback."""

import pytest
from support.fake_model import as_json

from localmix import settings

REPO = "someone/Some-Model-GGUF"
FILE = "Some-Model.Q8_0.gguf"
NAME = f"hf.co/{REPO}:Q8_0"


@pytest.fixture(autouse=True)
def machine(memory_of):
    """Plenty of memory."""


@pytest.fixture
def repo(cli, fake_hub, gguf_bytes, loaded):
    """A repository whose model was pulled."""
    repo = fake_hub.add(REPO, {FILE: gguf_bytes}, downloads=7)
    assert cli("pull", NAME).code == 0
    return repo


def newer(repo):
    """Commit another file under the same name -> its bytes."""
    data = repo.files[FILE][:-1] + b"!"
    repo.update({FILE: data})
    return data


# ---- search -------------------------------------------------------------------------------------


def test_search_lists_names_to_pull_with_size_and_fit(cli, fake_hub):
    files = {"m.Q8_0.gguf": b"G" * 2000, "m.Q4_K_M.gguf": b"G" * 1000, "README.md": b"x"}
    fake_hub.add("a/Model-GGUF", files, downloads=5)
    fake_hub.add("b/Model-GGUF", {"m.Q2_K.gguf": b"G"}, downloads=9)
    fake_hub.add("c/Other-GGUF", {"m.Q2_K.gguf": b"G"})
    result = cli("search", "Model")
    assert (result.code, result.err) == (0, "")
    assert result.out == (
        "name                          size  fit\n"
        "hf.co/b/Model-GGUF:Q2_K        1 B  fits\n"
        "hf.co/a/Model-GGUF:Q4_K_M  1.00 kB  fits\n"
        "hf.co/a/Model-GGUF:Q8_0    2.00 kB  fits\n"
    )
    assert cli("search", "Model", "--limit", "1").out.count("hf.co/") == 1


def test_search_says_what_does_not_fit(cli, fake_hub, memory_of):
    fake_hub.add("a/Model-GGUF", {"m.Q8_0.gguf": b"G"})
    for free, total, words in (
        (10**9 // 4, 4 * 10**9, "fits once other programs are closed"),
        (10**9 // 4, 10**9 // 4, "too large"),
    ):
        memory_of(free, total)
        assert cli("search", "Model").out.splitlines()[1].endswith(f"  {words}")


def test_search_json_keeps_the_verdicts_one_word(cli, fake_hub):
    fake_hub.add("a/Model-GGUF", {"m.Q8_0.gguf": b"G"})
    assert as_json(cli("search", "Model", "--json").out) == [
        {"name": "hf.co/a/Model-GGUF:Q8_0", "size_bytes": 1, "fit": "fits"}
    ]


def test_a_search_that_finds_nothing_says_so(cli, fake_hub):
    result = cli("search", "no", "such")
    assert (result.code, result.out) == (0, "")
    assert result.err == "the Hub has no .gguf files for no such\n"
    assert as_json(cli("search", "no", "--json").out) == []


def test_a_limit_that_makes_no_sense_is_wrong_usage(cli):
    for limit in ("0", "51", "-1"):
        assert cli("search", "x", "--limit", limit).code == 2


# ---- outdated -----------------------------------------------------------------------------------


def test_outdated_compares_with_the_hub(cli, repo):
    result = cli("outdated")
    assert (result.code, result.err) == (0, "")
    assert result.out.splitlines()[1] == f"{NAME}  up to date"
    newer(repo)
    result = cli("outdated")
    assert result.out.splitlines()[1] == f"{NAME}  outdated"
    assert result.err == "localmix update --all pulls them again\n"


def test_another_file_in_the_repository_makes_nothing_outdated(cli, repo):
    repo.update({"README.md": b"new"})
    assert cli("outdated").out.splitlines()[1].endswith("  up to date")


def test_outdated_json_has_both_commits(cli, repo):
    before = repo.sha
    newer(repo)
    assert as_json(cli("outdated", "--json").out) == [
        {
            "name": NAME,
            "revision": before,
            "hub_revision": repo.sha,
            "outdated": True,
            "problem": None,
        }
    ]


def test_what_the_hub_does_not_have_any_more_is_said(cli, repo):
    repo.update({FILE: None})
    result = cli("outdated")
    assert result.out.splitlines()[1] == f"{NAME}  the Hub does not have it any more"
    assert result.err == ""


def test_outdated_without_models_says_so(cli, fake_hub):
    result = cli("outdated")
    assert (result.code, result.out, result.err) == (0, "", "nothing was pulled yet\n")
    assert fake_hub.requests == []


# ---- update -------------------------------------------------------------------------------------


def test_update_pulls_what_has_changed(cli, repo, loaded):
    data = newer(repo)
    for arguments in ((NAME,), ("--all",)):
        result = cli("update", *arguments)
        assert (result.code, result.out) == (0, "")
    assert (settings.home() / "models" / REPO / FILE).read_bytes() == data
    assert result.err == f"{NAME} is up to date\n"
    assert loaded == [NAME, NAME], "its kernels are compiled again, should they be others"


def test_update_of_everything_asks_once_for_a_model_that_is_up_to_date(cli, repo, fake_hub):
    fake_hub.requests.clear()
    result = cli("update", "--all")
    assert (result.code, result.err) == (0, f"{NAME} is up to date\n")
    assert [request.path for request in fake_hub.requests] == [f"/api/models/{REPO}"]


def test_update_says_what_comes_as_a_pull_does(cli, repo):
    newer(repo)
    lines = cli("update", NAME).err.splitlines()
    assert lines[0] == f"{NAME}: 90.0 kB"
    assert lines[-2:] == [f"{NAME} is here: 90.0 kB, verified", f"run it: localmix run {NAME}"]


def test_update_of_one_that_cannot_be_compared_goes_on_with_the_others(
    cli, repo, fake_hub, gguf_bytes
):
    fake_hub.add("a/Gone-GGUF", {"g.Q8_0.gguf": gguf_bytes[:-1] + b"?"})
    cli("pull", "hf.co/a/Gone-GGUF")
    fake_hub.repos["a/Gone-GGUF"].update({"g.Q8_0.gguf": None})
    data = newer(repo)
    result = cli("update", "--all")
    assert result.code == 1
    assert "hf.co/a/Gone-GGUF:Q8_0: the Hub does not have it any more\n" in result.err
    assert result.err.endswith(
        "error: 1 of the models could not be compared with the Hub\ntry: localmix outdated\n"
    )
    assert (settings.home() / "models" / REPO / FILE).read_bytes() == data


def test_update_is_for_what_was_pulled(cli, repo, tmp_path, gguf_bytes):
    (tmp_path / "mine.gguf").write_bytes(gguf_bytes)
    cli("import", str(tmp_path / "mine.gguf"))
    for name, words in (
        ("mine", "error: mine was not pulled from the Hub"),
        ("tiny", "error: tiny was not pulled from the Hub"),
        ("mistral", "error: mistral is not on this machine yet"),
    ):
        result = cli("update", name)
        assert result.code == 1
        assert result.err.startswith(words)


def test_update_wants_names_or_all(cli):
    for arguments in (("update",), ("update", "tiny", "--all")):
        assert cli(*arguments).code == 2


def test_update_of_nothing_says_so(cli, fake_hub):
    assert cli("update", "--all").err == "nothing was pulled yet\n"
