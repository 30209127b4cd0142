"""Commands of the chat, each with what it does and with what it refuses."""

import pytest
import typer
from support.chatting import CTRL_C
from support.streams import plain

from localmix.cli.chat.commands import COMMANDS, complete
from localmix.cli.options import SETTABLE
from localmix.errors import LocalmixError, ModelNotFound


@pytest.fixture
def roomy(model):
    """A model whose context is never full here."""
    model.n_ctx = model.config.context_length = 4096
    return model


@pytest.fixture
def reloads(roomy, monkeypatch):
    """What `localmix.load` is called with when a chat loads a model anew."""
    import localmix

    def put(load):
        monkeypatch.setattr(localmix, "load", load)

    return put


def test_help_names_every_command_and_fits_80_columns(talk, roomy):
    held = talk("/help", "/?")
    for name in (*COMMANDS, '"""', "@file", "Ctrl-C", "Ctrl-D"):
        assert held.err.count(f"\n{name} ") + held.err.count(f"\n{name}\n") >= 2
    assert all(len(line) < 80 for line in held.err.splitlines())
    assert roomy.prompts == []


@pytest.mark.parametrize("line", ["/bye", "/BYE", "/exit", "/quit", "/bye  "])
def test_bye_leaves(talk, roomy, line):
    assert talk(line, "hi").out == ""


@pytest.mark.parametrize(
    "name", [name for name, command in COMMANDS.items() if not command.takes]
)  # fmt: skip
def test_a_command_that_takes_nothing_refuses_what_follows(talk, roomy, name):
    held = talk("hi", f"{name} now")
    assert held.said == f"{name} takes nothing more\n"
    assert len(held.talk.turns.messages) == 2


def test_clear_forgets_all_but_the_system_message(talk, roomy):
    held = talk("hi", "/clear", "again", system="be terse")
    assert roomy.prompts[1] == "<system>be terse<user>again"
    assert "forgotten" in held.said
    assert len(held.talk.turns.messages) == 2


def test_clear_begins_another_saved_conversation(talk, roomy):
    held = talk("hi", "/clear", "again", "/history", saves=True)
    assert held.talk.saved.id == 2
    assert "again" in held.said


def test_undo_takes_a_turn_back(talk, roomy):
    held = talk("one", "two", "/undo", "three", "/undo", "/undo", "/undo")
    assert roomy.prompts[2] == "<user>one<assistant>Hello, world.<user>three"
    assert held.said == (
        "Taken back: two\nTaken back: three\nTaken back: one\nThere is nothing to take back.\n"
    )


def test_retry_answers_the_last_question_again(talk, roomy):
    replies = iter([("first",), ("second",)])
    roomy.reply = lambda ids: next(replies)
    held = talk("/retry", "hi", "/retry")
    assert held.out == "first\nsecond\n"
    assert roomy.prompts == ["<user>hi"] * 2
    assert [m["content"] for m in held.talk.turns.messages] == ["hi", "second"]
    assert held.said == "Nothing was asked yet.\n"


def test_a_retry_without_a_new_answer_keeps_the_old_one(talk, roomy):
    def stop():
        roomy.interrupt_after = 0
        return "/retry"

    held = talk("hi", stop)
    assert [m["content"] for m in held.talk.turns.messages] == ["hi", "Hello, world."]


