"""One file, from nothing or from what a kill left, to bytes whose SHA-256 is what the Hub states.

Parts are claimed in order by several workers, and hashed right behind them. If the hash is wrong in
the end, parts are asked for again and compared with the disk, those with trouble on their way
first, until it is right: a wrong part costs that part and a look at others, not the file.
"""

import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from localmix.errors import ChecksumMismatch
from localmix.registry.download.hasher import Hasher
from localmix.registry.download.journal import PART_BYTES, Journal, journal_path
from localmix.registry.download.parts import Parts, Progress
from localmix.registry.download.patience import Patience
from localmix.registry.download.ranges import Link
from localmix.registry.download.source import Source
from localmix.registry.download.worker import Worker
from localmix.registry.manifest import RepoFile

N_CONNECTIONS = 4

_TELL_EVERY_S = 0.1

_LEAVE_S = 1.0
"""How long threads are waited for; one that still connects then goes home later, by itself."""

OnProgress = Callable[[Progress], None]


def fetch(
    file: RepoFile,
    place: Path,
    new_link: Callable[[], Link],
    on_progress: OnProgress,
    patience: Patience | None = None,
    n_connections: int = N_CONNECTIONS,
    part_bytes: int = PART_BYTES,
    begin: bytes = b"",
) -> None:
    """Fetch what is missing of a file and check all of it. Modifies: `place` and its journal.

    Args:
        file: what is wanted.
        place: where its bytes go; resumed when the journal beside it speaks of the same file.
        new_link: asks the Hub where the file is, for a while.
        on_progress: called about ten times a second, from this thread.
        patience: when to try again.
        n_connections, part_bytes: how many parts come at a time, of which size.
        begin: first bytes of the file that somebody has read already.

    Raises:
        ChecksumMismatch: the Hub gives, also the second time, another file than it states; what
            came is removed.
        DownloadFailed: it could not be had; what came is kept for the next time.
        OSError: the disk is full, or may not be written.
    """
    if not place.exists():
        journal_path(place).unlink(missing_ok=True)
    journal = Journal(journal_path(place), file, part_bytes)
    patience = patience or Patience()
    source = Source(file, new_link, patience, n_connections)
    is_wrong = False
    try:
        with place.open("ab") as stream:
            if journal.is_new:
                stream.truncate(0)
            stream.truncate(file.size_bytes)
        _write_begin(begin, place, journal)
        _Crew(Parts(journal), source, place, patience, n_connections).run(on_progress)
    except ChecksumMismatch:
        is_wrong = True
        raise
    finally:
        with suppress(OSError):  # a full disk: the last notes are as far as it goes
            journal.note_all()
        journal.close()
        source.close()
        if is_wrong:  # not before: an open file cannot be removed on Windows
            journal_path(place).unlink(missing_ok=True)  # without it the bytes count for nothing
            with suppress(PermissionError):  # there, a thread that goes home later has it still
                place.unlink()


def _write_begin(begin: bytes, place: Path, journal: Journal) -> None:
    """Begin with bytes that came before the journal did."""
    n_bytes = min(len(begin), journal.size_of(0)) if journal.done else 0
    if n_bytes > 0 and n_bytes > journal.done[0]:
        with place.open("r+b") as stream:
            stream.write(begin[:n_bytes])
        journal.note(0, n_bytes)


class _Crew:
    """The threads of one download; whatever fails in one of them is raised by `run`."""

    def __init__(
        self, parts: Parts, source: Source, place: Path, patience: Patience, n_connections: int
    ) -> None:
        self._parts, self._source, self._place = parts, source, place
        self._patience, self._n_connections = patience, n_connections
        self._hasher = Hasher(parts, place, self._refetch)
        self._workers: list[Worker] = []
        self._failure: BaseException | None = None
        self._news = threading.Event()  # a thread has ended

    def run(self, on_progress: OnProgress) -> None:
        self._together([*self._works(), self._hasher.work], on_progress)
        if not self._is_right():
            suspects = dict.fromkeys([*self._parts.troubled, *range(self._parts.n_parts)])
            self._parts.compare_again(suspects)
            self._together(self._works(), on_progress)
        if self._is_right():
            return
        file = self._source.file
        raise ChecksumMismatch(
            f"{file.path} does not arrive as the Hub states it, not even the second time: its"
            f" SHA-256 is {self._hasher.hexdigest()[:12]}…, not {file.sha256[:12]}…",
            "pull again later; HF_ENDPOINT and HTTPS_PROXY may lead to something else",
        )

    def _is_right(self) -> bool:
        return self._hasher.hexdigest() == self._source.file.sha256.lower()

    def _works(self) -> list[Callable[[], None]]:
        n_workers = min(self._n_connections, self._parts.n_todo)
        return [self._new_worker().work for _ in range(n_workers)]

    def _new_worker(self) -> Worker:
        worker = Worker(self._parts, self._source, self._place, self._patience, self._compared)
        self._workers.append(worker)
        return worker

    def _refetch(self, i_part: int) -> None:
        """Fetch a part that was lost; the workers may have gone home."""
        worker = self._new_worker()
        self._start(lambda: worker.fetch(i_part, is_lost=True))

    def _compared(self, i_part: int, differs: bool) -> None:
        """Hash from a part on that came otherwise; end if that was what was wrong."""
        with self._parts.changed:
            self._parts.hashed_bytes += self._parts.size_of(i_part)
            if differs:
                # Workers wait meanwhile: hashing is far quicker than what they do.
                self._hasher.again_from(i_part)
                if self._is_right():
                    self._parts.end()

    def _together(self, works: Sequence[Callable[[], None]], on_progress: OnProgress) -> None:
        """Do works in threads of their own, until all are done or one has failed."""
        threads = [self._start(work) for work in works]
        try:
            while any(thread.is_alive() for thread in threads) and self._failure is None:
                on_progress(self._parts.progress())
                self._news.wait(_TELL_EVERY_S)
                self._news.clear()
            if self._failure is not None:
                raise self._failure
            on_progress(self._parts.progress())
        finally:
            self._parts.end()
            for worker in self._workers:
                worker.stop()
            deadline_s = time.monotonic() + _LEAVE_S
            for thread in threads:
                thread.join(max(0.0, deadline_s - time.monotonic()))
            self._workers.clear()

    def _start(self, work: Callable[[], None]) -> threading.Thread:
        def guarded() -> None:
            try:
                work()
            except BaseException as exc:  # whatever it is, the caller raises it
                if self._failure is None and not self._parts.is_over:
                    self._failure = exc
            finally:
                self._news.set()

        thread = threading.Thread(target=guarded, daemon=True)
        thread.start()
        return thread
