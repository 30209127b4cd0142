"""`localmix perplexity`: figures on stdout, how far it is on stderr, and what is no text."""

import io
import math
import re

import numpy as np
import pytest
from support.fake_model import as_json
from support.models import Shape, write_model
from support.scoring_model import N_VOCAB, ScoringModel
from support.streams import Terminal, plain

import localmix
from localmix.bench.perplexity import Estimate, Measured
from localmix.cli.perplexity import read_text, watched
from localmix.cli.terminal import Streams

TEXT = "the fox ran to the red sun and sat on a dog " * 3  # 132 characters


def peaked(token, place):
    """An id that is likelier than all others."""
    return np.where(np.arange(N_VOCAB) == 0, 5.0, 0.0).astype(np.float32)


@pytest.fixture
def scoring(monkeypatch):
    """Put ScoringModels in place of whatever `localmix.load` would load, in this order."""

    def put(*models):
        left = list(models)

        def load(name, **options):
            return left.pop(0).load(name, **options)

        monkeypatch.setattr(localmix, "load", load)
        return models

    return put


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "story.txt"
    path.write_text(TEXT, newline="\n")
    return path


def test_figures_are_fields_on_stdout(cli, scoring, file):
    (model,) = scoring(ScoringModel())
    result = cli("perplexity", "m", str(file), "--ctx", "32")
    assert (result.code, result.err) == (0, "")
    assert result.out == (
        "perplexity  128.0000 ± 0.0000\nscored      60 tokens: the second half of 4 chunks of 32\n"
    )
    assert model.closed


def test_a_divergence_has_its_fields_and_a_table(cli, scoring, file):
    models = scoring(ScoringModel(), ScoringModel(peaked))
    result = cli("perplexity", "m", str(file), "--ctx", "32", "--kl-against", "other")
    top = math.exp(5) / (math.exp(5) + N_VOCAB - 1)
    rest = (1 - top) / (N_VOCAB - 1)
    kl = top * math.log(top * N_VOCAB) + (1 - top) * math.log(rest * N_VOCAB)
    cell = f"{kl:.3g}"
    assert (result.code, result.err) == (0, "")
    assert result.out == (
        "perplexity  128.0000 ± 0.0000\n"
        f"base        {1 / rest:.4f} ± 0.0000 (other)\n"
        f"ratio       {N_VOCAB * rest:.6f} ± 0.000000\n"
        f"KL          {kl:.6f} ± 0.000000 nats\n"
        "same top    100.000 ± 0.000 %\n"
        f"RMS Δp      {100 * (1 / N_VOCAB - rest):.3f} ± 0.000 %\n"
        "scored      60 tokens: the second half of 4 chunks of 32\n"
        "\n"
        "     max  99.9 %  99 %  95 %  90 %  median  10 %   5 %   1 %\n"
        f"KL  {cell}    {cell}  {cell}  {cell}  {cell}    {cell}  {cell}  {cell}  {cell}\n"
    )
    assert all(model.closed for model in models)


def test_json_is_one_object(cli, scoring, file):
    scoring(ScoringModel())
    result = cli("perplexity", "m", str(file), "--ctx", "32", "--chunks", "3", "--json")
    record = as_json(result.out)
    assert record.pop("perplexity") == pytest.approx(128)
    assert record.pop("error") == pytest.approx(0, abs=1e-9)
    assert record == {"model": "m", "file": str(file), "ctx": 32, "chunks": 3, "tokens": 45}
    assert result.err == ""


def test_json_has_the_divergence_when_it_was_asked_for(cli, scoring, file):
    scoring(ScoringModel(), ScoringModel(peaked))
    options = ("--ctx", "32", "--kl-against", "other", "--json")
    record = as_json(cli("perplexity", "m", str(file), *options).out)
    assert list(record) == [
        "model", "file", "ctx", "chunks", "tokens", "perplexity", "error", "kl",
    ]  # fmt: skip
    kl = record["kl"]
    assert list(kl) == [
        "against", "mean", "error", "max", "median", "percentiles", "same_top", "same_top_error",
        "rms_dp", "rms_dp_error", "base_perplexity", "base_error", "ratio", "ratio_error",
    ]  # fmt: skip
    assert kl["against"] == "other"
    assert list(kl["percentiles"]) == ["99.9", "99", "95", "90", "10", "5", "1"]
    assert kl["ratio"] == pytest.approx(record["perplexity"] / kl["base_perplexity"])
    assert 0 < kl["mean"] == pytest.approx(kl["median"])
    assert kl["same_top"] == 1


