"""What of a file has arrived: a text file beside its bytes, so that a killed pull goes on.

    {"size_bytes": 4372812000, "sha256": "1270d2…", "part_bytes": 33554432}
    {"part": 0, "bytes": 1048576}
    {"part": 1, "bytes": 1048576}
    {"part": 0, "bytes": 33554432}
    {"part": 0, "sha256_so_far": "9f86d0…"}

Lines are only added, each after its bytes were written: whoever is killed loses what came since the
last line, and a torn last line is passed over. `sha256_so_far` is the hash of all from the first
byte of the file to the end of the part: it tells later whether the disk still has what came.
"""

import json
from pathlib import Path
from typing import Any

from localmix.json_file import take_place
from localmix.registry.manifest import RepoFile

PART_BYTES = 32 << 20
"""What one request asks for."""

LEAST_NOTED_BYTES, MOST_NOTED_BYTES, NOTES = 1 << 16, 1 << 20, 512
"""What a kill loses at most on each connection: a 512th of the file, within these bounds."""


class Journal:
    """The journal of one file, open for writing; also a context manager. Not for two threads.

    Attributes:
        part_bytes: size of every part but the last.
        note_every: bytes of a part between two notes.
        done: bytes of each part that have arrived, from its beginning.
        digests: of parts whose `sha256_so_far` was written down.
    """

    def __init__(self, path: Path, file: RepoFile, part_bytes: int = PART_BYTES) -> None:
        """Open or begin it; one of another file, or of another version of it, begins anew."""
        head = {"size_bytes": file.size_bytes, "sha256": file.sha256, "part_bytes": part_bytes}
        self.part_bytes, self._size_bytes = part_bytes, file.size_bytes
        share = file.size_bytes // NOTES
        self.note_every = max(LEAST_NOTED_BYTES, min(MOST_NOTED_BYTES, share))
        n_parts = -(-file.size_bytes // part_bytes)
        self.done = [0] * n_parts
        self.digests: dict[int, str] = {}
        lines = _read(path)
        self.is_new = not lines or lines[0] != head
        if not self.is_new:
            for line in lines[1:]:
                self._apply(line)
        # Written anew, short: a long download notes thousands of lines.
        kept: list[dict[str, Any]] = [head]
        kept += [{"part": i, "bytes": n} for i, n in enumerate(self.done) if n]
        kept += [{"part": i, "sha256_so_far": text} for i, text in sorted(self.digests.items())]
        fresh = path.with_name(path.name + ".new")
        fresh.write_text("".join(json.dumps(line) + "\n" for line in kept), encoding="utf-8")
        take_place(fresh, path)
        self._stream = path.open("ab", buffering=0)
        self._is_torn = False

    def size_of(self, i_part: int) -> int:
        """Give the bytes of a part when it is whole."""
        return min(self.part_bytes, self._size_bytes - i_part * self.part_bytes)

    def note(self, i_part: int, n_bytes: int) -> None:
        """Write down that the first `n_bytes` of a part are on the disk."""
        self._write({"part": i_part, "bytes": n_bytes})

    def note_all(self) -> None:
        """Write down what came since the last notes."""
        for i_part, n_bytes in enumerate(self.done):
            if n_bytes:
                self.note(i_part, n_bytes)

    def note_digest(self, i_part: int, sha256: str) -> None:
        """Write down the hash of the file up to the end of a part."""
        self._write({"part": i_part, "sha256_so_far": sha256})

    def forget_digests(self, first_part: int) -> None:
        """Take back the hashes of a part and those after it: its bytes are changing."""
        self._write({"part": first_part, "sha256_so_far": ""})

    def close(self) -> None:
        """Close the file."""
        self._stream.close()

    def _write(self, line: dict[str, Any]) -> None:
        self._apply(line)
        left = memoryview(("\n" * self._is_torn + json.dumps(line) + "\n").encode())
        self._is_torn = True  # a disk that is nearly full takes a piece before it complains
        while left:
            left = left[self._stream.write(left) :]
        self._is_torn = False

    def _apply(self, line: dict[str, Any]) -> None:
        i_part = line.get("part")
        if not isinstance(i_part, int) or not 0 <= i_part < len(self.done):
            return
        if isinstance(n_bytes := line.get("bytes"), int):
            self.done[i_part] = max(0, min(n_bytes, self.size_of(i_part)))
        if isinstance(sha256 := line.get("sha256_so_far"), str):
            if sha256:
                self.digests[i_part] = sha256
            else:
                self.digests = {i: text for i, text in self.digests.items() if i < i_part}


def journal_path(place: Path) -> Path:
    """Give the place of the journal of a file that is on its way."""
    return place.with_name(place.name + ".journal")


def arrived_parts(path: Path, file: RepoFile | None = None) -> dict[int, int]:
    """Read from a journal how many bytes of each part have arrived.

    Args:
        path: of the journal; one that is not there says nothing.
        file: None: whatever file it speaks of.
    """
    lines = _read(path)
    if not lines or (file is not None and lines[0].get("sha256") != file.sha256):
        return {}
    done: dict[int, int] = {}
    for line in lines[1:]:
        i_part, n_bytes = line.get("part"), line.get("bytes")
        if isinstance(i_part, int) and isinstance(n_bytes, int):
            done[i_part] = max(0, n_bytes)
    return done


def _read(path: Path) -> list[dict[str, Any]]:
    """Read the lines that are JSON objects; a torn one is passed over."""
    lines: list[dict[str, Any]] = []
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return lines
    for line in text.splitlines():
        try:
            value = json.loads(line)
        except ValueError:
            continue
        if isinstance(value, dict):
            lines.append(value)
    return lines
