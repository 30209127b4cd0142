"""Streams as a process has them."""

import io
import re


class Terminal(io.StringIO):
    """A stream with a person at its other end."""

    encoding = "utf-8"

    def isatty(self):
        return True


def plain(text):
    """What a terminal was told, without colours and movements of the cursor."""
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text)
