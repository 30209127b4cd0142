"""Small files in LOCALMIX_HOME: records, settings, catalog, history; and what a crash has left."""

from __future__ import annotations

import os
import re
import stat
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from localmix.conversation.history import History
from localmix.conversation.profiles import config_path
from localmix.doctor.checks import Finding, Look, in_time, many
from localmix.doctor.folders import BUSY_S
from localmix.doctor.settings_in_force import ReadConfig
from localmix.json_file import is_draft
from localmix.registry.catalog_file import FILE_NAME, load_catalog
from localmix.registry.disk.records import Records
from localmix.registry.disk.store import Store

HISTORY_LIMIT_S = 1.0
"""Another process may be writing it."""

_MOST_CONVERSATIONS = 1_000_000


def looks(
    home: Path, cache: Path, read_config: ReadConfig, clock: Callable[[], float] = time.time
) -> list[tuple[str, Look]]:
    """Give what there is to look at.

    Args:
        home: LOCALMIX_HOME.
        cache: LOCALMIX_CACHE.
        read_config: see `ReadConfig`.
        clock: the seconds of now.
    """
    return [
        ("records", lambda: records(home)),
        ("config.toml", lambda: config(home, read_config)),
        (FILE_NAME, lambda: catalog(home)),
        ("history", lambda: history(home)),
        ("permissions", lambda: permissions(home)),
        ("leftovers", lambda: leftovers(home, cache, clock)),
    ]


def records(home: Path) -> Iterator[Finding]:
    """Look for records that cannot be read; they are passed over as if they were not there."""
    damaged = Records(home).damaged()
    if damaged:
        text = f"{many(len(damaged), 'file')} that cannot be read: passed over"
        details = tuple(str(path) for path in damaged)
        yield Finding("records", "warn", text, "mend them, or move them away", None, details)


def config(home: Path, read_config: ReadConfig) -> Iterator[Finding]:
    """Read a person's settings, all tables of them."""
    tables = read_config(home)
    if not config_path(home).exists():
        yield Finding("config.toml", "good", "none: everything is at its default")
        return
    n_models = sum(name.startswith("models.") for name in tables)
    n_profiles = sum(name.startswith("profiles.") for name in tables)
    text = (
        f"{many(len(tables.get('defaults', {})), 'default')}, {many(n_models, 'model')},"
        f" {many(n_profiles, 'profile')}"
    )
    yield Finding("config.toml", "good", text)


def catalog(home: Path) -> Iterator[Finding]:
    """Read the catalog, and a person's own over it."""
    load_catalog(home=home)
    if (home / FILE_NAME).exists():
        yield Finding(FILE_NAME, "good", "your own goes over the one that comes with localmix")


def history(home: Path) -> Iterator[Finding]:
    """Count the saved conversations."""
    saved = History(home)
    if not saved.path.exists():
        return
    try:
        n = len(in_time(lambda: saved.latest(_MOST_CONVERSATIONS), HISTORY_LIMIT_S))
    except TimeoutError:
        yield Finding("history", "note", "another program is writing it")
        return
    yield Finding("history", "good", f"{many(n, 'conversation')} saved")


def permissions(home: Path) -> Iterator[Finding]:
    """Look whether others on this machine may read what was said."""
    saved = History(home)
    private = [path for path in (saved.path, saved.cache_path(0).parent) if path.exists()]
    if sys.platform == "win32":
        private = []  # folders there are a person's own, and their bits say little
    loose = [path for path in private if _bits(path) & 0o077]
    if loose:
        text = "others on this machine may read your conversations"
        details = tuple(f"{path}: {_bits(path):o}" for path in loose)
        yield Finding(
            "permissions", "warn", text, "chmod go= FILE", lambda: _tighten(loose), details
        )
    elif private:
        yield Finding("permissions", "good", "only you may read your conversations")


def leftovers(home: Path, cache: Path, clock: Callable[[], float] = time.time) -> Iterator[Finding]:
    """Look for files whose writing a crash has ended; what is younger than an hour is not one."""
    found = sorted(
        path
        for path in _drafts(home, cache)
        if not path.is_symlink() and path.is_file() and clock() - path.stat().st_mtime > BUSY_S
    )
    if found:
        text = f"{many(len(found), 'file')} that a crash left half written"
        details = tuple(str(path) for path in found)
        yield Finding("leftovers", "note", text, "", lambda: _delete(found), details)


def _drafts(home: Path, cache: Path) -> Iterator[Path]:
    """Give what has the names that `write_json`, the compiler and `cache/saved.py` give drafts."""
    for folder in (home, home / "names", cache):
        yield from (path for path in _in(folder) if is_draft(path))
    for place, _, names in os.walk(Store(home).folder):
        yield from (Path(place, name) for name in names if is_draft(Path(name)))
    yield from _named(_in(History(home).cache_path(0).parent), r"\.\d+\.cache\.\d+")
    for folder in _in(cache / "kernels"):
        if not folder.is_symlink():
            yield from _named(_in(folder), r"[a-z0-9_]+\.o\.\d+")


def _named(paths: Iterable[Path], pattern: str) -> Iterator[Path]:
    return (path for path in paths if re.fullmatch(pattern, path.name))


def _in(folder: Path) -> list[Path]:
    return list(folder.iterdir()) if folder.is_dir() else []


def _bits(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def _tighten(paths: Iterable[Path]) -> str:
    done = []
    for path in paths:
        path.chmod(_bits(path) & 0o700)
        done.append(path.name)
    return f"only you may read {' and '.join(done)} now"


def _delete(paths: Iterable[Path]) -> str:
    n = 0
    for path in paths:
        path.unlink(missing_ok=True)
        n += 1
    return f"{many(n, 'file')} that a crash left removed"
