"""All policy of compilation in two decorators: `inline` for helpers, `kernel` for what is called.

Only the compiling process imports this module, and it never runs what it compiles.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from numba import njit, types

from localmix.kernels.library import N_ARGUMENTS

KERNELS: dict[str, Callable[..., None]] = {}
"""Kernels by name: Python functions of four int64 (record, state, chunk, scratch)."""

SIGNATURE = (types.int64,) * N_ARGUMENTS

_OPTIONS: dict[str, Any] = {
    "error_model": "numpy",
    "no_cpython_wrapper": True,
    "no_cfunc_wrapper": True,
}


def inline(function: Callable[..., Any]) -> Callable[..., Any]:
    """Make a helper that LLVM must inline: as a call, vectors would pass through memory."""
    helper: Callable[..., Any] = njit(forceinline=True, **_OPTIONS)(function)
    return helper


def kernel(name: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Register a kernel under a name; it is compiled when a model asks for it."""

    def register(function: Callable[..., None]) -> Callable[..., None]:
        assert name not in KERNELS, name
        KERNELS[name] = njit(**_OPTIONS)(function)
        return function

    return register
