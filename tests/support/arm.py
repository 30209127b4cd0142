"""Kernels compiled for Apple silicon, on any machine: their assembly, once for a run of tests."""

import tempfile
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path

from localmix.kernels import isa
from support.assembly import Function, functions_of
from support.kernels import assembly_of

MACOS = "arm64-apple-macosx"
# As LLVM names what these CPUs have.
HOSTS = {
    "neon": ("apple-m1", dict.fromkeys(("fp-armv8", "neon", "dotprod", "fullfp16"), True)),
    "i8mm": ("apple-m2", dict.fromkeys(("fp-armv8", "neon", "dotprod", "fullfp16", "i8mm"), True)),
}


@cache
def compiled(label, names):
    """Assembly of kernels by name, for a tier with or without another tile: `neon`, `neon-2x4`."""
    tier = isa.tier_named(label)
    cpu, features = HOSTS[tier.name]
    with tempfile.TemporaryDirectory() as folder:
        flags = isa.features_for(tier, features)
        return assembly_of(Path(folder), names, label, cpu, flags, MACOS)


def for_both(names):
    """The same by tier, two at a time."""
    with ThreadPoolExecutor(2) as pool:
        return dict(zip(HOSTS, pool.map(compiled, HOSTS, [tuple(names)] * 2), strict=True))


def only_function(text) -> Function:
    """The function that does the work: everything is inlined into it; the other one calls it."""
    return max(functions_of(text).values(), key=lambda function: len(function.body))
