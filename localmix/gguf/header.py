"""Keys and tensor table of one GGUF file, checked against its size.

    magic "GGUF" | version u32 | n_tensors u64 | n_keys u64
    n_keys    x  key text | type u32 | value
    n_tensors x  name text | n_dims u32 | dims u64 x n_dims | type u32 | offset u64
    zeros up to a multiple of the alignment
    the tensors' bytes, each at its offset from here

A text is its length as u64 and that many bytes. dims[0] counts the weights of a row, so dims read
backwards are the shape as NumPy has it. Versions 2 and 3 are laid out alike; 1 had lengths of 4
bytes. Source: GGUF specification, docs/gguf.md of ggml.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from types import MappingProxyType
from typing import Final, NamedTuple

from localmix.errors import InvalidGGUF, UnsupportedQuant
from localmix.gguf.cursor import Cursor, damaged, shown
from localmix.gguf.values import Stored, read_value
from localmix.quant import BlockFormat, format_by_id

MAGIC: Final = b"GGUF"
VERSIONS: Final = (2, 3)
MAX_DIMS: Final = 4
MIN_KEY_BYTES: Final = 14  # a key of one letter with a value of one byte
MIN_TENSOR_BYTES: Final = 33  # a name of one letter, one dimension
DEFAULT_ALIGNMENT: Final = 32

# What people also try to open, by its first bytes.
OTHER_FILES: Final[Mapping[bytes, str]] = MappingProxyType(
    {
        b"tjgg": "an old GGML file, from before August 2023",
        b"fmgg": "an old GGML file, from before August 2023",
        b"lmgg": "an old GGML file, from before August 2023",
        b"PK\x03\x04": "a zip archive or a PyTorch file",
        b"<!DO": "a web page",
        b"<!do": "a web page",
        b"<htm": "a web page",
        b"vers": "a Git LFS pointer, not the file it points to",
    }
)


class Place(NamedTuple):
    """What the tensor table says about a tensor: dims in the file's order, offset in its data."""

    dims: tuple[int, ...]
    format: BlockFormat
    offset: int


@dataclass(frozen=True)
class TensorInfo:
    """Where a tensor lies.

    Attributes:
        name: as in the file.
        format: its block format.
        shape: NumPy order, the length of a row last.
        start: bytes from the start of the file.
        n_bytes: its size.
    """

    name: str
    format: BlockFormat
    shape: tuple[int, ...]
    start: int
    n_bytes: int


@dataclass(frozen=True)
class Header:
    """What stands before the tensors' bytes."""

    version: int
    stored: Mapping[str, Stored]
    tensors: tuple[TensorInfo, ...]


def read_header(buffer: memoryview, file_bytes: int | None = None) -> Header:
    """Read and check all that comes before the tensors' bytes.

    Args:
        buffer: the file, of which only the beginning is touched, or that beginning alone.
        file_bytes: size of the whole file; None: that of the buffer.

    Raises:
        InvalidGGUF: the file breaks the format, or is another kind of file.
        UnsupportedQuant: a tensor has a block format that localmix cannot read.
    """
    cursor = Cursor(buffer)
    version = _read_version(cursor)
    n_tensors = cursor.count(MIN_TENSOR_BYTES, "the number of tensors")
    n_keys = cursor.count(MIN_KEY_BYTES, "the number of keys")
    stored: dict[str, Stored] = {}
    for _ in range(n_keys):
        key = cursor.name("a key")
        if key in stored:
            raise damaged(f"the key {shown(key)} is there twice")
        stored[key] = read_value(cursor, shown(key))
    file_bytes = len(buffer) if file_bytes is None else file_bytes
    tensors = _read_tensors(cursor, n_tensors, _alignment(stored), file_bytes)
    return Header(version, MappingProxyType(stored), tensors)


def _read_version(cursor: Cursor) -> int:
    """Take magic and version."""
    magic = bytes(cursor.buffer[:4])
    if magic != MAGIC:
        kind = OTHER_FILES.get(magic)
        raise InvalidGGUF(
            f"this is {kind}" if kind else f"not a GGUF file: it begins with {magic!r}",
            "give a .gguf file, or pull one: localmix pull mistral",
        )
    cursor.skip(4, "the magic")
    version = cursor.u32("the version")
    if version in VERSIONS:
        return version
    if version == 1:
        raise InvalidGGUF(
            "the file has GGUF version 1, of August 2023, which localmix does not read",
            "pull a newer file of the model, or convert it again",
        )
    if version and version & 0xFFFF == 0:  # as a small number looks with its bytes swapped
        raise InvalidGGUF(
            "the file is big-endian; localmix reads little-endian files",
            "pull a file made for x86 or Arm, or convert it again without --big-endian",
        )
    raise InvalidGGUF(
        f"the file has GGUF version {version}; localmix reads 2 and 3",
        "update localmix, or pull the file again if it is damaged",
    )


def _alignment(stored: Mapping[str, Stored]) -> int:
    """Read what the tensors' offsets are multiples of, in bytes."""
    alignment = stored.get("general.alignment", DEFAULT_ALIGNMENT)
    if not isinstance(alignment, int) or alignment < 1 or alignment & (alignment - 1):
        raise damaged(f"general.alignment is {shown(str(alignment))}, not a power of two")
    return alignment


def _read_tensors(
    cursor: Cursor, n_tensors: int, alignment: int, file_bytes: int
) -> tuple[TensorInfo, ...]:
    """Take the tensor table."""
    places = {}
    for _ in range(n_tensors):
        name = cursor.name("a tensor's name")
        if name in places:
            raise damaged(f"the tensor {shown(name)} is there twice")
        places[name] = _read_place(cursor, shown(name))
    data_start = -(-cursor.pos // alignment) * alignment
    return tuple(
        _locate(name, place, data_start, alignment, file_bytes) for name, place in places.items()
    )


def _read_place(cursor: Cursor, label: str) -> Place:
    """Take what the table says about one tensor."""
    n_dims = cursor.u32(label)
    if not 1 <= n_dims <= MAX_DIMS:
        raise damaged(f"{label} has {n_dims} dimensions, not 1 to {MAX_DIMS}")
    dims = tuple(cursor.u64(label) for _ in range(n_dims))
    return Place(dims, _format(label, cursor.u32(label)), cursor.u64(label))


def _format(label: str, type_id: int) -> BlockFormat:
    """Look a tensor's format up, naming the tensor when there is none."""
    try:
        return format_by_id(type_id)
    except UnsupportedQuant as exc:
        raise UnsupportedQuant(f"{label}: {exc.message}", exc.hint) from exc


def _locate(
    name: str, place: Place, data_start: int, alignment: int, file_bytes: int
) -> TensorInfo:
    """Check a tensor's size and place; Python's whole numbers cannot overflow here."""
    dims, block, offset = place
    label = shown(name)
    if 0 in dims:
        raise damaged(f"{label} has a dimension of zero")
    if dims[0] % block.n_elements:
        raise damaged(
            f"{label} has rows of {dims[0]} weights; {block.name} needs a multiple of "
            f"{block.n_elements}"
        )
    if offset % alignment:
        raise damaged(f"{label} is at offset {offset}, not a multiple of {alignment}")
    start = data_start + offset
    n_bytes = prod(dims) // block.n_elements * block.n_bytes
    if start + n_bytes > file_bytes:
        raise damaged(
            f"{label} ends at byte {start + n_bytes}, beyond the file's {file_bytes} bytes"
        )
    return TensorInfo(name, block, dims[::-1], start, n_bytes)
