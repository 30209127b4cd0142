"""Halves (IEEE binary16) to float32 and back, as LLVM IR for numbers and for vectors.

CPUs have instructions for it, and LLVM uses them. Where they are missing, an old x86 on the
generic tier, LLVM would call a library that kernels do not have; there it is done in integers.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir

from localmix.kernels.target import ON_X86, TIER
from localmix.kernels.vectors import FLOAT, HALF, I16, I32

IN_HARDWARE = not (ON_X86 and TIER.name == "generic")


def emit_widen(b: Any, bits: Any) -> Any:
    """The bits of halves, int16, as float32."""
    if IN_HARDWARE:
        return b.fpext(b.bitcast(bits, _like(bits, HALF)), _like(bits, FLOAT))
    wide = b.zext(bits, _like(bits, I32))
    # The exponent's bias grows by 112; a multiplication does that for the smallest numbers too.
    body = b.shl(b.and_(wide, _number(bits, I32, 0x7FFF)), _number(bits, I32, 13))
    scaled = b.fmul(b.bitcast(body, _like(bits, FLOAT)), _number(bits, FLOAT, 2.0**112))
    special = b.icmp_unsigned(">=", body, _number(bits, I32, 0x7C00 << 13))
    infinite = b.or_(body, _number(bits, I32, 0x7F800000))
    body = b.select(special, infinite, b.bitcast(scaled, _like(bits, I32)))
    sign = b.shl(b.and_(wide, _number(bits, I32, 0x8000)), _number(bits, I32, 16))
    return b.bitcast(b.or_(body, sign), _like(bits, FLOAT))


def emit_narrow(b: Any, x: Any) -> Any:
    """float32 rounded to the nearest half, ties to even; its bits as int16."""
    if IN_HARDWARE:
        return b.bitcast(b.fptrunc(x, _like(x, HALF)), _like(x, I16))
    bits = b.bitcast(x, _like(x, I32))
    size = b.and_(bits, _number(x, I32, 0x7FFFFFFF))
    scaled = b.fmul(b.bitcast(size, _like(x, FLOAT)), _number(x, FLOAT, 2.0**-112))
    body = b.bitcast(scaled, _like(x, I32))
    odd = b.and_(b.lshr(body, _number(x, I32, 13)), _number(x, I32, 1))
    rounded = b.lshr(b.add(body, b.add(odd, _number(x, I32, 0x0FFF))), _number(x, I32, 13))
    # Below 2⁻¹⁴ a half is a multiple of 2⁻²⁴, and so is what stands behind the point of 0.5 + x.
    half_more = b.fadd(b.bitcast(size, _like(x, FLOAT)), _number(x, FLOAT, 0.5))
    subnormal = b.sub(b.bitcast(half_more, _like(x, I32)), _number(x, I32, 0x3F000000))
    is_small = b.icmp_unsigned("<", size, _number(x, I32, 0x38800000))
    rounded = b.select(is_small, subnormal, rounded)
    infinity = _number(x, I32, 0x7C00)
    too_large = b.icmp_unsigned(">", rounded, infinity)
    is_nan = b.icmp_unsigned(">", size, _number(x, I32, 0x7F800000))
    half = b.select(is_nan, _number(x, I32, 0x7E00), b.select(too_large, infinity, rounded))
    sign = b.and_(b.lshr(bits, _number(x, I32, 16)), _number(x, I32, 0x8000))
    return b.trunc(b.or_(half, sign), _like(x, I16))


def _like(x: Any, element: Any) -> Any:
    """The element's type, or a vector of it as long as x."""
    return ir.VectorType(element, x.type.count) if isinstance(x.type, ir.VectorType) else element


def _number(x: Any, element: Any, value: float) -> Any:
    kind = _like(x, element)
    return ir.Constant(kind, [value] * x.type.count if isinstance(x.type, ir.VectorType) else value)
