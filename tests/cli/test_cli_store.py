"""`localmix rm`, `cp`, `import`, `verify` and `prune`."""

import re

import pytest
from support.fake_model import as_json
from support.hub_faults import Status
from support.other_programs import put_into_ollama
from support.streams import plain

from localmix import settings

REPO = "someone/Some-Model-GGUF"
FILE = "Some-Model.Q8_0.gguf"
NAME = f"hf.co/{REPO}:Q8_0"
AT_A_TERMINAL = {"terminals": ("stdin", "stderr")}


@pytest.fixture
def pulled(cli, fake_hub, gguf_bytes, loaded):
    """A model that was pulled -> its file."""
    fake_hub.add(REPO, {FILE: gguf_bytes})
    cli("pull", NAME)
    return settings.home() / "models" / REPO / FILE


@pytest.fixture
def mine(tmp_path, gguf_bytes):
    """A file that a person has somewhere."""
    path = tmp_path / "my model.gguf"
    path.write_bytes(gguf_bytes)
    return path


@pytest.fixture
def partial(cli, fake_hub):
    """A download of which the first MB has arrived."""
    refusal = Status(418, at=1_600_000, times=None)
    fake_hub.add(REPO, {FILE: bytes(range(250)) * 8000}, faults=[refusal])
    cli("pull", NAME)


def names(cli):
    return [entry["name"] for entry in as_json(cli("list", "--json").out)]


# ---- rm -----------------------------------------------------------------------------------------


def test_rm_deletes_what_localmix_downloaded(cli, pulled):
    result = cli("rm", NAME)
    assert (result.code, result.out) == (0, "")
    assert result.err == f"{NAME} is off the list, 90.0 kB freed\n"
    assert not pulled.exists()
    assert names(cli) == ["tiny"]


def test_rm_of_a_model_of_another_program_keeps_its_file(cli, gguf_bytes):
    blob = put_into_ollama(settings.ollama_folders()[0], gguf_bytes)
    assert cli("rm", "ollama/mistral").err == (
        f"ollama/mistral:latest is off the list; {blob} is kept: Ollama put it there\n"
    )
    assert blob.exists()
    assert names(cli) == ["tiny"]


def test_a_pull_puts_a_model_of_another_program_back_on_the_list(cli, fake_hub, gguf_bytes):
    put_into_ollama(settings.ollama_folders()[0], gguf_bytes)
    fake_hub.add(REPO, {FILE: gguf_bytes})
    cli("rm", "ollama/mistral")
    cli("pull", NAME)
    assert names(cli) == ["tiny", "ollama/mistral:latest"]


def test_rm_of_the_hugging_face_caches_model_keeps_its_file(cli, fake_hub, gguf_bytes):
    from huggingface_hub import hf_hub_download

    fake_hub.add(REPO, {FILE: gguf_bytes})
    cache = settings.hugging_face_cache()
    place = hf_hub_download(REPO, FILE, cache_dir=cache, endpoint=fake_hub.url, token=False)
    result = cli("rm", NAME)
    assert result.err == f"{NAME} is off the list; {place} is kept: Hugging Face put it there\n"
    assert names(cli) == ["tiny"]


def test_rm_of_an_imported_model_keeps_its_file(cli, mine):
    cli("import", str(mine), "--name", "mine")
    result = cli("rm", "mine")
    assert result.err == f"mine is off the list; {mine} is kept: localmix did not put it there\n"
    assert mine.exists()
    assert names(cli) == ["tiny"]


def test_rm_of_one_of_two_names_keeps_the_file(cli, pulled):
    cli("cp", NAME, "other")
    assert "other is the same model" in cli("rm", NAME).err
    assert pulled.exists()
    assert cli("rm", "other").err == "other is off the list, 90.0 kB freed\n"
    assert not pulled.exists()


def test_rm_takes_several_and_stops_at_the_first_that_is_not_here(cli, pulled, mine):
    cli("import", str(mine), "--name", "mine")
    result = cli("rm", "mine", "mistral", NAME)
    assert result.code == 1
    assert result.err.splitlines()[1:] == [
        "error: mistral is not on this machine",
        "try: localmix list shows what is",
    ]
    assert names(cli) == ["tiny", NAME]


def test_rm_of_tiny_and_of_a_file_is_refused(cli, mine):
    assert cli("rm", "tiny").code == 1
    assert cli("rm", str(mine)).code == 1
    assert mine.exists()


# ---- cp and import ------------------------------------------------------------------------------


def test_cp_gives_another_name_to_the_same_file(cli, pulled):
    result = cli("cp", NAME, "my-model:q8")
    assert (result.code, result.err) == (0, f"my-model:q8 is another name of {NAME}\n")
    assert as_json(cli("show", "my-model:q8", "--json").out)["path"] == str(pulled)
    assert sum(1 for path in settings.home().rglob("*.gguf")) == 1


def test_cp_to_a_name_of_the_catalog_is_refused(cli, pulled):
    result = cli("cp", NAME, "mistral")
    assert result.code == 1
    assert result.err == (
        "error: mistral is a name of the catalog, which would be hidden by this one\n"
        "try: another name, such as my-mistral\n"
    )


def test_import_takes_a_file_into_the_list_where_it_lies(cli, mine):
    result = cli("import", str(mine))
    assert (result.code, result.out) == (0, "")
    assert result.err == f"my-model is on the list; its file stays at {mine}\n"
    assert as_json(cli("list", "--json").out)[-1]["origin"] == "imported"
    assert as_json(cli("show", "my-model", "--json").out)["path"] == str(mine)


