"""Text that a command is given: its argument, what is piped into it, or both."""

from __future__ import annotations

import os
from typing import TextIO


def given_text(argument: str | None, stdin: TextIO) -> str | None:
    """Join an argument and the piped text; "" when both are blank, None when neither can come."""
    piped = None if stdin.isatty() else _read_all(stdin)
    typed = None if argument is None else _sound(argument)
    if typed is None and piped is None:
        return None
    return "\n\n".join(part for part in (typed, piped) if part and part.strip())


def _read_all(stdin: TextIO) -> str:
    """Read piped text as UTF-8, whatever the locale; its last newline is not part of the text."""
    buffer = getattr(stdin, "buffer", None)
    text = buffer.read().decode("utf-8", "replace") if buffer is not None else stdin.read()
    return text.removesuffix("\n").removesuffix("\r")


def _sound(argument: str) -> str:
    """An argument as valid Unicode, whatever the locale: UTF-8 if its bytes are that."""
    try:
        return os.fsencode(argument).decode("utf-8")
    except UnicodeError:
        return "".join("\ufffd" if "\ud800" <= c <= "\udfff" else c for c in argument)
