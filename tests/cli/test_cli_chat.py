"""The chat: what is typed, what the model reads, what stays in the conversation."""

import io

import pytest
from support.streams import Terminal

from localmix.cli.chat import Chat, line_reader
from localmix.cli.options import RunOptions
from localmix.cli.terminal import Streams
from localmix.errors import ContextFull

EOF, CTRL_C = EOFError(), KeyboardInterrupt()


class Keyboard:
    """Gives typed lines one after the other and remembers the prompts it was shown."""

    def __init__(self, *lines):
        self.lines = list(lines)
        self.prompts = []

    def __call__(self, prompt):
        self.prompts.append(prompt)
        line = self.lines.pop(0) if self.lines else EOF
        if isinstance(line, BaseException):
            raise line
        return line


@pytest.fixture
def talk(model):
    """Type some lines -> stdout, stderr, the chat."""

    def run(*lines, **options):
        streams = Streams(io.StringIO(), io.StringIO(), io.StringIO())
        keyboard = Keyboard(*lines)
        chat = Chat(model, RunOptions("m", **options), streams, keyboard)
        chat.loop()
        chat.keyboard = keyboard
        return streams.stdout.getvalue(), streams.stderr.getvalue(), chat

    return run


GREETING = "Ask anything. /help lists commands, Ctrl-D leaves.\n"


def test_a_turn_answers_and_remembers(talk, model):
    out, err, chat = talk("hi", "and you?", "/bye")
    assert out == "Hello, world.\nHello, world.\n"
    assert err == GREETING
    assert model.prompts == ["<user>hi", "<user>hi<assistant>Hello, world.<user>and you?"]
    assert [m["role"] for m in chat.messages] == ["user", "assistant"] * 2


def test_the_prompt_ends_in_an_angle(talk):
    _, _, chat = talk("/bye")
    assert chat.keyboard.prompts == [">>> "]


def test_ctrl_d_leaves(talk, model):
    out, err, _ = talk(EOF)
    assert (out, err) == ("", GREETING + "\n")
    assert model.prompts == []


def test_an_empty_line_does_nothing(talk, model):
    talk("", "   ", "\t")
    assert model.prompts == []


def test_three_quotes_open_and_close_a_message(talk, model):
    _, _, chat = talk('"""first', "", "  second", 'third"""')
    assert model.prompts == ["<user>first\n\n  second\nthird"]
    assert chat.keyboard.prompts == [">>> ", "... ", "... ", "... ", ">>> "]


def test_three_quotes_may_stand_alone_or_on_one_line(talk, model):
    talk('"""', "inside", '"""', '"""all of it"""')
    assert model.prompts[0] == "<user>inside"
    assert model.prompts[1].endswith("<user>all of it")


def test_a_slash_inside_quotes_is_no_command(talk, model):
    talk('"""', "/bye", '"""')
    assert model.prompts == ["<user>/bye"]


def test_clear_forgets_all_but_the_system_message(talk, model):
    _, err, chat = talk("hi", "/clear", "again", system="be terse")
    assert model.prompts[1] == "<system>be terse<user>again"
    assert "forgotten" in err
    assert len(chat.messages) == 3


def test_help_names_what_there_is(talk, model):
    _, err, _ = talk("/help")
    for name in ("/help", "/clear", "/bye", '"""', "Ctrl-C", "Ctrl-D"):
        assert name in err
    assert model.prompts == []


def test_an_unknown_command_is_named_and_never_sent_to_the_model(talk, model):
    _, err, _ = talk("/frobnicate now")
    assert "/frobnicate is no command; /help lists them" in err
    assert model.prompts == []


def test_ctrl_c_stops_the_answer_and_keeps_the_chat(talk, model):
    model.interrupt_after = 2
    out, err, chat = talk("hi", "/bye")
    assert out == "Hello,\n"
    assert "stopped" in err
    assert chat.messages[-1] == {"role": "assistant", "content": "Hello,"}


def test_ctrl_c_at_the_prompt_says_how_to_leave(talk, model):
    out, err, _ = talk(CTRL_C, "hi")
    assert out == "Hello, world.\n"
    assert "Ctrl-D or /bye leaves" in err


def test_an_error_ends_the_turn_and_not_the_chat(talk, model):
    model.fail = ContextFull("the prompt is too long", "--ctx 1024")
    out, err, chat = talk("hi", "/bye")
    assert out == ""
    assert err == GREETING + "error: the prompt is too long\ntry: /clear, or --ctx 1024\n"
    assert chat.messages == []


def test_without_line_editing_the_prompt_goes_to_stderr():
    streams = Streams(Terminal("one\ntwo"), io.StringIO(), Terminal())
    read_line = line_reader(streams)
    assert [read_line(">>> "), read_line(">>> ")] == ["one", "two"]
    with pytest.raises(EOFError):
        read_line(">>> ")
    assert streams.stderr.getvalue() == ">>> " * 3
    assert streams.stdout.getvalue() == ""


def test_a_terminal_and_no_prompt_open_the_chat(cli, model):
    result = cli("run", "m", stdin=b"hi\n/bye\n", terminals=("stdin", "stderr"))
    assert result.code == 0
    assert result.out == "Hello, world.\n"
    assert ">>> " in result.err
