"""How fast this CPU multiplies at best: the limits that `bench` holds a model against.

`int8_peak` does the int8 dot products of its tier and nothing else, `float32_peak` fused
multiply-adds. Operands stay in registers, and so many sums grow side by side that none waits for
its own last addition. The sums are written out: of operands that are all 1 they say how many
products were really computed (as float32 only up to 2²⁴ a lane).

They are no steps of a tape, so their record is three numbers:

    rounds | address of the operands, 2 · lane_bytes | address of the sums, at most 1024 bytes
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from localmix.kernels.dot import emit_dot, emit_hidden, emit_maddubs, emit_pair_dot, emit_smmla
from localmix.kernels.elementwise import field
from localmix.kernels.jit import kernel
from localmix.kernels.simd import load
from localmix.kernels.target import TIER
from localmix.kernels.vectors import I16, I64, Vec, call, nothing, repeated, write

STEPS = 8
"""Dot products of each sum in a round; also how many the AVX2 product adds up in int16."""

N_SUMS = {"vpdpbusd": 12, "sdot": 16, "smmla": 16}.get(TIER.dot, 4)
"""Sums side by side: latency of the dot product times how many start per cycle, or more."""

LANE_BYTES = TIER.lane_bytes
N_FLOAT_SUMS = {"avx512": 16, "avxvnni": 10, "avx2": 10, "neon": 16, "i8mm": 16}.get(TIER.name, 4)
"""The same for fused multiply-adds; with the operands they fit the registers that there are."""

BYTES = Vec(LANE_BYTES, "u8")
FLOATS = Vec(TIER.lanes, "f32")
FLOAT_SUMS = types.UniTuple(FLOATS, N_FLOAT_SUMS)
SUMS = types.UniTuple(Vec(TIER.lanes, "i32"), N_SUMS)


def _emit_round(b: Any, sums: list[Any], w: Any, x: Any) -> list[Any]:
    """Add STEPS dot products to each sum, in the way that matrix products do it on this tier."""
    if TIER.dot == "maddubs":
        return _emit_round_by_int16(b, sums, w, x)
    for _ in range(STEPS):
        for k, total in enumerate(sums):
            x = emit_hidden(b, x)
            if TIER.dot == "smmla":
                sums[k] = emit_smmla(b, total, w, x)
            else:
                sums[k] = emit_dot(b, total, w, x, signed=False)
    return sums


def _emit_round_by_int16(b: Any, sums: list[Any], w: Any, x: Any) -> list[Any]:
    """AVX2: pairs of products are added up in int16 and widened once a round."""
    small: list[Any] = []
    for _ in sums:
        x = emit_hidden(b, x)
        small.append(emit_maddubs(b, w, x))
    for _ in range(STEPS - 1):
        for k, pairs in enumerate(small):
            x = emit_hidden(b, x)
            small[k] = b.add(pairs, emit_maddubs(b, w, x))
    one = repeated(b, I16(1), 2 * TIER.lanes)
    return [
        b.add(total, emit_pair_dot(b, pairs, one)) for total, pairs in zip(sums, small, strict=True)
    ]


@intrinsic
def zero_sums(typing: Any) -> Any:
    """All sums zero."""
    return SUMS(), lambda context, b, sig, args: ir.Constant(context.get_value_type(SUMS), None)


@intrinsic
def zero_float_sums(typing: Any) -> Any:
    """All sums zero."""
    return FLOAT_SUMS(), lambda context, b, sig, args: ir.Constant(
        context.get_value_type(FLOAT_SUMS), None
    )


@intrinsic
def hidden(typing: Any, x: Any) -> Any:
    """A value that may be another one each time, as far as LLVM knows."""
    return x(x), lambda context, b, sig, args: emit_hidden(b, args[0])


@intrinsic
def add_round(typing: Any, sums: Any, w: Any, x: Any) -> Any:
    """Sums after one more round."""

    def gen(context: Any, b: Any, sig: Any, args: Any) -> Any:
        sums, w, x = args
        totals = [b.extract_value(sums, k) for k in range(N_SUMS)]
        for k, total in enumerate(_emit_round(b, totals, w, x)):
            sums = b.insert_value(sums, total, k)
        return sums

    return SUMS(SUMS, w, x), gen


@intrinsic
def add_float_round(typing: Any, sums: Any, w: Any, x: Any) -> Any:
    """Sums after STEPS more fused multiply-adds of each."""

    def gen(context: Any, b: Any, sig: Any, args: Any) -> Any:
        sums, w, x = args
        name = f"llvm.fmuladd.v{FLOATS.lanes}f32"
        totals = [b.extract_value(sums, k) for k in range(N_FLOAT_SUMS)]
        for _ in range(STEPS):
            totals = [call(b, name, total.type, w, x, total) for total in totals]
        for k, total in enumerate(totals):
            sums = b.insert_value(sums, total, k)
        return sums

    return FLOAT_SUMS(FLOAT_SUMS, w, x), gen


@intrinsic
def store_sums(typing: Any, address: Any, sums: Any) -> Any:
    """Write the sums one after the other."""

    def gen(context: Any, b: Any, sig: Any, args: Any) -> Any:
        for k in range(sums.count):
            write(b, b.add(args[0], I64(k * LANE_BYTES)), b.extract_value(args[1], k))
        return nothing(context)

    return types.void(types.int64, sums), gen


@kernel("int8_peak")
def int8_peak(record, state, chunk, scratch):
    """Multiply the operands for so many rounds."""
    operands = field(record, 1)
    w, x = load(BYTES, operands), load(BYTES, operands + LANE_BYTES)
    sums = zero_sums()
    for _ in range(field(record, 0)):
        x = hidden(x)
        sums = add_round(sums, w, x)
    store_sums(field(record, 2), sums)


@kernel("float32_peak")
def float32_peak(record, state, chunk, scratch):
    """Multiply and add the operands for so many rounds."""
    operands = field(record, 1)
    w, x = load(FLOATS, operands), load(FLOATS, operands + LANE_BYTES)
    sums = zero_float_sums()
    for _ in range(field(record, 0)):
        sums = add_float_round(sums, w, x)
    store_sums(field(record, 2), sums)
