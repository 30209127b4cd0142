r"""Light Markdown while it streams: colours around the text, never another text.

Every character of an answer is written as it came, so that what is copied from the terminal is
what the model said; escape sequences only change how it looks. Styled are headings, **bold**,
`code` and fenced blocks. A marker that may go on (`*`, `` ` ``, `#`) is held back until the next
character shows what it is.
"""

from __future__ import annotations

_RESET, _BOLD, _CODE, _DIM = "\x1b[0m", "\x1b[1m", "\x1b[36m", "\x1b[2m"
_FENCE = "```"


class Markdown:
    """Styles a text that comes in pieces."""

    def __init__(self) -> None:
        self._held = ""  # a run of marker characters that may go on
        self._line = ""  # the current line as far as it was written
        self._in_fence = self._in_code = self._in_bold = self._in_heading = False

    def push(self, text: str) -> str:
        """Take a piece -> what to write now."""
        return "".join(self._character(character) for character in text)

    def flush(self) -> str:
        """End the text -> what was held back, and the terminal's usual look."""
        written = self._release("")
        styled = self._in_fence or self._in_code or self._in_bold or self._in_heading
        self.__init__()  # type: ignore[misc]
        return written + (_RESET if styled else "")

    def _character(self, character: str) -> str:
        if self._held and character == self._held[0] and len(self._held) < 3:
            self._held += character
            return ""
        written = self._release(character)
        if character in "*`" or (character == "#" and not self._line):
            self._held = character
            return written
        if character == "\n":
            return written + self._end_of_line()
        self._line += character
        return written + character

    def _release(self, after: str) -> str:
        """Write the run that was held back, with the style that it begins or ends.

        Args:
            after: the character behind it; empty at the end of the text.
        """
        run, self._held = self._held, ""
        if not run:
            return ""
        is_first = not self._line.strip()
        self._line += run
        if run == _FENCE and is_first:
            self._in_fence = not self._in_fence
            return _DIM + run if self._in_fence else run + self._style()
        if self._in_fence:
            return run
        if run == "`":
            self._in_code = not self._in_code
            return self._style() + run if self._in_code else run + self._style()
        if run == "**" and not self._in_code and (self._in_bold or not after.isspace()):
            self._in_bold = not self._in_bold
            return self._style() + run if self._in_bold else run + self._style()
        if run[0] == "#" and after == " ":
            self._in_heading = True
            return self._style() + run
        return run

    def _end_of_line(self) -> str:
        """A line break; what is not fenced ends there."""
        opens_fence = self._in_fence and self._line.lstrip().startswith(_FENCE)
        self._line = ""
        if self._in_fence:
            return _RESET + "\n" + _CODE if opens_fence else "\n"
        if self._in_code or self._in_bold or self._in_heading:
            self._in_code = self._in_bold = self._in_heading = False
            return _RESET + "\n"
        return "\n"

    def _style(self) -> str:
        bold = _BOLD if self._in_bold or self._in_heading else ""
        return _RESET + bold + (_CODE if self._in_code else "")
