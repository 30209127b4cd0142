"""A sequence's keys and values as a file: what was read once need not be read again.

    magic (8) · length of the header (8) · header, JSON · ids int32 · positions int32 ·
    for each layer keys, then values of these positions (K, n, slot) · CRC-32 of all that (4)

Numbers are little-endian. The header says of what model, with which settings, and in which form
keys and values are kept; a file that says something else than the reader expects is refused.
"""

from __future__ import annotations

import json
import os
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from localmix.cache.ring import RingCache
from localmix.errors import ContextFull, LocalmixError
from localmix.json_file import take_place

MAGIC = b"lmxcache"
VERSION = 1
MOST_HEADER_BYTES = 1 << 20
AGAIN = "save it again: Model.save_cache"


def write(path: Path, cache: RingCache, ids: Sequence[int], identity: Mapping[str, str]) -> None:
    """Write the first sequence of a cache, whole or not at all.

    Args:
        path: of the file.
        cache: holds these ids, position by position, or the last ones of them with a window.
        ids: of the whole sequence.
        identity: what keys and values depend on.

    Raises:
        LocalmixError: the file cannot be written.
    """
    slots = np.flatnonzero(cache.positions[0] >= 0)
    slots = slots[np.argsort(cache.positions[0, slots])]  # oldest first
    header = {
        "version": VERSION,
        "identity": dict(identity),
        "shape": _shape(cache),
        "n_ids": len(ids),
        "n_slots": len(slots),
    }
    text = json.dumps(header).encode()
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        try:
            with draft.open("wb") as file:
                out = _Checked(file)
                out.write(MAGIC + len(text).to_bytes(8, "little") + text)
                out.write(np.array(ids, "<i4").tobytes())
                out.write(cache.positions[0, slots].astype("<i4").tobytes())
                for keys, values in zip(cache.keys[:, 0], cache.values[:, 0], strict=True):
                    out.write(keys[:, slots].tobytes())
                    out.write(values[:, slots].tobytes())
                file.write(out.crc.to_bytes(4, "little"))
            take_place(draft, path)
        finally:
            draft.unlink(missing_ok=True)
    except OSError as exc:
        raise LocalmixError(
            f"{path} cannot be written: {exc.strerror}", "choose another place for the cache"
        ) from exc


def read(path: Path, cache: RingCache, identity: Mapping[str, str]) -> list[int]:
    """Read a file of `write` into the first sequence of an empty cache and return its ids.

    Raises:
        ContextFull: the sequence does not fit the context of the cache.
        LocalmixError: the file cannot be read, is damaged, or was saved from something else.

    Modifies: the cache; after an error the sequence is empty.
    """
    try:
        with path.open("rb") as file:
            return _read(path, _Checked(file), cache, identity)
    except OSError as exc:
        raise LocalmixError(f"{path} cannot be read: {exc.strerror}", "look at its path") from exc
    except BaseException:
        cache.clear()
        raise


def _read(path: Path, file: _Checked, cache: RingCache, identity: Mapping[str, str]) -> list[int]:
    header = _header(path, file)
    _compare(path, header, cache, identity)
    n_ids, n_slots = header["n_ids"], header["n_slots"]
    if n_ids >= cache.n_ctx:
        raise ContextFull(
            f"{path.name} holds {n_ids} tokens, the context {cache.n_ctx}",
            "load the model with a larger n_ctx",
        )
    if n_slots > n_ids:
        raise _damaged(path)
    ids, positions = file.array("<i4", n_ids), file.array("<i4", n_slots)
    if len(ids) != n_ids or len(positions) != n_slots:
        raise _damaged(path)
    kept = positions >= n_ids - cache.n_slots  # a shorter ring holds the last ones
    slots = positions[kept] % cache.n_slots
    for layer in range(len(cache.keys)):
        for ring in (cache.keys[layer, 0], cache.values[layer, 0]):
            heads, slot = len(ring), ring.shape[-1]
            rows = file.array("u1", heads * n_slots * slot)
            if len(rows) != heads * n_slots * slot:
                raise _damaged(path)
            ring[:, slots] = rows.reshape(heads, n_slots, slot)[:, kept]
    expected = file.crc.to_bytes(4, "little")
    if file.read(5) != expected:
        raise _damaged(path)
    cache.positions[0, slots] = positions[kept]
    if not cache.keep(n_ids):
        raise _damaged(path)
    return [int(token) for token in ids]


def _header(path: Path, file: _Checked) -> dict[str, Any]:
    """The header of a file, if it is one of ours."""
    if file.read(len(MAGIC)) != MAGIC:
        raise LocalmixError(f"{path.name} is no saved cache of localmix", AGAIN)
    length = int.from_bytes(file.read(8), "little")
    if length > MOST_HEADER_BYTES:
        raise _damaged(path)
    try:
        header = json.loads(file.read(length))
    except ValueError as exc:
        raise _damaged(path) from exc
    if not isinstance(header, dict):
        raise _damaged(path)
    if header.get("version") != VERSION:
        raise LocalmixError(f"{path.name} was saved by another version of localmix", AGAIN)
    counts = [header.get("n_ids"), header.get("n_slots")]
    if not all(type(count) is int and 0 <= count < 1 << 31 for count in counts):
        raise _damaged(path)
    return header


def _compare(
    path: Path, header: Mapping[str, Any], cache: RingCache, identity: Mapping[str, str]
) -> None:
    """Raise LocalmixError if a file was saved from something else."""
    saved = header.get("identity")
    saved = saved if isinstance(saved, dict) else {}
    for name in sorted({*identity, *saved}):
        if saved.get(name) != identity.get(name):
            raise LocalmixError(
                f"{path.name} was saved from another model or with other settings ({name})",
                "load the model as it was when the cache was saved, or save it again",
            )
    if header.get("shape") != _shape(cache):
        raise _damaged(path)


def _shape(cache: RingCache) -> list[int]:
    """Layers, heads and bytes of a slot."""
    n_layers, _, n_heads, _, slot = cache.keys.shape
    return [n_layers, n_heads, slot]


def _damaged(path: Path) -> LocalmixError:
    return LocalmixError(f"{path.name} is damaged", AGAIN)


class _Checked:
    """A file whose bytes are summed up as they pass.

    Attributes:
        crc: CRC-32 so far.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.crc = 0

    def write(self, data: bytes) -> None:
        """Write bytes."""
        self.crc = zlib.crc32(data, self.crc)
        self._file.write(data)

    def read(self, n_bytes: int) -> bytes:
        """Read so many bytes, fewer at the end of the file."""
        data = self._file.read(n_bytes)
        self.crc = zlib.crc32(data, self.crc)
        return data

    def array(self, dtype: str, count: int) -> NDArray[Any]:
        """Read so many numbers, fewer at the end of the file."""
        kind = np.dtype(dtype)
        data = self.read(count * kind.itemsize)
        return np.frombuffer(data[: len(data) // kind.itemsize * kind.itemsize], kind)
