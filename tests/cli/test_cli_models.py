"""`localmix list` and `show`: what is on this machine, also what other programs put there."""

import os
import re
from datetime import datetime, timedelta, timezone

import gguf
import pytest
from support.fake_model import as_json
from support.hub_faults import Status
from support.models import Q, Shape, write_model
from support.other_programs import put_into_ollama

from localmix import settings
from localmix.registry.disk.records import Records

REPO = "someone/Some-Model-GGUF"
FILE = "Some-Model.Q8_0.gguf"
NAME = f"hf.co/{REPO}:Q8_0"


@pytest.fixture
def pulled(cli, fake_hub, gguf_bytes, loaded):
    """A model that was pulled -> its file."""
    fake_hub.add(REPO, {FILE: gguf_bytes})
    cli("pull", NAME)
    path = settings.home() / "models" / REPO / FILE
    for each in (path, path.with_suffix(".gguf.json")):
        os.utime(each, (1_700_000_000, 1_700_000_000))
    return path


@pytest.fixture
def gguf_file(tmp_path):
    string, u32 = gguf.GGUFValueType.STRING, gguf.GGUFValueType.UINT32
    keys = [
        ("general.name", "Baby Mixtral", string),
        ("general.file_type", 7, u32),
        ("tokenizer.chat_template", "{{ messages }}", string),
    ]
    shape = Shape(n_experts=4, window=64)
    return write_model(tmp_path / "baby.gguf", shape, keys=keys, quant=Q.Q8_0)


def rows(result):
    return [re.split(r"  +", line) for line in result.out.splitlines()]


def test_list_is_a_table(cli, pulled):
    header, tiny, model = rows(cli("list"))
    assert header == ["name", "size", "modified", "used", "from"]
    assert (tiny[0], tiny[-1]) == ("tiny", "embedded")
    assert (model[0], model[1], model[3:]) == (NAME, "90.0 kB", ["never", "pulled"])
    assert re.fullmatch(r"2023-11-1[45] \d\d:\d\d", model[2])
    assert cli("ls").out == cli("list").out


@pytest.mark.parametrize(
    ("ago", "words"),
    [
        (timedelta(0), "just now"),
        (timedelta(minutes=3.5), "3 min ago"),
        (timedelta(hours=30), "1 d ago"),
        (timedelta(hours=5), "5 h ago"),
        (timedelta(days=-1), "just now"),
    ],
)
def test_list_says_when_a_model_was_last_run(cli, pulled, ago, words):
    Records(settings.home()).note_use(pulled, datetime.now(timezone.utc) - ago)
    assert rows(cli("list"))[-1][3] == words
    assert as_json(cli("list", "--json").out)[-1]["last_used"] is not None


def test_a_narrow_terminal_gets_the_columns_that_matter(cli, pulled, monkeypatch):
    def header(n_columns, **options):
        monkeypatch.setenv("COLUMNS", str(n_columns))
        return cli("list", **options).out.splitlines()[0].replace("\x1b[2m", "").split()[:5]

    on_terminal = {"terminals": ("stdout",)}
    assert header(110, **on_terminal)[:4] == ["name", "size", "modified", "used"]
    assert header(66, **on_terminal)[:3] == ["name", "size", "used"]
    assert header(55, **on_terminal)[:2] == ["name", "size"]
    assert "used" not in " ".join(header(55, **on_terminal))
    assert header(20, **on_terminal)[0] == "name"
    assert header(20) == ["name", "size", "modified", "used", "from"], "a pipe gets all"


def test_no_line_of_list_is_wider_than_80_columns_for_usual_names(cli, fake_hub, loaded):
    repo = "bartowski/Mistral-7B-Instruct-v0.3-GGUF"
    fake_hub.add(repo, {"Mistral-7B-Instruct-v0.3-Q5_K_M.gguf": b"GGUF"})
    cli("pull", f"hf.co/{repo}:Q5_K_M")
    lines = cli("list", terminals=("stdout",)).out.splitlines()
    assert max(len(line) for line in lines[1:]) <= 80


def test_a_partial_download_is_shown_as_one_with_what_finishes_it(cli, fake_hub):
    # The look at the header is kept, the rest is refused.
    faults = [Status(418, at=1_600_000, times=None)]
    fake_hub.add(REPO, {FILE: bytes(range(250)) * 8000}, faults=faults)
    cli("pull", NAME)
    result = cli("list")
    header, tiny, model = rows(result)
    assert header[-1] == "state"
    assert tiny[-1] == "complete"
    assert (model[0], model[1], model[-1]) == (NAME, "1.05 MB", "partial, 52 %")
    assert result.err == f"to finish it: localmix pull {NAME}\n"
    assert as_json(cli("list", "--json").out)[-1]["complete"] is False


