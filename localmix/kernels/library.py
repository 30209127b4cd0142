"""Compiled kernels on disk and in memory: compile once for a CPU, then load in milliseconds.

Objects lie in `LOCALMIX_CACHE/kernels/<tier>-<tile>-<key>/<kernel>.o`. The key is a hash of all
that their code depends on: kernel sources, Numba, LLVM, the CPU and its features. So an edit in
`kernels/`, an update, or a home folder that moves to another machine simply compiles again, and
nothing stale is ever loaded. Loading needs LLVM's linker (llvmlite) but not Numba.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any

from llvmlite import binding as llvm

from localmix import settings
from localmix.cores import n_threads_by_default
from localmix.errors import LocalmixError
from localmix.kernels import isa
from localmix.system import sysctl

N_ARGUMENTS = 4
"""A kernel takes four int64: record, state, chunk, scratch."""

Kernel = Callable[[int, int, int, int], None]
OnCompile = Callable[[int, int], None]
"""Called with (kernels done, kernels to compile) while kernels are compiled, which is rare."""

_PROCESSES = 2
"""Compiling processes side by side; each takes a core and about 250 MB."""
_SEAL_BYTES = hashlib.sha256().digest_size


@dataclass(frozen=True)
class Machine:
    """What code is made for.

    Attributes:
        tier: see `isa.py`.
        triple, cpu, features: LLVM's names.
    """

    tier: isa.Tier
    triple: str
    cpu: str
    features: str


@dataclass
class Library:
    """Kernels in memory.

    Attributes:
        addresses: kernel -> address of its code.
        compile_s: seconds that compiling took, now.
    """

    machine: Machine
    addresses: dict[str, int] = field(default_factory=dict)
    compile_s: float = 0.0
    _engine: Any = None

    def function(self, name: str) -> Kernel:
        """A kernel to call from Python; the interpreter's lock is released meanwhile."""
        kind = ctypes.CFUNCTYPE(None, *[ctypes.c_int64] * N_ARGUMENTS)
        function: Any = kind(self.addresses[name])
        function.library = self  # code lives as long as somebody may call it
        kernel: Kernel = function
        return kernel


def this_machine(tile: isa.Tile | None = None) -> Machine:
    """Describe the CPU at hand, at the tier that LOCALMIX_ISA allows.

    Args:
        tile: register tile of matrix products; None: that of the tier.

    Raises:
        LocalmixError: LOCALMIX_ISA asks for more than the CPU has.
    """
    return machine_at(settings.isa(), tile)


def machine_at(asked: str | None, tile: isa.Tile | None = None) -> Machine:
    """Describe the CPU at hand, at a tier; None: the best one it can run.

    Raises:
        LocalmixError: it cannot run that tier.
    """
    features = host_features()
    tier = isa.choose(features, asked)
    if tile is not None:
        tier = tier.with_tile(tile)
    cpu = llvm.get_host_cpu_name() if tier.name != "generic" else ""
    triple = triple_for(llvm.get_process_triple())
    return Machine(tier, triple, cpu, isa.features_for(tier, features))


def triple_for(process: str) -> str:
    """Name what kernels are made for, given what this process is.

    On Windows its calling convention, but ELF objects, as Numba makes them: COFF objects of LLVM
    have negative offsets, which its own linker for processes takes for huge ones, and it aborts.
    """
    return f"{process}-elf" if "-windows-" in process else process


def host_features() -> dict[str, bool]:
    """What the CPU at hand has, by LLVM's names."""
    return dict(llvm.get_host_cpu_features()) | arm_features()


def auxiliary(kind: int) -> int:
    """A word that Linux gives a program when it starts, by its number; 0: it gives none."""
    function = ctypes.CDLL(None).getauxval
    function.argtypes, function.restype = [ctypes.c_ulong], ctypes.c_ulong
    return int(function(kind))


def arm_features(
    machine: str = platform.machine(),
    system: str = sys.platform,
    word: Callable[[int], int] = auxiliary,
) -> dict[str, bool]:
    """What an Arm CPU has, which LLVM does not tell: it says nothing on macOS, little elsewhere.

    Linux is asked for the words that describe the CPU to programs, not for /proc/cpuinfo: that may
    be of another machine, under an emulator or in a container.

    Source: Apple, "Determining instruction set characteristics" (sysctl hw.optional.arm); Linux,
    Documentation/arch/arm64/elf_hwcaps.rst, arch/arm64/include/uapi/asm/hwcap.h; Microsoft,
    IsProcessorFeaturePresent.
    """
    if machine.lower() not in ("arm64", "aarch64"):
        return {}
    found = {"neon": True}
    if system == "darwin":
        for feature, name in _APPLE_FEATURES.items():
            found[feature] = sysctl(f"hw.optional.arm.{name}") == "1"
    elif system == "linux":
        for feature, (kind, bit) in _LINUX_FEATURES.items():
            found[feature] = bool(word(kind) >> bit & 1)
    elif system == "win32":
        found |= _windows_features()
    return found


_APPLE_FEATURES = {
    "dotprod": "FEAT_DotProd",
    "i8mm": "FEAT_I8MM",
    "fullfp16": "FEAT_FP16",
    "lse": "FEAT_LSE",
}
_HWCAP, _HWCAP2 = 16, 26
_LINUX_FEATURES = {
    "dotprod": (_HWCAP, 20),
    "i8mm": (_HWCAP2, 13),
    "fullfp16": (_HWCAP, 10),
    "lse": (_HWCAP, 8),
}
_WINDOWS_FEATURES = {"dotprod": 43, "i8mm": 66, "fullfp16": 67, "lse": 34}
"""PF_ARM_V82_DP, V82_I8MM, V82_FP16 and V81_ATOMIC; an older Windows denies the newer ones."""


