"""Small JSON files that a crash cannot leave half written, and how any file takes its place."""

import json
import os
import re
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

_DRAFT = ".new-"

_TRIES, _WAIT_S = 20, 0.05
"""A second in all: what looks at a file for viruses, or reads a record, is done sooner."""


def is_draft(path: Path) -> bool:
    """Say whether a file is named like one that is being written, or was when a crash came."""
    return re.fullmatch(re.escape(_DRAFT) + "[a-z0-9_]{8}", path.name) is not None


def write_json(path: Path, value: Any) -> None:
    """Write a value so that a reader finds the old file or the new one. Modifies: the folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=_DRAFT)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as stream:
            stream.write(json.dumps(value, indent=2, ensure_ascii=False) + "\n")
            stream.flush()
            os.fsync(stream.fileno())
        take_place(Path(temporary), path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def take_place(draft: Path, path: Path) -> None:
    """Give a file that is whole its place, over what stands there. Modifies: the folder.

    Windows refuses while any process has one of the two open, so there it is tried for a second.

    Raises:
        OSError: it cannot be done; on Windows PermissionError if a program keeps the file open.
    """
    for _ in range(_TRIES - 1 if sys.platform == "win32" else 0):
        try:
            draft.replace(path)
            return
        except PermissionError:
            time.sleep(_WAIT_S)
    draft.replace(path)
