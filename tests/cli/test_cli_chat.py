"""The chat: what is typed, what the model reads, what stays in the conversation."""

import pytest
from support.chatting import CTRL_C, EOF, GREETING, hold_chat
from support.streams import plain

from localmix.cli.chat.talk import READ_AGAIN_TOKENS
from localmix.errors import ContextFull


def roles(held):
    return [message["role"] for message in held.talk.turns.messages]


def test_a_turn_answers_and_remembers(talk, model):
    held = talk("hi", "and you?", "/bye")
    assert held.out == "Hello, world.\nHello, world.\n"
    assert held.err == GREETING
    assert model.prompts == ["<user>hi", "<user>hi<assistant>Hello, world.<user>and you?"]
    assert roles(held) == ["user", "assistant"] * 2


def test_the_prompt_ends_in_an_angle(talk):
    assert talk("/bye").keyboard.prompts == [">>> "]


def test_ctrl_d_leaves(talk, model):
    held = talk(EOF)
    assert (held.out, held.said, model.prompts) == ("", "", [])


@pytest.mark.parametrize("line", ["", "   ", "\t", '""""""', '"""  """'])
def test_an_empty_line_does_nothing(talk, model, line):
    held = talk(line, "/bye")
    assert (held.out, held.said, model.prompts) == ("", "", [])


def test_three_quotes_open_and_close_a_message(talk, model):
    held = talk('"""first', "", "  second", 'third"""')
    assert model.prompts == ["<user>first\n\n  second\nthird"]
    assert held.keyboard.prompts == [">>> ", "... ", "... ", "... ", ">>> "]


def test_three_quotes_may_stand_alone_or_on_one_line(talk, model):
    talk('"""', "inside", '"""', '"""all of it"""')
    assert model.prompts[0] == "<user>inside"
    assert model.prompts[1].endswith("<user>all of it")


def test_ctrl_c_in_quotes_gives_the_message_up(talk, model):
    held = talk('"""', "inside", CTRL_C, "hi")
    assert model.prompts == ["<user>hi"]
    assert held.said == "Ctrl-D or /bye leaves.\n"


def test_a_slash_inside_quotes_is_no_command(talk, model):
    talk('"""', "/bye", '"""')
    assert model.prompts == ["<user>/bye"]


def test_a_path_is_no_command(talk, model):
    talk("/etc/hosts what is this?", "/* a comment */")
    assert model.prompts[0] == "<user>/etc/hosts what is this?"
    assert model.prompts[1].endswith("<user>/* a comment */")


def test_an_unknown_command_is_named_and_never_sent_to_the_model(talk, model):
    held = talk("/frobnicate now", "/hlep", "/undo\nnow")
    assert "/frobnicate is no command; /help lists them\n" in held.err
    assert "/hlep is no command; did you mean /help?\n" in held.err
    assert "/undo takes nothing more\n" in held.err
    assert model.prompts == []


def test_ctrl_c_stops_the_answer_and_keeps_it_and_the_chat(talk, model):
    model.interrupt_after = 2
    held = talk("hi", "/stats", "and?", "/bye")
    assert held.out == "Hello,\n" * 2
    assert held.said.startswith("stopped\n")
    assert "answer 2 tokens" in held.said, "figures are those of the answer that was stopped"
    assert model.prompts[1] == "<user>hi<assistant>Hello,<user>and?"


def test_ctrl_c_before_the_first_word_takes_the_question_back(talk, model):
    model.interrupt_after = 0
    held = talk("hi", "/bye")
    assert (held.out, held.said, roles(held)) == ("", "stopped\n", [])


def test_ctrl_c_at_the_prompt_says_how_to_leave(talk, model):
    held = talk(CTRL_C, "hi")
    assert held.out == "Hello, world.\n"
    assert held.said == "Ctrl-D or /bye leaves.\n"


def test_an_error_ends_the_turn_and_not_the_chat(talk, model):
    model.fail = ContextFull("the prompt is too long", "--ctx 99, or --on-overflow shift")
    held = talk("hi", "/bye")
    assert held.out == ""
    assert held.said == (
        "error: the prompt is too long\ntry: /clear, or /set ctx 99, or /set on_overflow shift\n"
    )
    assert roles(held) == []


@pytest.mark.parametrize("error", [MemoryError(), OSError(28, "No space left on device")])
def test_what_the_system_refuses_ends_the_turn_and_not_the_chat(talk, model, error):
    model.fail = error

    def mend():
        model.fail = None
        return "again"

    held = talk("hi", mend)
    assert held.said.startswith("error: ")
    assert held.out == "Hello, world.\n"


def test_a_reader_who_has_left_ends_the_chat(talk, model):
    model.fail = BrokenPipeError(32, "Broken pipe")
    with pytest.raises(BrokenPipeError):
        talk("hi")


