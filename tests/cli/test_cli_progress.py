"""How a download is drawn: a bar on a terminal, a few lines in a log."""

import io
import re

import pytest
from support.streams import Terminal, plain

from localmix.cli.progress import LINE_EVERY_S, Lines, shown_asking, shown_progress
from localmix.registry.pull import PullProgress

FILE = "folder/Model.gguf"
MB = 1_000_000


def event(stage="download", done_mb=0, total_mb=40, trouble="", file=FILE, i_file=0, n_files=1):
    return PullProgress(stage, file, i_file, n_files, done_mb * MB, total_mb * MB, trouble)


class Log:
    """Lines on a stream, and the clock they look at."""

    def __init__(self):
        self.now_s, self.stream = 0.0, io.StringIO()
        self.lines = Lines(self.stream, clock=lambda: self.now_s)

    def tell(self, *events, every_s=0.0):
        for each in events:
            self.lines(each)
            self.now_s += every_s
        return self.stream.getvalue()


def drawn(*events):
    """What a terminal showed after each event."""
    terminal = Terminal()
    shown = []
    with shown_progress(terminal) as on_progress:
        for each in events:
            before = len(terminal.getvalue())
            on_progress(each)
            on_progress._bar.refresh()
            shown.append(plain(terminal.getvalue()[before:]).strip())
    return shown


def test_lines_of_a_log_come_every_few_seconds():
    events = [event(done_mb=10 * i, i_file=1, n_files=3) for i in range(5)]
    assert Log().tell(*events, every_s=LINE_EVERY_S / 2) == (
        "downloading 2/3 Model.gguf, 40.0 MB\n  50 %, 2.00 MB/s, 10 s left\n  100 %, 2.00 MB/s\n"
    )


def test_what_an_earlier_pull_has_left_is_no_speed():
    events = [event(done_mb=20), event(done_mb=30)]
    assert Log().tell(*events, every_s=LINE_EVERY_S).endswith("  75 %, 1.00 MB/s, 10 s left\n")


def test_nothing_at_all_has_no_time_left():
    assert Log().tell(event(), event(), every_s=LINE_EVERY_S).endswith("  0 %, 0 B/s\n")


def test_trouble_is_written_once_until_it_is_another():
    events = [event(trouble=text) for text in ("", "cut", "cut", "", "cut", "busy\x1b[2J")]
    assert Log().tell(*events) == (
        "downloading Model.gguf, 40.0 MB\n  cut; trying again\n  busy[2J; trying again\n"
    )


def test_each_stage_begins_a_line():
    events = [
        event("wait"),
        event(total_mb=200),
        event("verify", 0, 200),
        event("verify", 200, 200),
        event("repair", 0, 200),
    ]
    assert Log().tell(*events) == (
        "waiting for another localmix that downloads it\n"
        "downloading Model.gguf, 200 MB\n"
        "checking Model.gguf, 200 MB\n"
        "came wrong, comparing Model.gguf, 200 MB\n"
    )


def test_checking_that_is_over_at_once_is_not_mentioned():
    assert Log().tell(event(), event("verify", 0, 40)).count("\n") == 1


@pytest.mark.parametrize(
    ("progress", "words"),
    [
        (event(done_mb=10), ("downloading ", "10.0 MB of 40.0 MB, ")),
        (event(done_mb=10, i_file=1, n_files=5), ("downloading 2/5 ",)),
        (event("verify", 100, 4000), ("checking ", "100 MB of 4.00 GB, ")),
        (event("repair", 1, 40), ("came wrong, comparing ", "1.00 MB of 40.0 MB, ")),
        (event("wait"), ("waiting for another localmix that downloads it ",)),
        (event(trouble="cut"), ("cut; trying again\n", "trying again ")),
    ],
)
def test_the_bar_says_what_is_done_and_how_far_it_is(progress, words):
    (shown,) = drawn(progress)
    for word in words:
        assert word in shown
    assert FILE not in shown, "the name stands above: it would push out the figures"


@pytest.mark.parametrize("n_columns", [60, 80, 200])
def test_a_narrow_terminal_takes_from_the_bar_and_not_from_the_words(monkeypatch, n_columns):
    monkeypatch.setenv("COLUMNS", str(n_columns))
    (shown,) = drawn(event("repair", 888, 4440, i_file=10, n_files=11))
    line = shown.splitlines()[-1].rpartition("\r")[2]
    assert re.fullmatch(r"came wrong, comparing 11/11 [━╸╺ ]+ 888 MB of 4.44 GB, 0 B/s", line)
    assert len(line) <= min(n_columns, 80)


def test_long_trouble_stands_above_the_bar_and_once():
    trouble = "the connection to " + "x" * 70 + " was cut"
    shown = drawn(event(trouble=trouble), event(), event(trouble=trouble))
    assert [text.count(trouble) for text in shown] == [1, 0, 0]


def test_waiting_ends_with_a_bar_that_knows_its_end():
    wait, download = drawn(event("wait"), event(done_mb=20))
    assert "MB" not in wait
    assert "20.0 MB of 40.0 MB" in download


def test_the_bar_survives_a_file_without_bytes():
    drawn(event(total_mb=0), event("verify", 0, 0))


def test_asking_is_said_when_it_takes_long(monkeypatch):
    from functools import partial

    from localmix.cli import progress, terminal

    monkeypatch.setattr(progress, "StatusLine", partial(terminal.StatusLine, clock=lambda: 0.0))
    quick, pipe = Terminal(), io.StringIO()
    for stream in (quick, pipe):
        with shown_asking(stream):
            pass
        assert stream.getvalue() == ""
