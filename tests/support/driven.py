"""Drives what depends on the system, in a process that poses as another one -> JSON on stdout.

    python -m support.driven PLATFORM NAME MACHINE FOLDER

What only the other system has is played here: a few functions of Windows' kernel32, its registry,
macOS' sysctl and one of its constants. They are written from documentation, as the code that calls
them is: a misreading would be in both.
"""

import ctypes
import importlib
import io
import json
import os
import pkgutil
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

from support.platforms import System, pose_as

PIECE = bytes(range(256)) * 64
ASKED = []
"""What was asked of the other system, in order."""

SYSCTL = {
    "machdep.cpu.brand_string": "Apple M2 Pro",
    "hw.perflevel0.physicalcpu": "8",
    "hw.perflevel1.physicalcpu": "4",
    "hw.optional.arm.FEAT_DotProd": "1",
    "hw.optional.arm.FEAT_I8MM": "1",
    "hw.optional.arm.FEAT_FP16": "1",
    "hw.optional.arm.FEAT_LSE": "1",
}


def play_macos():
    import fcntl

    fcntl.F_NOCACHE = 48  # XNU, bsd/sys/fcntl.h
    fcntl.fcntl = lambda file, what, value: ASKED.append(["fcntl", what, value])

    def run(command, **options):
        ASKED.append([Path(command[0]).name, command[-1]])
        known = SYSCTL.get(command[-1])
        return SimpleNamespace(stdout="" if known is None else known + "\n", returncode=0)

    subprocess.run = run
    import resource

    resource.getrusage = lambda who: SimpleNamespace(ru_maxrss=123_000_000)


class Played:
    """A function of a library of Windows."""

    def __init__(self, work):
        self._work = work

    def __call__(self, *arguments):
        return self._work(*arguments)


def play_windows():
    # shutil has chosen statvfs, which Windows lacks, when it was imported.
    shutil.disk_usage = lambda path: shutil._ntuple_diskusage(10**12, 4 * 10**11, 6 * 10**11)

    def create_file(name, access, share, security, disposition, flags, template):
        ASKED.append(["CreateFileW", access, share, disposition, flags])
        try:
            return os.open(name, os.O_RDONLY)
        except OSError:
            return ctypes.c_void_p(-1).value

    libraries = {
        "kernel32": SimpleNamespace(
            CreateFileW=Played(create_file),
            SwitchToThread=ctypes.CDLL(None).sched_yield,
            IsProcessorFeaturePresent={34: 1, 43: 1, 66: 0, 67: 1}.__getitem__,
        )
    }
    ctypes.WinDLL = lambda name, **options: libraries[name]
    msvcrt, winreg = ModuleType("msvcrt"), ModuleType("winreg")
    msvcrt.open_osfhandle = lambda handle, flags: handle
    winreg.HKEY_LOCAL_MACHINE, winreg.HKEY_CURRENT_USER = "HKLM", "HKCU"

    class Key:
        def __enter__(self):
            return self

        def __exit__(self, *error):
            return None

    def open_key(root, place):
        ASKED.append(["OpenKey", root, place])
        return Key()

    winreg.OpenKey = open_key
    winreg.QueryValueEx = lambda key, name: ("AMD Ryzen 7  ", 1)
    sys.modules |= {"msvcrt": msvcrt, "winreg": winreg}
    import psutil
    from platformdirs import windows

    windows._RESOLVE_WIN_FOLDER = windows.get_win_folder_from_env_vars  # its others ask Windows
    told = SimpleNamespace(rss=90_000_000, private=70_000_000, peak_wset=123_000_000)
    psutil.Process.memory_info = lambda self: told


def failed_imports():
    """Module -> error of every module of localmix that cannot be imported."""
    import localmix

    found = {}
    for info in pkgutil.walk_packages(localmix.__path__, "localmix."):
        if info.name != "localmix.__main__":
            try:
                importlib.import_module(info.name)
            except Exception as error:
                found[info.name] = f"{type(error).__name__}: {error}"
    importlib.import_module("localmix.__main__")
    return found


def command(*arguments):
    """Exit code and both outputs of a command."""
    from localmix.cli.app import main

    streams = {name: io.TextIOWrapper(io.BytesIO(), encoding="cp1252") for name in ("out", "err")}
    sys.stdout, sys.stderr = streams["out"], streams["err"]
    try:
        code = main(list(arguments))
    finally:
        sys.stdout, sys.stderr = sys.__stdout__, sys.__stderr__
    said = {}
    for name, stream in streams.items():
        stream.flush()
        said[name] = stream.buffer.getvalue().decode(stream.encoding)
    return {"code": code, "encoding": streams["out"].encoding, **said}


def drive(folder):
    """What depends on the system, by name."""
    from localmix import cores, settings, system

    system.CPUINFO = system.CGROUP_MEMBERSHIP = Path("/nowhere")  # Linux alone has them
    from localmix.bench.disk import disk_gb_s
    from localmix.engine.stats import peak_rss_bytes
    from localmix.execute.team import _yield_address
    from localmix.execute.uncached import open_past_the_page_cache
    from localmix.gguf import GGUFFile
    from localmix.kernels.library import arm_features
    from localmix.registry.resolve import embedded

    with GGUFFile.open(embedded().path) as file:
        n_tensors = len(file.tensors)
    (folder / "bytes").write_bytes(PIECE)
    ASKED.clear()
    with open_past_the_page_cache(folder / "bytes") as file:
        read = file.read() == PIECE
    asked_to_read = list(ASKED)
    ASKED.clear()
    try:
        open_past_the_page_cache(folder / "none")
        missing = "opened"
    except OSError as error:
        missing = type(error).__name__
    ASKED.clear()
    speed = disk_gb_s(folder, 1 << 20, iter((0.0, 1.0)).__next__)
    asked_for_speed = list(ASKED)
    function = ctypes.CFUNCTYPE(ctypes.c_int)(_yield_address())
    return {
        "n_tensors": n_tensors,
        "read": read,
        "asked_to_read": asked_to_read,
        "missing": missing,
        "speed": speed,
        "asked_for_speed": asked_for_speed,
        "yielded": function(),
        "cores": str(cores.cores()),
        "threads": cores.n_threads_by_default(),
        "cpu": system.cpu_name(),
        "arm": arm_features(),
        "peak": peak_rss_bytes(),
        "memory": vars(system.process_memory()),
        "home": str(settings.home({})),
        "cache": str(settings.cache_folder({})),
        "user": str(settings.user_home({"HOME": "/posix", "USERPROFILE": "/windows"})),
        "list": command("list", "--json"),
        "show": command("show", "tiny"),
        "doctor": command("doctor", "--offline"),
        "run": command(
            *("run", "tiny", "Tell me a joke", "--executor", "reference", "--temperature", "0"),
            *("-n", "8", "--json"),
        ),
        "wrong": command("show", "no-such-model"),
    }


if __name__ == "__main__":
    posed = System(*sys.argv[1:4])
    pose_as(posed)
    play_macos() if posed.platform == "darwin" else play_windows()
    answer = {"failed": failed_imports()}
    answer |= drive(Path(sys.argv[4]))
    sys.stdout.write(json.dumps(answer))