def test_a_file_that_has_gone_is_said(cli, gguf_file):
    cli("import", str(gguf_file), "--name", "mine")
    gguf_file.unlink()
    result = cli("list")
    assert rows(result)[-1][-1] == "its file has gone"
    assert result.err == "", "nothing that a pull could finish"


def test_list_json_has_the_keys_of_the_interface_and_more(cli, pulled):
    entry = as_json(cli("list", "--json").out)[-1]
    modified = entry.pop("modified")
    assert re.match(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d", modified)
    assert entry == {
        "name": NAME,
        "path": str(pulled),
        "size_bytes": pulled.stat().st_size,
        "complete": True,
        "origin": "pulled",
        "last_used": None,
    }


def test_models_of_ollama_are_listed_and_opened_where_they_lie(cli, gguf_bytes):
    blob = put_into_ollama(settings.ollama_folders()[0], gguf_bytes)
    row = rows(cli("list"))[-1]
    assert (row[0], row[1], row[-1]) == ("ollama/mistral:latest", "90.0 kB", "Ollama")
    assert as_json(cli("show", "ollama/mistral", "--json").out)["path"] == str(blob)


def test_models_of_the_hugging_face_cache_are_listed_and_opened(cli, fake_hub, gguf_bytes):
    from huggingface_hub import hf_hub_download

    fake_hub.add(REPO, {FILE: gguf_bytes})
    cache = settings.hugging_face_cache()
    place = hf_hub_download(REPO, FILE, cache_dir=cache, endpoint=fake_hub.url, token=False)
    row = rows(cli("list"))[-1]
    assert (row[0], row[1], row[-1]) == (NAME, "90.0 kB", "Hugging Face")
    assert as_json(cli("show", NAME, "--json").out)["path"] == place


def test_an_empty_list_says_what_to_do(cli, monkeypatch):
    monkeypatch.setattr("localmix.registry.disk.inventory.embedded_model", lambda: None)
    result = cli("list")
    assert result.out == ""
    assert result.err == "no models here yet: localmix pull mistral\n"
    assert as_json(cli("list", "--json").out) == []


def test_show_is_a_calm_table(cli, gguf_file, memory_of):
    result = cli("show", str(gguf_file))
    assert (result.code, result.err) == (0, "")
    size = re.search(r"^size +(.*)$", result.out, re.MULTILINE)[1]
    assert result.out == (
        "name           Baby Mixtral\n"
        f"file           {gguf_file}\n"
        f"size           {size}\n"
        "memory         180 MB resident with 512 tokens of context (f16), "
        "81.2 kB of weights page-able\n"
        "fit            fits: 16.0 GB of 32.0 GB are free\n"
        "architecture   llama\n"
        "parameters     75.2 k\n"
        "quantization   Q8_0\n"
        "context        512 tokens\n"
        "window         64 tokens\n"
        "experts        4, of which a token visits 2\n"
        "layers         2 of width 32, feed-forward 64\n"
        "attention      4 heads, 2 for keys and values, of 8\n"
        "vocabulary     305 tokens\n"
        "chat template  yes\n"
        "tensors        23: 16 Q8_0, 7 F32\n"
    )


def test_show_json_has_the_keys_of_the_interface(cli, gguf_file):
    record = as_json(cli("show", str(gguf_file), "--json").out)
    config = record.pop("config")
    assert record == {
        "name": str(gguf_file),
        "path": str(gguf_file),
        "architecture": "llama",
        "parameters": 75_232,
        "quantization": "Q8_0",
        "tensors": 23,
        "chat_template": True,
    }
    assert config["n_experts"] == 4
    assert config["sliding_window"] == 64
    assert config["context_length"] == 512


def test_show_of_what_is_no_model_is_two_lines(cli, tmp_path):
    (tmp_path / "cut.gguf").write_bytes(b"GGUF\x03")
    for name in (str(tmp_path / "cut.gguf"), str(tmp_path / "none.gguf"), "mistrall", "\x00"):
        result = cli("show", name)
        assert (result.code, result.out) == (1, "")
        assert re.fullmatch(r"error: [^\n]+\ntry: [^\n]+\n", result.err)
        assert "internal" not in result.err


def test_a_name_from_a_file_cannot_steer_the_terminal(cli, tmp_path):
    key = ("general.name", "evil\x1b[2J\nname", gguf.GGUFValueType.STRING)
    path = write_model(tmp_path / "evil.gguf", keys=[key])
    assert cli("show", str(path)).out.startswith("name           evil[2J name\n")
