"""Streams as a process has them."""

import io


class Terminal(io.StringIO):
    """A stream with a person at its other end."""

    encoding = "utf-8"

    def isatty(self):
        return True
