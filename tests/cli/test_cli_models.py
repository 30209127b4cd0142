"""`localmix pull`, `list` and `show`, on a store in an empty home and a Hub in this process."""

import hashlib
import io
import os
import re

import gguf
import pytest
from support.fake_model import as_json
from support.models import Q, Shape, write_model
from support.streams import Terminal

from localmix import settings
from localmix.cli.progress import LINE_EVERY_S, Lines, shown_progress
from localmix.registry.hub import Hub, RepoListing
from localmix.registry.manifest import RepoFile
from localmix.registry.pull import PullProgress

REPO = "someone/Some-Model-GGUF"
FILE = "Some-Model.Q4_K_M.gguf"
NAME = f"hf.co/{REPO}:Q4_K_M"
CONTENT = b"GGUF" * 250_000


class FakeHub:
    """One repository with one file, which arrives in four parts."""

    def __init__(self):
        self.asked = []

    def list_files(self, repo):
        self.asked.append(repo)
        file = RepoFile(FILE, len(CONTENT), hashlib.sha256(CONTENT).hexdigest())
        return RepoListing(REPO, "abc123", {FILE: file})

    def download(self, repo, revision, path, folder, on_bytes):
        assert (repo, revision) == (REPO, "abc123")
        target = folder / path
        target.write_bytes(CONTENT)
        for _ in range(4):
            on_bytes(len(CONTENT) // 4)
        return target


@pytest.fixture
def hub(monkeypatch):
    fake = FakeHub()
    monkeypatch.setattr(Hub, "from_environ", lambda: fake)
    return fake


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


def test_dry_run_names_repository_file_and_size_and_downloads_nothing(cli, hub):
    result = cli("pull", NAME, "--dry-run")
    assert (result.code, result.err) == (0, "")
    assert result.out == (
        f"name         {NAME}\n"
        f"repo         hf.co/{REPO}\n"
        f"file         {FILE}, 1.00 MB\n"
        "size         1.00 MB\n"
        "to download  1.00 MB\n"
    )
    assert not settings.home().exists()


def test_pull_writes_plain_lines_when_stderr_is_a_log(cli, hub):
    result = cli("pull", NAME)
    assert (result.code, result.out) == (0, "")
    assert result.err == (
        f"downloading {FILE}, 1.00 MB\nchecking {FILE}, 1.00 MB\n{NAME} is here: 1.00 MB, checked\n"
    )


def test_pull_draws_a_bar_with_speed_on_a_terminal(cli, hub):
    result = cli("pull", NAME, terminals=("stderr",))
    assert result.code == 0
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", result.err)
    assert f"checking {FILE}" in plain
    assert "100 %" in plain
    assert "1.0/1.0 MB" in plain
    assert "━" in plain


def test_pull_of_what_is_here_asks_nobody(cli, hub):
    cli("pull", NAME)
    hub.asked.clear()
    result = cli("pull", NAME)
    assert (result.code, result.err) == (0, f"{NAME} is here already (1.00 MB)\n")
    assert hub.asked == []


def test_every_name_is_looked_up_before_the_first_download(cli, hub):
    result = cli("pull", NAME, "no-such-model")
    assert result.code == 1
    assert "no-such-model" in result.err
    assert not settings.home().exists()


def test_run_of_a_missing_model_pulls_it_for_a_person(cli, hub):
    result = cli("run", NAME, "hi", terminals=("stdin", "stderr"))
    # The file is no model; that it was fetched, and then opened, is what matters here.
    assert result.code == 1
    assert f"{NAME} is here" in re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", result.err)
    assert "error:" in result.err
    assert "internal" not in result.err


def test_list_is_a_table(cli, hub, monkeypatch):
    monkeypatch.setenv("TZ", "UTC")
    cli("pull", NAME)
    path = settings.home() / "models" / REPO / FILE
    for each in (path, path.with_suffix(".gguf.json")):
        os.utime(each, (1_700_000_000, 1_700_000_000))
    lines = cli("list").out.splitlines()
    assert lines[0].split() == ["name", "size", "modified", "state"]
    assert re.fullmatch(
        rf"{re.escape(NAME)} +1\.00 MB  2023-11-1[45] \d\d:\d\d  complete", lines[-1]
    )
    assert cli("ls").out == cli("list").out


def test_a_partial_download_is_shown_as_one(cli, hub):
    cli("pull", NAME)
    path = settings.home() / "models" / REPO / FILE
    path.unlink()
    assert "partial" in cli("list").out.splitlines()[-1]
    assert as_json(cli("list", "--json").out)[-1]["complete"] is False


def test_list_json_has_exactly_the_keys_of_the_interface(cli, hub):
    cli("pull", NAME)
    entry = as_json(cli("list", "--json").out)[-1]
    path = settings.home() / "models" / REPO / FILE
    modified = entry.pop("modified")
    assert re.match(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d", modified)
    assert entry == {
        "name": NAME,
        "path": str(path),
        "size_bytes": len(CONTENT),
        "complete": True,
    }


def test_an_empty_list_says_what_to_do(cli, monkeypatch):
    monkeypatch.setattr("localmix.registry.store.embedded_model", lambda: None)
    result = cli("list")
    assert result.out == ""
    assert "localmix pull" in result.err
    assert as_json(cli("list", "--json").out) == []


def test_show_is_a_calm_table(cli, gguf_file):
    result = cli("show", str(gguf_file))
    assert (result.code, result.err) == (0, "")
    size = re.search(r"^size +(.*)$", result.out, re.MULTILINE)[1]
    assert result.out == (
        "name           Baby Mixtral\n"
        f"file           {gguf_file}\n"
        f"size           {size}\n"
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


def test_lines_of_a_log_come_every_few_seconds():
    now = [0.0]
    stderr = io.StringIO()
    lines = Lines(stderr, clock=lambda: now[0])
    for i_part in range(5):
        now[0] = i_part * LINE_EVERY_S / 2
        lines(PullProgress("download", f"folder/{FILE}", 1, 3, i_part * 10_000_000, 40_000_000))
    assert stderr.getvalue() == (
        f"downloading 2/3 {FILE}, 40.0 MB\n  50 %, 2.00 MB/s\n  100 %, 2.00 MB/s\n"
    )


def test_the_bar_survives_a_file_without_bytes():
    with shown_progress(Terminal()) as on_progress:
        on_progress(PullProgress("download", FILE, 0, 1, 0, 0))
