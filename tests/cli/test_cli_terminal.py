"""Tables, fields and the status line."""

import io

from support.streams import Terminal

from localmix.cli.terminal import (
    StatusLine,
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
