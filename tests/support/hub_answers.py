"""What the fake Hub sends: contents that may be large, answers, and their way into a socket.

A content is whatever has a length and can be sliced into bytes: `bytes` themselves, or a `Pattern`.
Knows nothing of repositories; how an answer is spoiled is decided in `hub_faults`.
"""

import hashlib
import os
import re
import select
import socket
import tempfile
import threading
import time
import weakref
from dataclasses import dataclass, field
from functools import cached_property, lru_cache

import numpy as np

BLOCK_BYTES = 1 << 20
PAGE_BYTES = 4096
CHUNK_BYTES = 1 << 18


class Pattern:
    """A file of any size that is never held in memory.

    One random MiB, again and again, and at the start of each 4 KiB their number: bytes that come
    from another place of the file, or from a file of another seed, are noticed.
    """

    def __init__(self, size_bytes, seed=0):
        self.size_bytes, self.seed = size_bytes, seed
        shape = (BLOCK_BYTES // PAGE_BYTES, PAGE_BYTES // 8)  # pages, words
        random = np.random.default_rng(seed)
        self._block = random.integers(0, 2**64, shape, dtype=np.uint64).astype("<u8")
        self._lock = threading.Lock()
        self._file = None

    def __repr__(self):
        return f"Pattern({self.size_bytes}, seed={self.seed})"

    def __len__(self):
        return self.size_bytes

    def __getitem__(self, part):
        first, end, _ = part.indices(self.size_bytes)
        i_block = first // BLOCK_BYTES
        blocks = [self._numbered(i) for i in range(i_block, -(-end // BLOCK_BYTES))]
        start = first - i_block * BLOCK_BYTES
        return b"".join(blocks)[start : start + max(0, end - first)]

    def _numbered(self, i_block):
        block = self._block.copy()
        n_pages = len(block)
        block[:, 0] = np.arange(i_block * n_pages, (i_block + 1) * n_pages)
        return block.tobytes()

    def blocks(self):
        for first in range(0, self.size_bytes, BLOCK_BYTES):
            yield self[first : first + BLOCK_BYTES]

    @cached_property
    def sha256(self):
        digest = hashlib.sha256()
        for block in self.blocks():
            digest.update(block)
        return digest.hexdigest()

    def file(self):
        """The whole in a temporary file, written at the first call: what os.sendfile wants."""
        with self._lock:
            if self._file is None:
                self._file = tempfile.TemporaryFile()  # noqa: SIM115, it lives as long as this
                weakref.finalize(self, self._file.close)
                for block in self.blocks():
                    self._file.write(block)
                self._file.flush()
        return self._file


def sha256(content):
    return content.sha256 if isinstance(content, Pattern) else _sha256_of_bytes(content)


@lru_cache(maxsize=64)
def _sha256_of_bytes(content):
    return hashlib.sha256(content).hexdigest()


@dataclass
class Answer:
    """An answer that can be spoiled before it is sent."""

    content: bytes | Pattern = b""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    first: int = 0  # where in the content the body starts
    n_bytes: int | None = None  # of the body; None: up to the end of the content
    flips: range = range(0)  # places in the body with wrong bytes
    stall_after: int | None = None  # bytes of the body; -1: before the headers
    stall_s: float = 0.0
    rate_bytes_s: float | None = None
    cut_after: int | None = None
    reset: bool = False  # end with a reset, before the headers unless it is cut later
    closes: bool = False  # no other request on this connection

    def __post_init__(self):
        if self.n_bytes is None:
            self.n_bytes = len(self.content) - self.first


def etag_of(content):
    """What a storage that cuts uploads into parts gives: not the hash of the whole."""
    return f'"{sha256(sha256(content).encode())[:32]}-2"'


def stored(content, headers, etag=None):
    """Answer a request for a content, or for the range of it that the headers name."""
    etag = etag or etag_of(content)
    about = {"ETag": etag, "Accept-Ranges": "bytes", "Content-Type": "binary/octet-stream"}
    if headers.get("If-Match", etag) != etag:
        return Answer(b"", 412)
    wanted = re.fullmatch(r"bytes=(\d*)-(\d*)", headers.get("Range") or "")
    if not wanted or wanted[0] == "bytes=-" or headers.get("If-Range", etag) != etag:
        return Answer(content, 200, about)
    size = len(content)
    if wanted[1]:
        first, last = int(wanted[1]), min(int(wanted[2] or size), size - 1)
    else:
        first, last = max(0, size - int(wanted[2])), size - 1
    if first > last:
        return Answer(b"", 416, {"Content-Range": f"bytes */{size}"})
    about["Content-Range"] = f"bytes {first}-{last}/{size}"
    return Answer(content, 206, about, first, last - first + 1)


def send_body(connection, answer, stopping, count):
    """Send the body as fast and as wrong as the answer says; tell `count` what has been sent.

    Raises:
        ConnectionError: the client has left, or the server is being shut down.
    """
    end = answer.n_bytes if answer.cut_after is None else answer.cut_after
    stalls_at, at, started = answer.stall_after, 0, time.monotonic()
    while True:
        if stalls_at is not None and 0 <= stalls_at <= at:
            stall(connection, answer.stall_s, stopping)
            stalls_at = None
        if at >= end:
            return
        n_bytes = min(end, at + CHUNK_BYTES, end if stalls_at is None else stalls_at) - at
        if answer.rate_bytes_s:
            n_bytes = min(n_bytes, max(1, int(answer.rate_bytes_s / 100)))
        at += _send_counted(connection, answer, at, n_bytes, count)
        pause_s = (
            started + at / answer.rate_bytes_s - time.monotonic() if answer.rate_bytes_s else 0
        )
        if stopping.wait(pause_s) if pause_s > 0 else stopping.is_set():
            raise ConnectionAbortedError


def _send_counted(connection, answer, at, n_bytes, count):
    """Send some bytes, counted before a client can have read them, and put right after."""
    count(n_bytes)
    n_sent = 0
    try:
        n_sent = _send_some(connection, answer, at, n_bytes)
    finally:
        count(n_sent - n_bytes)
    return n_sent


def _send_some(connection, answer, at, n_bytes):
    first = answer.first + at
    if isinstance(answer.content, Pattern) and not answer.flips and hasattr(os, "sendfile"):
        return os.sendfile(connection.fileno(), answer.content.file().fileno(), first, n_bytes)
    body = bytearray(answer.content[first : first + n_bytes])
    for i in range(max(answer.flips.start, at), min(answer.flips.stop, at + len(body))):
        body[i - at] ^= 0xFF
    return connection.send(body)


def stall(connection, seconds, stopping):
    """Say nothing until the time is over, the client has left, or the server is shut down."""
    until = time.monotonic() + seconds
    while (left_s := until - time.monotonic()) > 0:
        if stopping.wait(min(left_s, 0.01)) or has_left(connection):
            raise ConnectionAbortedError


def has_left(connection):
    readable, _, _ = select.select([connection], [], [], 0)
    return bool(readable) and connection.recv(1, socket.MSG_PEEK) == b""
