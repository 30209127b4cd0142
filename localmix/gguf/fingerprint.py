"""Which model a file is, without reading all of it."""

from __future__ import annotations

import hashlib

from localmix.gguf.file import GGUFFile

SAMPLE_BYTES = 256
"""Bytes of each tensor that are looked at: two trainings of one model differ in all of them."""


def fingerprint(file: GGUFFile) -> str:
    """A digest of the names, formats and shapes of all tensors and of where their weights begin."""
    digest = hashlib.blake2b(digest_size=16)
    for name in sorted(file.tensors):
        tensor = file.tensors[name]
        digest.update(f"{name} {tensor.format.name} {tensor.shape}\n".encode())
        digest.update(tensor.raw[:SAMPLE_BYTES].tobytes())
    return digest.hexdigest()
