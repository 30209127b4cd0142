"""Builds small GGUF files byte by byte, sound or broken, without the gguf package."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from localmix.gguf import GGUFFile
from localmix.gguf.file import Shard
from localmix.gguf.header import read_header

U32_TYPE, F32_TYPE, BOOL_TYPE, STRING_TYPE, ARRAY_TYPE = 4, 6, 7, 8, 9
F32, Q8_0 = 0, 8


def u32(n: int) -> bytes:
    return struct.pack("<I", n)


def u64(n: int) -> bytes:
    return struct.pack("<Q", n)


def text(value: str | bytes) -> bytes:
    raw = value.encode() if isinstance(value, str) else value
    return u64(len(raw)) + raw


def key(name: str | bytes, kind: int, payload: bytes) -> bytes:
    """One key with its type and its value's bytes."""
    return text(name) + u32(kind) + payload


def string_key(name: str, value: str | bytes) -> bytes:
    return key(name, STRING_TYPE, text(value))


def u32_key(name: str, value: int) -> bytes:
    return key(name, U32_TYPE, u32(value))


def array_key(name: str, kind: int, items: list[bytes]) -> bytes:
    return key(name, ARRAY_TYPE, u32(kind) + u64(len(items)) + b"".join(items))


@dataclass(frozen=True)
class TensorBytes:
    """A tensor as the file will have it; dims in the file's order, offset None: where it falls."""

    name: str | bytes
    dims: tuple[int, ...]
    kind: int
    data: bytes
    offset: int | None = None


def pad(data: bytes, alignment: int) -> bytes:
    return data + bytes(-len(data) % alignment)


def build(
    keys: list[bytes],
    tensors: list[TensorBytes],
    *,
    version: int = 3,
    alignment: int = 32,
    n_keys: int | None = None,
    n_tensors: int | None = None,
) -> bytes:
    """Put a file together; n_keys and n_tensors may lie about the counts."""
    head = b"GGUF" + u32(version)
    head += u64(len(tensors) if n_tensors is None else n_tensors)
    head += u64(len(keys) if n_keys is None else n_keys)
    table, data = b"", b""
    for tensor in tensors:
        offset = len(data) if tensor.offset is None else tensor.offset
        table += text(tensor.name) + u32(len(tensor.dims)) + b"".join(map(u64, tensor.dims))
        table += u32(tensor.kind) + u64(offset)
        data += pad(tensor.data, alignment)
    return pad(head + b"".join(keys) + table, alignment) + data


def open_bytes(content: bytes) -> GGUFFile:
    """Open a file that exists in memory only."""
    mapped = np.frombuffer(content, np.uint8)
    return GGUFFile([Shard(Path("memory.gguf"), mapped, read_header(mapped.data))])


def small_file() -> bytes:
    """A sound file with a key of each shape and three tensors, about 800 bytes."""
    keys = [
        string_key("general.architecture", "llama"),
        u32_key("llama.block_count", 2),
        key("llama.rope.freq_base", F32_TYPE, struct.pack("<f", 10000.0)),
        key("tokenizer.ggml.add_bos_token", BOOL_TYPE, b"\x01"),
        array_key("tokenizer.ggml.tokens", STRING_TYPE, [text(t) for t in ("<unk>", "a", "é")]),
        array_key("tokenizer.ggml.scores", F32_TYPE, [struct.pack("<f", -i) for i in range(3)]),
        array_key("some.flags", BOOL_TYPE, [b"\x00", b"\x01"]),
    ]
    tensors = [
        TensorBytes("output_norm.weight", (8,), F32, struct.pack("<8f", *range(8))),
        TensorBytes("output.weight", (32, 3), Q8_0, bytes(range(3 * 34))),
        TensorBytes("blk.0.ffn_up_exps.weight", (2, 3, 4), F32, struct.pack("<24f", *range(24))),
    ]
    return build(keys, tensors)
