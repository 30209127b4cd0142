"""Looks into folders of other programs: it only reads, and what cannot be read counts as empty."""

import json
import os
from pathlib import Path

_MAX_TEXT_BYTES = 1 << 20
"""Manifests and settings are a few kB; more is none of them."""


def subfolders(folder: Path) -> list[Path]:
    """Give the folders in a folder, in order of their names; links are left out."""
    try:
        with os.scandir(folder) as entries:
            names = [entry.name for entry in entries if entry.is_dir(follow_symlinks=False)]
    except (OSError, ValueError):
        return []
    return [folder / name for name in sorted(names)]


def files_below(folder: Path, n_levels: int, *, through_links: bool = False) -> list[str]:
    """Give the files in a folder and in the folders below it, in order; hidden ones are left out.

    Args:
        folder: where to look.
        n_levels: how deep: 1 is the folder alone. It ends links that go round in circles.
        through_links: whether to go through folders that are links.

    Returns: paths in the folder, with `/`; all can be printed.
    """
    found = []
    try:
        for place, names, files in os.walk(folder, followlinks=through_links):
            inner = Path(place).relative_to(folder)
            is_deepest = len(inner.parts) + 1 >= n_levels
            names[:] = [] if is_deepest else [name for name in names if name[0] != "."]
            found += [(inner / name).as_posix() for name in files if name[0] != "."]
    except (OSError, ValueError):
        return []
    return sorted(path for path in found if path.isprintable())


def read_text(path: Path) -> str:
    """Read a small text file; empty when it cannot be read."""
    try:
        with path.open("rb") as file:
            content = file.read(_MAX_TEXT_BYTES + 1)
        # Editors on Windows put a mark before the text.
        return "" if len(content) > _MAX_TEXT_BYTES else content.decode("utf-8-sig")
    except (OSError, ValueError):
        return ""


def read_json(path: Path) -> object:
    """Read a small JSON file; None when it cannot be read or is none."""
    try:
        return json.loads(read_text(path))
    except (ValueError, RecursionError):
        return None
