"""Poses as another system: what it lacks is taken from the standard library of this one.

What a system has is read from the standard library's own stubs (typeshed, which come with mypy),
where each name stands below its `sys.platform`. They are taken away after the standard library and
the dependencies have been imported, which are made for this system and are not ours to prove.

`os.name` stays: pathlib would make paths that only Windows can use. So what localmix asks is
`sys.platform`, and the paths here remain those of this system.
"""

import ast
import importlib
import importlib.util
import pkgutil
import platform
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import mypy

PACKAGE = Path(__file__).parents[2] / "localmix"
STUBS = Path(mypy.__file__).parent / "typeshed" / "stdlib"

DEPENDENCIES = (
    *("numpy", "numba", "llvmlite.binding", "gguf", "typer", "rich.console", "rich.progress"),
    *("rich.table", "rich.theme", "huggingface_hub", "urllib3", "certifi", "filelock", "jinja2"),
    *("sentencepiece", "tokenizers", "psutil", "threadpoolctl", "prompt_toolkit"),
)
"""platformdirs is not among them: it is plain Python, and chooses its folders as it is imported."""

FROM_STUBS = ("os", "mmap", "signal", "socket", "time", "threading", "sys", "select", "errno")
"""Modules of which single names are taken away."""


@dataclass(frozen=True)
class System:
    """A system to pose as.

    Attributes:
        platform: `sys.platform`.
        name: `platform.system()`.
        machine: `platform.machine()`.
    """

    platform: str
    name: str
    machine: str

    def __str__(self):
        return f"{self.name}-{self.machine}"


MACOS = System("darwin", "Darwin", "arm64")
WINDOWS = System("win32", "Windows", "AMD64")
WINDOWS_ON_ARM = System("win32", "Windows", "ARM64")
SYSTEMS = (MACOS, WINDOWS, WINDOWS_ON_ARM)


def names_on(platform, module):
    """Names that a module of the standard library has on a system; None: there is no such module.

    A module whose stub defines nothing there, because all of it stands below a platform, is not.
    """
    path = STUBS / (module.replace(".", "/") + ".pyi")
    path = path if path.exists() else STUBS / module.replace(".", "/") / "__init__.pyi"
    body = ast.parse(path.read_text(encoding="utf-8")).body
    names = set(_names(body, platform))
    defined = _names([s for s in body if not isinstance(s, (ast.Import, ast.ImportFrom))], platform)
    return names if any(not name.startswith("_") for name in defined) else None


def _names(body, platform):
    for statement in body:
        if isinstance(statement, ast.If):
            branch = statement.body if _holds(statement.test, platform) else statement.orelse
            yield from _names(branch, platform)
        elif isinstance(statement, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            yield statement.name
        elif isinstance(statement, ast.AnnAssign):
            yield statement.target.id
        elif isinstance(statement, ast.Assign):
            yield from (target.id for target in statement.targets if isinstance(target, ast.Name))
        elif isinstance(statement, (ast.Import, ast.ImportFrom)):
            yield from (alias.asname or alias.name for alias in statement.names)


def _holds(test, platform):
    """Evaluate a condition of a stub: those of versions for this Python, those of platforms not."""

    class Sys:
        version_info = sys.version_info

    Sys.platform = platform
    code = compile(ast.Expression(test), "<stub>", "eval")
    return eval(code, {"sys": Sys, "TYPE_CHECKING": True})


def missing_names(system, module):
    """Names of a module of this system that another one lacks.

    Only those that stubs know on this system: what they know nowhere is nobody's to use.
    """
    here, there = (
        names_on(sys.platform, module) or set(),
        names_on(system.platform, module) or set(),
    )
    return {name for name in here - there if hasattr(importlib.import_module(module), name)}


def missing_modules(system):
    """Top modules that this system has and another one has not."""
    stubs = {info.name for info in pkgutil.iter_modules([str(STUBS)])}
    known = {path.stem for path in STUBS.glob("*.pyi")} | stubs
    return {
        name
        for name in known - {"this", "antigravity", "__main__", "_typeshed"}
        if names_on(sys.platform, name) is not None and names_on(system.platform, name) is None
    }


def _standard_imports():
    """Modules of the standard library that localmix imports somewhere, and this system has."""
    found = set()
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            found.update(names)
    here = {name for name in found if name.partition(".")[0] in sys.stdlib_module_names}
    return {name for name in here if importlib.util.find_spec(name.partition(".")[0])}


class _Refused:
    """Finds nothing for modules that the system lacks."""

    def __init__(self, names):
        self._names = names

    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in self._names:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)


def pose_as(system):
    """Make this process look like another system, for good."""
    for name in DEPENDENCIES:
        importlib.import_module(name)
    gone = missing_modules(system)
    for name in sorted(_standard_imports() - gone):
        importlib.import_module(name)
    assert not any(name.partition(".")[0] == "localmix" for name in sys.modules)
    names = {module: missing_names(system, module) for module in FROM_STUBS}
    for module, its_names in names.items():
        for name in its_names:
            delattr(importlib.import_module(module), name)
    for name in [name for name in sys.modules if name in gone]:
        del sys.modules[name]
    sys.meta_path.insert(0, _Refused(gone))
    tempfile._O_TMPFILE_WORKS = False  # it has looked before os.O_TMPFILE was gone
    sys.platform = system.platform
    platform.system = lambda: system.name
    platform.machine = lambda: system.machine
    platform.processor = lambda: "a processor"
    platform.node = lambda: "a-computer"
    platform.release = platform.version = lambda: "1"
    platform.platform = lambda *_, **__: str(system)
