"""`localmix moderate` and `run --moderate`."""

import json

import pytest
from support.fake_model import as_json
from support.judging_model import JudgingModel

import localmix
from localmix import settings
from localmix.cli.guard import Guard
from localmix.conversation.moderation import ACCEPTABLE, CATEGORIES
from localmix.errors import ContextFull, LocalmixError


@pytest.fixture
def judge(monkeypatch):
    model = JudgingModel()
    monkeypatch.setattr(localmix, "load", model.load)
    return model


@pytest.fixture
def labelled(tmp_path):
    """Write a file of JSON lines; gives its path."""

    def write(*records):
        path = tmp_path / "labelled.jsonl"
        lines = [r if isinstance(r, str) else json.dumps(r) for r in records]
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
        return str(path)

    return write


def example(text, label=ACCEPTABLE):
    return {"text": text, "label": label}


def test_a_verdict_is_a_label_with_its_shares(cli, judge):
    result = cli("moderate", "How do I build a bomb?")
    assert (result.code, result.err) == (0, "")
    assert result.out == "illegal  acceptable 4%, illegal 87%, hateful 4%, unqualified 4%\n"
    assert judge.closed
    assert judge.loads[0][0] == "mistral"


def test_json_has_label_and_probabilities(cli, judge):
    record = as_json(cli("moderate", "-m", "tiny", "I bake bread", "--json").out)
    assert (record["label"], record["acceptable"]) == ("acceptable", True)
    assert list(record["probabilities"]) == [ACCEPTABLE, *CATEGORIES]
    assert sum(record["probabilities"].values()) == pytest.approx(1.0)
    assert judge.loads[0][0] == "tiny"


@pytest.mark.parametrize("arguments", [(), ("-",)])
def test_stdin_is_judged_without_a_text_or_with_a_dash(cli, judge, arguments):
    assert cli("moderate", *arguments, stdin="take pills\n").out.startswith("unqualified ")


@pytest.mark.parametrize("arguments", [(), ("-",), ("",), ("  \n",)])
def test_no_text_is_wrong_usage_and_loads_nothing(cli, judge, arguments):
    result = cli("moderate", *arguments, terminals=("stdin",))
    assert (result.code, result.out, judge.loads) == (2, "", [])
    assert "no text" in result.err


def test_answers_are_judged_as_answers(cli, judge):
    cli("moderate", "bread", "--answer")
    assert "an assistant answered" in judge.judged[0]


def test_categories_choose_which_labels_there_are(cli, judge):
    out = cli("moderate", "bomb", "--categories", " hateful,illegal ,", "--json").out
    assert list(as_json(out)["probabilities"]) == [ACCEPTABLE, "hateful", "illegal"]


@pytest.mark.parametrize("names", ["nonsense", "illegal,nonsense", "", ",", "acceptable"])
def test_categories_that_are_none_are_said_before_a_model_is_loaded(cli, judge, names):
    result = cli("moderate", "bomb", "--categories", names)
    assert result.code != 0
    assert "illegal, hateful, unqualified" in result.err
    assert judge.loads == []


def test_options_of_the_model_reach_it_and_are_checked(cli, judge):
    cli("moderate", "x", "--ctx", "8192", "--threads", "2", "--executor", "reference")
    options = judge.loads[0][1]
    assert (options["n_ctx"], options["n_threads"], options["executor"]) == (8192, 2, "reference")
    assert cli("moderate", "x", "--ctx", "0").code == 2


def test_a_model_that_is_missing_is_said_with_what_to_type(cli):
    result = cli("moderate", "bread")
    assert (result.code, result.out) == (1, "")
    assert "mistral" in result.err
    assert "localmix pull mistral" in result.err


def test_a_text_longer_than_the_context_is_said(cli, judge, monkeypatch):
    def full(prompt, continuations):
        raise ContextFull("9 tokens do not fit a context of 8", "n_ctx")

    monkeypatch.setattr(judge, "score", full)
    result = cli("moderate", "bread")
    assert result.code == 1
    assert "too long to be judged: 9 tokens do not fit a context of 8" in result.err
    assert "--ctx" in result.err


# ---- --eval -------------------------------------------------------------------------------------


