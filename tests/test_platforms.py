"""macOS and Windows, posed as by Linux: every module imports there, and the ways of each are taken.

What this proves: nothing of localmix asks for a name or a module that the other system lacks, in
what is driven here; each system's branch is entered, asks what documentation says it should, and
goes on rightly with the answer that documentation promises. What it cannot prove: that the system
answers so. The dependencies, pathlib, sockets and signals are those of this system, files behave as
they do here (an open one can be replaced and deleted), and no kernel is run: `tests/kernels` looks
at the code for Apple silicon. docs/platforms.md says what a person should try on a real one.
"""

import ast
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from support.platforms import MACOS, PACKAGE, SYSTEMS, WINDOWS, missing_modules, missing_names

import localmix

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="poses are struck on Linux only")

TESTS = Path(__file__).parent
F_NOCACHE = ["fcntl", 48, 1]
UNBUFFERED = ["CreateFileW", 0x80000000, 0b111, 3, 0x20000000]
"""GENERIC_READ, all ways of sharing, OPEN_EXISTING, FILE_FLAG_NO_BUFFERING."""


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    """What `support.driven` tells of each system that is posed as."""

    def drive(system):
        folder = tmp_path_factory.mktemp("posing")
        environ = {name: os.environ[name] for name in ("PATH", "LOCALMIX_CACHE")}
        environ |= {
            "PYTHONPATH": os.pathsep.join([str(TESTS.parent), str(TESTS)]),
            "HOME": str(folder),
            "LOCALAPPDATA": str(folder / "AppData" / "Local"),
        }
        words = [system.platform, system.name, system.machine, str(folder)]
        done = subprocess.run(
            [sys.executable, "-m", "support.driven", *words],
            env=environ,
            cwd=TESTS,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout) | {"folder": folder}

    answers = {}

    def answer(system):
        if system not in answers:
            answers[system] = drive(system)
        return answers[system]

    return answer


each_system = pytest.mark.parametrize("system", SYSTEMS, ids=str)


def test_a_pose_takes_away_what_the_system_lacks():
    assert {"sched_getaffinity", "posix_fadvise", "O_DIRECT"} <= missing_names(MACOS, "os")
    assert not {"getuid", "fork", "uname", "sysconf"} & missing_names(MACOS, "os")
    assert {"MADV_HUGEPAGE"} <= missing_names(MACOS, "mmap")
    lacking = {"getuid", "geteuid", "fork", "sysconf", "uname", "posix_fadvise", "WIFSTOPPED"}
    assert lacking <= missing_names(WINDOWS, "os")
    assert not {"getpid", "replace", "fsync", "link"} & missing_names(WINDOWS, "os")
    assert {"MADV_WILLNEED", "PROT_READ", "MAP_SHARED"} <= missing_names(WINDOWS, "mmap")
    assert {"SIGALRM", "SIGKILL", "SIGWINCH", "pthread_sigmask"} <= missing_names(WINDOWS, "signal")
    assert {"AF_UNIX"} <= missing_names(WINDOWS, "socket")
    assert {"fcntl", "resource", "termios", "tty", "pwd", "grp"} <= missing_modules(WINDOWS)
    assert not {"fcntl", "resource", "termios", "tty", "pwd", "grp"} & missing_modules(MACOS)


@each_system
def test_every_module_imports(told, system):
    assert told(system)["failed"] == {}


@each_system
def test_a_model_file_is_mapped(told, system):
    assert told(system)["n_tensors"] == 43


@each_system
def test_experts_are_read_past_the_page_cache(told, system):
    answer = told(system)
    assert answer["read"]
    assert answer["asked_to_read"] == [F_NOCACHE if system is MACOS else UNBUFFERED]
    assert answer["missing"] == "FileNotFoundError"


@each_system
def test_the_disk_is_measured_and_not_the_page_cache(told, system):
    answer = told(system)
    assert answer["speed"] == pytest.approx(2**20 / 1e9)
    # On macOS before and after writing, which keeps pages as reading does, and when it is read.
    assert answer["asked_for_speed"] == ([F_NOCACHE] * 3 if system is MACOS else [UNBUFFERED])