def _windows_features() -> dict[str, bool]:
    found: dict[str, bool] = {}
    if sys.platform == "win32":
        has = ctypes.WinDLL("kernel32").IsProcessorFeaturePresent
        found = {feature: bool(has(number)) for feature, number in _WINDOWS_FEATURES.items()}
    return found


def load(
    names: Sequence[str], on_compile: OnCompile | None = None, machine: Machine | None = None
) -> Library:
    """Load kernels, compiling those that are not there yet.

    Args:
        names: of the kernels.
        on_compile: hears of those that are compiled.
        machine: what for; None: this machine.

    Raises:
        LocalmixError: the cache cannot be written, or compiling failed.
    """
    machine = machine or this_machine()
    folder = folder_of(machine)
    objects = {name: read(folder / f"{name}.o") for name in dict.fromkeys(names)}
    missing = [name for name, content in objects.items() if content is None]
    start = time.perf_counter()
    if missing:
        compile_into(folder, machine, missing, on_compile)
        objects |= {name: read(folder / f"{name}.o") for name in missing}
    compile_s = time.perf_counter() - start if missing else 0.0
    return _link(machine, objects, compile_s)


def folder_of(machine: Machine) -> Path:
    """Give the folder of a machine's objects; it may not exist yet."""
    return settings.cache_folder() / "kernels" / f"{machine.tier.label}-{key_of(machine)}"


def key_of(machine: Machine) -> str:
    """Hash everything that compiled code depends on."""
    parts = [machine.triple, machine.cpu, machine.features, sys.version, metadata.version("numba")]
    digest = hashlib.sha256("\n".join([*parts, metadata.version("llvmlite")]).encode())
    for source in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(source.read_bytes())
    return digest.hexdigest()[:16]


def compile_into(
    folder: Path, machine: Machine, names: Sequence[str], on_compile: OnCompile | None = None
) -> None:
    """Compile kernels in processes of their own; see `build.py`."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as exc:
        raise LocalmixError(
            f"compiled kernels cannot be kept in {folder}: {exc.strerror}",
            "set LOCALMIX_CACHE to a folder that can be written",
        ) from exc
    if on_compile:
        on_compile(0, len(names))
    n = min(_PROCESSES, len(names), n_threads_by_default())
    processes: list[subprocess.Popen[str]] = []
    try:
        for i in range(n):
            processes.append(_start(folder, machine, names[i::n]))
        _watch(processes, len(names), on_compile)
    finally:
        for process in processes:
            process.kill()
            process.wait()
            for pipe in (process.stdout, process.stderr):
                if pipe is not None:
                    pipe.close()


def _start(folder: Path, machine: Machine, names: Sequence[str]) -> subprocess.Popen[str]:
    package = Path(__file__).parent.parent
    where = os.pathsep.join([str(package.parent), *filter(None, [os.environ.get("PYTHONPATH")])])
    arguments = [str(folder), machine.tier.label, machine.cpu, machine.features, machine.triple]
    return subprocess.Popen(
        [sys.executable, "-m", "localmix.kernels.build", *arguments, *names],
        env={**os.environ, "PYTHONPATH": where},
        cwd=folder,  # `-m` would import from where the user stands
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def _watch(
    processes: Sequence[subprocess.Popen[str]], n_total: int, on_compile: OnCompile | None
) -> None:
    """Count the kernels that are done; processes take about the same time."""
    n_done = 0
    for process in processes:
        assert process.stdout is not None
        for _ in process.stdout:
            n_done += 1
            if on_compile:
                on_compile(n_done, n_total)
        _, complaint = process.communicate()
        if process.returncode:
            errors = [line for line in complaint.splitlines() if "Error" in line and line[0] != " "]
            last = errors[-1] if errors else f"exit code {process.returncode}"
            raise LocalmixError(
                f"the kernels could not be compiled: {last}",
                "LOCALMIX_ISA=generic, or --executor reference",
            )


def sealed(content: bytes) -> bytes:
    """An object with a digest in front, so that a cut or damaged file is noticed."""
    return hashlib.sha256(content).digest() + content


def read(path: Path) -> bytes | None:
    """The object in a file; None if there is no whole one."""
    try:
        content = path.read_bytes()
    except OSError:
        return None
    seal, content = content[:_SEAL_BYTES], content[_SEAL_BYTES:]
    return content if hashlib.sha256(content).digest() == seal else None


def entry_of(name: str) -> str:
    """The symbol that the object of a kernel exports."""
    return f"localmix_{name}"


def _link(machine: Machine, objects: dict[str, bytes | None], compile_s: float) -> Library:
    """Put objects into memory."""
    # LLVM turns loops that fill or copy into calls of these.
    for symbol, function in (("memset", ctypes.memset), ("memcpy", ctypes.memmove)):
        llvm.add_symbol(symbol, ctypes.cast(function, ctypes.c_void_p).value)
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    target = llvm.Target.from_triple(machine.triple)
    builder = target.create_target_machine(reloc="pic", codemodel="small", jit=True)
    # On Windows code and constants must lie beside each other: nothing else promises that they do.
    beside = True if sys.platform == "win32" else None
    engine = llvm.create_mcjit_compiler(llvm.parse_assembly(""), builder, use_lmm=beside)
    for name, content in objects.items():
        if content is None:
            raise LocalmixError(
                f"the kernel {name} is not in the cache although it was compiled",
                f"delete {settings.cache_folder() / 'kernels'} and try again",
            )
        engine.add_object_file(llvm.ObjectFileRef.from_data(content))
    engine.finalize_object()
    addresses = {name: engine.get_function_address(entry_of(name)) for name in objects}
    return Library(machine, addresses, compile_s, engine)
