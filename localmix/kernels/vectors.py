"""The Numba type of SIMD values, its operators, and what intrinsics are made of.

`Vec(32, "u8")` is a type whose values are LLVM vectors of 32 bytes; they live in registers of
compiled code, and Python never sees one. Element types say how values are read where it matters:
`u8` widens with zeros, `i8` with its sign. The functions here write LLVM IR; `b` is the llvmlite
builder that they write to, and addresses are int64.
"""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.datamodel import models
from numba.core.typing.templates import AbstractTemplate, infer_global, signature
from numba.extending import lower_builtin, register_model

I1, I8, I16, I32, I64 = (ir.IntType(n) for n in (1, 8, 16, 32, 64))
HALF, FLOAT = ir.HalfType(), ir.FloatType()
ELEMENTS = {"b1": I1, "i8": I8, "u8": I8, "i16": I16, "i32": I32, "f32": FLOAT}

FAST = ("nsz", "arcp", "contract", "afn", "reassoc")
"""Liberties on the sum of a vector; not nnan and ninf, since NaN must be seen."""

IN_ORDER = ("nsz", "arcp")
"""Liberties of the operators. The order of sums is ours: LLVM would make one long chain of fma."""


class Vec(types.Type):
    """`lanes` elements in a register (or in several, where the CPU's are shorter)."""

    def __init__(self, lanes: int, element: str) -> None:
        self.lanes = lanes
        self.element = element
        super().__init__(name=f"{element}x{lanes}")

    @property
    def ir(self) -> ir.VectorType:
        """The LLVM type."""
        return ir.VectorType(ELEMENTS[self.element], self.lanes)

    @property
    def n_bytes(self) -> int:
        """Bytes of a value."""
        return self.lanes * int(getattr(ELEMENTS[self.element], "width", 32)) // 8

    @property
    def is_float(self) -> bool:
        """Whether elements are float32."""
        return self.element == "f32"


@register_model(Vec)
class _VecModel(models.PrimitiveModel):
    """In memory and in registers: the LLVM vector itself."""

    def __init__(self, manager: Any, vec: Vec) -> None:
        super().__init__(manager, vec, vec.ir)


U8x8, U8x16, U8x32, I8x16, I8x32 = (
    Vec(8, "u8"),
    Vec(16, "u8"),
    Vec(32, "u8"),
    Vec(16, "i8"),
    Vec(32, "i8"),
)
I16x8, I16x16 = Vec(8, "i16"), Vec(16, "i16")
I32x4, I32x8, I32x16, I32x32 = Vec(4, "i32"), Vec(8, "i32"), Vec(16, "i32"), Vec(32, "i32")
F32x4, F32x8, F32x16, F32x32 = Vec(4, "f32"), Vec(8, "f32"), Vec(16, "f32"), Vec(32, "f32")


# What intrinsics are made of: small writers of LLVM IR.


def pointer(b: Any, address: Any, ll: Any) -> Any:
    """An int64 address as a pointer."""
    return b.inttoptr(address, ll.as_pointer())


def read(b: Any, address: Any, ll: Any, align: int = 1) -> Any:
    """Load without asking for alignment: blocks of 18 or 210 bytes have none."""
    value = b.load(pointer(b, address, ll))
    value.align = align
    return value


def write(b: Any, address: Any, value: Any, align: int = 1) -> Any:
    """Store without asking for alignment."""
    return b.store(value, pointer(b, address, value.type), align=align)


def shuffled(b: Any, x: Any, y: Any, index: Sequence[int]) -> Any:
    """Pick elements of x, then of y, by number."""
    return b.shuffle_vector(x, y, ir.Constant(ir.VectorType(I32, len(index)), list(index)))


def repeated(b: Any, value: Any, lanes: int) -> Any:
    """A scalar in every lane."""
    vector = ir.VectorType(value.type, lanes)
    if isinstance(value, ir.Constant):
        return ir.Constant(vector, [value.constant] * lanes)
    first = b.insert_element(ir.Constant(vector, ir.Undefined), value, I32(0))
    return shuffled(b, first, first, [0] * lanes)


def call(b: Any, name: str, result: Any, *args: Any, **options: Any) -> Any:
    """Call an LLVM intrinsic by its full name."""
    kind = ir.FunctionType(result, [argument.type for argument in args])
    return b.call(cgutils.get_or_insert_function(b.module, kind, name), args, **options)


def nothing(context: Any, *_: Any) -> Any:
    """What an intrinsic of type void returns."""
    return context.get_dummy_value()


# Operators. Numbers on the right are repeated for all elements.


def _operator(op: Any, of_ints: str, of_floats: str | None = None) -> None:
    """Define `vector op vector` and `vector op number`."""

    @infer_global(op)
    class _Typing(AbstractTemplate):
        def generic(self, args: Any, kws: Any) -> Any:
            if len(args) != 2 or not isinstance(args[0], Vec):
                return None
            x, y = args
            if y == x:
                return signature(x, x, x)
            if isinstance(y, types.Integer) and not x.is_float:
                return signature(x, x, y)
            return (
                signature(x, x, types.float32) if x.is_float and y in types.number_domain else None
            )

    def lower(context: Any, b: Any, sig: Any, args: Any) -> Any:
        x, y = args
        if sig.args[0].is_float:
            y = y if isinstance(sig.args[1], Vec) else repeated(b, y, sig.args[0].lanes)
            return getattr(b, str(of_floats))(x, y, flags=IN_ORDER)
        if not isinstance(sig.args[1], Vec):
            element = ELEMENTS[sig.args[0].element]
            number = b.trunc(y, element) if y.type.width > element.width else y
            y = repeated(b, number, sig.args[0].lanes)
        return getattr(b, of_ints)(x, y)

    lower_builtin(op, Vec, Vec)(lower)
    lower_builtin(op, Vec, types.Integer)(lower)
    lower_builtin(op, Vec, types.Float)(lower)


for _op, _ints, _floats in (
    (operator.add, "add", "fadd"),
    (operator.sub, "sub", "fsub"),
    (operator.mul, "mul", "fmul"),
    (operator.truediv, "sdiv", "fdiv"),
    (operator.and_, "and_", None),
    (operator.or_, "or_", None),
    (operator.xor, "xor", None),
    (operator.lshift, "shl", None),
    (operator.rshift, "lshr", None),
):
    _operator(_op, _ints, _floats)
