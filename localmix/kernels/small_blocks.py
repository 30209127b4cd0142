"""Formats of 32 weights a block, and plain floats: numbers, scales, offsets.

Layouts: `localmix/quant/legacy.py`, `codebook.py` and `float_types.py`.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from localmix.kernels.blocks import FloatFormat, SmallBlock
from localmix.kernels.dot import IS_NEON, emit_halves, emit_look_up
from localmix.kernels.halves import emit_widen
from localmix.kernels.jit import inline
from localmix.kernels.simd import (
    concat,
    convert,
    halves_to_f32,
    load,
    load_f16,
    load_u8,
    load_u32,
    reinterpret,
)
from localmix.kernels.vectors import (
    I8,
    I32,
    I64,
    F32x8,
    F32x16,
    I8x32,
    I16x16,
    I32x16,
    U8x16,
    U8x32,
    call,
    shuffled,
)

# Pieces that several formats share.


@inline
def nibbles(address):
    """Sixteen bytes: their low halves, then their high halves."""
    packed = load(U8x16, address)
    return concat(packed & 15, packed >> 4)


@intrinsic
def spread_bits(typing: Any, bits: Any) -> Any:
    """Bit i of an int32 as byte i, 0 or 16."""

    def gen(context: Any, b: Any, sig: Any, args: Any) -> Any:
        if IS_NEON:  # LLVM would take the bits one by one
            word, half = b.bitcast(args[0], ir.VectorType(I8, 4)), U8x16.ir
            to_bit_4 = ir.Constant(half, [(4 - i) & 255 for i in range(8)] * 2)
            halves = []
            for first in (0, 2):
                its_byte = shuffled(b, word, word, [first] * 8 + [first + 1] * 8)
                moved = call(b, "llvm.aarch64.neon.ushl.v16i8", half, its_byte, to_bit_4)
                halves.append(b.and_(moved, ir.Constant(half, [16] * 16)))
            return shuffled(b, halves[0], halves[1], range(32))
        flags = b.bitcast(args[0], ir.VectorType(ir.IntType(1), 32))
        return b.shl(b.zext(flags, U8x32.ir), ir.Constant(U8x32.ir, [4] * 32))

    return U8x32(types.uint32), gen


@intrinsic(prefer_literal=True)
def look_up(typing: Any, table: Any, index: Any) -> Any:
    """Signed bytes out of a table of 16, which a literal name picks."""
    values = TABLES[table.literal_value]
    return I8x32(table, index), lambda context, b, sig, args: emit_look_up(b, values, args[1])


TABLES = {
    "iq4": [-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113],
    "e2m1": [0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12],
}


@inline
def half_at_0(block):
    """The block's scale, its first two bytes."""
    return load_f16(block)


@inline
def half_at_2(block):
    """The offset of Q4_1 and Q5_1."""
    return load_f16(block + 2)


def _of_eight(stride: int, offset: int) -> Any:
    """Make the function that reads a half of each of eight blocks."""

    @intrinsic
    def gather(typing: Any, block: Any) -> Any:
        def gen(context: Any, b: Any, sig: Any, args: Any) -> Any:
            halves = emit_halves(b, b.add(args[0], I64(offset)), stride)
            return emit_widen(b, halves)

        return F32x8(types.int64), gen

    return gather


@inline
def fifth_bits(address):
    """Four bytes, bit i for weight i, as 16 or 0."""
    return spread_bits(load_u32(address))


# Small blocks.


@inline
def q4_0(block):
    """q − 8."""
    return nibbles(block + 2)


@inline
def q4_1(block):
    """q, with an offset."""
    return nibbles(block + 4)


@inline
def q5_0(block):
    """q − 16."""
    return nibbles(block + 6) | fifth_bits(block + 2)


@inline
def q5_1(block):
    """q, with an offset."""
    return nibbles(block + 8) | fifth_bits(block + 4)


@inline
def q8_0(block):
    """q, signed."""
    return load(I8x32, block + 2)


@inline
def iq4_nl(block):
    """Places in a table."""
    return look_up("iq4", nibbles(block + 2))


@inline
def mxfp4(block):
    """Places in a table."""
    return look_up("e2m1", nibbles(block + 1))


@intrinsic
def float_of_bits(typing: Any, bits: Any) -> Any:
    """An int32 seen as float32."""
    return types.float32(types.uint32), lambda context, b, sig, args: b.bitcast(
        args[0], ir.FloatType()
    )


@inline
def power_of_two(block):
    """2 ** (e − 128): the exponent's bits are e − 1; below the normal numbers one of two bits."""
    e = load_u8(block)
    if e < 2:
        return float_of_bits(0x00200000 << e)
    return float_of_bits((e - 1) << 23)


# Plain floats.


@inline
def f32(at):
    """As they are."""
    return load(F32x16, at)


@inline
def f16(at):
    """IEEE halves."""
    return halves_to_f32(load(I16x16, at))


@inline
def bf16(at):
    """The upper half of a float32."""
    return reinterpret(F32x16, convert(I32x16, load(I16x16, at)) << 16)


@inline
def eight_powers_of_two(block):
    """The scales of eight blocks of MXFP4."""
    return eight(
        power_of_two(block),
        power_of_two(block + 17),
        power_of_two(block + 34),
        power_of_two(block + 51),
        power_of_two(block + 68),
        power_of_two(block + 85),
        power_of_two(block + 102),
        power_of_two(block + 119),
    )


@intrinsic
def eight(typing: Any, a: Any, b: Any, c: Any, d: Any, e: Any, f: Any, g: Any, h: Any) -> Any:
    """Eight numbers as a vector."""

    def gen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        out = ir.Constant(F32x8.ir, ir.Undefined)
        for i, value in enumerate(args):
            out = builder.insert_element(out, value, I32(i))
        return out

    return F32x8(*[types.float32] * 8), gen


def _with_offset(name: str, n_bytes: int, highest: int, numbers: Any) -> SmallBlock:
    """A format with an offset of its own behind the scale."""
    scales, offsets = _of_eight(n_bytes, 0), _of_eight(n_bytes, 2)
    return SmallBlock(
        name, n_bytes, highest, None, False, numbers, half_at_0, scales, half_at_2, offsets
    )


SMALL_BLOCKS = (
    SmallBlock("Q4_0", 18, 15, 8, False, q4_0, half_at_0, _of_eight(18, 0)),
    _with_offset("Q4_1", 20, 15, q4_1),
    SmallBlock("Q5_0", 22, 31, 16, False, q5_0, half_at_0, _of_eight(22, 0)),
    _with_offset("Q5_1", 24, 31, q5_1),
    SmallBlock("Q8_0", 34, 128, 0, True, q8_0, half_at_0, _of_eight(34, 0)),
    SmallBlock("IQ4_NL", 18, 127, 0, True, iq4_nl, half_at_0, _of_eight(18, 0)),
    SmallBlock("MXFP4", 17, 12, 0, True, mxfp4, power_of_two, eight_powers_of_two),
)

FLOAT_FORMATS = (
    FloatFormat("F32", 4, f32),
    FloatFormat("F16", 2, f16),
    FloatFormat("BF16", 2, bf16),
)
