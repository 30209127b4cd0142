"""Experts of a model that is larger than memory: a bounded cache, filled by reads from the file.

A router has chosen experts. Those that are here are computed while the others are read; then these
are computed. When room is short, the expert goes that is least likely to be asked for soon: the one
chosen least often of late, and among equals that of the layer passed last, whose turn comes last.

An expert of Mixtral is 100 MB in three pieces, so reads are long and a disk runs at full speed.
They go past the system's page cache where that is possible: what is kept here need not
be kept twice.
"""

from __future__ import annotations

import threading
import time
import weakref
from collections.abc import Generator, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from io import FileIO
from pathlib import Path

import numpy as np
import numpy.typing as npt

from localmix.errors import InvalidGGUF, NotEnoughMemory
from localmix.execute.uncached import SECTOR, open_past_the_page_cache
from localmix.gguf import Tensor

READERS = 4
"""Threads that wait for the disk: more than one, or it waits between two reads."""

DECAY = 0.9
"""What is left of a choice's weight each time its layer is visited again."""

Expert = tuple[Tensor, ...]
"""The matrices of an expert, each with its place in a file."""

Bytes = npt.NDArray[np.uint8]

Key = tuple[int, int]
"""(layer, expert)"""


@dataclass
class StreamFigures:
    """What was found and what had to be read.

    Attributes:
        hits, misses: experts that were asked for and were here, or were not.
        bytes_read: from the disk.
        read_s: seconds in which at least one read was under way.
    """

    hits: int = 0
    misses: int = 0
    bytes_read: int = 0
    read_s: float = 0.0