def test_a_file_is_read_once_however_often_a_question_is_answered(
    talk, roomy, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.txt").write_text("text")
    held = talk("see @a.txt", "/retry", "/edit", None)
    assert roomy.prompts == ["<user>see @a.txt\n\na.txt:\n```\ntext\n```"] * 3
    assert held.keyboard.drafts[3] == "see @a.txt"


def test_edit_puts_the_last_question_into_the_line(talk, roomy):
    held = talk("/edit", "hello", "/edit", "hallo")
    assert held.keyboard.drafts == ["", "", "", "hello", ""]
    assert roomy.prompts == ["<user>hello", "<user>hallo"]
    assert held.said == "Nothing was asked yet.\n"


def test_the_system_message_is_shown_and_changed(talk, roomy):
    held = talk("/system", "/system be terse", "/system", "hi", "/system off", "ho")
    assert held.said == (
        "There is no system message.\n"
        "The system message is changed; what was said stays.\n"
        "be terse\n"
        "The system message is off; what was said stays.\n"
    )
    assert roomy.prompts[0] == "<system>be terse<user>hi"
    assert roomy.prompts[1].startswith("<user>hi")


def test_set_changes_the_next_answer(talk, roomy):
    lines = ("temperature 0", "--top-k 3", "seed 7", "stop END", "max-tokens 2")
    held = talk(
        *(f"/set {line}" for line in lines), "hi", "/set seed none", "/set system terse", "hi"
    )
    first, second = roomy.options
    wanted = {"temperature": 0.0, "top_k": 3, "seed": 7, "stop": ("END",), "max_tokens": 2}
    assert {name: first[name] for name in wanted} == wanted
    assert second["seed"] is None
    assert roomy.prompts[1].startswith("<system>terse")
    assert held.said.startswith("temperature is 0.0\ntop_k is 3\nseed is 7\nstop is END\n")
    assert "seed is not set\n" in held.said


def test_set_without_a_value_shows_it(talk, roomy):
    assert talk("/set temperature", "/set verbose").said == "temperature is 0.8\nverbose is off\n"
    rows = dict(line.split(maxsplit=1) for line in talk("/set").said.splitlines())
    assert set(rows) == set(SETTABLE) - {"no_history"}
    assert (rows["top_k"], rows["seed"]) == ("40", "not set")


WRONG = {
    "/set colour red": "/set takes a name and a value",
    "/set no_history on": "/set takes a name and a value",
    "/set temperature hot": "temperature must be a number, not hot",
    "/set temperature nan": "--temperature must be from 0 to 100, not nan",
    "/set temperature -1": "--temperature must be",
    "/set top_k 1.5": "top_k must be a whole number, not 1.5",
    "/set top_p 2": "--top-p must be from 0 to 1",
    "/set seed -1": "--seed must be",
    "/set ctx 0": "--ctx must be at least 1",
    "/set kv f64": "--kv must be one of",
    "/set on_overflow cry": "--on-overflow must be one of",
    "/set verbose maybe": "verbose must be on or off, not maybe",
    "/save twice": "/save takes nothing, or cache",
    "/load": "/load takes the number of a conversation",
    "/load x": "/load takes the number of a conversation",
    "/load 9": "there is no conversation 9",
    "/load 99999999999999999999999": "/load takes the number of a conversation",
    "/experts": "this model has no experts",
}


@pytest.mark.parametrize("line", WRONG)
def test_what_a_command_refuses_is_two_lines_and_changes_nothing(talk, roomy, line):
    held = talk("hi", line, saves=True)
    error, hint = held.said.splitlines()
    assert error.startswith(f"error: {WRONG[line]}")
    assert hint.startswith("try: ")
    assert "internal" not in error
    assert len(held.talk.turns.messages) == 2
    assert held.talk.options == talk("hi", saves=True).talk.options


def test_set_of_the_model_loads_it_anew(talk, roomy, reloads):
    reloads(roomy.load)
    held = talk("hi", "/set ctx 512", "and?")
    assert roomy.loads == [("m", {"n_ctx": 512})]
    assert held.said == "ctx is 512\n"
    assert roomy.prompts[1].startswith("<user>hi<assistant>")


def test_a_model_that_cannot_be_loaded_anew_leaves_the_old_one(talk, roomy, reloads):
    def load(name, **options):
        raise LocalmixError("too much", "less")

    reloads(load)
    held = talk("/set ctx 512", "hi", "/set ctx")
    assert held.said == "error: too much\ntry: less\nctx is not set\n"
    assert held.out == "Hello, world.\n"
    assert not roomy.closed


def test_show_names_the_model_and_what_was_set(talk, roomy):
    said = talk("/show", temperature=0.5, system="be terse").said
    for row in ("model        m", "context      4096 tokens of 4096", "chat format  fake"):
        assert row in said
    assert "system       be terse" in said
    assert "temperature 0.5" in said


def test_save_says_how_to_go_on(talk, roomy):
    held = talk("/save", "hi", "/save", "/save cache", saves=True)
    assert held.said == (
        "There is nothing to save yet.\n"
        "Conversation 1: localmix run m --resume 1\n"
        "Saved with its cache, 5 B.\n"
        "Conversation 1: localmix run m --resume 1\n"
    )


def test_nothing_is_saved_or_loaded_without_a_history(talk, roomy):
    held = talk("hi", "/save", "/load 1")
    assert held.said == "error: nothing is saved with --no-history\ntry: start without it\n" * 2


def test_a_home_that_cannot_be_written_is_said_once_and_the_chat_goes_on(
    talk, roomy, tmp_path, monkeypatch
):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("LOCALMIX_HOME", str(tmp_path / "file" / "home"))
    held = talk("hi", "and?", "/save", saves=True)
    assert held.out == "Hello, world.\n" * 2
    assert len(held.talk.saved.failures) == 1
    assert "error: the conversation cannot be saved\n" in held.said


def test_load_takes_a_conversation_up(talk, roomy):
    talk("one", "/save cache", saves=True, system="terse")
    held = talk("/load 1", "two", saves=True)
    assert (
        "Conversation 1, 2 messages, 7 tokens of it from its cache.\n… Hello, world." in held.said
    )
    assert roomy.prompts[-1] == "<system>terse<user>one<assistant>Hello, world.<user>two"
    assert held.talk.saved.id == 1


def test_history_lists_and_searches(talk, roomy):
    assert talk("/history").said == "No conversation is saved.\n"
    talk("about foxes", "/clear", "about bears", saves=True)
    said = talk("/history").said
    assert "about foxes" in said
    assert "about bears" in said
    assert "bears" not in talk("/history foxes").said
    assert talk("/history wolves").said == "No conversation has wolves.\n"


def test_tokens_counts_the_conversation_or_a_text(talk, roomy):
    held = talk("/tokens", "hi", "/tokens", "/tokens ab\x1b")
    assert held.said.splitlines() == [
        "Nothing was said yet; the context holds 4096 tokens.",
        "ctx 32/4096: the conversation has 32 tokens.",
        "3 tokens: [a] [b] []",
    ]


def test_stats_shows_the_figures_of_the_last_answer(talk, roomy):
    held = talk("/stats", "hi", "/stats", "more", "/stats")
    none, first, second = held.said.splitlines()
    assert none == "There was no answer yet."
    assert first == (
        "prompt 8 tokens at 80.0 tok/s · answer 4 tokens at 16.0 tok/s (reading 16.0 GB/s)"
        " · first token 125 ms"
        " · load 250 ms · peak memory 123 MB"
    )
    assert second.startswith("prompt 42 tokens (8 from the cache) at")


def test_model_shows_and_changes_it(talk, roomy, reloads, monkeypatch):
    reloads(roomy.load)
    held = talk("/model", "hi", "/model other", "and?", saves=True)
    assert held.said == "m; others here: tiny\nother goes on from here.\n"
    assert roomy.loads == [("other", {"n_ctx": "auto"})]
    assert roomy.prompts[1].startswith("<user>hi<assistant>Hello")
    assert (held.talk.options.model, held.talk.saved.model) == ("other", "other")


def test_a_model_that_is_not_there_leaves_the_old_one(talk, roomy, reloads):
    def load(name, **options):
        raise ModelNotFound(f"there is no model {name}", "localmix list")

    reloads(load)
    held = talk("/model nonsense", "hi")
    assert held.said == "error: there is no model nonsense\ntry: localmix list\n"
    assert held.out == "Hello, world.\n"
    assert held.talk.options.model == "m"


def test_a_download_that_is_declined_leaves_the_old_one(talk, roomy, monkeypatch):
    from localmix.cli import pull

    def decline(name, streams):
        raise typer.Exit(1)

    monkeypatch.setattr(pull, "offer", decline)
    held = talk("/model mistral", "hi", terminal=True)
    assert held.out == "Hello, world.\n"
    assert held.talk.options.model == "m"


def test_ctrl_c_while_another_model_loads_leaves_the_old_one(talk, roomy, reloads):
    def load(name, **options):
        raise KeyboardInterrupt

    reloads(load)
    held = talk("/model other", CTRL_C, "hi")
    assert held.said == "stopped\nCtrl-D or /bye leaves.\n"
    assert held.out == "Hello, world.\n"


def test_tab_completes_commands_settings_and_their_values():
    assert complete("/h") == ["/help", "/history"]
    assert complete("/") == list(COMMANDS)
    assert complete("/set te") == ["temperature"]
    assert "no_history" not in complete("/set ")
    assert set(complete("/set ")) < set(SETTABLE)
    assert complete("/set kv f") == ["f16", "f32"]
    assert complete("/set verbose o") == ["on", "off"]
    assert complete("/set temperature 0") == []
    assert complete("/model t") == ["tiny"]
    assert complete("tell me /h") == []
    assert complete("hello") == []
    assert complete("") == []


def test_tab_completes_files(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "docs").mkdir()
    for name in ("docs/a.md", "notes.txt", "my notes.txt", ".hidden"):
        (tmp_path / name).write_text("")
    assert complete("see @n") == ["@notes.txt"]
    assert complete("see @") == ["@docs/", '@"my notes.txt"', "@notes.txt"]
    assert complete("see @.h") == ["@.hidden"]
    assert complete("@docs/") == ["@docs/a.md"]
    assert complete("@my") == complete('@"my') == ['@"my notes.txt"']
    assert complete(f"@{tmp_path}/no") == [f"@{tmp_path}/notes.txt"]
    assert complete("@nowhere/") == []
    assert complete("@/nowhere/x") == []


def test_experts_draws_the_last_prompt(cli, warm):
    typed = b"/experts\nHello\n/experts\n"
    result = cli("run", "tiny", "-n", "4", stdin=typed, terminals=("stdin", "stderr"))
    assert "There was no answer yet." in plain(result.err)
    assert "tiny · " in result.out
    assert "layer 0" in result.out
