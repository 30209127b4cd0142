"""Files against the SHA-256 that somebody stated: the Hub, Ollama's blobs, or we at an import."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from localmix.registry.disk.records import Records
from localmix.registry.stored import StoredModel

_CHUNK_BYTES = 4 << 20

OnBytes = Callable[[Path, int], None]
"""Called with a file, and the bytes of it that were hashed so far."""


@dataclass(frozen=True)
class Checked:
    """What came out for one file.

    Attributes:
        path: the file.
        state: "right", "wrong", "missing", or "noted": nobody has stated a hash, so the one that it
            has now was written down, to be compared next time.
    """

    path: Path
    state: Literal["right", "wrong", "missing", "noted"]


def verify(
    model: StoredModel, records: Records, on_bytes: OnBytes = lambda path, n_bytes: None
) -> list[Checked]:
    """Hash all files of a model and compare. Modifies: the records, for files without a hash."""
    known = model.sha256 or ("",) * len(model.paths)
    noted = records.hashes()
    checked, fresh = [], {}
    for path, stated in zip(model.paths, known, strict=True):
        expected = stated or noted.get(str(path), "")
        if not path.is_file():
            checked.append(Checked(path, "missing"))
            continue
        actual = sha256_of(path, on_bytes)
        if not expected:
            fresh[str(path)] = actual
            checked.append(Checked(path, "noted"))
        else:
            checked.append(Checked(path, "right" if actual == expected.lower() else "wrong"))
    if fresh:
        records.note_hashes(fresh)
    return checked


def sha256_of(path: Path, on_bytes: OnBytes = lambda path, n_bytes: None) -> str:
    """Hash a file, in hexadecimal."""
    digest, done_bytes = hashlib.sha256(), 0
    with path.open("rb", buffering=0) as stream:
        while chunk := stream.read(_CHUNK_BYTES):
            digest.update(chunk)
            done_bytes += len(chunk)
            on_bytes(path, done_bytes)
    return digest.hexdigest()