class ExpertCache:
    """Keeps as many experts as memory allows.

    Args:
        experts: layer -> its experts.
        n_bytes: memory for experts.

    Attributes:
        n_slots: experts that fit.
        figures: since the beginning.

    Raises:
        NotEnoughMemory: not even one expert fits.
    """

    def __init__(self, experts: Mapping[int, Sequence[Expert]], n_bytes: int) -> None:
        self._experts = experts
        self._layers = sorted(experts)
        slot_bytes = max(sum(map(_span, expert)) for layer in experts.values() for expert in layer)
        n_all = sum(len(layer) for layer in experts.values())
        self.n_slots = min(n_all, n_bytes // slot_bytes)
        if self.n_slots < 1:
            raise NotEnoughMemory(
                f"an expert has {slot_bytes} bytes, there is room for {n_bytes}",
                "give --expert-memory more, or choose a smaller quantization",
            )
        room = np.empty(self.n_slots * slot_bytes + SECTOR, np.uint8)
        start = -room.ctypes.data % SECTOR
        slots = room[start : start + self.n_slots * slot_bytes]
        self._slots = slots.reshape(self.n_slots, slot_bytes)
        self._free = list(range(self.n_slots))
        self._here: dict[Key, int] = {}
        self._weight = {layer: np.zeros(len(experts[layer])) for layer in experts}
        self._disk = _Disk({tensor.place.path for e in self._all() for tensor in e if tensor.place})
        self.figures = self._disk.figures

    def visit(self, layer: int, chosen: Sequence[int]) -> Generator[dict[Tensor, int], None, None]:
        """Bring the chosen experts of a layer here, some at a time.

        Yields:
            Experts that are here now, as the address of each of their matrices. They stay until
            the next step of the iteration.

        Raises:
            InvalidGGUF: a file was changed or cut meanwhile, or the disk does not answer.
        """
        self._weight[layer] *= DECAY
        self._weight[layer][list(chosen)] += 1
        keys = [(layer, expert) for expert in chosen]
        ready = [key for key in keys if key in self._here]
        waiting = [key for key in keys if key not in self._here]
        self.figures.hits += len(ready)
        self.figures.misses += len(waiting)
        reads: dict[Future[None], tuple[Key, int]] = {}
        try:
            while ready or waiting or reads:
                while waiting and (slot := self._room(layer, {*ready, *waiting})) is not None:
                    key = waiting.pop(0)
                    reads[self._disk.read(self._expert(key), self._slots[slot])] = key, slot
                if not ready:
                    done, _ = wait(reads, return_when=FIRST_COMPLETED)
                    ready = [self._arrived(read, *reads.pop(read)) for read in done]
                yield {
                    tensor: address
                    for key in ready
                    for tensor, address in self._addresses(key).items()
                }
                ready = []
        finally:
            wait(reads)  # nobody may write into a slot that somebody else gets
            self._free += [slot for _, slot in reads.values()]

    def _all(self) -> Iterator[Expert]:
        for layer in self._experts.values():
            yield from layer

    def _expert(self, key: Key) -> Expert:
        layer, expert = key
        return self._experts[layer][expert]

    def _arrived(self, read: Future[None], key: Key, slot: int) -> Key:
        try:
            read.result()
        except BaseException:
            self._free.append(slot)
            raise
        self._here[key] = slot
        return key

    def _room(self, layer: int, wanted: set[Key]) -> int | None:
        """A slot for another expert; None if all hold what is wanted."""
        if self._free:
            return self._free.pop()
        others = [key for key in self._here if key not in wanted]
        if not others:
            return None
        return self._here.pop(min(others, key=lambda key: self._worth(key, layer)))

    def _worth(self, key: Key, now: int) -> tuple[float, int]:
        """How much there is to say for keeping an expert while a layer is computed."""
        layer, expert = key
        n = len(self._layers)
        turns = (self._layers.index(layer) - self._layers.index(now) - 1) % n  # until it is visited
        return float(self._weight[layer][expert]), -turns

    def _addresses(self, key: Key) -> dict[Tensor, int]:
        at, found = self._slots[self._here[key]].ctypes.data, {}
        for tensor in self._expert(key):
            assert tensor.place is not None
            found[tensor] = at + tensor.place.offset % SECTOR
            at += _span(tensor)
        return found


def _span(tensor: Tensor) -> int:
    """Bytes that are read for a tensor: whole sectors."""
    assert tensor.place is not None
    start = tensor.place.offset % SECTOR
    return -(-(start + tensor.n_bytes) // SECTOR) * SECTOR


class _Disk:
    """Reads pieces of files, several at a time, and notices when a file is not what it was."""

    def __init__(self, paths: set[Path]) -> None:
        self.figures = StreamFigures()
        self._states = {path: _state(path) for path in paths}
        self._pool = ThreadPoolExecutor(READERS, thread_name_prefix="expert-reader")
        self._own = threading.local()  # a reader's open files: each has its own position
        self._open: list[FileIO] = []
        weakref.finalize(self, _close, self._pool, self._open)
        self._lock = threading.Lock()
        self._n_busy, self._busy_since = 0, 0.0

    def read(self, expert: Expert, slot: Bytes) -> Future[None]:
        """Read the matrices of an expert one behind the other."""
        return self._pool.submit(self._read, expert, slot)

    def _read(self, expert: Expert, slot: Bytes) -> None:
        with self._lock:
            self._n_busy += 1
            if self._n_busy == 1:
                self._busy_since = time.perf_counter()
        start = 0
        try:
            for tensor in expert:
                span = _span(tensor)
                self._read_tensor(tensor, slot[start : start + span])
                start += span
        finally:
            with self._lock:
                self._n_busy -= 1
                self.figures.bytes_read += start
                if self._n_busy == 0:
                    self.figures.read_s += time.perf_counter() - self._busy_since

    def _read_tensor(self, tensor: Tensor, out: Bytes) -> None:
        place = tensor.place
        assert place is not None
        needed, n_read = place.offset % SECTOR + tensor.n_bytes, 0
        try:
            if _state(place.path) != self._states[place.path]:
                raise _changed(place.path)
            file = self._file(place.path)
            file.seek(place.offset // SECTOR * SECTOR)
            while n_read < needed:
                n = file.readinto(out[n_read:].data)
                if not n:
                    raise _changed(place.path)
                n_read += n
        except OSError as exc:
            raise InvalidGGUF(
                f"{place.path.name} cannot be read any more: {exc.strerror}",
                "look at the disk it lies on",
            ) from exc

    def _file(self, path: Path) -> FileIO:
        files: dict[Path, FileIO] = self._own.__dict__.setdefault("files", {})
        if path not in files:
            files[path] = open_past_the_page_cache(path)
            self._open.append(files[path])
        return files[path]


def _close(pool: ThreadPoolExecutor, files: list[FileIO]) -> None:
    pool.shutdown()
    for file in files:
        file.close()


def _state(path: Path) -> tuple[int, int, int]:
    status = path.stat()
    return status.st_size, status.st_mtime_ns, status.st_ino


def _changed(path: Path) -> InvalidGGUF:
    return InvalidGGUF(f"{path.name} was changed while it was read", "run the model again")
