"""Folders: are they there, and can something be kept in them?"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

from localmix.doctor.checks import Finding

BUSY_S = 3600.0
"""What was written within the last hour may be somebody's who is still at it."""


def writable(name: str, folder: Path, variable: str) -> Iterator[Finding]:
    """Look whether a folder is there and can be written; nothing is left in it.

    Args:
        name: of the finding.
        folder: where something is to be kept.
        variable: that would name another one.
    """
    hint, details = f"set {variable} to a folder that can be written", (str(folder),)
    try:
        if not folder.exists():
            around = existing(folder)
            if around.is_dir() and os.access(around, os.W_OK | os.X_OK):
                text = "not made yet"
                yield Finding(name, "note", text, fix=lambda: make(folder), details=details)
            else:
                yield Finding(name, "bad", "is not there and cannot be made", hint, None, details)
            return
        if not folder.is_dir():
            yield Finding(name, "bad", "is a file", hint, None, details)
            return
        next(folder.iterdir(), None)
    except OSError as error:
        text = f"cannot be read: {error.strerror or type(error).__name__}"
        yield Finding(name, "bad", text, hint, None, details)
        return
    try:
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        text = f"cannot be written: {error.strerror or type(error).__name__}"
        yield Finding(name, "bad", text, hint, None, details)
    else:
        yield Finding(name, "good", "can be written", details=details)


def make(folder: Path) -> str:
    """Make a folder -> what was done. Modifies: the disk."""
    folder.mkdir(parents=True, exist_ok=True)
    return f"{folder} made"


def existing(folder: Path) -> Path:
    """Give a folder itself, or the nearest one around it that exists."""
    return next(path for path in (folder, *folder.absolute().parents) if path.exists())
