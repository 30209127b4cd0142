"""Which model a file is, without reading all of it."""

from __future__ import annotations

import hashlib

from localmix.gguf.file import GGUFFile

N_SAMPLES, SAMPLE_BYTES = 64, 256
"""Tensors whose first bytes are looked at: two trainings of one model differ in all of them."""


def fingerprint(file: GGUFFile) -> str:
    """A digest of the names, formats and shapes of all tensors and of where their weights begin."""
    digest = hashlib.blake2b(digest_size=16)
    every = -(-len(file.tensors) // N_SAMPLES)  # a look reads 2 MB if the file is not cached
    for i, name in enumerate(sorted(file.tensors)):
        tensor = file.tensors[name]
        digest.update(f"{name} {tensor.format.name} {tensor.shape}\n".encode())
        if i % every == 0:
            digest.update(tensor.raw[:SAMPLE_BYTES].tobytes())
    return digest.hexdigest()
