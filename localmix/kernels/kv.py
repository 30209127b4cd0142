"""Keys and values on their way into the ring, and how attention reads them back.

The ring keeps, for each layer, sequence and key/value head, one slot after the other:

    f32    head_dim float32
    f16    head_dim halves
    q8_0   head_dim int8, then a half for each 32 of them: value = d · q

head_dim is rounded up to a multiple of 16 (q8_0: 32), with zeros in between.
Source of q8_0's numbers: `quantize_row_q8_0_ref`, ggml-quants.c of llama.cpp.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from localmix.kernels.elementwise import field
from localmix.kernels.jit import inline, kernel
from localmix.kernels.layout import WORD, Place, Rotate, State
from localmix.kernels.simd import (
    absolute,
    convert,
    f32_to_half,
    f32_to_halves,
    halves_to_f32,
    hmax,
    hsum,
    load,
    load_f16,
    load_f32,
    load_i64,
    maximum,
    rounded,
    splat,
    store,
    store_f32,
    store_i16,
)
from localmix.kernels.target import TIER
from localmix.kernels.vectors import F32x16, I8x16, Vec

HEAD_LANES = TIER.head_lanes
HEAD_FLOATS, HEAD_HALVES, HEAD_BYTES = (Vec(HEAD_LANES, kind) for kind in ("f32", "i16", "i8"))
LARGEST = np.float32(127)


@dataclass(frozen=True)
class KVFormat:
    """One way to keep keys and values.

    Attributes:
        slot_bytes: padded head_dim -> bytes of a slot.
        read: (slot address, padded, i) -> HEAD_LANES float32 from element i on.
        write: (16 or 32 float32 at an address, slot address, padded, i) -> None; `step` elements.
    """

    name: str
    step: int
    slot_bytes: Callable[..., Any]
    read: Callable[..., Any]
    write: Callable[..., Any]


@inline
def f32_bytes(padded):
    """Four bytes an element."""
    return 4 * padded


@inline
def f32_read(slot, padded, i):
    """As they are."""
    return load(HEAD_FLOATS, slot + 4 * i)


@inline
def f32_write(x, slot, padded, i):
    """As they are."""
    store(slot + 4 * i, load(F32x16, x))


@inline
def f16_bytes(padded):
    """Two bytes an element."""
    return 2 * padded


@inline
def f16_read(slot, padded, i):
    """Widened."""
    return halves_to_f32(load(HEAD_HALVES, slot + 2 * i))


@inline
def f16_write(x, slot, padded, i):
    """Rounded to the nearest half."""
    store(slot + 2 * i, f32_to_halves(load(F32x16, x)))


@inline
def q8_0_bytes(padded):
    """34 bytes for 32 elements."""
    return padded // 32 * 34


@inline
def q8_0_read(slot, padded, i):
    """d · q."""
    d = load_f16(slot + padded + i // 32 * 2)
    return convert(HEAD_FLOATS, load(HEAD_BYTES, slot + i)) * d


@inline
def q8_0_write(x, slot, padded, i):
    """Scale by the largest of 32; NaN and infinity make the scale NaN."""
    a, b = load(F32x16, x), load(F32x16, x + 64)
    largest = hmax(maximum(absolute(a), absolute(b)))
    inverse = LARGEST / largest if largest > 0 else np.float32(0)
    store(slot + i, convert(I8x16, rounded(a * splat(F32x16, inverse))))
    store(slot + i + 16, convert(I8x16, rounded(b * splat(F32x16, inverse))))
    damage = hsum(a * np.float32(0)) + hsum(b * np.float32(0))
    store_i16(slot + padded + i // 32 * 2, f32_to_half(largest / LARGEST + damage))


KV_FORMATS = (
    KVFormat("f32", 16, f32_bytes, f32_read, f32_write),
    KVFormat("f16", 16, f16_bytes, f16_read, f16_write),
    KVFormat("q8_0", 32, q8_0_bytes, q8_0_read, q8_0_write),
)


@kernel("rotate")
def rotate(record, state, row, scratch):
    """Turn the pairs (2i, 2i + 1) of every head of a row, in place (arXiv:2104.09864, 3.2.2).

    Cosines and sines of the row's position are tables of the state, N_ROTATED / 2 a row.
    """
    n_heads, head_dim = field(record, Rotate.N_HEADS), field(record, Rotate.HEAD_DIM)
    n_pairs = field(record, Rotate.N_ROTATED) // 2
    cosines = field(state, State.COSINES) + 4 * n_pairs * row
    sines = field(state, State.SINES) + 4 * n_pairs * row
    for h in range(n_heads):
        x = field(record, Rotate.X) + 4 * head_dim * (n_heads * row + h)
        for i in range(n_pairs):
            even, odd = load_f32(x + 8 * i), load_f32(x + 8 * i + 4)
            cos, sin = load_f32(cosines + 4 * i), load_f32(sines + 4 * i)
            store_f32(x + 8 * i, even * cos - odd * sin)
            store_f32(x + 8 * i + 4, even * sin + odd * cos)


def _define(kv: KVFormat) -> None:
    step, slot_bytes, write = kv.step, kv.slot_bytes, kv.write

    @kernel(f"place_{kv.name}")
    def place(record, state, row, scratch):
        """Store the keys and values of one row in the slot of its position."""
        n_heads, head_dim = field(record, Place.N_KV_HEADS), field(record, Place.HEAD_DIM)
        padded = (head_dim + step - 1) // step * step
        slot = load_i64(field(state, State.SLOTS) + WORD * row)
        sequence = load_i64(field(state, State.SEQUENCES) + WORD * row)
        offset = (
            field(state, State.LAYER_BYTES) * field(record, Place.LAYER)
            + field(state, State.SEQUENCE_BYTES) * sequence
            + slot_bytes(padded) * slot
        )
        for h in range(n_heads):
            at = offset + field(state, State.HEAD_BYTES) * h
            source = 4 * head_dim * (n_heads * row + h)
            put(
                field(record, Place.K) + source,
                field(state, State.KEYS) + at,
                head_dim,
                padded,
                scratch,
            )
            put(
                field(record, Place.V) + source,
                field(state, State.VALUES) + at,
                head_dim,
                padded,
                scratch,
            )

    @inline
    def put(x, slot, head_dim, padded, scratch):
        """One head of one row, with zeros behind it."""
        for i in range(padded):
            store_f32(scratch + 4 * i, load_f32(x + 4 * i) if i < head_dim else np.float32(0))
        for i in range(0, padded, step):
            write(scratch + 4 * i, slot, padded, i)


for _kv in KV_FORMATS:
    _define(_kv)
