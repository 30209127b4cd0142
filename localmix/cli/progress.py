"""How long work is drawn: a download as a bar, or a few plain lines in a log; compiling as a count.

`load_model` is `localmix.load` for commands: it says so when kernels are compiled first.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TextIO

from localmix import units
from localmix.cli.terminal import StatusLine, console, one_line

if TYPE_CHECKING:
    from rich.progress import Progress

    from localmix.engine import Model
    from localmix.kernels.library import OnCompile
    from localmix.registry.pull import OnProgress, PullProgress

LINE_EVERY_S = 10.0
"""Seconds between two lines in a log."""

COMPILING = "compiling kernels for this CPU, once"

_VERBS = {"download": "downloading", "verify": "checking", "repair": "came wrong, comparing"}


@contextmanager
def shown_progress(stderr: TextIO) -> Iterator[OnProgress]:
    """Give the function that `pull` calls with its progress, drawn in the way that fits stderr."""
    if not stderr.isatty():
        yield Lines(stderr)
        return
    with _bar(stderr) as bar:
        yield Bar(bar)


@contextmanager
def shown_asking(stderr: TextIO) -> Iterator[None]:
    """Say that the Hub is asked, when it takes longer than a moment."""
    status = StatusLine(stderr, delay_s=0.5)
    status.show("asking the Hub")
    try:
        yield
    finally:
        status.clear()


@contextmanager
def shown_compiling(stderr: TextIO) -> Iterator[OnCompile]:
    """Give the function that hears of compiling: a status line on a terminal, else a single line.

    It stays quiet until kernels are compiled, which happens once for a CPU.
    """
    status = StatusLine(stderr, delay_s=0.0)
    is_said = stderr.isatty()

    def on_compile(n_done: int, n_total: int) -> None:
        nonlocal is_said
        status.show(f"{COMPILING}: {n_done} of {n_total}")
        if not is_said:
            is_said = True
            stderr.write(COMPILING + "\n")
            stderr.flush()
        if n_done == n_total:
            status.clear()

    try:
        yield on_compile
    finally:
        status.clear()


@contextmanager
def shown_measuring(stderr: TextIO) -> Iterator[tuple[Callable[[], None], OnCompile]]:
    """Give what hears that this machine is measured, and of kernels compiled for that."""
    status = StatusLine(stderr, delay_s=0.0)
    with shown_compiling(stderr) as on_compile:
        try:
            yield lambda: status.show("measuring this machine, once"), on_compile
        finally:
            status.clear()


def load_model(name: str, stderr: TextIO, **settings: Any) -> Model:
    """Load a model, and show it when kernels are compiled for it."""
    import localmix

    with shown_compiling(stderr) as on_compile:
        return localmix.load(name, on_compile=on_compile, **settings)


class Lines:
    """One line when a stage begins, then one every few seconds."""

    def __init__(self, stderr: TextIO, clock: Callable[[], float] = time.monotonic) -> None:
        self._stderr = stderr
        self._clock = clock
        self._stage: tuple[str, str] | None = None
        self._start_s = self._last_s = 0.0
        self._start_bytes, self._trouble = 0, ""

    def __call__(self, progress: PullProgress) -> None:
        """Write a line if one is due."""
        now_s = self._clock()
        stage = (progress.stage, progress.file)
        if self._stage != stage and not _is_brief(progress):
            self._stage, self._start_s, self._last_s = stage, now_s, now_s
            self._start_bytes = progress.done_bytes
            self._write(_title(progress) + _size_of_stage(progress))
        elif self._stage == stage and now_s - self._last_s >= LINE_EVERY_S:
            self._last_s = now_s
            bytes_s = (progress.done_bytes - self._start_bytes) / (now_s - self._start_s)
            share = 100 * progress.done_bytes / max(progress.total_bytes, 1)
            self._write(f"  {share:.0f} %, {_speed(progress, bytes_s)}")
        if progress.trouble and progress.trouble != self._trouble:
            self._trouble = progress.trouble
            self._write(_trouble(progress))

    def _write(self, line: str) -> None:
        self._stderr.write(line + "\n")
        self._stderr.flush()


class Bar:
    """A bar for the stage at work, gone when all is done; what goes wrong is written above it."""

    def __init__(self, bar: Progress) -> None:
        self._bar = bar
        self._task = bar.add_task(_VERBS["download"], total=None, figures="")
        self._stage: str | None = None
        self._trouble = ""

    def __call__(self, progress: PullProgress) -> None:
        """Move the bar."""
        if self._stage != progress.stage and not _is_brief(progress):
            self._stage = progress.stage
            if progress.stage != "wait":
                # What was there before must not count as speed.
                total, done = progress.total_bytes, progress.done_bytes
                title = _title(progress, with_file=False)
                self._bar.reset(self._task, total=total, completed=done, description=title)
        if progress.trouble and progress.trouble != self._trouble:
            self._trouble = progress.trouble
            self._bar.console.print(_trouble(progress), style="muted", markup=False)
        if self._stage == progress.stage:
            self._draw(progress)

    def _draw(self, progress: PullProgress) -> None:
        title = "trying again" if progress.trouble else _title(progress, with_file=False)
        figures = ""
        if progress.stage != "wait":
            self._bar.update(self._task, completed=progress.done_bytes)
            done, total = units.size(progress.done_bytes), units.size(progress.total_bytes)
            speed = _speed(progress, self._bar.tasks[0].speed or 0.0)
            figures = f"{done:>7} of {total}, {speed}"
        self._bar.update(self._task, description=title, figures=figures)


def _is_brief(progress: PullProgress) -> bool:
    """Say whether checking is over before anybody could read that it began."""
    left_bytes = progress.total_bytes - progress.done_bytes
    return progress.stage == "verify" and left_bytes < 100_000_000


def _title(progress: PullProgress, with_file: bool = True) -> str:
    """What is done to which file: `downloading 2/5 NAME`."""
    place = f" {progress.i_file + 1}/{progress.n_files}" if progress.n_files > 1 else ""
    file = f" {one_line(progress.file.rpartition('/')[2])}" if with_file else ""
    if progress.stage == "wait":
        return "waiting for another localmix that downloads it"
    return f"{_VERBS[progress.stage]}{place}{file}"


def _size_of_stage(progress: PullProgress) -> str:
    return "" if progress.stage == "wait" else f", {units.size(progress.total_bytes)}"


def _speed(progress: PullProgress, bytes_s: float) -> str:
    """How fast it goes, and how long it will take at that speed: `32.0 MB/s, 3.1 s left`."""
    left_bytes = progress.total_bytes - progress.done_bytes
    left = f", {units.seconds(left_bytes / bytes_s)} left" if bytes_s > 0 and left_bytes else ""
    return f"{units.size(bytes_s)}/s{left}"


def _trouble(progress: PullProgress) -> str:
    return f"  {one_line(progress.trouble)}; trying again"


def _bar(stderr: TextIO) -> Progress:
    from rich import progress

    return progress.Progress(
        progress.TextColumn("{task.description}", markup=False),
        progress.BarColumn(bar_width=20),
        progress.TextColumn("{task.fields[figures]}", markup=False),
        console=console(stderr),
        transient=True,
    )
