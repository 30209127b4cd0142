"""Reading lines: plainly where nothing can be drawn, and the file of typed lines.

The drawn line itself is tried in a real terminal: test_cli_pty.py.
"""

import io
import sys

import pytest
from support.streams import Terminal

from localmix.cli.chat import editor
from localmix.cli.terminal import Streams


def reader(typed="", stdin=Terminal, stdout=io.StringIO):
    streams = Streams(stdin(typed), stdout(), Terminal())
    return streams, editor.line_editor(streams, None, lambda text: [])


def test_without_a_terminal_to_draw_on_lines_are_read_as_they_come():
    streams, read_line = reader("one\ntwo")
    assert [read_line(">>> ", ""), read_line("... ", "")] == ["one", "two"]
    with pytest.raises(EOFError):
        read_line(">>> ", "")
    assert streams.stderr.getvalue() == ">>> ... >>> \n"
    assert streams.stdout.getvalue() == ""


def test_a_draft_is_shown_where_it_cannot_be_edited():
    streams, read_line = reader("changed\n")
    assert read_line(">>> ", "draft") == "changed"
    assert streams.stderr.getvalue() == "draft\n>>> "


@pytest.mark.parametrize("term", ["dumb", "unknown"])
def test_a_terminal_that_can_do_nothing_gets_plain_lines(monkeypatch, term):
    monkeypatch.setenv("TERM", term)
    _, read_line = reader("typed\n", stdout=Terminal)
    assert read_line(">>> ", "") == "typed"


def test_plain_lines_need_no_prompt_toolkit(monkeypatch):
    monkeypatch.setitem(sys.modules, "prompt_toolkit", None)
    _, read_line = reader("typed\n")
    assert read_line(">>> ", "") == "typed"


def test_typed_lines_are_kept_for_the_next_chat(tmp_path):
    path = tmp_path / "home" / "typed_lines"
    lines = editor._history(path)
    for line in ("first", "two\nlines", "größer 🦊"):
        lines.append_string(line)
    assert list(editor._history(path).load_history_strings()) == [
        "größer 🦊",
        "two\nlines",
        "first",
    ]


def test_typed_lines_that_cannot_be_written_or_read_are_no_error(tmp_path):
    (tmp_path / "file").write_text("")
    for path in (tmp_path / "file" / "home" / "typed_lines", tmp_path):
        lines = editor._history(path)
        assert list(lines.load_history_strings()) == []
        lines.append_string("typed")
        assert lines.get_strings() == ["typed"]


def test_no_history_keeps_no_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    editor._history(None).append_string("typed")
    assert list(tmp_path.iterdir()) == []
