"""Formats of 256 weights a block: numbers as eight vectors of 32, a scale for each 16 or 32.

Layouts: `localmix/quant/k_quants.py` and `codebook.py`.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from localmix.kernels.blocks import KBlock
from localmix.kernels.jit import inline
from localmix.kernels.simd import (
    concat,
    convert,
    load,
    load_f16,
    load_two_f16,
    load_u16,
    load_u32,
)
from localmix.kernels.small_blocks import look_up, nibbles
from localmix.kernels.vectors import (
    I8,
    I64,
    I8x16,
    I16x8,
    I16x16,
    U8x8,
    U8x16,
    U8x32,
    shuffled,
)

# K-blocks: numbers.


@inline
def q2_k(block):
    """Two bits: vector 4 h + j is bits 2 j, 2 j + 1 of the 32 bytes of half h."""
    a, b = load(U8x32, block + 16), load(U8x32, block + 48)
    return (a & 3, (a >> 2) & 3, (a >> 4) & 3, a >> 6, b & 3, (b >> 2) & 3, (b >> 4) & 3, b >> 6)


@inline
def q3_k(block):
    """Two bits as in Q2_K, and bit j of hmask as the third of vector j."""
    h = load(U8x32, block)
    a, b = load(U8x32, block + 32), load(U8x32, block + 64)
    return (
        (a & 3) | ((h & 1) << 2),
        ((a >> 2) & 3) | ((h & 2) << 1),
        ((a >> 4) & 3) | (h & 4),
        (a >> 6) | ((h & 8) >> 1),
        (b & 3) | ((h & 16) >> 2),
        ((b >> 2) & 3) | ((h & 32) >> 3),
        ((b >> 4) & 3) | ((h & 64) >> 4),
        (b >> 6) | ((h & 128) >> 5),
    )


@inline
def q4_k(block):
    """Low halves of 32 bytes, then their high halves, four times."""
    a, b = load(U8x32, block + 16), load(U8x32, block + 48)
    c, d = load(U8x32, block + 80), load(U8x32, block + 112)
    return (a & 15, a >> 4, b & 15, b >> 4, c & 15, c >> 4, d & 15, d >> 4)


@inline
def q5_k(block):
    """As Q4_K, and bit j of the 32 bytes of qh as the fifth of vector j."""
    h = load(U8x32, block + 16)
    a, b = load(U8x32, block + 48), load(U8x32, block + 80)
    c, d = load(U8x32, block + 112), load(U8x32, block + 144)
    return (
        (a & 15) | ((h & 1) << 4),
        (a >> 4) | ((h & 2) << 3),
        (b & 15) | ((h & 4) << 2),
        (b >> 4) | ((h & 8) << 1),
        (c & 15) | (h & 16),
        (c >> 4) | ((h & 32) >> 1),
        (d & 15) | ((h & 64) >> 2),
        (d >> 4) | ((h & 128) >> 3),
    )


@inline
def half_of_q6_k(ql, qh):
    """128 weights: low nibbles, then high ones; their upper two bits lie in 32 bytes."""
    a, b, h = load(U8x32, ql), load(U8x32, ql + 32), load(U8x32, qh)
    return (
        (a & 15) | ((h & 3) << 4),
        (b & 15) | ((h & 12) << 2),
        (a >> 4) | (h & 48),
        (b >> 4) | ((h & 192) >> 2),
    )


@inline
def q6_k(block):
    """q − 32."""
    return half_of_q6_k(block, block + 128) + half_of_q6_k(block + 64, block + 160)


@inline
def iq4_xs(block):
    """Places in a table."""
    at = block + 8
    return (
        look_up("iq4", nibbles(at)),
        look_up("iq4", nibbles(at + 16)),
        look_up("iq4", nibbles(at + 32)),
        look_up("iq4", nibbles(at + 48)),
        look_up("iq4", nibbles(at + 64)),
        look_up("iq4", nibbles(at + 80)),
        look_up("iq4", nibbles(at + 96)),
        look_up("iq4", nibbles(at + 112)),
    )


# K-blocks: scales, an int16 for each group of 16 or 32 weights.


@intrinsic
def bytes_of_two(typing: Any, x: Any, y: Any) -> Any:
    """Two int32 as eight bytes in memory's order; joined before they go to a vector register."""

    def gen(context: Any, b: Any, sig: Any, args: Any) -> Any:
        low, high = (b.zext(value, I64) for value in args)
        return b.bitcast(b.or_(low, b.shl(high, I64(32))), ir.VectorType(I8, 8))

    return U8x8(types.uint32, types.uint32), gen