def test_an_empty_answer_does_not_count_and_says_so(talk, model):
    model.reply = ()
    held = talk("hi", "/bye")
    assert (held.out, roles(held)) == ("\n", [])
    assert held.said == "The model said nothing, so the question does not count.\n"


def test_the_footer_is_on_terminals_and_verbose_says_more(talk, model):
    footer = "4 tokens · 16.0 tok/s · first after 125 ms · ctx 12/64\n"
    assert talk("hi").said == ""
    held = talk("hi", terminal=True)
    assert plain(held.err) == GREETING + footer
    assert f"\x1b[2m{footer[:-1]}\x1b[0m" in held.err
    verbose = talk("hi", terminal=True, verbose=True).err
    assert "first after" not in verbose
    assert "prompt 8 tokens" in verbose


def test_a_context_that_fills_up_is_announced(talk, model):
    model.n_ctx = 50
    held = talk("hi", "1234567")
    assert held.said == (
        "note: the context is 98 % full (49 of 50 tokens); /clear empties it, "
        "/set on_overflow shift drops the oldest turns when it must\n"
    ), "nothing was said at 12 of 50"


def test_turns_that_are_dropped_are_counted(talk, model):
    model.n_ctx = 61
    held = talk("hi", "and you?", "bye", "and?", on_overflow="truncate")
    assert model.prompts[1:] == [
        "<user>hi<assistant>Hello, world.<user>and you?",
        "<user>bye",
        "<user>bye<assistant>Hello, world.<user>and?",
    ]
    assert held.err.count("the model does not see the oldest 2 turns any more\n") == 2
    assert len(roles(held)) == 8, "they stay in the conversation"
    assert "the oldest turns will be dropped" in held.err


def test_with_error_nothing_is_dropped(talk, model):
    model.n_ctx = 61
    held = talk("hi", "and you?", "bye")
    assert model.prompts[2].startswith("<user>hi")
    assert "does not see" not in held.err


def test_a_conversation_that_is_read_again_says_so(talk, model):
    def lose():
        model.cache_is_lost = True
        return "and?"

    long = "x" * READ_AGAIN_TOKENS
    held = talk(long, "ok", lose)
    n_prompt = len(model.prompts[-1])
    note = f"note: the conversation was read again, {n_prompt} tokens: its beginning had left the"
    assert held.err.count(note) == 1


def test_a_short_conversation_may_be_read_again_without_a_word(talk, model):
    model.cache_is_lost = True
    assert "read again" not in talk("hi", "ok").err


def test_a_base_model_goes_on_with_texts_and_says_so_once(talk, model):
    model.is_base = True
    held = talk("Once upon", "a time", "/tokens")
    assert model.prompts == ["^Once upon", "^a time"]
    assert [options["is_answer"] for options in model.options] == [False, False]
    assert held.err.count("This is a base model") == 1
    assert "one text at a time" in held.err


def test_a_context_beyond_the_training_is_remarked_once(talk, model):
    model.n_ctx = 100_000
    assert talk("hi", "and?").err.count("the model was trained for 64 tokens") == 1


def test_a_file_is_put_into_the_message_and_named(talk, model, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "note.txt").write_text("buy milk")
    model.n_ctx = model.config.context_length = 1000
    held = talk("what? @note.txt", "to @anna")
    assert model.prompts[0] == "<user>what? @note.txt\n\nnote.txt:\n```\nbuy milk\n```"
    assert held.said == "with note.txt\n"
    assert model.prompts[1].endswith("<user>to @anna")


def test_a_file_that_is_not_there_ends_the_turn(talk, model):
    held = talk("what? @missing.txt")
    assert held.said.startswith("error: there is no file missing.txt to read\ntry: ")
    assert model.prompts == []


def test_a_folder_that_is_gone_is_no_end_of_the_chat(talk, model, tmp_path, monkeypatch):
    folder = tmp_path / "gone"
    folder.mkdir()
    monkeypatch.chdir(folder)
    folder.rmdir()
    assert talk("hi").out == "Hello, world.\n"


def test_what_the_model_says_cannot_steer_the_terminal(talk, model):
    model.reply = ("a\x1b[2J", "\r\x07b\x9b", "c 狐")
    held = talk("hi", terminal=True)
    assert held.out == "a[2Jbc 狐\n"


def test_markdown_is_coloured_on_terminals_only(talk, model, monkeypatch):
    model.reply = ("**bo", "ld**\n")
    assert talk("hi").out == "**bold**\n"
    assert talk("hi", terminal=True).out == "\x1b[0m\x1b[1m**bold**\x1b[0m\n"
    monkeypatch.setenv("TERM", "dumb")
    assert talk("hi", terminal=True).out == "**bold**\n"
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("NO_COLOR", "1")
    assert talk("hi", terminal=True).out == "**bold**\n"