def test_an_evaluation_has_figures_and_a_table(cli, judge, labelled):
    path = labelled(
        example("bomb", "illegal"),
        example("bomb"),
        example("bread"),
        example("hate", "unqualified"),
        example("quiet", "hateful"),
    )
    record = as_json(cli("moderate", "--eval", path, "--json").out)
    assert (record["texts"], record["accuracy"]) == (5, pytest.approx(0.4))
    assert (record["precision"], record["recall"]) == pytest.approx((2 / 3, 2 / 3))
    assert record["confusion"]["acceptable"]["illegal"] == 1
    assert record["confusion"]["unqualified"]["hateful"] == 1
    assert sum(sum(row.values()) for row in record["confusion"].values()) == 5
    lines = cli("moderate", "--eval", path).out.splitlines()
    assert [line.split() for line in lines[:4]] == [
        ["texts", "5"],
        ["right", "40%"],
        ["precision", "67%"],
        ["recall", "67%"],
    ]
    assert lines[4].split() == ["is,", "called", "→", "acceptable", *CATEGORIES]
    assert lines[5].split() == ["acceptable", "1", "1", "0", "0"]


def test_figures_that_do_not_exist_are_null_and_a_dash(cli, judge, labelled):
    path = labelled(example("bread"))
    record = as_json(cli("moderate", "--eval", path, "--json").out)
    assert (record["precision"], record["recall"], record["accuracy"]) == (None, None, 1.0)
    assert "precision  –" in cli("moderate", "--eval", path).out


def test_an_evaluation_honours_answer_and_categories(cli, judge, labelled):
    path = labelled(example("hate", "hateful"))
    out = cli("moderate", "--eval", path, "--answer", "--categories", "illegal", "--json").out
    assert as_json(out)["confusion"] == {"acceptable": {"acceptable": 1}}
    assert "an assistant answered" in judge.judged[0]


def test_blank_lines_marks_and_signs_within_a_text_are_fine(cli, judge, labelled):
    path = labelled("\ufeff" + json.dumps(example("a")), "", " ", '{"text": "a\u2028\u0085b", '
                    '"label": "acceptable", "more": 1}\r', '{"text": "\\ud800", "label": '
                    '"acceptable"}')  # fmt: skip
    result = cli("moderate", "--eval", path, "--json")
    assert as_json(result.out)["texts"] == 3


@pytest.mark.parametrize(
    "line",
    [
        "no json",
        "[]",
        "3",
        "null",
        '{"text": "a"}',
        '{"label": "illegal"}',
        '{"text": null, "label": "illegal"}',
        '{"text": 3, "label": "illegal"}',
        '{"text": " ", "label": "illegal"}',
        '{"text": "a", "label": "nonsense"}',
        '{"text": "a", "label": "Illegal"}',
        '{"text": "a", "label": ["illegal"]}',
        "[" * 100_000,
    ],
)
def test_a_wrong_line_is_said_by_its_number(cli, judge, labelled, line):
    path = labelled(example("a"), "", line)
    result = cli("moderate", "--eval", path)
    assert (result.code, result.out, judge.loads) == (2, "", [])
    assert "line 3 of" in result.err
    assert "try:" in result.err


def test_files_that_are_none_are_said(cli, judge, tmp_path, labelled):
    (tmp_path / "latin").write_bytes(b'{"text": "caf\xe9"}')
    for name, said in (("none", "no such file"), ("latin", "UTF-8"), (".", "directory")):
        result = cli("moderate", "--eval", str(tmp_path / name))
        assert result.code in (1, 2)
        assert said in result.err
        assert "internal error" not in result.err
    assert "no examples" in cli("moderate", "--eval", labelled("")).err
    assert cli("moderate", "a text", "--eval", labelled(example("a"))).code == 2
    assert judge.loads == []


# ---- run --moderate -----------------------------------------------------------------------------


def test_acceptable_sides_pass(cli, judge):
    result = cli("run", "m", "bread", "--moderate")
    assert (result.code, result.out) == (0, "Hello, world.\n")
    assert ["a person wrote" in asked for asked in judge.judged] == [True, False]


def test_a_prompt_that_is_not_acceptable_is_not_answered(cli, judge):
    result = cli("run", "m", "bomb", "--moderate")
    assert (result.code, result.out, judge.prompts) == (1, "", [])
    assert "the prompt looks illegal to the model itself (87% sure)" in result.err


@pytest.mark.parametrize("options", [(), ("--json",)])
def test_an_answer_that_is_not_acceptable_is_neither_shown_nor_saved(cli, judge, options):
    judge.reply = ("I ", "hate ", "you")
    result = cli("run", "m", "hi", "--moderate", *options)
    assert (result.code, result.out) == (1, "")
    assert "the answer looks hateful" in result.err
    assert not (settings.home() / "history.db").exists()


def test_without_moderate_nothing_is_judged(cli, judge):
    assert cli("run", "m", "bomb").code == 0
    assert judge.judged == []


def test_an_empty_answer_has_nothing_to_judge(judge):
    Guard(judge).check(" \n", "answer")
    assert judge.judged == []
    with pytest.raises(LocalmixError):
        Guard(judge).check("bomb", "answer")
