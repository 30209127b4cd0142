"""Compiled once for a CPU, never stale, never half: and when it cannot be, an error that helps."""

import os
import shutil
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from support.kernels import run_python

from localmix.errors import LocalmixError
from localmix.kernels import isa, library
from localmix.kernels.layout import STATE_WORDS, State

QUICK = "announce"
"""The kernel that compiles fastest."""


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """A cache of our own, empty."""
    monkeypatch.setenv("LOCALMIX_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def filled(cache, kernel_cache):
    """A cache with the quick kernel, copied from that of the run."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LOCALMIX_CACHE", str(kernel_cache))
        library.load([QUICK])
    folder = library.folder_of(library.this_machine()).relative_to(cache)
    (cache / folder).mkdir(parents=True)
    shutil.copy(kernel_cache / folder / f"{QUICK}.o", cache / folder)
    return cache / folder


@pytest.fixture
def no_processes(monkeypatch):
    def refuse(*args, **options):
        raise AssertionError("a process was started")

    monkeypatch.setattr(library.subprocess, "Popen", refuse)


def generation_after(loaded):
    """Run the quick kernel: it adds 1 to a word of the state."""
    state = np.zeros(STATE_WORDS, np.int64)
    loaded.function(QUICK)(0, state.ctypes.data, 0, 0)
    assert np.count_nonzero(state) == 1
    return state[State.GENERATION]


def test_kernels_are_compiled_once_and_then_loaded_without_a_process(cache, monkeypatch):
    told = []
    first = library.load([QUICK, QUICK], lambda done, total: told.append((done, total)))
    assert told == [(0, 1), (1, 1)]
    assert first.compile_s > 0
    assert generation_after(first) == 1
    objects = [path.name for path in cache.rglob("*") if path.is_file()]
    assert objects == [f"{QUICK}.o"]
    monkeypatch.setattr(library.subprocess, "Popen", None)
    again = library.load([QUICK], lambda done, total: told.append((done, total)))
    assert again.compile_s == 0
    assert told == [(0, 1), (1, 1)]
    assert generation_after(again) == 1


def test_several_kernels_live_side_by_side(kernel_cache):
    loaded = library.load([QUICK, "combine", "route"])
    assert len(set(loaded.addresses.values())) == 3
    assert generation_after(loaded) == 1


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: content[:-1],
        lambda content: content[: len(content) // 2],
        lambda content: b"",
        lambda content: content[:200] + bytes([content[200] ^ 1]) + content[201:],
        lambda content: bytes(len(content)),
        lambda content: content + b"\0",
    ],
    ids=["cut", "half", "empty", "a bit", "zeros", "longer"],
)
def test_a_damaged_object_is_noticed_and_compiled_again(filled, monkeypatch, damage):
    path = filled / f"{QUICK}.o"
    whole = path.read_bytes()
    path.write_bytes(damage(whole))
    asked = []

    def compile_into(folder, machine, names, on_compile=None):
        asked.extend(names)
        (folder / f"{QUICK}.o").write_bytes(whole)

    monkeypatch.setattr(library, "compile_into", compile_into)
    assert generation_after(library.load([QUICK])) == 1
    assert asked == [QUICK]


def test_a_cut_object_is_written_anew(filled):
    path = filled / f"{QUICK}.o"
    path.write_bytes(path.read_bytes()[:100])
    assert library.read(path) is None
    assert generation_after(library.load([QUICK])) == 1
    assert library.read(path) is not None


def test_the_key_depends_on_the_machine():
    machine = library.this_machine()
    others = [
        replace(machine, cpu="other"),
        replace(machine, features=machine.features + ",+other"),
        replace(machine, triple="other"),
    ]
    keys = [library.key_of(other) for other in (machine, *others)]
    assert len(set(keys)) == 4
    assert library.key_of(machine) == keys[0]


def test_the_key_depends_on_every_source_of_the_kernels(tmp_path, monkeypatch):
    machine = library.this_machine()
    copy = tmp_path / "kernels"
    shutil.copytree(Path(library.__file__).parent, copy, ignore=shutil.ignore_patterns("__*"))
    monkeypatch.setattr(library, "__file__", str(copy / "library.py"))
    key = library.key_of(machine)
    for source in sorted(copy.glob("*.py")):
        before = source.read_bytes()
        source.write_bytes(before + b"\n")
        assert library.key_of(machine) != key, source.name
        source.write_bytes(before)
    assert library.key_of(machine) == key
    (copy / "new.py").write_bytes(b"")
    (copy / "new.py").write_bytes(b"pass")
    assert library.key_of(machine) != key


def test_tiers_have_folders_of_their_own(filled, monkeypatch):
    monkeypatch.setenv("LOCALMIX_ISA", "generic")
    generic = library.this_machine()
    assert generic.tier.name == "generic"
    assert filled.name != f"generic-{library.key_of(generic)}"


def test_a_cache_that_cannot_be_made_is_an_error_with_a_hint(tmp_path, monkeypatch, no_processes):
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setenv("LOCALMIX_CACHE", str(tmp_path / "file" / "cache"))
    with pytest.raises(LocalmixError, match="cannot be kept") as error:
        library.load([QUICK])
    assert "LOCALMIX_CACHE" in error.value.hint


def test_an_object_that_cannot_be_written_is_an_error_and_no_traceback(cache):
    """A folder stands where the object should go: the compiling process fails at the very end."""
    machine = library.this_machine()
    folder = library.folder_of(machine)
    (folder / f"{QUICK}.o" / "in the way").mkdir(parents=True)
    with pytest.raises(LocalmixError, match=r"could not be compiled: \w+Error") as error:
        library.load([QUICK])
    assert error.value.hint


def test_a_compilation_that_fails_is_an_error_and_no_traceback(cache):
    with pytest.raises(LocalmixError, match="could not be compiled: KeyError: 'no_such'") as error:
        library.load(["no_such"])
    assert "--executor reference" in error.value.hint
    assert "\n" not in str(error.value)


@pytest.mark.skipif(not shutil.which("false"), reason="there is no program that just fails")
def test_a_compiler_that_dies_is_an_error_too(cache, monkeypatch):
    """LLVM aborts the process when it is asked for what it cannot do."""
    monkeypatch.setattr(library.sys, "executable", shutil.which("false"))
    with pytest.raises(LocalmixError, match="could not be compiled: exit code 1"):
        library.load([QUICK])


def test_an_interrupted_compilation_leaves_no_process_and_no_pipe_behind(cache, monkeypatch):
    started, popen = [], library.subprocess.Popen

    def start(*args, **options):
        started.append(popen(*args, **options))
        return started[-1]

    def interrupt(done, total):
        if started:
            raise KeyboardInterrupt

    monkeypatch.setattr(library.subprocess, "Popen", start)
    with pytest.raises(KeyboardInterrupt):
        library.load([QUICK, "combine", "route"], interrupt)
    assert started
    assert all(process.returncode is not None for process in started)
    assert all(process.stdout.closed and process.stderr.closed for process in started)


def test_a_tier_that_the_machine_lacks_is_an_error(cache, monkeypatch, no_processes):
    ours = library.this_machine().tier.name
    monkeypatch.setenv("LOCALMIX_ISA", "neon" if ours.startswith("avx") else "avx512")
    with pytest.raises(LocalmixError, match="cannot run the tier") as error:
        library.load([QUICK])
    assert ours in error.value.hint


def test_loading_imports_neither_numba_nor_a_model():
    code = (
        "import sys\n"
        "from localmix.kernels import isa, layout, library\n"
        f"library.load([{QUICK!r}])\n"
        "print(' '.join(sys.modules))"
    )
    done = run_python("-c", code)
    assert not done.stderr
    loaded = set(done.stdout.split())
    assert "localmix.kernels.library" in loaded
    assert not loaded & {"numba", "numpy", "localmix.model", "localmix.execute", "localmix.gguf"}
    kernels = {name for name in loaded if name.startswith("localmix.kernels.")}
    assert kernels == {f"localmix.kernels.{name}" for name in ("isa", "layout", "library")}


def test_files_of_the_current_folder_are_not_imported(tmp_path, monkeypatch):
    """As `python -m` would: a random.py of yours is none of the compiler's."""
    monkeypatch.setenv("LOCALMIX_CACHE", str(tmp_path / "cache"))
    (tmp_path / "random.py").write_text("raise RuntimeError('imported')")
    monkeypatch.chdir(tmp_path)
    assert library.load([QUICK]).addresses[QUICK]


HWCAP = {"fp": 0, "asimd": 1, "aes": 3, "atomics": 8, "fphp": 9, "asimdhp": 10, "asimddp": 20}
HWCAP2 = {"sve2": 1, "i8mm": 13, "bf16": 14}
"""Bits of Linux's words 16 and 26, from arch/arm64/include/uapi/asm/hwcap.h."""


def words_of(flags):
    """What Linux tells programs of a CPU with these flags."""
    tables = {16: HWCAP, 26: HWCAP2}
    return lambda kind: sum(1 << bit for name, bit in tables[kind].items() if name in flags.split())


@pytest.mark.parametrize(
    ("flags", "tier", "lse"),
    [
        ("fp asimd aes", "generic", False),  # Cortex-A72
        ("fp asimd aes atomics fphp asimdhp", "generic", True),
        ("fp asimd aes atomics fphp asimdhp asimddp", "neon", True),  # Neoverse N1
        ("fp asimd aes atomics fphp asimdhp asimddp sve2 bf16", "neon", True),
        ("fp asimd asimdhp asimddp i8mm", "i8mm", False),
        ("fp asimd fphp asimdhp i8mm sve2 bf16", "generic", False),
    ],
)
def test_linux_on_arm_tells_its_tier_in_the_words_for_programs(flags, tier, lse):
    found = library.arm_features("aarch64", "linux", words_of(flags))
    assert isa.choose(found).name == tier
    assert found["lse"] is lse


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no such words")
def test_linux_gives_this_process_the_words():
    page = 6  # AT_PAGESZ
    assert library.auxiliary(page) == os.sysconf("SC_PAGE_SIZE")
    assert library.auxiliary(12345) == 0


@pytest.mark.parametrize(("i8mm", "tier"), [("0", "neon"), ("1", "i8mm")])
def test_macos_on_arm_tells_its_tier_through_sysctl(monkeypatch, i8mm, tier):
    told = {"FEAT_DotProd": "1", "FEAT_I8MM": i8mm, "FEAT_FP16": "1", "FEAT_LSE": "1"}

    def sysctl(name):
        return told[name.removeprefix("hw.optional.arm.")]

    monkeypatch.setattr(library, "sysctl", sysctl)
    assert isa.choose(library.arm_features("arm64", "darwin")).name == tier


def test_arm_on_another_system_has_what_every_such_cpu_has():
    assert library.arm_features("ARM64", "win32", None) == {"neon": True}


def test_other_machines_have_no_arm_features():
    assert library.arm_features("x86_64", "linux") == {}