def test_import_of_a_folder_takes_all_models_in_it(cli, mine, gguf_bytes):
    (mine.parent / "below").mkdir()
    (mine.parent / "below" / "other.gguf").write_bytes(gguf_bytes)
    assert cli("import", str(mine.parent)).err.count(" is on the list; ") == 2
    assert names(cli) == ["tiny", "my-model", "other"]


def test_import_of_what_is_no_model_is_two_lines(cli, tmp_path):
    (tmp_path / "x.gguf").write_bytes(b"nothing")
    for path in (tmp_path / "x.gguf", tmp_path / "none.gguf"):
        result = cli("import", str(path))
        assert result.code == 1
        assert re.fullmatch(r"error: [^\n]+\ntry: [^\n]+\n", result.err)
        assert "internal" not in result.err
    assert names(cli) == ["tiny"]


def test_one_name_for_two_files_is_wrong_usage(cli, mine):
    result = cli("import", str(mine), str(mine), "--name", "x")
    assert (result.code, result.err.splitlines()[0]) == (2, "error: --name is for one PATH")


# ---- verify -------------------------------------------------------------------------------------


def test_verify_compares_with_what_the_hub_and_ollama_state(cli, pulled, gguf_bytes):
    put_into_ollama(settings.ollama_folders()[0], gguf_bytes)
    result = cli("verify")
    assert (result.code, result.err) == (0, "")
    assert result.out == f"right    {NAME}\nright    ollama/mistral:latest\n"


def test_verify_finds_a_bit_that_has_changed_and_says_what_to_do(cli, pulled):
    data = bytearray(pulled.read_bytes())
    data[5000] ^= 1
    pulled.write_bytes(data)
    result = cli("verify")
    assert (result.code, result.out) == (1, f"wrong    {NAME}\n")
    assert result.err == (
        f"error: not what it was: {NAME}\ntry: localmix rm {NAME}, then download it again\n"
    )


def test_one_wrong_shard_makes_a_model_wrong(cli, fake_hub, loaded):
    shards = {f"m-Q4_0-0000{i}-of-00002.gguf": b"GGUF" + bytes([i]) * 1000 for i in (1, 2)}
    fake_hub.add(REPO, shards)
    cli("pull", f"hf.co/{REPO}:Q4_0")
    last = settings.home() / "models" / REPO / "m-Q4_0-00002-of-00002.gguf"
    last.write_bytes(last.read_bytes()[:-1] + b"!")
    result = cli("verify", f"hf.co/{REPO}:Q4_0")
    assert (result.code, result.out) == (1, f"wrong    hf.co/{REPO}:Q4_0\n")


def test_verify_notes_what_nobody_states_and_compares_it_from_then_on(cli, mine):
    cli("import", str(mine), "--name", "mine")
    first = cli("verify", "mine")
    assert first.out == "noted    mine\n"
    assert first.err.startswith("noted: nobody states a SHA-256 for it")
    second = cli("verify", "mine")
    assert (second.out, second.err) == ("right    mine\n", "")
    mine.write_bytes(mine.read_bytes() + b"!")
    assert cli("verify", "mine").code == 1


def test_verify_of_everything_leaves_the_embedded_model_out(cli):
    result = cli("verify")
    assert (result.code, result.out) == (0, "")
    assert result.err == "no models here yet: localmix pull mistral\n"
    assert cli("verify", "tiny").out == "noted    tiny\n"


def test_verify_of_a_path_looks_at_that_file(cli, mine):
    assert cli("verify", str(mine)).out == f"noted    {mine}\n"
    assert cli("verify", str(mine)).out == f"right    {mine}\n"


def test_verify_says_how_far_it_is_when_it_takes_long(cli, pulled, monkeypatch):
    from functools import partial

    from localmix.cli import store, terminal

    monkeypatch.setattr(
        store,
        "StatusLine",
        lambda stream, delay_s: partial(terminal.StatusLine, delay_s=0.0)(stream),
    )
    shown = cli("verify", terminals=("stderr",)).err
    assert f"checking {NAME}: 90.0 kB of 90.0 kB" in shown
    assert shown.endswith("\r"), "and takes it away"


# ---- prune --------------------------------------------------------------------------------------


def test_prune_shows_and_deletes_what_has_not_finished(cli, partial):
    result = cli("prune", "--dry-run")
    assert re.fullmatch(rf"download +size\n{re.escape(NAME)} +1\.\d\d MB\n", result.out)
    assert names(cli) == ["tiny", NAME]
    result = cli("prune")
    assert result.code == 0
    assert re.fullmatch(r"1\.\d\d MB freed\n", result.err)
    assert names(cli) == ["tiny"]


def test_prune_asks_a_person(cli, partial):
    result = cli("prune", stdin="\n", **AT_A_TERMINAL)
    assert result.code == 1
    assert re.fullmatch(
        r"Delete what has arrived, 1\.\d\d MB\? \[y/N\] nothing was deleted\n", plain(result.err)
    )
    assert names(cli) == ["tiny", NAME]
    assert "[y/N]" not in cli("prune", "--yes", **AT_A_TERMINAL).err
    assert names(cli) == ["tiny"]


def test_prune_leaves_whole_models_and_says_when_there_is_nothing(cli, pulled):
    result = cli("prune")
    assert (result.code, result.out, result.err) == (0, "", "no unfinished downloads here\n")
    assert pulled.exists()
