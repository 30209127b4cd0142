"""Tokens and their experts in a terminal: figure 8 of the Mixtral paper (arXiv:2401.04088).

On a terminal with colours a token lies on the colour of its first expert. Without colours, and
where there are more experts than colours, the expert's number stands under each token:

    ·The ·fog ·came
    3    0    3
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TextIO

from localmix.cli.terminal import console

if TYPE_CHECKING:
    from rich.console import Console

    from localmix.engine.routes import LayerRoutes, Repetition

PALETTE = (
    "#ffaf5f",
    "#87afff",
    "#ffff5f",
    "#d787ff",
    "#87d75f",
    "#ff8787",
    "#87ffff",
    "#d0d0d0",
)
"""Backgrounds that black text can be read on; all are among the 256 colours of terminals."""

_EIGHTHS = " ▏▎▍▌▋▊▉"
_BAR_CELLS = 4
_MIN_WIDTH = 8


def colour(expert: int) -> str:
    """Return the background of an expert; colours come again where there are more experts."""
    return PALETTE[expert % len(PALETTE)]


def visible_lines(piece: str, space: str) -> list[str]:
    r"""Return what a reader sees of a token: one text for each line that it stands on, none empty.

    Line ends are shown as ↵ and tabs as →. Other control characters are shown as their pictures
    (␛), and whatever else has no looks of its own as its number (\u200d).
    """
    lines = re.findall(r"[^\n]*\n|[^\n]+", piece)
    shown = ["".join(_visible(character, space) for character in line) for line in lines]
    # A mark without its letter would land on the token before it.
    return [f"◌{line}" if _is_mark(line[0]) else line for line in shown] or ["∅"]


def _visible(character: str, space: str) -> str:
    named = {" ": space, "\n": "↵", "\t": "→", "\x7f": "␡"}.get(character)
    if named is not None:
        return named
    if character < " ":
        return chr(0x2400 + ord(character))
    if unicodedata.category(character)[0] in "CZ":
        number = ord(character)
        return f"\\u{number:04x}" if number <= 0xFFFF else f"\\U{number:08x}"
    return character


def _is_mark(character: str) -> bool:
    return unicodedata.category(character)[0] == "M"


@dataclass(frozen=True)
class _Cell:
    """A token, or the part of it that stands on one line."""

    text: str
    number: str
    expert: int
    ends_line: bool


class Figure:
    """Draws layers on a stream, as wide as the terminal is.

    Attributes:
        has_colours: whether tokens lie on colours.
        has_numbers: whether the expert's number stands under each token.
    """

    def __init__(self, stdout: TextIO, n_experts: int) -> None:
        self._page: Console = console(stdout)
        self._width = max(self._page.width, _MIN_WIDTH)
        self._n_experts = n_experts
        # Sixteen colours would not keep the palette apart, so they count as none.
        of_256 = self._page.color_system in ("256", "truecolor")
        self.has_colours = of_256 and not self._page.no_color
        self.has_numbers = not self.has_colours or n_experts > len(PALETTE)

    def write_heading(self, title: str) -> None:
        """Write what was read, and how to read the figure."""
        places = ["on the colour"] if self.has_colours else []
        places += ["above the number"] if self.has_numbers else []
        how = f"each token {' and '.join(places)} of its first expert; below the text every "
        how += "expert's share of first choices, and of all visits"
        self._write(title, "title")
        self._write(how, "muted")

    def write_layer(self, layer: LayerRoutes, pieces: Sequence[str]) -> None:
        """Write the text of one layer, its legend, and how often experts repeat."""
        self._page.print()
        self._write(f"layer {layer.layer}", "title")
        for row in self._rows(layer, pieces):
            self._write_row(row)
        self._page.print()
        self._write_legend(layer)
        for line in repetition_lines(layer.repetition):
            self._write(line, "muted")

    def _write(self, text: str, style: str) -> None:
        """Write prose, wrapped between words."""
        from rich.text import Text

        for line in Text(text).wrap(self._page, self._width):
            line.rstrip()
            self._page.print(line, style=style)

    def _rows(self, layer: LayerRoutes, pieces: Sequence[str]) -> Iterator[list[_Cell]]:
        """Break cells into lines: where the text does, and where the terminal ends."""
        row: list[_Cell] = []
        n_used = 0
        for cell in self._cells(layer, pieces):
            width = self._cell_width(cell)
            if row and n_used + width > self._width:
                yield row
                row, n_used = [], 0
            row.append(cell)
            n_used += width + self._gap
            if cell.ends_line:
                yield row
                row, n_used = [], 0
        if row:
            yield row

    def _cells(self, layer: LayerRoutes, pieces: Sequence[str]) -> Iterator[_Cell]:
        from rich.cells import chop_cells

        space = "·" if self.has_numbers else " "
        for piece, expert in zip(pieces, layer.experts[:, 0].tolist(), strict=True):
            number = str(expert)
            lines = visible_lines(piece, space)
            n_ends = piece.count("\n")
            for i_line, line in enumerate(lines):
                parts = chop_cells(line, self._width)
                for i_part, part in enumerate(parts):
                    ends_line = i_line < n_ends and i_part == len(parts) - 1
                    yield _Cell(part, number, expert, ends_line)
                    number = ""  # a token has one number, however many lines it stands on

    @property
    def _gap(self) -> int:
        """Columns between tokens: numbers must not touch, colours need none."""
        return 1 if self.has_numbers else 0

    def _cell_width(self, cell: _Cell) -> int:
        from rich.cells import cell_len

        return max(cell_len(cell.text), len(cell.number) if self.has_numbers else 0)

    def _write_row(self, row: Sequence[_Cell]) -> None:
        from rich.cells import cell_len
        from rich.text import Text

        tokens, numbers = Text(), Text()
        for cell in row:
            width = self._cell_width(cell) + self._gap
            tokens.append(cell.text, self._style(cell.expert))
            tokens.append(" " * (width - cell_len(cell.text)))
            numbers.append(f"{cell.number:<{width}}")
        if self.has_numbers:
            tokens.rstrip()
            numbers.rstrip()
        self._page.print(tokens)
        if self.has_numbers and numbers:  # a line in the middle of a long token has none
            self._page.print(numbers)

    def _write_legend(self, layer: LayerRoutes) -> None:
        """Write every expert with its colour and its shares, in as many columns as fit."""
        from rich.text import Text

        n_digits = len(str(self._n_experts - 1))
        highest = float(layer.first.max())
        entry_width = n_digits + 2 + _BAR_CELLS + 12
        n_columns = max(1, (self._width + 1) // (entry_width + 1))
        # Read down, then right: experts in order stand below each other.
        n_rows = -(-self._n_experts // n_columns)
        n_columns = -(-self._n_experts // n_rows)
        header = f"{'first':>{entry_width - 6}}{'all':>6}"
        self._page.print(" ".join([header] * n_columns), style="muted")
        for i_row in range(n_rows):
            line = Text()
            for expert in range(i_row, self._n_experts, n_rows):
                first, visits = float(layer.first[expert]), float(layer.visits[expert])
                line.append(" " if expert >= n_rows else "")
                line.append(f" {expert:>{n_digits}} ", self._style(expert))
                line.append(f"{_bar(first / highest)}{_percent(first)}{_percent(visits)}")
            self._page.print(line)

    def _style(self, expert: int) -> str:
        return f"#000000 on {colour(expert)}" if self.has_colours else ""


def repetition_lines(repetition: Repetition) -> list[str]:
    """Say how often a token goes where the one before it went; the page says it alike."""
    if repetition.first is None or repetition.any is None:
        return ["one token alone repeats nothing"]
    return [
        f"{100 * repetition.first:.1f} % have the first expert of the token before, "
        f"{100 * repetition.first_by_chance:.1f} % by chance",
        f"{100 * repetition.any:.1f} % have an expert in common with it, "
        f"{100 * repetition.any_by_chance:.1f} % by chance",
    ]


def _bar(share: float) -> str:
    """A bar of a few columns, fine to an eighth of one."""
    n_full, n_eighths = divmod(round(share * _BAR_CELLS * 8), 8)
    return ("█" * n_full + _EIGHTHS[n_eighths].strip()).ljust(_BAR_CELLS)


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %".rjust(6)
