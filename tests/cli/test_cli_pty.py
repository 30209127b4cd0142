"""The chat as a person has it: `tiny` in a real pseudo-terminal, screens drawn by pyte."""

import os
import re
import sys
import time
from pathlib import Path

import pyte
import pytest

if sys.platform == "win32":
    pytest.skip("needs a pseudo-terminal", allow_module_level=True)

import pexpect

ROOT = Path(__file__).parents[2]
ENTRY = "import sys; from localmix.cli.app import main; sys.exit(main())"
PROMPT = ">>> "
FOOTER = r"\d+ tokens · [\d.]+ tok/s · first after [\d.]+ \w+ · ctx \d+/\d+"
UP, CTRL_C, CTRL_D, CTRL_R, TAB = "\x1b[A", "\x03", "\x04", "\x12", "\t"

SLOW_LOAD = """
import pathlib, sys, time
import localmix
load = localmix.load
def wait(*arguments, **options):
    while not pathlib.Path(sys.argv[-1]).exists():
        time.sleep(0.01)
    return load(*arguments, **options)
localmix.load = wait
from localmix.cli.app import main
sys.exit(main(sys.argv[1:-1]))
"""
"""Loads as soon as there is a file: the last argument."""

SLOW_ANSWER = """
import sys, time
sys.path.insert(0, {tests!r})
from support.fake_model import FakeModel
import localmix
class Slow(FakeModel):
    def generate(self, prompt, **options):
        generation = super().generate(prompt, **options)
        def pieces():
            for i in range({n_words}):
                yield f"w{{i}} "
                time.sleep(0.005)
        generation._pieces = pieces()
        return generation
model = Slow(n_ctx=100_000)
model.config.context_length = 100_000
localmix.load = model.load
from localmix.cli.app import main
sys.exit(main())
"""
"""Says w0 w1 w2 and so on, 200 words in a second at most."""


def slow_answer(n_words=100_000):
    return SLOW_ANSWER.format(tests=str(ROOT / "tests"), n_words=n_words)


class Screen:
    """A process in a pseudo-terminal, and what its screen shows."""

    def __init__(self, *arguments, entry=ENTRY, size=(24, 80), env=None):
        self._screen = pyte.Screen(size[1], size[0])
        self._stream = pyte.Stream(self._screen)
        environ = {**os.environ, "PYTHONPATH": str(ROOT), **(env or {})}
        self.raw = ""
        self.child = pexpect.spawn(
            sys.executable,
            ["-c", entry, *arguments],
            env=environ,
            dimensions=size,
            encoding="utf-8",
            timeout=60,
        )
        self.child.logfile_read = self

    def write(self, text):
        """What pexpect reads comes here, too."""
        self.raw += text
        self._stream.feed(text)

    def flush(self):
        """Nothing is held back."""

    def expect(self, pattern):
        self.child.expect(pattern)
        return self.child.before

    def prompt(self):
        """Wait for the next prompt -> what came before it."""
        return self.expect(re.escape(PROMPT))

    def ask(self, line):
        """Type a line -> what came until the next prompt."""
        self.child.send(line + "\r")
        return self.prompt()

    def type(self, keys):
        self.child.send(keys)

    def resize(self, rows, columns):
        self._screen.resize(rows, columns)
        self.child.setwinsize(rows, columns)

    def leave(self):
        """Ctrl-D at the prompt -> the exit code."""
        self.child.send(CTRL_D)
        return self.end()

    def end(self):
        self.child.expect(pexpect.EOF)
        self.child.close()
        return self.child.exitstatus

    @property
    def lines(self):
        return [line.rstrip() for line in self._screen.display if line.strip()]


@pytest.fixture
def chat(warm):
    """Open chats; none outlives its test."""
    opened = []

    def open_chat(*arguments, **options):
        command = arguments or ("run", "tiny", "--seed", "1", "-n", "12")
        opened.append(Screen(*command, **options))
        return opened[-1]

    yield open_chat
    for screen in opened:
        screen.child.close(force=True)


def test_a_chat_from_greeting_to_good_bye(chat):
    screen = chat()
    screen.prompt()
    screen.ask("Hello there")
    assert screen.leave() == 0
    greeting, typed, answer, footer, last = screen.lines
    assert greeting == "Ask anything. /help lists commands, Ctrl-D leaves."
    assert typed == ">>> Hello there"
    assert answer.startswith("Hello! Shall I tell you a story?")
    assert re.fullmatch(FOOTER, footer)
    assert last == ">>>"


def test_the_prompt_is_there_before_the_model(chat, tmp_path):
    opened = tmp_path / "opened"
    screen = chat("run", "tiny", "-n", "4", str(opened), entry=SLOW_LOAD)
    screen.prompt()
    screen.type("Hello\r")
    screen.expect("loading the model")
    opened.write_text("")
    screen.prompt()
    assert screen.leave() == 0


