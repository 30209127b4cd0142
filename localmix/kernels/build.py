"""The compiling process: kernels in Python -> Numba -> LLVM -> object files.

    python -m localmix.kernels.build FOLDER TIER CPU FEATURES TRIPLE NAME…

A process of its own, for three reasons: a running model never pays for Numba's import and memory;
two can compile side by side; and should LLVM ever abort, it takes only this process with it.
Nothing is run here, so code for another CPU can be made just as well: tests compile for Apple
silicon.

Numba is used for what it is best at, Python functions to LLVM IR. We take the IR before Numba
makes code of it, add an entry point with a plain C signature, and optimise once, for the tier.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from llvmlite import binding as llvm

from localmix.json_file import take_place
from localmix.kernels.library import N_ARGUMENTS, entry_of, sealed

SOURCES = ("activations", "attention", "experts", "kv", "matmul", "peak", "threads")
"""Modules that define kernels."""


ASSEMBLY = "LOCALMIX_ASM"
"""If this variable is set, assembly is written beside each object, for people to read."""


def main(arguments: list[str]) -> int:
    """Compile kernels into a folder, one line on stdout for each."""
    folder, tier, cpu, features, triple, *names = arguments
    os.environ["LOCALMIX_TARGET"] = f"{tier} {triple}"  # read by `target.py`
    machine = target_machine(triple, cpu, features)
    for name, module in compile_kernels(names, machine):
        if os.environ.get(ASSEMBLY):
            (Path(folder) / f"{name}.s").write_text(machine.emit_assembly(module), encoding="utf-8")
        publish(Path(folder) / f"{name}.o", sealed(machine.emit_object(module)))
        sys.stdout.write(name + "\n")
        sys.stdout.flush()
    return 0


def target_machine(triple: str, cpu: str, features: str) -> Any:
    """LLVM's code generator for one CPU."""
    llvm.initialize_all_targets()
    llvm.initialize_all_asmprinters()
    target = llvm.Target.from_triple(triple)
    return target.create_target_machine(
        cpu=cpu, features=features, opt=3, reloc="pic", codemodel="small", jit=True
    )


def publish(path: Path, content: bytes) -> None:
    """Write a file so that others see it whole or not at all."""
    draft = path.with_name(f"{path.name}.{os.getpid()}")
    draft.write_bytes(content)
    take_place(draft, path)


def compile_kernels(names: list[str], machine: Any) -> Iterator[tuple[str, Any]]:
    """Compile kernels to optimised LLVM modules, one after the other."""
    _keep_numba_from_making_code()
    for module in SOURCES:
        importlib.import_module(f"localmix.kernels.{module}")
    from localmix.kernels.jit import KERNELS, SIGNATURE

    for name in names:
        dispatcher: Any = KERNELS[name]
        dispatcher.compile(SIGNATURE)
        compiled = dispatcher.overloads[SIGNATURE]
        native = compiled.fndesc.llvm_func_name
        text = compiled.library.get_llvm_str()
        yield name, optimise(with_entry(name, text, native, machine), machine)


def with_entry(name: str, text: str, native: str, machine: Any) -> Any:
    """Add `void entry(int64, …)` to a module of Numba and hide everything else.

    Numba's own convention is `int32 native(result*, exception**, arguments…)`; kernels neither
    return nor raise.
    """
    entry, parameters = entry_of(name), ", ".join(f"i64 %a{i}" for i in range(N_ARGUMENTS))
    text += f"""
define void @{entry}({parameters}) {{
  %result = alloca ptr
  %exception = alloca ptr
  %status = call i32 @{native}(ptr %result, ptr %exception, {parameters})
  ret void
}}
"""
    module = llvm.parse_assembly(text)
    module.triple = machine.triple
    module.data_layout = str(machine.target_data)
    for function in module.functions:
        if not function.is_declaration and function.name != entry:
            function.linkage = "internal"
    module.verify()
    missing = [
        f.name for f in module.functions if f.is_declaration and not f.name.startswith("llvm.")
    ]
    assert not missing, f"kernels call nothing outside: {missing}"
    return module


def optimise(module: Any, machine: Any) -> Any:
    """Run LLVM's -O3 once. Loops are not vectorised: where vectors help, the source says so."""
    options = llvm.create_pipeline_tuning_options(speed_level=3)
    options.loop_vectorization = False
    options.slp_vectorization = False
    builder = llvm.create_pass_builder(machine, options)
    builder.getModulePassManager().run(module, builder)
    return module


def _keep_numba_from_making_code() -> None:
    """Stop Numba after LLVM IR: its own optimising would be done twice, its machine code unused."""
    from numba.core import codegen

    codegen.JITCodeLibrary._finalize_specific = lambda self: None
    codegen.JITCodeLibrary.get_pointer_to_function = _pretend
    codegen.JITCPUCodegen.set_env = lambda self, name, address: None
    codegen.CPUCodeLibrary._optimize_functions = lambda self, module: None
    codegen.CPUCodeLibrary._optimize_final_module = lambda self: None


def _pretend(library: Any, name: str) -> int:
    """Link what a function calls, and give a made-up address: nothing is run here."""
    library._ensure_finalized()
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
