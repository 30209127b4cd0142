"""The int8 dot product, the one thing that differs between CPUs.

    dot(acc, w, x)                 acc[i] += Σ_j w[4i + j] · x[4i + j],  j < 4
    scaled_dot(acc, w, x, s)       the same with each product times s, a scale per pair of bytes
    pair_dot(x, y)                 Σ of neighbours: out[i] = x[2i] · y[2i] + x[2i + 1] · y[2i + 1]

x is always signed, within ±127. Weights of type `u8` lie in 0…127 (in matrix products also up to
255 where the CPU allows it), those of type `i8` in −128…127. How a CPU does it:

    vpdpbusd   u8 · i8, four products into an int32 lane          AVX-512 VNNI, AVX-VNNI
    maddubs    u8 · i8 in pairs to int16, then pairs of those     AVX2
    sdot       i8 · i8, four products into an int32 lane          Arm dotprod
    smmla      i8 · i8, 2 rows by 2 columns of eight products     Arm i8mm
    plain      multiplications of int32                           any CPU

x86 wants one operand unsigned: signed weights are given as |w| · (x with the sign of w).
"""

from __future__ import annotations

import functools
from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from localmix.kernels.target import TIER
from localmix.kernels.vectors import I8, I16, I32, I64, Vec, call, read, repeated, shuffled

IS_AVX = TIER.dot in ("vpdpbusd", "maddubs")
IS_NEON = TIER.dot in ("sdot", "smmla")


def vector(element: Any, lanes: int) -> Any:
    """An LLVM vector type."""
    return ir.VectorType(element, lanes)


def zeros(element: Any, lanes: int) -> Any:
    """A vector of zeros."""
    return ir.Constant(vector(element, lanes), [0] * lanes)


def emit_dot(b: Any, acc: Any, w: Any, x: Any, signed: bool) -> Any:
    """Write `acc + dot(w, x)`; acc has n int32 lanes, w and x 4n bytes."""
    lanes = acc.type.count
    if IS_AVX:
        if signed:
            w, x = _magnitude(b, w), _with_sign_of(b, x, w)
        if TIER.dot == "vpdpbusd":
            return call(b, f"llvm.x86.avx512.vpdpbusd.{32 * lanes}", acc.type, acc, w, x)
        return b.add(acc, emit_pair_dot(b, emit_maddubs(b, w, x), repeated(b, I16(1), 2 * lanes)))
    if IS_NEON:
        return _in_pieces(b, 4, _sdot, acc, w, x)
    return _plain_dot(b, acc, w, x, signed)