def test_an_error_that_is_not_known_is_null_and_left_away(cli, scoring, file):
    scoring(ScoringModel(), ScoringModel())
    options = ("--ctx", "3", "--chunks", "1")
    assert cli("perplexity", "m", str(file), *options).out == (
        "perplexity  128.0000\nscored      1 token: the second half of 1 chunk of 3\n"
    )
    assert as_json(cli("perplexity", "m", str(file), *options, "--json").out)["error"] is None


def test_what_was_said_of_the_model_reaches_it(cli, scoring, file):
    said = ("--threads", "3", "--kv", "q8_0", "--weights", "resident", "--sliding-window", "40")
    (model,) = scoring(ScoringModel())
    cli("perplexity", "m", str(file), "--ctx", "32", *said, "--experts", "1")
    assert model.loads == [
        (
            "m",
            {"n_ctx": 32, "n_threads": 3, "kv": "q8_0", "weights": "resident",
             "sliding_window": 40, "n_experts_used": 1},
        )
    ]  # fmt: skip


def test_defaults_are_those_of_llama_perplexity(cli, scoring, tmp_path):
    path = tmp_path / "long.txt"
    path.write_text("a" * 1600)
    (model,) = scoring(ScoringModel())
    record = as_json(cli("perplexity", "m", str(path), "--json").out)
    assert model.loads == [("m", {"n_ctx": 512})]
    assert (record["ctx"], record["chunks"], record["tokens"]) == (512, 3, 3 * 255)


def test_a_base_is_loaded_with_the_same_settings(cli, scoring, file):
    model, base = scoring(ScoringModel(), ScoringModel())
    cli("perplexity", "m", str(file), "--ctx", "32", "--kv", "f32", "--kl-against", "b")
    assert model.loads == [("m", {"n_ctx": 32, "kv": "f32"})]
    assert base.loads == [("b", {"n_ctx": 32, "kv": "f32"})]
    assert model.sequences == base.sequences


@pytest.mark.parametrize(
    ("said", "own", "against"),
    [((), {}, "reference"), (("--executor", "reference"), {"executor": "reference"}, "native")],
)
def test_the_other_executor_reads_the_same_file(cli, scoring, file, said, own, against):
    model, base = scoring(ScoringModel(), ScoringModel())
    cli("perplexity", "m", str(file), "--ctx", "32", *said, "--kl-against", against)
    assert model.loads == [("m", {"n_ctx": 32, **own})]
    assert base.loads == [("m", {"n_ctx": 32, "executor": against})]


def test_vocabularies_that_differ_are_an_error(cli, scoring, file):
    model, base = scoring(ScoringModel(), ScoringModel())
    base.tokenizer.vocabulary.pieces.append("more")
    result = cli("perplexity", "m", str(file), "--ctx", "32", "--kl-against", "b")
    assert (result.code, result.out) == (1, "")
    assert result.err.startswith("error: m and b have different vocabularies")
    assert model.sequences == []
    assert model.closed
    assert base.closed


def test_a_text_may_come_through_a_pipe(cli, scoring):
    (model,) = scoring(ScoringModel())
    record = as_json(cli("perplexity", "m", "-", "--ctx", "32", "--json", stdin=TEXT).out)
    assert model.texts == [TEXT]
    assert record["file"] == "-"


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (b"abc\n", "abc"),
        (b"abc\n\n", "abc\n"),
        (b"a\r\nb\r\n", "a\r\nb\r"),
        ("ä€😀\n".encode(), "ä€😀"),
        (b"  abc", "  abc"),
    ],
)
def test_a_text_is_read_as_it_is_but_for_one_newline_at_its_end(tmp_path, content, text):
    path = tmp_path / "text"
    path.write_bytes(content)
    assert read_text(str(path), None) == text


def test_progress_is_drawn_on_a_terminal_and_taken_away(cli, scoring, file):
    scoring(ScoringModel(), ScoringModel(peaked))
    options = ("--ctx", "32", "--kl-against", "other")
    err = cli("perplexity", "m", str(file), *options, terminals=("stderr",)).err
    shown = [line.strip() for line in plain(err).split("\r") if line.strip()]
    assert shown[0] == "chunk 1 of 4"
    pattern = r"chunk (\d) of 4 · perplexity 128\.0000 ± 0\.0000 · KL 1\.9\d+ ± 0\.000000 · .+ left"
    assert [re.fullmatch(pattern, line)[1] for line in shown[1:]] == ["2", "3", "4"]
    assert err.endswith("\r")


