"""Compile some kernels in the emulator and hold them against those that were made outside of it."""

import os
import sys
import tempfile
from pathlib import Path

from llvmlite import binding as llvm

from localmix.kernels import library

NAMES = ("matmul_q4_0", "matmul_q4_k", "quantize", "attend_f16", "walk", "work")


def code_of(folder: Path, name: str) -> dict[bytes, bytes]:
    """What is executed or read of a kernel; names of its symbols depend on the process."""
    content = library.read(folder / f"{name}.o")
    assert content is not None, name
    sections = llvm.ObjectFileRef.from_data(content).sections()
    kept = (b".text", b".rodata", b".rela.text")
    found = {s.name(): s.data() for s in sections if (s.name() or b"").startswith(kept)}
    assert found.get(b".text"), name
    return found


llvm.initialize_native_target()
machine = library.this_machine()
outside = library.folder_of(machine)
with tempfile.TemporaryDirectory() as folder:
    os.environ["LOCALMIX_CACHE"] = folder
    library.load(NAMES)
    inside = library.folder_of(machine)
    different = [name for name in NAMES if code_of(inside, name) != code_of(outside, name)]
if different:
    sys.exit(f"made here and there, these differ: {', '.join(different)}")
print(f"{len(NAMES)} kernels of {machine.tier.label}: the same code")
