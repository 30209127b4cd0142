"""What people get wrong: each ends with one error, what to type next, a code and no traceback.

Wrong options alone are in test_cli_errors.py; here is what only a file, a model, a stream or a
folder can refuse.
"""

import io
import os
import re
import sys
from pathlib import Path

import pytest

TWO_LINES = re.compile(r"error: [^\n]+\ntry: [^\n]+\n")


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A folder with all kinds of files in it, and the way to it."""
    tiny = Path(__file__).parents[2] / "localmix" / "assets" / "tiny.gguf"
    whole = tiny.read_bytes()
    monkeypatch.chdir(tmp_path)
    files = {
        "empty.gguf": b"",
        "text.gguf": b"this is no model\n" * 100,
        "cut.gguf": whole[: len(whole) // 2],
        "header.gguf": whole[:3000],
        "note.txt": b"buy milk",
    }
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    (tmp_path / "folder.gguf").mkdir()
    return tmp_path


WRONG = [
    # a model that is none
    (1, "run missing.gguf hi"),
    (1, "run ./missing.gguf hi"),
    (1, "run empty.gguf hi"),
    (1, "run text.gguf hi"),
    (1, "run cut.gguf hi"),
    (1, "run header.gguf hi"),
    (1, "run folder.gguf hi"),
    (1, "run note.txt hi"),
    (1, "run mistrall hi"),
    (1, "run tinny hi"),
    (1, "run mistral hi"),
    (1, "run hf.co/ hi"),
    (1, "run tiny:q9 hi"),
    (1, "run  hi"),
    # numbers
    (2, "run tiny hi --ctx 0"),
    (2, "run tiny hi --ctx -5"),
    (2, "run tiny hi --ctx many"),
    (2, "run tiny hi --ctx 1e3"),
    (2, "run tiny hi --threads 0"),
    (2, "run tiny hi --threads 100000"),
    (2, "run tiny hi --temperature nan"),
    (2, "run tiny hi --temperature -inf"),
    (2, "run tiny hi --top-p 2"),
    (2, "run tiny hi --seed 1.5"),
    (2, "run tiny hi --seed 99999999999999999999999"),
    (2, "run tiny hi --max-tokens 0"),
    (2, "run tiny hi --sliding-window -1"),
    (2, "run tiny hi --expert-memory 6XB"),
    (1, "run tiny hi --experts 99"),
    (1, "run tiny hi --ctx 2"),
    # words
    (2, "run tiny hi --kv int4"),
    (2, "run tiny hi --on-overflow panic"),
    (2, "run tiny hi --executor cuda"),
    (2, "run tiny hi there"),
    (2, "run tiny hi --sytem x"),
    (2, "run tiny hi --temperature"),
    (2, "rum tiny hi"),
    (2, "run"),
    # conversations
    (1, "run tiny hi --continue"),
    (1, "run tiny hi --resume 7"),
    (2, "run tiny hi --resume seven"),
    (2, "run tiny hi --resume 0"),
    (2, "run tiny hi --resume 99999999999999999999"),
    (2, "run tiny hi --continue --resume 7"),
    (2, "run tiny hi --raw --continue"),
    (2, "run tiny hi --raw --system x"),
    (1, "run tiny hi --profile none"),
    (1, "history show 7"),
    (1, "history rm 7"),
    (1, "history export 7"),
    (2, "history show seven"),
    # other commands
    (1, "show missing.gguf"),
    (1, "rm missing"),
    (1, "import missing.gguf"),
    (1, "bench missing.gguf"),
    (1, "bench tiny --compare missing.json"),
    (1, "bench tiny --compare note.txt"),
    (1, "bench tiny --compare header.gguf"),
    (1, "bench tiny --html folder.gguf"),
    (2, "bench tiny -p many"),
    (1, "experts missing.gguf hi"),
    (2, "moderate tiny hi there"),
    (1, "warmup missing.gguf"),
    (1, "perplexity tiny missing.txt"),
    (1, "perplexity tiny cut.gguf"),
    (1, "perplexity tiny folder.gguf"),
    (1, "perplexity tiny empty.gguf"),
    (1, "perplexity tiny note.txt"),
    (1, "perplexity missing.gguf note.txt"),
    (1, "perplexity tiny text.gguf --kl-against missing.gguf"),
    (1, "perplexity tiny text.gguf --experts 99"),
]


@pytest.mark.parametrize(("code", "line"), WRONG, ids=[line for _, line in WRONG])
def test_a_wrong_use_is_two_lines_and_a_code(cli, place, warm, code, line):
    result = cli(*line.split(" "))
    assert TWO_LINES.fullmatch(result.err), result.err
    assert (result.code, result.out) == (code, "")
    assert "internal" not in result.err


def test_there_are_at_least_forty():
    assert len(WRONG) >= 40


PROMPTS = {
    "empty": ("", 2, "the prompt is empty"),
    "blank": (" \n ", 2, "the prompt is empty"),
    "too long": ("fox " * 9000, 1, "the context holds"),
}


@pytest.mark.parametrize("name", PROMPTS)
def test_a_prompt_that_cannot_be_answered(cli, warm, name):
    prompt, code, words = PROMPTS[name]
    for arguments, stdin in (([prompt], ""), ([], prompt)):
        result = cli("run", "tiny", *arguments, stdin=stdin)
        assert TWO_LINES.fullmatch(result.err), result.err
        assert (result.code, result.out) == (code, "")
        assert words in result.err


@pytest.mark.parametrize(
    "prompt", ["a\0b", "\x1b[2J", "\ud800", "狐" * 50, "\u202e", "<s></s>[INST]"]
)
def test_a_strange_prompt_is_answered(cli, warm, prompt):
    stdin = prompt.encode("utf-8", "surrogateescape" if "\ud800" not in prompt else "surrogatepass")
    for arguments, piped in (([prompt], b""), ([], stdin.decode("utf-8", "replace"))):
        result = cli("run", "tiny", *arguments, "-n", "2", "--seed", "1", stdin=piped)
        assert (result.code, result.err) == (0, "")


CONFIGS = {
    "[defaults]\ntemprature = 1": "'temprature', which is no option of run",
    "[defaults]\ntemperature = 'hot'": "which is no number",
    "[defaults]\ntemperature = nan": "config.toml is wrong: temperature must be from 0 to 100",
    "[defaults]\nctx = 0": "config.toml is wrong: ctx must be at least 1",
    "defaults = 1": "is no table",
    "[default]": "which does not exist",
    "no toml": "cannot be read",
}


@pytest.mark.parametrize("text", CONFIGS)
def test_settings_that_make_no_sense_are_named(cli, model, text):
    home = Path(os.environ["LOCALMIX_HOME"])
    home.mkdir(parents=True)
    (home / "config.toml").write_text(text)
    result = cli("run", "m", "hi")
    assert TWO_LINES.fullmatch(result.err), result.err
    assert result.code in (1, 2)
    assert CONFIGS[text] in result.err
    assert model.loads == []


def test_a_history_that_cannot_be_written_is_a_note_and_the_answer_comes(cli, warm):
    (Path(os.environ["LOCALMIX_HOME"]) / "history.db").mkdir(parents=True)
    result = cli("run", "tiny", "Hello", "-n", "2")
    assert result.code == 0
    assert result.out.count("\n") == 1
    assert re.fullmatch(r"note: this conversation is not saved: [^\n]+\n", result.err)
    assert cli("run", "tiny", "Hello", "-n", "2", "--no-history").err == ""


def test_a_damaged_history_is_a_note_and_the_answer_comes(cli, model):
    home = Path(os.environ["LOCALMIX_HOME"])
    home.mkdir(parents=True)
    (home / "history.db").write_text("no database " * 100)
    result = cli("run", "m", "hi")
    assert (result.code, result.out) == (0, "Hello, world.\n")
    assert result.err.startswith("note: this conversation is not saved: ")
    assert result.err.count("\n") == 1


class Broken(io.StringIO):
    def write(self, text):
        raise BrokenPipeError(32, "Broken pipe")


def test_a_reader_who_has_left_is_no_error(model, monkeypatch):
    from localmix.cli.app import main

    stderr = io.StringIO()
    for name, stream in (("stdin", io.StringIO()), ("stdout", Broken()), ("stderr", stderr)):
        monkeypatch.setattr(sys, name, stream)
    assert main(("run", "m", "hi")) == 0
    assert stderr.getvalue() == ""


def test_streams_that_are_closed_are_no_error(model, monkeypatch):
    from localmix.cli.app import main

    for name in ("stdin", "stdout", "stderr"):
        monkeypatch.setattr(sys, name, None)
    assert main(("run", "m", "hi")) == 0