@inline
def packed_scales(block):
    """The eight 6-bit scales of Q4_K and Q5_K; see `get_scale_min_k4` in ggml-quants.c."""
    s, x = load_u32(block + 4), load_u32(block + 12)
    low, high = s & 0x3F3F3F3F, (x & 0x0F0F0F0F) | ((s >> 2) & 0x30303030)
    return convert(I16x8, bytes_of_two(low, high))


@inline
def packed_minima(block):
    """The eight 6-bit minima of Q4_K and Q5_K."""
    m, x = load_u32(block + 8), load_u32(block + 12)
    low, high = m & 0x3F3F3F3F, ((x >> 4) & 0x0F0F0F0F) | ((m >> 2) & 0x30303030)
    return convert(I16x8, bytes_of_two(low, high))


@inline
def q2_k_scales(block):
    """Low halves of 16 bytes."""
    return convert(I16x16, load(U8x16, block) & 15)


@inline
def q2_k_minima(block):
    """High halves of 16 bytes."""
    return convert(I16x16, load(U8x16, block) >> 4)


@inline
def q3_k_scales(block):
    """Six bits less 32: nibbles of eight bytes below, pairs of bits of four bytes above."""
    low, high = load(U8x8, block + 96), load_u32(block + 104)
    pairs = concat(
        bytes_of_two(high & 0x03030303, (high >> 2) & 0x03030303),
        bytes_of_two((high >> 4) & 0x03030303, (high >> 6) & 0x03030303),
    )
    return convert(I16x16, concat(low & 15, low >> 4) | (pairs << 4)) - 32


@inline
def q6_k_scales(block):
    """Sixteen signed bytes."""
    return convert(I16x16, load(I8x16, block + 192))


@intrinsic
def two_bits_each(typing: Any, bits: Any) -> Any:
    """Eight pairs of bits of a 16-bit number, the lowest first, as bytes."""

    def gen(context: Any, b: Any, sig: Any, args: Any) -> Any:
        i16 = ir.IntType(16)
        kind = ir.VectorType(i16, 8)
        first = b.insert_element(ir.Constant(kind, ir.Undefined), args[0], ir.IntType(32)(0))
        all_ = shuffled(b, first, first, [0] * 8)
        shifted = b.lshr(all_, ir.Constant(kind, list(range(0, 16, 2))))
        return b.and_(shifted, ir.Constant(kind, [3] * 8))

    return I16x8(types.uint16), gen


@intrinsic
def nibbles_in_turn(typing: Any, word: Any) -> Any:
    """Eight nibbles of a 32-bit number, the lowest first, as int16."""

    def gen(context: Any, b: Any, sig: Any, args: Any) -> Any:
        i32 = ir.IntType(32)
        kind = ir.VectorType(i32, 8)
        first = b.insert_element(ir.Constant(kind, ir.Undefined), args[0], i32(0))
        all_ = shuffled(b, first, first, [0] * 8)
        shifted = b.lshr(all_, ir.Constant(kind, list(range(0, 32, 4))))
        return b.trunc(b.and_(shifted, ir.Constant(kind, [15] * 8)), I16x8.ir)

    return I16x8(types.uint32), gen


@inline
def iq4_xs_scales(block):
    """Six bits less 32: nibbles below, pairs of bits above."""
    high, low = two_bits_each(load_u16(block + 2)), nibbles_in_turn(load_u32(block + 4))
    return (low | (high << 4)) - 32


@inline
def halves_at_0_and_2(block):
    """d and dmin of Q4_K and Q5_K."""
    return load_two_f16(block)


@inline
def halves_at_80_and_82(block):
    """d and dmin of Q2_K."""
    return load_two_f16(block + 80)


@inline
def half_at_108(block):
    """d of Q3_K, also of its constant offset."""
    d = load_f16(block + 108)
    return d, d


@inline
def half_at_208(block):
    """d of Q6_K."""
    d = load_f16(block + 208)
    return d, d


@inline
def first_half(block):
    """d of IQ4_XS."""
    d = load_f16(block)
    return d, d


K_BLOCKS = (
    KBlock("Q2_K", 84, 3, None, False, 16, q2_k, q2_k_scales, halves_at_80_and_82, q2_k_minima),
    KBlock("Q3_K", 110, 7, 4, False, 16, q3_k, q3_k_scales, half_at_108),
    KBlock("Q4_K", 144, 15, None, False, 32, q4_k, packed_scales, halves_at_0_and_2, packed_minima),
    KBlock("Q5_K", 176, 31, None, False, 32, q5_k, packed_scales, halves_at_0_and_2, packed_minima),
    KBlock("Q6_K", 210, 63, 32, False, 16, q6_k, q6_k_scales, half_at_208),
    KBlock("IQ4_XS", 136, 127, 0, True, 32, iq4_xs, iq4_xs_scales, first_half),
)
