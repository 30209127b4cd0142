"""`localmix history`: what was saved, as text, Markdown and JSON."""

from datetime import datetime, timedelta, timezone

import pytest
from support.fake_model import as_json
from support.streams import plain

from localmix import settings
from localmix.conversation.history import Conversation, Entry, History

NOON = datetime(2025, 1, 2, 12, tzinfo=timezone.utc)


@pytest.fixture
def history(monkeypatch):
    """Two conversations: 1 of a fox, 2 with a system message and a fence."""
    made = History(settings.home())
    entries = (
        Entry("user", "A [bold]fox[/bold]?"),
        Entry("assistant", "Red.", {"generated_tokens": 3}),
    )
    made.save(Conversation(0, "tiny", settings={"seed": 1}, entries=entries), NOON)
    entries = (
        Entry("system", "terse"),
        Entry("user", "Code 100%"),
        Entry("assistant", "```\nx = 1\n```\n# no title"),
    )
    made.save(Conversation(0, "mistral", entries=entries), NOON + timedelta(hours=1))
    return made


def test_without_a_command_it_says_what_there_is(cli):
    result = cli("history")
    assert result.code == 0
    for name in ("list", "show", "search", "export", "rm"):
        assert f"\n  {name} " in plain(result.out)


def test_without_anything_saved_lists_are_empty_and_nothing_is_made(cli):
    for arguments in (("list",), ("search", "fox")):
        result = cli("history", *arguments)
        assert (result.code, result.out) == (0, "")
        assert result.err
        assert as_json(cli("history", *arguments, "--json").out) == []
    assert not settings.home().exists()


def test_a_list_has_the_latest_first(cli, history):
    result = cli("history", "list")
    lines = result.out.splitlines()
    assert lines[0].split() == ["id", "when", "model", "messages", "title"]
    assert [line.split()[0] for line in lines[1:]] == ["2", "1"]
    assert "mistral         3  Code 100%" in lines[1]
    assert "A [bold]fox[/bold]?" in lines[2]
    assert len(cli("history", "list", "-n", "1").out.splitlines()) == 2


def test_a_list_as_json_has_no_messages(cli, history):
    last, first = as_json(cli("history", "list", "--json").out)
    assert first == {
        "id": 1,
        "model": "tiny",
        "title": "A [bold]fox[/bold]?",
        "created": "2025-01-02T12:00:00.000+00:00",
        "updated": "2025-01-02T12:00:00.000+00:00",
        "n_messages": 2,
    }
    assert (last["id"], last["n_messages"]) == (2, 3)


@pytest.mark.parametrize("limit", ["0", "-1", "10001", "many", ""])
@pytest.mark.parametrize("command", [("list",), ("search", "fox")])
def test_a_limit_is_a_number_from_1_to_10000(cli, history, command, limit):
    result = cli("history", *command, "--limit", limit)
    assert (result.code, result.out) == (2, "")
    assert "--limit" in result.err
    assert cli("history", *command, "--limit", "10000").code == 0


def test_a_search_takes_several_words_and_signs(cli, history):
    assert len(cli("history", "search", "FOX").out.splitlines()) == 2
    assert as_json(cli("history", "search", "code", "100%", "--json").out)[0]["id"] == 2
    assert as_json(cli("history", "search", "fox code", "--json").out) == []
    assert "no conversation holds fox code" in cli("history", "search", "fox", "code").err


def test_show_has_every_message_as_it_was_said(cli, history):
    out = cli("history", "show", "1").out
    assert out.endswith("\nuser\nA [bold]fox[/bold]?\n\nassistant\nRed.\n")
    assert out.startswith("tiny · 2025-01-0")


def test_json_of_show_and_export_is_whole(cli, history):
    record = as_json(cli("history", "show", "1", "--json").out)
    assert record == as_json(cli("history", "export", "1", "--json").out)
    assert record["settings"] == {"seed": 1}
    assert record["messages"] == [
        {"role": "user", "content": "A [bold]fox[/bold]?"},
        {"role": "assistant", "content": "Red.", "figures": {"generated_tokens": 3}},
    ]


def test_an_export_is_markdown(cli, history):
    assert cli("history", "export", "2").out == (
        "# Code 100%\n\nmistral, 2025-01-02T13:00:00.000+00:00\n\n"
        "## system\n\nterse\n\n## user\n\nCode 100%\n\n"
        "## assistant\n\n```\nx = 1\n```\n# no title\n"
    )


def test_an_export_without_a_question_is_named_by_its_number(cli, history):
    number = history.save(Conversation(0, "m", entries=(Entry("assistant", "hi"),)))
    assert cli("history", "export", str(number)).out.startswith(f"# Conversation {number}\n")


@pytest.mark.parametrize("command", ["show", "export"])
def test_a_terminal_is_not_steered_by_what_was_said(cli, history, command):
    number = history.save(Conversation(0, "m", entries=(Entry("user", "a\x1b[2Jb"),)))
    shown = cli("history", command, str(number), terminals=("stdout",)).out
    assert "\x1b[2J" not in shown
    assert "a[2Jb" in plain(shown)
    if command == "export":
        assert "a\x1b[2Jb" in cli("history", command, str(number)).out


@pytest.mark.parametrize("command", ["show", "export", "rm"])
@pytest.mark.parametrize("number", ["3", "0", "99999999999999999999999"])
def test_a_number_that_is_not_there_is_said(cli, history, command, number):
    result = cli("history", command, number)
    assert (result.code, result.out) == (1, "")
    assert f"there is no conversation {number}" in result.err
    assert "localmix history list" in result.err


@pytest.mark.parametrize("arguments", [("show",), ("show", "x"), ("rm",), ("search",), ("nope",)])
def test_wrong_usage_is_said_with_exit_code_2(cli, history, arguments):
    result = cli("history", *arguments)
    assert (result.code, result.out) == (2, "")
    assert "error:" in result.err
    assert "try:" in result.err


def test_rm_deletes_those_it_is_given(cli, history):
    assert "1 deleted" in cli("history", "rm", "1", "1").err
    assert [each.id for each in history.latest()] == [2]
    assert "no conversation 1" in cli("run", "m", "hi", "--resume", "1").err


def test_rm_deletes_none_if_one_is_not_there(cli, history):
    result = cli("history", "rm", "1", "7")
    assert result.code == 1
    assert "no conversation 7" in result.err
    assert len(history.latest()) == 2


def test_rm_all_asks_a_person(cli, history):
    assert cli("history", "rm", "--all", "1").code == 2
    terminals = ("stdin", "stderr")
    cli("history", "rm", "--all", stdin="n\n", terminals=terminals)
    assert len(history.latest()) == 2
    assert "2 deleted" in plain(cli("history", "rm", "--all", stdin="y\n", terminals=terminals).err)
    assert history.latest() == []
    assert "0 deleted" in cli("history", "rm", "--all", "--yes").err


def test_a_damaged_file_is_said_in_a_sentence(cli):
    history = History(settings.home())
    history.path.parent.mkdir(parents=True)
    history.path.write_text("no database" * 500)
    result = cli("history", "list")
    assert (result.code, result.out) == (1, "")
    assert "cannot be used" in result.err
    assert "internal error" not in result.err


def test_a_time_that_another_program_wrote_is_shown_as_it_is(cli, history):
    import sqlite3

    db = sqlite3.connect(history.path)
    with db:
        db.execute("UPDATE conversations SET updated = 'yesterday' WHERE id = 1")
    db.close()
    assert "yesterday" in cli("history", "list").out
