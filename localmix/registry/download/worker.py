"""One connection's work: part after part is asked for, and written to its place."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from localmix.registry.download.parts import Parts
from localmix.registry.download.patience import Patience, Trouble
from localmix.registry.download.ranges import NETWORK_HINT, Answer
from localmix.registry.download.source import Source

OnCompared = Callable[[int, bool], None]
"""Called with a part that came a second time, and whether other bytes came."""


class RangesIgnored(Exception):
    """The server gives the whole file whatever is asked."""


class Worker:
    """Fetches parts until there are none."""

    def __init__(
        self,
        parts: Parts,
        source: Source,
        place: Path,
        patience: Patience,
        on_compared: OnCompared,
    ) -> None:
        self._parts, self._source, self._place = parts, source, place
        self._patience, self._on_compared = patience, on_compared
        self._answer: Answer | None = None
        self._differs = False

    def work(self) -> None:
        """Fetch parts. Modifies: the file, the journal."""
        while (i_part := self._parts.claim()) is not None:
            self.fetch(i_part)

    def fetch(self, i_part: int, is_lost: bool = False) -> None:
        """Fetch what is missing of a part, or everything if the server cannot do less.

        Args:
            i_part: the part.
            is_lost: it had arrived and is not there any more, so that whoever reads everything may
                be past it.
        """
        with self._place.open("r+b", buffering=0) as disk:
            try:
                self._fetch_part(i_part, disk)
            except RangesIgnored:
                if self._parts.leave_ranges() or is_lost:
                    self._fetch_whole(disk)

    def stop(self) -> None:
        """End the reading of this worker from another thread."""
        answer = self._answer  # its own thread may take it away any moment
        if answer is not None:
            answer.stop()

    def _fetch_part(self, i_part: int, disk: BinaryIO) -> None:
        start, size = self._parts.start_of(i_part), self._parts.size_of(i_part)
        at = 0 if self._parts.comparing else self._parts.arrived(i_part)

        def stream() -> None:
            nonlocal at
            with self._opened(start + at, start + size - 1) as answer:
                if not answer.is_range and (start + at or self._parts.n_parts > 1):
                    raise RangesIgnored
                while at < size and (chunk := self._next(answer)):
                    chunk = chunk[: size - at]
                    self._take(i_part, at, chunk, disk)
                    at += len(chunk)

        self._insist(i_part, stream, lambda: at, size)

    def _fetch_whole(self, disk: BinaryIO) -> None:
        """Fetch the file from its first byte, as often as it takes."""
        at, n_bytes = 0, self._source.file.size_bytes

        def stream() -> None:
            nonlocal at
            at = 0
            with self._opened(0, n_bytes - 1) as answer:
                while at < n_bytes and (chunk := self._next(answer)):
                    while chunk and at < n_bytes:
                        i_part, offset = divmod(at, self._parts.journal.part_bytes)
                        piece = chunk[: self._parts.size_of(i_part) - offset]
                        self._take(i_part, offset, piece, disk)
                        chunk, at = chunk[len(piece) :], at + len(piece)

        self._insist(0, stream, lambda: at, n_bytes)

    def _insist(
        self, i_part: int, stream: Callable[[], None], reached: Callable[[], int], end: int
    ) -> None:
        """Stream until `end` is reached, with patience as long as nothing new comes."""
        n_failed, furthest = 0, reached()
        while reached() < end and not self._parts.is_over:
            trouble = Trouble("the connection was cut", NETWORK_HINT)
            try:
                stream()
            except Trouble as exc:
                trouble = exc
            if reached() > furthest:
                n_failed, furthest = 0, reached()
            if reached() < end and not self._parts.is_over:
                n_failed += 1
                wait_s = self._patience.wait_s(n_failed, trouble)
                self._parts.pause(i_part, trouble.message, wait_s)

    @contextmanager
    def _opened(self, first: int, last: int) -> Iterator[Answer]:
        with self._source.open(first, last) as answer:
            self._answer = answer
            try:
                yield answer
            finally:
                self._answer = None

    def _next(self, answer: Answer) -> bytes:
        return b"" if self._parts.is_over else answer.read()

    def _take(self, i_part: int, at: int, chunk: bytes, disk: BinaryIO) -> None:
        """Write bytes of a part, or compare them with those that are there.

        In one step with saying so: nothing that was hashed is ever written over without a new hash.
        """
        lock = self._parts.changed if self._parts.comparing else self._parts.locks[i_part]
        with lock:
            if self._parts.is_over:
                return  # it may be anything: `stop` takes a TLS connection's cipher away
            if self._parts.comparing:
                self._compare(i_part, at, chunk, disk)
                return
            n_here = max(0, self._parts.arrived(i_part) - at)
            if n_here < len(chunk):
                _write(disk, self._parts.start_of(i_part) + at + n_here, chunk[n_here:])
                self._parts.note(i_part, at + n_here, at + len(chunk))

    def _compare(self, i_part: int, at: int, chunk: bytes, disk: BinaryIO) -> None:
        place = self._parts.start_of(i_part) + at
        disk.seek(place)
        if disk.read(len(chunk)) != chunk:
            self._differs = True
            _write(disk, place, chunk)
        if at + len(chunk) >= self._parts.size_of(i_part):
            differs, self._differs = self._differs, False
            self._on_compared(i_part, differs)


def _write(disk: BinaryIO, place: int, chunk: bytes) -> None:
    """Write all of it: a disk that is nearly full takes a piece before it complains."""
    disk.seek(place)
    left = memoryview(chunk)
    while left:
        left = left[disk.write(left) :]