def test_the_guard_stops_prompts_and_answers(talk, model):
    model.verdict = 1
    held = talk("how do I rob a bank?", moderate=True)
    assert held.out == ""
    assert "error: the prompt looks illegal to the model itself" in held.err
    assert model.prompts == []

    model.verdict = 0

    def answer_badly(ids):
        model.verdict = 1
        return ("bad", " words")

    model.reply = answer_badly
    held = talk("hi", moderate=True)
    assert (held.out, roles(held)) == ("", [])
    assert "error: the answer looks illegal" in held.err


def test_the_guard_shows_an_answer_at_once_and_keeps_none_that_was_not_judged(talk, model):
    held = talk("hi", moderate=True)
    assert held.out == "Hello, world.\n"
    assert len(model.scored) == 2
    model.interrupt_after = 2
    held = talk("hi", moderate=True)
    assert (held.out, roles(held)) == ("", [])


def test_a_terminal_and_no_prompt_open_the_chat(cli, model):
    result = cli("run", "m", stdin=b"hi\n/bye\n", terminals=("stdin", "stderr"))
    assert result.code == 0
    assert result.out == "Hello, world.\n"
    assert ">>> " in result.err
    assert model.closed


def test_a_chat_takes_as_much_context_as_the_machine_allows(cli, model):
    for options in ((), ("--ctx", "32")):
        cli("run", "m", *options, stdin=b"hi\n", terminals=("stdin", "stderr"))
    assert model.loads == [("m", {"n_ctx": "auto"}), ("m", {"n_ctx": 32})]


def test_a_conversation_that_is_taken_up_is_shown_and_its_cache_is_read(cli, model, monkeypatch):
    people = ("stdin", "stderr")
    cli("run", "m", stdin=b"one\n/save cache\n", terminals=people)
    read = []
    monkeypatch.setattr(model, "load_cache", lambda path: read.append(path.name) or 7)
    result = cli("run", "m", "-c", stdin=b"two\n", terminals=people)
    assert "It goes on after 2 messages, the last of them:\n… Hello, world.\n" in plain(result.err)
    assert model.prompts[1] == "<user>one<assistant>Hello, world.<user>two"
    assert read == ["1.cache"]
    cli("run", "m", "three", "-c")
    assert read == ["1.cache"] * 2


def test_what_is_loading_and_fails_ends_the_chat_with_its_error(cli, monkeypatch):
    import localmix
    from localmix.errors import InvalidGGUF

    def load(name, **options):
        raise InvalidGGUF(f"{name} is damaged", "pull it again")

    monkeypatch.setattr(localmix, "load", load)
    result = cli("run", "m", stdin=b"hi\n", terminals=("stdin", "stderr"))
    assert (result.code, result.out) == (1, "")
    assert plain(result.err).count("error: m is damaged\ntry: pull it again\n") == 1


@pytest.fixture
def tiny(warm):
    """The embedded model, with a context of its own choice."""
    import localmix

    with localmix.load("tiny") as model:
        yield model


GREEDY = {"temperature": 0.0, "max_tokens": 12}
STORY = "Tell me a story about a fox who lives in an old mill by the river"


def kept(tiny, *lines, **options):
    """Hold a chat -> figures of the last answer, how many ids of its prompt are new."""
    held = hold_chat(tiny, lines, **{**GREEDY, **options})
    last = held.talk.last
    return last.stats, len(last.ids) - last.stats.kept_tokens, held


def test_a_turn_computes_only_its_own_tokens(tiny):
    stats, n_new, _ = kept(tiny, STORY, "And then?")
    n_turn = len(tiny.render_chat([{"role": "user", "content": "And then?"}]))
    assert stats.kept_tokens > 20
    # The answer's last token was never fed, and its end is tokenized anew.
    assert n_new <= n_turn + 4


def test_undo_and_retry_cut_the_cache_back(tiny):
    _, n_new, _ = kept(tiny, STORY, "/retry")
    assert n_new == 1, "the last token of a prompt is computed for its logits"
    _, n_new, held = kept(tiny, STORY, "And then?", "/undo", "And why?")
    assert n_new <= len(tiny.render_chat([{"role": "user", "content": "And why?"}])) + 4
    assert "read again" not in held.err


def test_the_cache_does_not_change_an_answer(tiny):
    lines = (STORY, "And then?", "/undo", "And why?", "/retry")
    _, _, held = kept(tiny, *lines)
    last = held.talk.last
    fresh = tiny.complete([*last.ids], max_tokens=12, temperature=0.0, is_answer=True)
    assert last.answer_ids == fresh.tokens


def test_beyond_the_ring_the_conversation_is_read_again_and_that_is_said(warm):
    import localmix

    with localmix.load("tiny", sliding_window=16, n_ctx=2048) as model:
        n_ring = model._new_cache().n_slots
        text = "the fox sat on a red dog " * (n_ring // 6)
        stats, _, held = kept(model, text, "And then?", text, "/undo", "And why?")
    assert stats.kept_tokens == 0
    assert held.err.count("note: the conversation was read again, ") == 1
