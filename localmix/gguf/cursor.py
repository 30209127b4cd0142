"""Reading numbers and text from the start of a file, with every length checked before it is used.

A `Cursor` never reads or allocates past the end of its buffer: a count or length that the rest of
the file cannot hold is an error at once, however large it is.
"""

from __future__ import annotations

from struct import Struct, error
from typing import Final

from localmix.errors import InvalidGGUF

U32: Final = Struct("<I")
U64: Final = Struct("<Q")

# Far above what real files hold (the longest vocabularies have 262,144 pieces, the longest chat
# templates some 100 kB): what a damaged count may make us do stays small even in a large file.
MAX_NAME_BYTES: Final = (1 << 16) - 1
MAX_TEXT_BYTES: Final = 1 << 24
MAX_STRINGS: Final = 1 << 24
MAX_STRINGS_BYTES: Final = 1 << 28

DAMAGED: Final = "the download may be incomplete or damaged: pull or copy the file again"


def damaged(message: str) -> InvalidGGUF:
    """Make the error for a file that breaks the format."""
    return InvalidGGUF(message, DAMAGED)


def shown(name: str) -> str:
    """Make a name from a file fit for a message: short, and without control characters."""
    return name if name.isprintable() and len(name) <= 100 else repr(name[:100])


class Cursor:
    """A place in a buffer that moves forward as values are taken.

    Attributes:
        buffer: the whole file.
        pos: bytes from its start to the next value.
    """

    def __init__(self, buffer: memoryview, pos: int = 0) -> None:
        self.buffer = buffer
        self.pos = pos

    @property
    def left_bytes(self) -> int:
        """Bytes from here to the end of the file."""
        return len(self.buffer) - self.pos

    def skip(self, n_bytes: int, what: str) -> int:
        """Step over n_bytes and return the place they start at.

        Raises:
            InvalidGGUF: the file ends before.
        """
        if n_bytes > self.left_bytes:
            raise damaged(f"the file ends inside {what}")
        start = self.pos
        self.pos += n_bytes
        return start

    def u32(self, what: str) -> int:
        """Take an unsigned number of 4 bytes."""
        value: int = U32.unpack_from(self.buffer, self.skip(4, what))[0]
        return value

    def u64(self, what: str) -> int:
        """Take an unsigned number of 8 bytes."""
        value: int = U64.unpack_from(self.buffer, self.skip(8, what))[0]
        return value

    def count(self, min_item_bytes: int, what: str) -> int:
        """Take a count of 8 bytes of items that follow.

        Raises:
            InvalidGGUF: the rest of the file cannot hold as many items of min_item_bytes.
        """
        n = self.u64(what)
        if n * min_item_bytes > self.left_bytes:
            raise damaged(f"{what} is {n}, more than the file can hold")
        return n

    def text_bytes(self, what: str, limit_bytes: int = MAX_TEXT_BYTES) -> bytes:
        """Take a length of 8 bytes and the bytes of a text."""
        n_bytes = self.u64(what)
        if n_bytes > min(limit_bytes, self.left_bytes):
            raise damaged(f"{what} has a length of {n_bytes} bytes")
        start = self.skip(n_bytes, what)
        return bytes(self.buffer[start : self.pos])

    def name(self, what: str) -> str:
        """Take a key or a tensor's name, which must be UTF-8."""
        raw = self.text_bytes(what, MAX_NAME_BYTES)
        if not raw:
            raise damaged(f"{what} is empty")
        try:
            return raw.decode()
        except UnicodeDecodeError as exc:
            raise damaged(f"{what} is not UTF-8: {raw[:40]!r}") from exc

    def skip_strings(self, n: int, what: str) -> None:
        """Step over n strings without decoding them, 0.1 µs each.

        Raises:
            InvalidGGUF: one of them reaches past the end of the file, or there are absurdly many.
        """
        if n > MAX_STRINGS:
            raise damaged(f"{what} counts {n} strings")
        # Most of the time that opening takes is spent here, hence the local names. Bounds are
        # checked once, after the loop: a length that leads out of the buffer makes the next
        # unpack_from fail.
        pos, buffer, unpack_from = self.pos, self.buffer, U64.unpack_from
        try:
            for _ in range(n):
                pos += 8 + unpack_from(buffer, pos)[0]
        except (error, OverflowError) as exc:
            raise damaged(f"the file ends inside {what}") from exc
        if pos - self.pos > MAX_STRINGS_BYTES:
            raise damaged(f"the strings of {what} take {pos - self.pos} bytes")
        self.skip(pos - self.pos, what)
