"""How things look: streams, theme, tables, and the small progress lines.

Answers and data go to stdout, everything else to stderr. Colour means something (good, warn, bad,
muted) and appears only on a terminal; rich honours NO_COLOR. rich is imported when something is
drawn, so that `--help` is quick.
"""

from __future__ import annotations

import io
import json
import math
import os
import shlex
import subprocess
import sys
import threading
import time
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TextIO

if TYPE_CHECKING:
    from rich.console import Console

THEME = {
    "good": "green",
    "warn": "yellow",
    "bad": "bold red",
    "muted": "dim",
    "title": "bold",
    # rich's bars are red until they are full; red is for what is wrong
    "bar.complete": "cyan",
    "bar.finished": "green",
    "bar.pulse": "cyan",
    "progress.download": "none",
    "progress.data.speed": "none",
    "progress.remaining": "dim",
}


@dataclass(frozen=True)
class Streams:
    """The three streams of a process; tests pass their own."""

    stdin: TextIO
    stdout: TextIO
    stderr: TextIO

    @classmethod
    def standard(cls) -> Streams:
        """The process's own streams; a closed one leads nowhere, no encoding makes output fail.

        Pipes and files on Windows are UTF-8 too, as they are elsewhere; its consoles are already.
        """
        for stream in (sys.stdout, sys.stderr):
            if hasattr(stream, "reconfigure"):
                stream.reconfigure(errors="replace")
        for stream in (sys.stdin, sys.stdout, sys.stderr) if sys.platform == "win32" else ():
            # Not twice: what has been read of cannot be changed any more.
            if hasattr(stream, "reconfigure") and stream.encoding.lower() != "utf-8":
                stream.reconfigure(encoding="utf-8", errors="replace")
        return cls(
            sys.stdin or io.StringIO(), sys.stdout or io.StringIO(), sys.stderr or io.StringIO()
        )

    @property
    def person_is_there(self) -> bool:
        """Whether somebody sees the progress and can answer."""
        return self.stdin.isatty() and self.stderr.isatty()


def confirm(question: str, streams: Streams, default: bool) -> bool:
    """Ask a person; an empty line is the default, the end of the input is a no."""
    streams.stderr.write(f"{one_line(question)} [{'Y/n' if default else 'y/N'}] ")
    streams.stderr.flush()
    line = streams.stdin.readline()
    if not line:
        streams.stderr.write("\n")
        return False
    answer = line.strip().lower()
    return answer in ("y", "yes") if answer else default


def console(stream: TextIO) -> Console:
    """A rich console on a stream: our theme, no guesses at colours, no wrapped lines."""
    from rich.console import Console
    from rich.theme import Theme

    # rich's own reading of NO_COLOR leaves bold and dim; people who set it mean plain text.
    theme = dict.fromkeys(THEME, "none") if os.environ.get("NO_COLOR") else THEME
    return Console(file=stream, theme=Theme(theme), highlight=False, soft_wrap=True, emoji=False)


def one_line(text: str) -> str:
    """Text on one line without control characters: names and messages can come from a file."""
    return printable(" ".join(text.split()))


def printable(text: str) -> str:
    """Text that cannot move a terminal's cursor or change its colours; newlines and tabs stay."""
    return "".join(
        character
        for character in text
        if character in "\n\t" or unicodedata.category(character) not in ("Cc", "Cs")
    )


def as_typed(words: Sequence[str]) -> str:
    """Words as a person types them, quoted for the shells of this system."""
    # PowerShell and cmd agree on double quotes only.
    return subprocess.list2cmdline(words) if sys.platform == "win32" else shlex.join(words)


def write_json(value: Any, stdout: TextIO) -> None:
    """Write one JSON value on one line; numbers that JSON cannot say become null."""
    stdout.write(json.dumps(_sayable(value), allow_nan=False) + "\n")


def _sayable(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _sayable(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_sayable(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def write_table(
    rows: Sequence[Sequence[str]],
    stdout: TextIO,
    header: Sequence[str] = (),
    right: Sequence[int] = (),
    spare: Sequence[int] = (),
) -> None:
    """Write rows in columns two spaces apart, the header muted.

    Args:
        rows: cells, as many in each row.
        stdout: where they go.
        header: the names of the columns.
        right: columns of numbers.
        spare: columns to do without, the first one first, while a terminal is too narrow.
    """
    from rich.cells import cell_len

    lines = [[one_line(cell) for cell in row] for row in ([header] if header else []) + list(rows)]
    if not lines:
        return
    widths = [max(cell_len(cell) for cell in column) for column in zip(*lines, strict=True)]
    page = console(stdout)
    shown = list(range(len(widths)))
    for i_column in spare if stdout.isatty() else ():
        if sum(widths[i] + 2 for i in shown) - 2 > page.width:
            shown.remove(i_column)
    for i_line, line in enumerate(lines):
        cells = []
        for i_column in shown:
            gap = " " * (widths[i_column] - cell_len(line[i_column]))
            cell = line[i_column]
            cells.append(gap + cell if i_column in right else cell + gap)
        style = "muted" if header and i_line == 0 else None
        page.print("  ".join(cells).rstrip(), style=style, markup=False)


def write_fields(fields: Iterable[tuple[str, str]], stdout: TextIO) -> None:
    """Write names and values in two columns, the names muted."""
    pairs = [(name, one_line(value)) for name, value in fields]
    width = max((len(name) for name, _ in pairs), default=0)
    page = console(stdout)
    for name, value in pairs:
        page.print(f"[muted]{name:<{width}}[/muted]", end="  ")
        page.print(value, markup=False)


class StatusLine:
    """One line on stderr that is drawn over and over, and gone when the work is done.

    Nothing is drawn when stderr is no terminal, or before `delay_s` has passed: what is quick
    stays quiet. What was shown earlier is drawn then, even if the work says nothing more for long.
    """

    def __init__(
        self,
        stderr: TextIO,
        delay_s: float = 1.0,
        clock: Callable[[], float] = time.perf_counter,
        timer: Callable[[float, Callable[[], None]], threading.Timer] = threading.Timer,
    ) -> None:
        self._stderr = stderr
        self._clock = clock
        self._due_s = clock() + delay_s
        self._new_timer = timer
        self._timer: threading.Timer | None = None
        self._lock = threading.Lock()
        self._text = ""
        self._width = 0

    def show(self, text: str) -> None:
        """Draw the line anew, now or as soon as the delay has passed."""
        if not self._stderr.isatty():
            return
        with self._lock:
            self._text = text
            wait_s = self._due_s - self._clock()
            if wait_s <= 0:
                self._draw()
            elif self._timer is None:
                self._timer = self._new_timer(wait_s, self._draw_late)
                self._timer.daemon = True
                self._timer.start()

    def clear(self) -> None:
        """Take the line away, if it was ever drawn."""
        with self._lock:
            self._text = ""
            if self._timer:
                self._timer.cancel()
            if self._width:
                self._stderr.write("\r" + " " * self._width + "\r")
                self._stderr.flush()
                self._width = 0

    def _draw_late(self) -> None:
        with self._lock:
            if self._text:
                self._draw()

    def _draw(self) -> None:
        self._stderr.write("\r" + self._text.ljust(self._width))
        self._stderr.flush()
        self._width = len(self._text)
