"""What the threads of one download share: which bytes have arrived, and which part is next."""

import threading
import time
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass

from localmix.registry.download.journal import Journal


@dataclass(frozen=True)
class Progress:
    """How far a file is.

    Attributes:
        done_bytes: on the disk.
        hashed_bytes: hashed, from its beginning; after a wrong hash: compared.
        comparing: the hash was wrong, and parts come again.
        trouble: why nothing comes at the moment; empty when all is well.
    """

    done_bytes: int
    hashed_bytes: int
    comparing: bool = False
    trouble: str = ""


class Parts:
    """The state of a download; every method may be called from any thread.

    Attributes:
        journal: where it is written down.
        changed: told of every change.
        locks: of each part, for who writes it.
        is_over: threads are to go home.
        whole_only: the server knows no ranges, one worker reads everything.
        comparing: all has arrived and the hash is wrong: parts come again and are compared.
        troubled: parts that did not come in one go.
        hashed_bytes: how far the hash is.
    """

    def __init__(self, journal: Journal) -> None:
        self.journal = journal
        self.changed = threading.Condition()
        self.locks = [threading.Lock() for _ in range(len(journal.done))]
        self.is_over = self.whole_only = self.comparing = False
        self.troubled: list[int] = []
        self.hashed_bytes = 0
        self._trouble = ""
        self._todo = deque(i for i in range(self.n_parts) if self.arrived(i) < self.size_of(i))

    @property
    def n_parts(self) -> int:
        """How many parts the file has."""
        return len(self.journal.done)

    @property
    def n_todo(self) -> int:
        """How many parts nobody has claimed."""
        return len(self._todo)

    def size_of(self, i_part: int) -> int:
        """Give the bytes of a part when it is whole."""
        return self.journal.size_of(i_part)

    def start_of(self, i_part: int) -> int:
        """Give the offset of a part in the file."""
        return i_part * self.journal.part_bytes

    def arrived(self, i_part: int) -> int:
        """Give the bytes of a part that are on the disk, from its beginning."""
        return self.journal.done[i_part]

    def claim(self) -> int | None:
        """Take the next part; None when there is none, or work is over."""
        with self.changed:
            if self.is_over or self.whole_only or not self._todo:
                return None
            return self._todo.popleft()

    def compare_again(self, parts: Iterable[int]) -> None:
        """Begin anew, to compare what comes with what is there."""
        with self.changed:
            self.comparing, self.is_over, self.whole_only = True, False, False
            self._todo, self.hashed_bytes = deque(parts), 0

    def leave_ranges(self) -> bool:
        """Say that the server knows no ranges -> whether nobody had said so."""
        with self.changed:
            is_first, self.whole_only = not self.whole_only, True
            return is_first

    def note(self, i_part: int, at: int, end: int) -> None:
        """Say that the bytes `at` to `end` of a part are on the disk."""
        with self.changed:
            self._trouble = ""
            done = self.journal.done[i_part]
            if at <= done < end:
                is_whole = end >= self.size_of(i_part)
                every = self.journal.note_every
                if is_whole or end // every > done // every:
                    self.journal.note(i_part, end)
                    self.changed.notify_all()
                else:
                    self.journal.done[i_part] = end

    def lose(self, i_part: int) -> None:
        """Say that a part is not on the disk after all."""
        with self.changed:
            self.journal.note(i_part, 0)

    def wait_for(self, i_part: int, at: int) -> int:
        """Wait for what comes after `at` in a part -> how many bytes of it are there; 0 when over.

        A little is not worth waking up for: that is left to grow, except at a part's end.
        """
        enough = min(at + self.journal.note_every, self.size_of(i_part))
        with self.changed:
            while self.journal.done[i_part] < enough and not self.is_over:
                self.changed.wait()
            return 0 if self.is_over else self.journal.done[i_part]

    def pause(self, i_part: int, reason: str, seconds: float) -> None:
        """Wait after a failure of a part, or until work is over."""
        deadline_s = time.monotonic() + seconds
        with self.changed:
            self.troubled.append(i_part)
            self._trouble = reason
            while not self.is_over and (left_s := deadline_s - time.monotonic()) > 0:
                self.changed.wait(left_s)

    def end(self) -> None:
        """Send everybody home."""
        with self.changed:
            self.is_over = True
            self.changed.notify_all()

    def progress(self) -> Progress:
        """Say how far it is."""
        with self.changed:
            done_bytes = sum(self.journal.done)
            return Progress(done_bytes, self.hashed_bytes, self.comparing, self._trouble)