@each_system
def test_threads_yield_by_a_function_of_the_system(told, system):
    assert told(system)["yielded"] == 0  # sched_yield's, which plays SwitchToThread too


@each_system
def test_fast_cores_get_a_thread_each(told, system):
    answer = told(system)
    if system is MACOS:
        assert (answer["cores"], answer["threads"]) == ("8 performance and 4 efficiency cores", 8)
    else:
        assert answer["threads"] >= 1


@each_system
def test_arm_cpus_tell_what_they_have(told, system):
    has = dict.fromkeys(("neon", "dotprod", "i8mm", "fullfp16", "lse"), True)
    if system is WINDOWS:
        has = {}
    elif system is not MACOS:
        has["i8mm"] = False
    assert told(system)["arm"] == has


@each_system
def test_memory_is_told_in_bytes(told, system):
    answer = told(system)
    assert answer["peak"] == 123_000_000
    if system is not MACOS:
        assert answer["memory"] == {"resident": 90_000_000, "private": 70_000_000}


@each_system
def test_the_processor_has_its_name(told, system):
    assert told(system)["cpu"] == ("Apple M2 Pro" if system is MACOS else "AMD Ryzen 7")


@each_system
def test_folders_are_those_of_the_system(told, system):
    answer = told(system)
    home, cache = "AppData/Local/localmix", "AppData/Local/localmix/Cache"
    if system is MACOS:
        home, cache = "Library/Application Support/localmix", "Library/Caches/localmix"
    assert (answer["home"], answer["cache"]) == (
        str(answer["folder"] / home),
        str(answer["folder"] / cache),
    )
    assert answer["user"] == ("/posix" if system is MACOS else "/windows")


@each_system
def test_commands_work(told, system):
    answer = told(system)
    codes = {name: answer[name]["code"] for name in ("list", "show", "doctor", "run", "wrong")}
    assert codes == {"list": 0, "show": 0, "doctor": 0, "run": 0, "wrong": 1}
    assert json.loads(answer["list"]["out"])[0]["name"] == "tiny"
    assert "could not be checked" not in answer["doctor"]["out"]
    assert f"{system.name} {system.machine}" in answer["doctor"]["out"]
    assert answer["wrong"]["err"].splitlines()[1].startswith("try: ")


@each_system
def test_the_reference_gives_the_same_tokens(told, system):
    with localmix.load("tiny", executor="reference") as model:
        here = model.chat(
            [{"role": "user", "content": "Tell me a joke"}], max_tokens=8, temperature=0
        )
        tokens = [piece.token for piece in here]
    assert json.loads(told(system)["run"]["out"])["tokens"] == tokens[:8]


def test_what_is_piped_on_windows_is_utf_8(told):
    assert told(WINDOWS)["doctor"]["encoding"] == "utf-8"
    assert "✓ Python" in told(WINDOWS)["doctor"]["out"]
    assert "+ Python" in told(MACOS)["doctor"]["out"]  # which was said to be no UTF-8


def text_files_without_encoding(path):
    """Places that read or write text in the system's encoding, which is not UTF-8 on Windows."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if not isinstance(node, ast.Call):
            continue
        name = node.func.attr if isinstance(node.func, ast.Attribute) else ""
        name = node.func.id if isinstance(node.func, ast.Name) else name
        modes = [a.value for a in node.args if isinstance(a, ast.Constant)]
        is_text = name in ("read_text", "write_text") and isinstance(node.func, ast.Attribute)
        is_text |= name in ("open", "fdopen") and any(
            mode in ("r", "w", "a", "x") for mode in modes
        )
        if is_text and not any(keyword.arg == "encoding" for keyword in node.keywords):
            yield f"{path.relative_to(PACKAGE).as_posix()}:{node.lineno}"


def test_text_files_are_utf_8_on_every_system():
    assert [p for path in PACKAGE.rglob("*.py") for p in text_files_without_encoding(path)] == []
