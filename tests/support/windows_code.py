"""Runs tiny on machine code that was made for Windows, on Linux -> logits as JSON on stdout.

    python -m support.windows_code THREADS ID…

Objects are ELF there too, so LLVM's linker loads them here as well; but functions take their
arguments as Windows passes them. Between the two conventions stand small functions that LLVM makes:
each has one convention and calls the other.
"""

import ctypes
import json
import sys
from dataclasses import replace

import psutil  # noqa: F401 (before it is Windows' turn)
from llvmlite import binding as llvm

import localmix
from localmix.execute import native, team
from localmix.kernels import library
from localmix.kernels.layout import State

TRIPLE = library.triple_for("x86_64-pc-windows-msvc")
KEPT = []
"""Engines that hold the small functions."""


def between(address, n_arguments, inner, outer):
    """A function of convention `outer` that calls the one at an address, of convention `inner`."""
    parameters = ", ".join(f"i64 %a{i}" for i in range(n_arguments))
    module = llvm.parse_assembly(f"""
target triple = "{llvm.get_process_triple()}"
define {outer} i64 @between({parameters}) {{
  %function = inttoptr i64 {address} to ptr
  %result = call {inner} i64 %function({parameters})
  ret i64 %result
}}
""")
    target = llvm.Target.from_default_triple().create_target_machine(jit=True)
    engine = llvm.create_mcjit_compiler(module, target)
    engine.finalize_object()
    KEPT.append(engine)
    return engine.get_function_address("between")


def for_windows_code(address, n_arguments):
    """One of our functions, as code for Windows calls it."""
    return between(address, n_arguments, inner="ccc", outer="win64cc")


class Symbols:
    """llvmlite, with functions of this system made fit for code of Windows."""

    def __getattr__(self, name):
        return getattr(llvm, name)

    def add_symbol(self, name, address):
        llvm.add_symbol(name, for_windows_code(address, 3))


class WindowsLibrary(library.Library):
    def function(self, name):
        kind = ctypes.CFUNCTYPE(None, *[ctypes.c_int64] * library.N_ARGUMENTS)
        address = between(self.addresses[name], library.N_ARGUMENTS, inner="win64cc", outer="ccc")
        function = kind(address)
        function.library = self
        return function


class WindowsTeam(team.Team):
    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.state[State.POLL] = for_windows_code(int(self.state[State.POLL]), 0)


def pretend():
    """Have kernels compiled and run as on Windows."""
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    machine_at, yield_address = library.machine_at, team._yield_address()
    library.machine_at = lambda *a, **k: replace(machine_at(*a, **k), triple=TRIPLE)
    library.llvm, library.Library = Symbols(), WindowsLibrary
    sys.platform = "win32"  # from here on: it decides how code is laid out
    team._yield_address = lambda: for_windows_code(yield_address, 0)
    native.Team = WindowsTeam


if __name__ == "__main__":
    pretend()
    with localmix.load("tiny", n_threads=int(sys.argv[1])) as model:
        logits = model.logits([int(word) for word in sys.argv[2:]])
    sys.stdout.write(json.dumps(logits.tolist()))