def test_the_time_that_is_left_comes_of_the_chunks_so_far():
    steps = (Measured(i, i, Estimate(5.0, 0.5)) for i in (1, 2, 3, 4))
    clock = iter([10.0, 12.0, 16.0, 16.0, 20.0])  # the start, and after each chunk
    streams = Streams(io.StringIO(), io.StringIO(), Terminal())
    assert watched(steps, 4, streams, lambda: next(clock)).n_chunks == 4
    left = re.findall(r"· ([^·]+) left", streams.stderr.getvalue())
    assert left == ["6.0 s", "6.0 s", "2.0 s"]


@pytest.mark.parametrize("terminals", [(), ("stderr",)])
def test_ctrl_c_says_what_is_known_so_far(cli, scoring, file, terminals):
    (model,) = scoring(ScoringModel())
    model.interrupt_after = 2
    result = cli("perplexity", "m", str(file), "--ctx", "32", terminals=terminals)
    assert (result.code, result.out) == (130, "")
    last = plain(result.err).split("\r")[-1].strip()
    assert last == "stopped after 2 of 4 chunks: perplexity 128.0000 ± 0.0000"
    assert model.closed


def test_ctrl_c_before_the_first_chunk_is_done_says_nothing(cli, scoring, file):
    (model,) = scoring(ScoringModel())
    model.interrupt_after = 0
    result = cli("perplexity", "m", str(file), "--ctx", "32", "--json")
    assert (result.code, result.out, result.err) == (130, "", "")


NO_TEXT = {
    "missing.txt": "there is no file missing.txt",
    "folder": "folder is a folder",
    "empty.txt": "empty.txt is empty",
    "blank.txt": "blank.txt is empty",
    "latin.txt": "latin.txt is no text in UTF-8",
    "a\0b": "cannot be read",
    "-": "the text on stdin is empty",
}


@pytest.mark.parametrize("name", NO_TEXT)
def test_what_is_no_text_is_one_error_before_a_model_is_loaded(
    cli, scoring, tmp_path, monkeypatch, name
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder").mkdir()
    for file, content in (("empty.txt", b""), ("blank.txt", b" \n\n"), ("latin.txt", b"caf\xe9")):
        (tmp_path / file).write_bytes(content)
    (model,) = scoring(ScoringModel())
    result = cli("perplexity", "m", name)
    assert re.fullmatch(r"error: [^\n]+\ntry: [^\n]+\n", result.err), result.err
    assert (result.code, result.out) == (1, "")
    assert NO_TEXT[name] in result.err
    assert "internal" not in result.err
    assert model.loads == []


def test_a_text_that_is_too_short_names_a_context_that_will_do(cli, scoring, file):
    scoring(ScoringModel(), ScoringModel())
    result = cli("perplexity", "m", str(file))
    assert (result.code, result.out) == (1, "")
    assert result.err == (
        "error: the text has 133 tokens, and a context of 512 needs at least 1024\n"
        "try: --ctx 64, or a longer text\n"
    )
    assert cli("perplexity", "m", str(file), "--ctx", "64").code == 0


def test_a_context_beyond_training_is_noted(cli, scoring, tmp_path):
    path = tmp_path / "long.txt"
    path.write_text("a" * 300)
    (model,) = scoring(ScoringModel())
    model.n_ctx = 128  # of which it was trained for 64
    result = cli("perplexity", "m", str(path), "--ctx", "128")
    assert result.code == 0
    assert result.err.startswith("note: the model was trained for 64 tokens")


def test_a_real_run_on_baby_models(cli, tmp_path, file, warm):
    path = write_model(tmp_path / "baby.gguf", Shape(n_experts=4, window=64))
    options = ("--ctx", "64", "--json", "--kl-against", "reference", "--kv", "f32")
    record = as_json(cli("perplexity", str(path), str(file), *options).out)
    assert record["perplexity"] > 1
    assert 0 <= record["kl"]["mean"] < 1e-4
    alone = as_json(cli("perplexity", str(path), str(file), "--ctx", "64", "--json").out)
    assert "kl" not in alone