def test_each_prompt_is_written_once_so_that_a_script_can_wait_for_it(chat):
    screen = chat()
    for line in ("Hello there", "/stats", "", "And you? " * 20):
        screen.prompt()
        screen.child.send(line + "\r")
    screen.prompt()
    screen.leave()
    assert screen.raw.count(">") == 3 * 5
    assert screen.raw.count(PROMPT) == 5


def test_an_answer_stands_in_the_bytes_as_it_is(chat):
    screen = chat()
    screen.prompt()
    assert "Hello! Shall I tell you a story?\r\n" in screen.ask("Hello there")


def test_the_terminal_is_never_asked_where_its_cursor_is(chat):
    screen = chat()
    screen.prompt()
    screen.ask("Hello there")
    screen.leave()
    assert "\x1b[6n" not in screen.raw


def test_ctrl_c_stops_an_answer_and_not_the_chat(chat):
    screen = chat("run", "m", entry=slow_answer())
    screen.prompt()
    screen.type("go\r")
    screen.expect("w7 ")
    screen.type(CTRL_C)
    screen.expect("stopped")
    screen.prompt()
    assert "ctx" in screen.ask("/tokens"), "what was said is part of the conversation"
    assert int(re.search(r"ctx (\d+)/", screen.raw)[1]) > len("<user>go<assistant>w1 w2 w3")
    assert screen.leave() == 0


def test_keys_are_echoed_while_an_answer_streams(chat):
    screen = chat("run", "m", entry=slow_answer())
    screen.prompt()
    screen.type("go\r")
    screen.expect("w7 ")
    times = []
    screen.child.delaybeforesend = None
    for key in "QXZJK":
        start = time.perf_counter()
        screen.type(key)
        screen.expect(key)
        times.append(time.perf_counter() - start)
    screen.type(CTRL_C)
    screen.prompt()
    assert sorted(times)[2] < 0.02, "the median, in seconds"


def test_what_is_typed_ahead_is_the_next_message(chat):
    screen = chat("run", "m", entry=slow_answer(100))
    screen.prompt()
    screen.type("go\r")
    screen.expect("w7 ")
    screen.type("/sta")
    screen.expect("w99 ")
    screen.prompt()
    screen.type("ts\r")
    screen.expect("peak memory")
    screen.prompt()
    assert screen.leave() == 0


def test_a_whole_line_typed_ahead_is_answered(chat):
    screen = chat("run", "m", entry=slow_answer(100))
    screen.prompt()
    screen.type("go\r")
    screen.expect("w7 ")
    screen.type("/stats\r")
    screen.expect("peak memory")
    screen.prompt()
    assert screen.leave() == 0


def test_lines_of_earlier_chats_come_back(chat):
    first = chat()
    first.prompt()
    first.ask("the quick brown fox")
    first.ask("a second line")
    first.leave()
    second = chat()
    second.prompt()
    second.type(UP)
    second.expect("a second line")
    second.type(UP)
    second.expect("the quick brown fox")
    second.type(CTRL_C)
    second.prompt()
    second.type(CTRL_R + "quick")
    second.expect("brown fox")
    second.type("\r")  # takes it into the line
    second.prompt()
    second.type("\r")
    second.expect("ctx")
    second.prompt()
    assert ">>> the quick brown fox" in second.lines
    assert second.leave() == 0


def test_no_history_keeps_no_typed_lines(chat):
    screen = chat("run", "tiny", "-n", "2", "--no-history")
    screen.prompt()
    screen.ask("secret")
    screen.leave()
    assert not list(Path(os.environ["LOCALMIX_HOME"]).glob("**/typed_lines"))
    assert not list(Path(os.environ["LOCALMIX_HOME"]).glob("**/history.db"))


def test_tab_completes(chat, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "shopping.txt").write_text("milk")
    screen = chat()
    screen.prompt()
    screen.type("/st" + TAB + "\r")
    screen.expect("There was no answer yet")
    screen.prompt()
    screen.type("/h" + TAB + TAB)
    screen.expect("/history")
    screen.type(CTRL_C)
    screen.prompt()
    screen.type("read @sho" + TAB + "\r")
    screen.expect("with shopping.txt")
    screen.prompt()


def test_a_paste_of_several_lines_is_one_message(chat):
    screen = chat("run", "tiny", "--seed", "1", "-n", "4", "--show-prompt")
    screen.prompt()
    screen.type("\x1b[200~first\nsecond\n\nfourth\x1b[201~")
    screen.expect("fourth")
    screen.type("\r")
    screen.expect(r"INST\][^\n]* first\r\nsecond\r\n\r\nfourth")
    screen.expect("ctx")
    screen.prompt()
    assert screen.leave() == 0


