"""SHA-256 of a whole file while its parts arrive.

It follows the workers from the first byte, over what is already on the disk, and is never far
behind: the bytes still lie in the system's cache. The hash up to the end of each part goes into the
journal. When a download goes on later, a part whose hash is another one by then has changed on the
disk, and is asked for again.
"""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from localmix.errors import DownloadFailed
from localmix.registry.download.parts import Parts

if TYPE_CHECKING:
    from hashlib import _Hash

_CHUNK_BYTES = 1 << 20


class Hasher:
    """The hash of one file.

    `_states[i]` is the hash of all before part i, so that it can be taken up from any part.
    """

    def __init__(self, parts: Parts, place: Path, refetch: Callable[[int], None]) -> None:
        """Hash nothing yet.

        Args:
            parts: what has arrived.
            place: the file.
            refetch: has a part fetched again, by a thread of its own.
        """
        self._parts, self._place, self._refetch = parts, place, refetch
        self._states: list[_Hash] = [hashlib.sha256()]

    def work(self) -> None:
        """Hash from the first part without a hash to the end. Modifies: the journal."""
        journal = self._parts.journal
        refetched: set[int] = set()
        with self._place.open("rb", buffering=0) as disk:
            while (i_part := len(self._states) - 1) < self._parts.n_parts:
                digest = self._after(i_part, disk)
                if digest is None:
                    return
                with self._parts.changed:
                    if journal.digests.get(i_part) not in (None, digest.hexdigest()):
                        if i_part not in refetched:
                            refetched.add(i_part)
                            self._parts.lose(i_part)
                            self._refetch(i_part)
                            continue
                        journal.forget_digests(i_part)  # what had come first was wrong
                    journal.note_digest(i_part, digest.hexdigest())
                    self._states.append(digest)

    def again_from(self, i_part: int) -> None:
        """Hash anew from a part on, whose bytes have changed; all must be there."""
        with self._parts.changed:
            self._parts.journal.forget_digests(i_part)
            del self._states[i_part + 1 :]
            self.work()

    def hexdigest(self) -> str:
        """Give the hash so far."""
        return self._states[-1].hexdigest()

    def _after(self, i_part: int, disk: BinaryIO) -> "_Hash | None":
        """Hash a part as it arrives -> the hash after it; None when work is over before that."""
        digest, at = self._states[i_part].copy(), 0
        start = self._parts.start_of(i_part)
        disk.seek(start)
        while at < self._parts.size_of(i_part):
            there = self._parts.wait_for(i_part, at)
            if not there:
                return None
            chunk = disk.read(min(there - at, _CHUNK_BYTES))
            if not chunk:
                raise DownloadFailed(
                    f"{self._place} was cut short meanwhile, by something else",
                    "pull again; what is left of it is kept",
                )
            digest.update(chunk)
            at += len(chunk)
            if not self._parts.comparing:
                self._parts.hashed_bytes = start + at
        return digest
