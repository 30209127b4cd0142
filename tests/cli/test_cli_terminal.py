"""Tables, fields and the status line."""

import io
import sys

import pytest
from support.streams import Terminal

from localmix.cli.terminal import (
    StatusLine,
    Streams,
    as_typed,
    confirm,
    one_line,
    printable,
    write_fields,
    write_json,
    write_table,
)


class Alarm:
    """A timer that rings when the test says so."""

    def __init__(self, wait_s, ring):
        self.wait_s, self.ring = wait_s, ring
        self.is_set = False

    def start(self):
        self.is_set = True

    def cancel(self):
        self.is_set = False


def written(write, *arguments, **options):
    stream = io.StringIO()
    write(*arguments, stream, **options)
    return stream.getvalue()


def test_columns_are_as_wide_as_their_widest_cell():
    rows = [("a", "1.5 GB", "x"), ("longer", "12 MB", "")]
    assert written(write_table, rows, header=("name", "size", ""), right=(1,)) == (
        "name      size\na       1.5 GB  x\nlonger   12 MB\n"
    )


def test_a_narrow_terminal_does_without_the_columns_that_can_be_spared(monkeypatch):
    rows, stdout = [("name" * 3, "1" * 8, "2" * 8, "3" * 8)], {}
    for width in (100, 42, 41, 32, 31, 22, 21, 12, 5):
        monkeypatch.setenv("COLUMNS", str(width))
        terminal = Terminal()
        write_table(rows, terminal, spare=(2, 1, 3))
        stdout[width] = [cell[0] for cell in terminal.getvalue().split()]
    assert stdout == {
        100: ["n", "1", "2", "3"],
        42: ["n", "1", "2", "3"],
        41: ["n", "1", "3"],
        32: ["n", "1", "3"],
        31: ["n", "3"],
        22: ["n", "3"],
        21: ["n"],
        12: ["n"],
        5: ["n"],
    }
    monkeypatch.setenv("COLUMNS", "5")
    assert written(write_table, rows, spare=(2, 1, 3)).split() == list(rows[0]), "a pipe gets all"


def test_wide_characters_take_two_columns():
    assert written(write_table, [("狐", "x"), ("abc", "y")]) == "狐   x\nabc  y\n"


def test_a_table_of_nothing_is_nothing():
    assert written(write_table, []) == ""


def test_rows_are_never_wrapped_or_cut():
    cell = "x" * 300
    assert written(write_table, [(cell, "y")]) == f"{cell}  y\n"
    assert written(write_fields, [("file", cell)]) == f"file  {cell}\n"


def test_cells_are_one_line_and_no_markup():
    assert written(write_fields, [("name", "a\nb [red]c[/red]\x1b[0m")]) == (
        "name  a b [red]c[/red][0m\n"
    )


def test_printable_keeps_text_and_drops_what_steers():
    assert printable("größer 🦊 日本\n\t") == "größer 🦊 日本\n\t"
    assert printable("a\x1b]0;title\x07\r\x9b\ud800b") == "a]0;titleb"
    assert one_line("  a \n\n b\t") == "a b"


def test_json_says_null_for_what_it_cannot_say():
    value = {"a": float("nan"), "b": [float("inf"), 1.5], "c": (None, True)}
    assert written(write_json, value) == '{"a": null, "b": [null, 1.5], "c": [null, true]}\n'


def test_a_status_line_waits_then_overwrites_itself_and_goes():
    now, terminal = [0.0], Terminal()
    line = StatusLine(terminal, delay_s=1.0, clock=lambda: now[0], timer=Alarm)
    line.show("early")
    line.clear()
    assert terminal.getvalue() == ""
    now[0] = 1.0
    line.show("a longer line")
    line.show("short")
    line.clear()
    line.clear()
    assert terminal.getvalue() == "\ra longer line\rshort        \r     \r"


def test_a_status_line_appears_by_itself_when_the_work_stays_silent():
    terminal, alarms = Terminal(), []

    def timer(wait_s, ring):
        alarms.append(Alarm(wait_s, ring))
        return alarms[-1]

    line = StatusLine(terminal, delay_s=1.0, clock=lambda: 0.25, timer=timer)
    line.show("one")
    line.show("two")
    (alarm,) = alarms
    assert (alarm.wait_s, alarm.is_set, terminal.getvalue()) == (1.0, True, "")
    alarm.ring()
    assert terminal.getvalue() == "\rtwo"
    line.clear()
    alarm.ring()  # too late: the work is done
    assert terminal.getvalue() == "\rtwo\r   \r"


def test_a_status_line_is_not_for_pipes():
    pipe = io.StringIO()
    line = StatusLine(pipe, delay_s=0.0)
    line.show("text")
    line.clear()
    assert pipe.getvalue() == ""


@pytest.mark.parametrize(
    ("typed", "default", "answer"),
    [
        ("y\n", False, True),
        ("YES\n", False, True),
        (" yes \n", True, True),
        ("n\n", True, False),
        ("no\n", False, False),
        ("\n", True, True),
        ("\n", False, False),
        ("", True, False),  # Ctrl-D agrees to nothing
        ("", False, False),
        ("yellow\n", True, False),
        ("what?\n", True, False),
    ],
)
def test_a_question_wants_a_yes(typed, default, answer):
    stderr = io.StringIO()
    streams = Streams(Terminal(typed), io.StringIO(), stderr)
    assert confirm("Really?", streams, default) is answer
    shown = f"Really? [{'Y/n' if default else 'y/N'}] "
    assert stderr.getvalue() == shown + ("" if typed else "\n")


def test_a_question_cannot_steer_the_terminal():
    stderr = io.StringIO()
    confirm("a\x1b[2J\nb?", Streams(Terminal("\n"), io.StringIO(), stderr), default=False)
    assert stderr.getvalue() == "a[2J b? [y/N] "


def test_pipes_of_windows_are_utf_8_both_ways(monkeypatch):
    pipes = [io.TextIOWrapper(io.BytesIO("é ✓\n".encode()), encoding="cp1252") for _ in range(3)]
    for name, pipe in zip(("stdin", "stdout", "stderr"), pipes, strict=True):
        monkeypatch.setattr(sys, name, pipe)
    monkeypatch.setattr(sys, "platform", "win32")
    streams = Streams.standard()
    assert streams.stdin.readline() == "é ✓\n"
    streams.stdout.write("✓")
    Streams.standard()  # again, when something has been read: nothing is changed any more
    streams.stdout.flush()
    assert pipes[1].buffer.getvalue().decode().startswith("✓")


def test_elsewhere_the_encoding_is_the_persons_own(monkeypatch):
    pipe = io.TextIOWrapper(io.BytesIO(), encoding="latin-1")
    monkeypatch.setattr(sys, "stdout", pipe)
    monkeypatch.setattr(sys, "platform", "linux")
    Streams.standard().stdout.write("é ✓")
    pipe.flush()
    assert pipe.buffer.getvalue() == b"\xe9 ?"


@pytest.mark.parametrize(
    ("platform", "typed"),
    [("linux", "localmix run 'a b.gguf'"), ("win32", 'localmix run "a b.gguf"')],
)
def test_words_are_quoted_for_the_shell_of_the_system(monkeypatch, platform, typed):
    monkeypatch.setattr(sys, "platform", platform)
    assert as_typed(["localmix", "run", "a b.gguf"]) == typed
