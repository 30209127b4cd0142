"""How fast a disk reads: what decides when a mixture is larger than memory.

A file of random bytes is written and read back past the page cache, in the way in which experts
are read (`execute/uncached.py`): pieces of some megabytes, several at a time.
"""

from __future__ import annotations

import mmap
import os
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from localmix.errors import NotEnoughDisk
from localmix.execute.expert_cache import READERS
from localmix.execute.uncached import do_not_keep, open_past_the_page_cache

FILE_BYTES, PIECE_BYTES = 256 * 2**20, 16 * 2**20


def disk_gb_s(
    folder: Path,
    n_bytes: int = FILE_BYTES,
    clock: Callable[[], float] = time.perf_counter,
) -> float:
    """Measure the disk below a folder, in 10⁹ bytes a second.

    Raises:
        NotEnoughDisk: the file cannot be written there.

    Modifies: the folder, for a second or so.
    """
    try:
        with tempfile.TemporaryDirectory(dir=_existing(folder), prefix=".localmix-disk-") as place:
            path = Path(place) / "bytes"
            _write(path, n_bytes)
            return _read(path, n_bytes, clock)
    except OSError as exc:
        raise NotEnoughDisk(
            f"the disk below {folder} cannot be measured: {exc.strerror}",
            "free 0.3 GB there, or ask for the size of the model only",
        ) from exc


def _write(path: Path, n_bytes: int) -> None:
    piece = os.urandom(min(n_bytes, PIECE_BYTES))
    with path.open("wb") as file:
        do_not_keep(file.fileno())  # macOS would read from memory what was just written
        for _ in range(n_bytes // len(piece)):
            file.write(piece)
        file.flush()
        os.fsync(file.fileno())
        do_not_keep(file.fileno())


def _read(path: Path, n_bytes: int, clock: Callable[[], float]) -> float:
    starts = range(0, n_bytes, PIECE_BYTES)
    start = clock()
    with ThreadPoolExecutor(READERS) as pool:
        n_read = sum(pool.map(lambda at: _read_piece(path, at), starts))
    return n_read / max(clock() - start, 1e-9) / 1e9


def _read_piece(path: Path, at: int) -> int:
    with (
        mmap.mmap(-1, PIECE_BYTES) as room,  # direct reads want whole pages
        open_past_the_page_cache(path) as file,
    ):
        file.seek(at)
        return file.readinto(room) or 0


def _existing(folder: Path) -> Path:
    """The nearest folder that is there: what is below it lies on the same disk."""
    return next((place for place in (folder, *folder.parents) if place.is_dir()), Path.cwd())
