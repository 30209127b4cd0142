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

_VERBS = {"download": "downloading", "verify": "checking"}


@contextmanager
def shown_progress(stderr: TextIO) -> Iterator[OnProgress]:
    """Give the function that `pull` calls with its progress, drawn in the way that fits stderr."""
    if not stderr.isatty():
        yield Lines(stderr)
        return
    with _bar(stderr) as bar:
        yield Bar(bar)


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

    def __call__(self, progress: PullProgress) -> None:
        """Write a line if one is due."""
        now_s = self._clock()
        if self._stage != (progress.stage, progress.file):
            self._stage, self._start_s, self._last_s = (progress.stage, progress.file), now_s, now_s
            self._write(f"{_title(progress)}, {units.size(progress.file_bytes)}")
        elif now_s - self._last_s >= LINE_EVERY_S:
            self._last_s = now_s
            speed = units.size(progress.done_bytes / (now_s - self._start_s))
            share = 100 * progress.done_bytes / max(progress.file_bytes, 1)
            self._write(f"  {share:.0f} %, {speed}/s")

    def _write(self, line: str) -> None:
        self._stderr.write(line + "\n")
        self._stderr.flush()


class Bar:
    """A bar for the file and the stage at work."""

    def __init__(self, bar: Progress) -> None:
        self._bar = bar
        self._task = bar.add_task("asking the Hub", total=None)
        self._stage: tuple[str, str] | None = None

    def __call__(self, progress: PullProgress) -> None:
        """Move the bar."""
        if self._stage != (progress.stage, progress.file):
            self._stage = (progress.stage, progress.file)
            self._bar.reset(self._task, total=progress.file_bytes, description=_title(progress))
        self._bar.update(self._task, completed=progress.done_bytes)


def _title(progress: PullProgress) -> str:
    """What is done to which file: `downloading 2/5 NAME`."""
    place = f"{progress.i_file + 1}/{progress.n_files} " if progress.n_files > 1 else ""
    return f"{_VERBS[progress.stage]} {place}{one_line(progress.file.rpartition('/')[2])}"


def _bar(stderr: TextIO) -> Progress:
    from rich import progress

    return progress.Progress(
        progress.TextColumn("{task.description}", markup=False),
        progress.BarColumn(bar_width=24),
        progress.TextColumn("{task.percentage:>3.0f} %"),
        progress.DownloadColumn(),
        progress.TransferSpeedColumn(),
        progress.TimeRemainingColumn(compact=True),
        console=console(stderr),
    )
