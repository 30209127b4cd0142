"""Small JSON files that a crash cannot leave half written."""

import json
import os
import re
import tempfile
from pathlib import Path
from typing import Any

_DRAFT = ".new-"


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
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
