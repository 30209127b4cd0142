"""SIMD in Python: a few intrinsics on vectors, and what they cost to read.

    q = load(U8x32, block + 2)          # 32 bytes, no alignment asked
    low, high = q & 15, q >> 4          # element by element; numbers are repeated for all elements
    y = fma(x, scale, y)                # one instruction, rounded once

An intrinsic is a typing rule and a function that writes LLVM IR (`vectors.py`).
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from localmix.kernels.halves import emit_narrow, emit_widen
from localmix.kernels.target import FETCHED
from localmix.kernels.vectors import (
    ELEMENTS,
    FAST,
    FLOAT,
    I8,
    I16,
    I32,
    I64,
    Vec,
    call,
    nothing,
    pointer,
    read,
    repeated,
    shuffled,
    write,
)

# Memory.

_SCALARS = {
    "i8": (types.int8, I8),
    "u8": (types.uint8, I8),
    "i16": (types.int16, I16),
    "u16": (types.uint16, I16),
    "i32": (types.int32, I32),
    "u32": (types.uint32, I32),
    "i64": (types.int64, I64),
    "f32": (types.float32, FLOAT),
}


def _scalar_memory(name: str) -> tuple[Any, Any]:
    """Make the load and the store of one kind of number."""
    number, ll = _SCALARS[name]

    @intrinsic
    def load_number(typing: Any, address: Any) -> Any:
        return number(types.int64), lambda context, b, sig, args: read(b, args[0], ll)

    @intrinsic
    def store_number(typing: Any, address: Any, value: Any) -> Any:
        return types.void(types.int64, number), lambda context, b, sig, args: nothing(
            context, write(b, args[0], args[1])
        )

    return load_number, store_number


load_u8, _ = _scalar_memory("u8")
load_i16, store_i16 = _scalar_memory("i16")
load_u16, _ = _scalar_memory("u16")
load_i32, store_i32 = _scalar_memory("i32")
load_u32, _ = _scalar_memory("u32")
load_i64, store_i64 = _scalar_memory("i64")
load_f32, store_f32 = _scalar_memory("f32")


@intrinsic
def load_f16(typing: Any, address: Any) -> Any:
    """A half as float32."""
    return types.float32(types.int64), lambda context, b, sig, args: emit_widen(
        b, read(b, args[0], I16)
    )


@intrinsic
def load_two_f16(typing: Any, address: Any) -> Any:
    """Two halves that stand beside each other, as two float32."""

    def gen(context: Any, b: Any, sig: Any, args: Any) -> Any:
        both = emit_widen(b, read(b, args[0], ir.VectorType(I16, 2)))
        out = context.get_constant_undef(sig.return_type)
        for i in range(2):
            out = b.insert_value(out, b.extract_element(both, I32(i)), i)
        return out

    return types.UniTuple(types.float32, 2)(types.int64), gen


@intrinsic
def load(typing: Any, vec: Any, address: Any) -> Any:
    """A vector from any address."""
    kind = vec.instance_type
    return kind(vec, types.int64), lambda context, b, sig, args: read(b, args[1], kind.ir)


@intrinsic
def store(typing: Any, address: Any, value: Any) -> Any:
    """A vector to any address."""
    return types.void(types.int64, value), lambda context, b, sig, args: nothing(
        context, write(b, args[0], args[1])
    )


@intrinsic(prefer_literal=True)
def prefetch(typing: Any, address: Any, n_bytes: Any) -> Any:
    """Ask for the cache lines of some bytes that will be read; any address is allowed."""
    size = n_bytes.literal_value

    def gen(context: Any, b: Any, sig: Any, args: Any) -> Any:
        for start in range(0, size, FETCHED):
            at = pointer(b, b.add(args[0], I64(start)), I8)
            call(b, "llvm.prefetch.p0", ir.VoidType(), at, I32(0), I32(3), I32(1))
        return nothing(context)

    return types.void(types.int64, n_bytes), gen


@intrinsic
def scatter(typing: Any, address: Any, stride: Any, value: Any) -> Any:
    """Store element i at address + i · stride."""

    def gen(context: Any, b: Any, sig: Any, args: Any) -> Any:
        address, stride, vector = args
        for i in range(value.lanes):
            place = b.add(address, b.mul(stride, I64(i)))
            write(b, place, b.extract_element(vector, I32(i)))
        return nothing(context)

    return types.void(types.int64, types.int64, value), gen


# Making and taking apart.


@intrinsic
def splat(typing: Any, vec: Any, value: Any) -> Any:
    """A number in every lane."""
    kind = vec.instance_type
    number = (
        types.float32
        if kind.is_float
        else {"i8": types.int8, "u8": types.uint8, "i16": types.int16}.get(
            kind.element, types.int32
        )
    )
    return kind(vec, number), lambda context, b, sig, args: repeated(b, args[1], kind.lanes)


@intrinsic
def like(typing: Any, x: Any, value: Any) -> Any:
    """A number in every lane of a vector like x, of floats."""
    return x(x, types.float32), lambda context, b, sig, args: repeated(b, args[1], x.lanes)


@intrinsic
def concat(typing: Any, x: Any, y: Any) -> Any:
    """Elements of x, then of y."""
    kind = Vec(2 * x.lanes, x.element)
    return kind(x, y), lambda context, b, sig, args: shuffled(
        b, args[0], args[1], range(kind.lanes)
    )


@intrinsic(prefer_literal=True)
def take(typing: Any, x: Any, start: Any, count: Any, step: Any) -> Any:
    """Elements start, start + step, …: `count` of them; all three literal."""
    first, lanes, stride = start.literal_value, count.literal_value, step.literal_value
    kind = Vec(lanes, x.element)
    index = [first + i * stride for i in range(lanes)]
    return kind(x, start, count, step), lambda context, b, sig, args: shuffled(
        b, args[0], args[0], index
    )


@intrinsic
def lane(typing: Any, x: Any, i: Any) -> Any:
    """One element as a number."""
    number = _SCALARS[x.element][0]
    return number(x, types.int32), lambda context, b, sig, args: b.extract_element(*args)


# Conversions.


@intrinsic
def convert(typing: Any, vec: Any, x: Any) -> Any:
    """Integers widen, narrow or become floats."""
    kind = vec.instance_type

    def gen(context: Any, b: Any, sig: Any, args: Any) -> Any:
        value = args[1]
        unsigned = x.element == "u8"
        if kind.is_float:
            return (b.uitofp if unsigned else b.sitofp)(value, kind.ir)
        if ELEMENTS[kind.element].width < ELEMENTS[x.element].width:
            return b.trunc(value, kind.ir)
        return (b.zext if unsigned else b.sext)(value, kind.ir)

    assert kind.lanes == x.lanes, (kind, x)
    return kind(vec, x), gen


@intrinsic
def rounded(typing: Any, x: Any) -> Any:
    """float32 of less than 2²² to the nearest int32, halves to even.

    Added to 1.5 · 2²³ a number has its integer part in its lowest bits. NaN gives some number,
    which LLVM's own conversion does not promise.
    """
    kind = Vec(x.lanes, "i32")

    def gen(context: Any, b: Any, sig: Any, args: Any) -> Any:
        shifted = b.fadd(args[0], repeated(b, FLOAT(1.5 * 2**23), x.lanes))
        return b.sub(b.bitcast(shifted, kind.ir), repeated(b, I32(0x4B400000), x.lanes))

    return kind(x), gen


@intrinsic
def halves_to_f32(typing: Any, x: Any) -> Any:
    """The bits of halves, as i16, widened to float32."""
    return Vec(x.lanes, "f32")(x), lambda context, b, sig, args: emit_widen(b, args[0])


@intrinsic
def f32_to_halves(typing: Any, x: Any) -> Any:
    """float32 rounded to halves; their bits as i16."""
    return Vec(x.lanes, "i16")(x), lambda context, b, sig, args: emit_narrow(b, args[0])


@intrinsic
def f32_to_half(typing: Any, x: Any) -> Any:
    """One float32 rounded to a half; its bits."""
    return types.int16(types.float32), lambda context, b, sig, args: emit_narrow(b, args[0])


@intrinsic
def reinterpret(typing: Any, vec: Any, x: Any) -> Any:
    """The same bits as another vector type."""
    kind = vec.instance_type
    return kind(vec, x), lambda context, b, sig, args: b.bitcast(args[1], kind.ir)


# Arithmetic beyond the operators.


@intrinsic
def fma(typing: Any, x: Any, y: Any, z: Any) -> Any:
    """x · y + z, rounded once on CPUs that can."""
    name = f"llvm.fmuladd.v{x.lanes}f32"
    return x(x, y, z), lambda context, b, sig, args: call(b, name, x.ir, *args)


@intrinsic
def absolute(typing: Any, x: Any) -> Any:
    """|x|."""
    name = f"llvm.fabs.v{x.lanes}f32"
    return x(x), lambda context, b, sig, args: call(b, name, x.ir, *args)


@intrinsic
def nearest(typing: Any, x: Any) -> Any:
    """The nearest whole number, ties to even, of floats below 2²²; see `rounded`."""

    def gen(context: Any, b: Any, sig: Any, args: Any) -> Any:
        shift = repeated(b, FLOAT(1.5 * 2**23), x.lanes)
        return b.fsub(b.fadd(args[0], shift), shift)

    return x(x), gen


@intrinsic
def square_root(typing: Any, x: Any) -> Any:
    """Of one number."""
    return types.float32(types.float32), lambda context, b, sig, args: call(
        b, "llvm.sqrt.f32", FLOAT, args[0]
    )


@intrinsic
def maximum(typing: Any, x: Any, y: Any) -> Any:
    """The larger of two floats; y if one of them is NaN."""
    return x(x, y), lambda context, b, sig, args: b.select(b.fcmp_ordered(">", *args), *args)


@intrinsic
def choose_greater(typing: Any, a: Any, b_: Any, yes: Any, no: Any) -> Any:
    """`yes` where a > b, else `no`, element by element; integers are signed."""

    def gen(context: Any, b: Any, sig: Any, args: Any) -> Any:
        compare = b.fcmp_ordered if a.is_float else b.icmp_signed
        return b.select(compare(">", args[0], args[1]), args[2], args[3])

    return yes(a, b_, yes, no), gen


@intrinsic
def two_to_the(typing: Any, n: Any) -> Any:
    """2^n for whole float32 from −126 to 127: n goes where the exponent stands."""

    def gen(context: Any, b: Any, sig: Any, args: Any) -> Any:
        ints = ir.VectorType(I32, n.lanes)
        shifted = b.bitcast(b.fadd(args[0], repeated(b, FLOAT(1.5 * 2**23), n.lanes)), ints)
        exponent = b.shl(shifted, repeated(b, I32(23), n.lanes))
        return b.bitcast(b.add(exponent, repeated(b, I32(127 << 23), n.lanes)), n.ir)

    return n(n), gen


@intrinsic
def hsum(typing: Any, x: Any) -> Any:
    """Sum of all elements."""

    def gen(context: Any, b: Any, sig: Any, args: Any) -> Any:
        if not x.is_float:
            return call(b, f"llvm.vector.reduce.add.v{x.lanes}i32", I32, args[0])
        name = f"llvm.vector.reduce.fadd.v{x.lanes}f32"
        return call(b, name, FLOAT, FLOAT(0.0), args[0], fastmath=FAST)

    return (types.float32 if x.is_float else types.int32)(x), gen


@intrinsic
def hmax(typing: Any, x: Any) -> Any:
    """Largest element; NaN is passed over."""
    return types.float32(x), lambda context, b, sig, args: call(
        b, f"llvm.vector.reduce.fmax.v{x.lanes}f32", FLOAT, args[0]
    )