def emit_maddubs(b: Any, u: Any, s: Any) -> Any:
    """Pairs of u8 · i8 products added up in int16, which saturates at 2¹⁵ > 2 · u · 127."""
    name = {16: "ssse3.pmadd.ub.sw.128", 32: "avx2.pmadd.ub.sw", 64: "avx512.pmaddubs.w.512"}[
        u.type.count
    ]
    return call(b, f"llvm.x86.{name}", vector(I16, u.type.count // 2), u, s)


def emit_pair_dot(b: Any, x: Any, y: Any) -> Any:
    """Write `pair_dot` of int16 vectors."""
    lanes = x.type.count // 2
    if IS_AVX:
        name = {4: "sse2.pmadd.wd", 8: "avx2.pmadd.wd", 16: "avx512.pmaddw.d.512"}[lanes]
        return call(b, f"llvm.x86.{name}", vector(I32, lanes), x, y)
    product = b.mul(b.sext(x, vector(I32, 2 * lanes)), b.sext(y, vector(I32, 2 * lanes)))
    even, odd = (shuffled(b, product, product, range(k, 2 * lanes, 2)) for k in (0, 1))
    return b.add(even, odd)


def emit_scaled_dot(b: Any, acc: Any, products: Any, scales: Any, signed: bool) -> Any:
    """Write `scaled_dot`: for each (w, x) 4n bytes, scales as `spread_scales` has them, n sums.

    On x86 two vectors of products are added before they are scaled if int16 holds their sum, as it
    does for weights up to 64.
    """
    lanes = acc.type.count
    if not IS_AVX:
        total = zeros(I32, lanes)
        for w, x in products:
            total = emit_dot(b, total, w, x, signed)
        return b.add(acc, b.mul(total, scales))
    if signed:
        products = [(_magnitude(b, w), _with_sign_of(b, x, w)) for w, x in products]
    pairs = [emit_maddubs(b, w, x) for w, x in products]
    if not signed:
        pairs = [functools.reduce(b.add, pairs)]
    for pair in pairs:
        if TIER.dot == "vpdpbusd":
            acc = call(b, f"llvm.x86.avx512.vpdpwssd.{32 * lanes}", acc.type, acc, pair, scales)
        else:
            acc = b.add(acc, emit_pair_dot(b, pair, scales))
    return acc


def emit_smmla(b: Any, acc: Any, w: Any, x: Any) -> Any:
    """Rows 0, 1 of w times columns 0, 1 of x, eight bytes each -> 2 × 2 sums, row by row."""
    return call(b, "llvm.aarch64.neon.smmla.v4i32.v16i8", acc.type, acc, w, x)


def _sdot(b: Any, acc: Any, w: Any, x: Any) -> Any:
    return call(b, "llvm.aarch64.neon.sdot.v4i32.v16i8", acc.type, acc, w, x)


def _in_pieces(b: Any, lanes: int, write: Any, acc: Any, w: Any, x: Any) -> Any:
    """Do 16 bytes at a time what the CPU has only for 16 bytes."""
    n_pieces = acc.type.count // lanes
    if n_pieces == 1:
        return write(b, acc, w, x)
    parts = []
    for i in range(n_pieces):
        lane = range(i * lanes, (i + 1) * lanes)
        byte = range(4 * i * lanes, 4 * (i + 1) * lanes)
        parts.append(
            write(b, shuffled(b, acc, acc, lane), shuffled(b, w, w, byte), shuffled(b, x, x, byte))
        )
    while len(parts) > 1:
        n = parts[0].type.count
        parts = [
            shuffled(b, p, q, range(2 * n)) for p, q in zip(parts[::2], parts[1::2], strict=True)
        ]
    return parts[0]


def _plain_dot(b: Any, acc: Any, w: Any, x: Any, signed: bool) -> Any:
    """Byte j of every lane, shifted down with or without its sign, and multiplied as int32."""
    lanes = acc.type.count
    w, x = b.bitcast(w, acc.type), b.bitcast(x, acc.type)

    def number(of: Any, j: int, with_sign: bool) -> Any:
        up = b.shl(of, repeated(b, I32(24 - 8 * j), lanes))
        return (b.ashr if with_sign else b.lshr)(up, repeated(b, I32(24), lanes))

    for j in range(4):
        acc = b.add(acc, b.mul(number(w, j, signed), number(x, j, True)))
    return acc


def _magnitude(b: Any, w: Any) -> Any:
    name = f"llvm.abs.v{w.type.count}i8"
    return call(b, name, w.type, w, ir.Constant(ir.IntType(1), 0))


def _with_sign_of(b: Any, x: Any, w: Any) -> Any:
    """−x where w < 0, 0 where w = 0, else x: one instruction up to 256 bits."""
    name = {16: "ssse3.psign.b.128", 32: "avx2.psign.b"}[x.type.count]
    return call(b, f"llvm.x86.{name}", x.type, x, w)


def emit_look_up(b: Any, table: list[int], index: Any) -> Any:
    """table[index] for bytes 0…15."""
    lanes = index.type.count
    entries = ir.Constant(vector(I8, 16), [value & 255 for value in table])
    repeats = shuffled(b, entries, entries, [i % 16 for i in range(lanes)])
    if IS_AVX and lanes == 32:
        return call(b, "llvm.x86.avx2.pshuf.b", index.type, repeats, index)
    if IS_NEON:
        halves = [shuffled(b, index, index, range(16 * i, 16 * i + 16)) for i in range(lanes // 16)]
        found = [
            call(b, "llvm.aarch64.neon.tbl1.v16i8", vector(I8, 16), entries, h) for h in halves
        ]
        return found[0] if len(found) == 1 else shuffled(b, found[0], found[1], range(32))
    result = zeros(I8, lanes)
    for i, value in enumerate(table):
        here = b.icmp_unsigned("==", index, repeated(b, I8(i), lanes))
        result = b.select(here, repeated(b, I8(value & 255), lanes), result)
    return result


def emit_spread(b: Any, scales: Any, first: int, second: int) -> Any:
    """Two of eight or sixteen scales, eight times each: for the pairs of 32 bytes.

    Where sums of int32 are scaled, four times each as int32.
    """
    n, index = scales.type.count, [first] * 8 + [second] * 8
    if not IS_AVX:
        wide = b.sext(scales, vector(I32, n))
        if IS_NEON:
            return _lanes_of(b, wide, index[::2])
        return shuffled(b, wide, wide, index[::2])
    if TIER.dot == "vpdpbusd" and TIER.lane_bytes == 64:
        kind = vector(I16, 16)
        wide = shuffled(b, scales, scales, range(16)) if n == 8 else scales
        return call(b, "llvm.x86.avx512.permvar.hi.256", kind, wide, unknown(b, I16, index))
    half = index[0] // 8 * 8  # both halves of a register hold the eight scales, bytes are picked
    eight = shuffled(b, scales, scales, [*range(half, half + 8)] * 2)
    places = unknown(b, I8, [byte for j in index for byte in (2 * (j - half), 2 * (j - half) + 1)])
    picked = call(b, "llvm.x86.avx2.pshuf.b", places.type, b.bitcast(eight, places.type), places)
    return b.bitcast(picked, vector(I16, 16))


def _lanes_of(b: Any, wide: Any, index: list[int]) -> Any:
    """Four lanes of each register as one number, by which Arm multiplies as it stands there.

    Hidden, since LLVM would repeat first and widen then, each of the numbers alone.
    """
    out = []
    for place in index[::4]:
        first = place // 4 * 4
        four = emit_hidden(b, shuffled(b, wide, wide, range(first, first + 4)))
        out.append(shuffled(b, four, four, [place - first] * 4))
    return shuffled(b, out[0], out[1], range(8))


def unknown(b: Any, element: Any, values: list[int]) -> Any:
    """A constant vector that LLVM cannot look into, behind an empty piece of assembly.

    It would see a shuffle behind a table look-up, and write that as two instructions.
    """
    constant = ir.Constant(vector(element, len(values)), values)
    return emit_hidden(b, constant)


def emit_hidden(b: Any, x: Any, in_order: bool = False) -> Any:
    """x itself, as far as LLVM can tell from anywhere; `x` and `w` are registers of vectors.

    In order: what is read from memory afterwards is not read before x is there.
    """
    kind, place = ir.FunctionType(x.type, [x.type]), "=w,0" if IS_NEON else "=x,0"
    out = b.asm(kind, "", place, [x], side_effect=in_order)
    if not in_order:
        set.update(out.attributes, ("readnone", "nounwind", "willreturn"))
    return out


@intrinsic
def spread_pairs(typing: Any, x: Any) -> Any:
    """Of eight float32 the first two, four times each, then the next two: four vectors."""

    def gen(context: Any, b: Any, sig: Any, args: Any) -> Any:
        out = ir.Constant(context.get_value_type(sig.return_type), ir.Undefined)
        for i in range(4):
            index = [2 * i] * 4 + [2 * i + 1] * 4
            if IS_AVX:
                pair = call(b, "llvm.x86.avx2.permps", x.ir, args[0], unknown(b, I32, index))
            else:
                pair = shuffled(b, args[0], args[0], index)
            out = b.insert_value(out, pair, i)
        return out

    return types.UniTuple(x, 4)(x), gen


def emit_halves(b: Any, address: Any, stride: int) -> Any:
    """A half of each of eight blocks, as eight int16."""
    if TIER.lane_bytes == 64 and 7 * stride + 2 <= 128:
        words = vector(I16, 32)
        low, high = read(b, address, words), read(b, b.add(address, I64(64)), words)
        places = unknown(b, I16, [i * stride // 2 for i in range(8)] + [0] * 24)
        found = call(b, "llvm.x86.avx512.vpermi2var.hi.512", words, low, places, high)
        return shuffled(b, found, found, range(8))
    out = ir.Constant(vector(I16, 8), ir.Undefined)
    for i in range(8):
        out = b.insert_element(out, read(b, b.add(address, I64(i * stride)), I16), I32(i))
    return out


@intrinsic
def spread_scales(typing: Any, scales: Any) -> Any:
    """The scales of 256 weights as the eight vectors that `scaled_dot` takes.

    Of sixteen scales each vector has two, of eight one.
    """
    times = 16 // scales.lanes
    return _spread(scales, [(2 * i // times, (2 * i + 1) // times) for i in range(8)])


@intrinsic
def spread_to_pairs(typing: Any, scales: Any) -> Any:
    """Eight scales as four vectors, for groups of 32 that lie in pairs."""
    return _spread(scales, [(i, i + 1) for i in range(0, 8, 2)])


def _spread(scales: Any, index: list[tuple[int, int]]) -> Any:
    """Signature and code of an intrinsic that makes a vector of each two scales."""

    def gen(context: Any, b: Any, sig: Any, args: Any) -> Any:
        out = ir.Constant(context.get_value_type(sig.return_type), ir.Undefined)
        for i, (first, second) in enumerate(index):
            out = b.insert_value(out, emit_spread(b, args[0], first, second), i)
        return out

    kind = Vec(16, "i16") if IS_AVX else Vec(8, "i32")
    return types.UniTuple(kind, len(index))(scales), gen


@intrinsic
def dot(typing: Any, acc: Any, w: Any, x: Any) -> Any:
    """acc + four products per lane; see the module."""
    signed = w.element == "i8"
    return acc(acc, w, x), lambda context, b, sig, args: emit_dot(
        b, args[0], args[1], args[2], signed
    )


@intrinsic
def scaled_dot(typing: Any, acc: Any, w: Any, x: Any, scales: Any) -> Any:
    """acc + scaled products; see the module."""
    signed = w.element == "i8"
    return acc(acc, w, x, scales), lambda context, b, sig, args: emit_scaled_dot(
        b, args[0], [(args[1], args[2])], args[3], signed
    )


@intrinsic
def scaled_pair(typing: Any, acc: Any, w: Any, x0: Any, x1: Any, scales: Any) -> Any:
    """The same for two vectors of weights that share scales; those of type `u8` are below 64."""

    def gen(context: Any, b: Any, sig: Any, args: Any) -> Any:
        acc, w, x0, x1, scales = args
        products = [(b.extract_value(w, 0), x0), (b.extract_value(w, 1), x1)]
        return emit_scaled_dot(b, acc, products, scales, sig.args[1][0].element == "i8")

    return acc(acc, w, x0, x1, scales), gen


@intrinsic
def pair_dot(typing: Any, x: Any, y: Any) -> Any:
    """Products of int16, neighbours added."""
    kind = Vec(x.lanes // 2, "i32")
    return kind(x, y), lambda context, b, sig, args: emit_pair_dot(b, *args)
