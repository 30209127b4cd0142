"""What this process compiles for: a constant of everything that it compiles."""

import os

from localmix.kernels import isa

# `build.py` sets this before it imports kernels: a tier, maybe with a tile, and LLVM's triple.
_TIER, _, TRIPLE = os.environ.get("LOCALMIX_TARGET", "generic unknown").partition(" ")

TIER = isa.tier_named(_TIER)
ON_ARM = TRIPLE.startswith(("arm64", "aarch64"))
ON_X86 = TRIPLE.startswith(("x86_64", "i686"))

FETCHED = 128 if TRIPLE.startswith("arm64-apple") else 64
"""Bytes that come from memory together: a cache line, of which one byte is asked for."""