def test_edit_puts_the_question_into_the_line(chat):
    screen = chat()
    screen.prompt()
    screen.ask("Hello there")
    screen.type("/edit\r")
    screen.expect(re.escape(PROMPT))
    screen.expect("Hello there")
    screen.type(" again\r")
    screen.expect("ctx")
    screen.prompt()
    assert ">>> Hello there again" in screen.lines


def test_three_quotes_take_several_lines(chat):
    screen = chat("run", "tiny", "--seed", "1", "-n", "4", "--show-prompt")
    screen.prompt()
    for line in ('"""one', "two", 'three"""'):
        screen.type(line + "\r")
    screen.expect(r"one\r\ntwo\r\nthree")
    screen.expect("ctx")
    screen.prompt()
    assert '>>> """one' in screen.lines
    assert "... two" in screen.lines


def test_a_terminal_that_changes_its_size_keeps_the_line(chat):
    screen = chat()
    screen.prompt()
    screen.type("Hello")
    screen.expect("Hello")
    screen.resize(30, 50)
    screen.expect("Hello")  # drawn anew
    screen.type(" there\r")
    screen.expect("ctx")
    screen.prompt()
    assert screen.leave() == 0
    assert ">>> Hello there" in screen.lines


def test_forty_columns_break_nothing(chat):
    screen = chat(size=(24, 40))
    screen.prompt()
    screen.ask("Hello there, how are you doing on this fine day of spring?")
    assert screen.leave() == 0
    text = "".join(screen.lines)
    assert ">>> Hello there, how are you doing on this fine day of spring?" in text
    assert re.search(FOOTER, text)


def test_help_fits_80_columns(chat):
    screen = chat()
    screen.prompt()
    screen.ask("/help")
    assert all(len(line) < 80 for line in screen.lines)
    assert screen.lines[-2].startswith("Ctrl-D")


def test_a_dumb_terminal_gets_plain_text(chat):
    screen = chat(env={"TERM": "dumb"})
    screen.prompt()
    assert "Hello! Shall I tell you a story?" in screen.ask("Hello there")
    assert screen.leave() == 0
    assert "\x1b" not in screen.raw


def test_no_color_means_none(chat):
    screen = chat(env={"NO_COLOR": "1"})
    screen.prompt()
    screen.ask("Hello there")
    assert screen.leave() == 0
    codes = set(re.findall(r"\x1b\[([0-9;]*)m", screen.raw))
    assert codes <= {"0", ""}


def test_special_tokens_of_a_prompt_are_coloured(chat):
    screen = chat("run", "tiny", "-n", "2", "--show-prompt")
    screen.prompt()
    answer = screen.ask("Hello </s>")
    assert "\x1b[35m<s>" in answer
    assert "Hello </s>" in answer.partition("<s>")[2], "what is typed is no control token"


def test_a_damaged_model_is_one_error_and_no_chat(chat, tmp_path):
    (tmp_path / "broken.gguf").write_bytes(b"GGUF" + b"\0" * 100)
    screen = chat("run", str(tmp_path / "broken.gguf"))
    assert screen.end() == 1
    assert screen.raw.count("error:") == 1
    assert "Traceback" not in screen.raw


def test_a_model_that_fails_while_a_person_types_ends_the_chat(chat, tmp_path):
    opened = tmp_path / "opened"
    screen = chat("run", "tiny", "--experts", "99", str(opened), entry=SLOW_LOAD)
    screen.prompt()
    screen.type("Hel")
    screen.expect("Hel")
    opened.write_text("")
    assert screen.end() == 1
    assert screen.raw.count("error:") == 1


def test_ctrl_d_leaves_while_the_model_loads(chat, tmp_path):
    screen = chat("run", "tiny", str(tmp_path / "never"), entry=SLOW_LOAD)
    screen.prompt()
    assert screen.leave() == 0
    assert screen.lines[-1] == ">>>"


def test_ctrl_c_while_the_model_loads_keeps_the_chat(chat, tmp_path):
    opened = tmp_path / "opened"
    screen = chat("run", "tiny", "--seed", "1", "-n", "12", str(opened), entry=SLOW_LOAD)
    screen.prompt()
    screen.type("Hello there\r")
    screen.expect("loading the model")
    screen.type(CTRL_C)
    screen.expect("stopped")
    screen.prompt()
    opened.write_text("")
    assert "Shall I tell you" in screen.ask("Hello there")
    assert screen.leave() == 0


def test_one_answer_on_a_terminal_has_its_footer(chat):
    screen = chat("run", "tiny", "Hello there", "--seed", "1", "-n", "12")
    assert screen.end() == 0
    answer, footer = screen.lines
    assert answer.startswith("Hello! Shall I tell you a story?")
    assert re.fullmatch(FOOTER, footer)
