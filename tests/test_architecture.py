"""The structure that docs/architecture.md promises, checked on the source."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "localmix"

FLOORS = [
    {"errors", "units", "system", "json_file"},
    {"settings", "quant", "checks", "cores"},
    {"gguf", "kernels"},
    {"text", "model", "registry"},
    {"cache"},
    {"execute"},
    {"engine"},
    {"bench", "conversation"},
    {"doctor", "advice"},
    {"cli"},
    {"__main__"},
]
LEVEL = {name: level for level, names in enumerate(FLOORS) for name in names}

ONE_DOOR = {
    "numba": "kernels/",
    "llvmlite": "kernels/",
    "gguf": "gguf/",
    "huggingface_hub": "registry/hub.py",
    "urllib3": "registry/download/ranges.py",
    "certifi": "registry/download/ranges.py",
    "typer": "cli/",
    "rich": "cli/",
    "jinja2": "text/sandbox/",
    "prompt_toolkit": "cli/chat/editor.py",
    "sentencepiece": "text/spm.py",
    "tokenizers": "text/bpe.py",
    "platformdirs": "settings.py",
    "filelock": "registry/disk/store.py",
    "psutil": "system.py",
    "threadpoolctl": "execute/reference.py",
}
"""The one place that imports a dependency, so that another could take its place."""


def modules():
    return sorted(path for path in PACKAGE.rglob("*.py") if "__pycache__" not in path.parts)


def imports(path):
    """Names of all modules that a file imports, at any depth and under TYPE_CHECKING too."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are written out in full"
            yield node.module or ""
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def room(path):
    """The folder of a module below localmix/, or its own name if it stands at the top."""
    parts = path.relative_to(PACKAGE).parts
    return parts[0] if len(parts) > 1 else path.stem


@pytest.mark.parametrize("path", modules(), ids=lambda p: str(p.relative_to(PACKAGE)))
def test_imports_go_down(path):
    if path == PACKAGE / "__init__.py":
        return  # the front door sees the whole house
    own = room(path)
    assert own in LEVEL, f"{own} stands on no floor: add it to docs/architecture.md and here"
    for name in imports(path):
        parts = name.split(".")
        if parts[0] != "localmix" or len(parts) == 1 or parts[1] == own:
            continue
        target = parts[1]
        if target in LEVEL:
            assert LEVEL[target] < LEVEL[own], f"{path} imports {name}: not a lower floor"
        else:
            assert target in ("__version__",), f"{path} imports {name} from the front door"


@pytest.mark.parametrize("path", modules(), ids=lambda p: str(p.relative_to(PACKAGE)))
def test_each_dependency_has_one_door(path):
    for name in imports(path):
        top = name.split(".")[0]
        if top in ONE_DOOR:
            place = path.relative_to(PACKAGE).as_posix()
            assert place.startswith(ONE_DOOR[top]), f"{place} imports {top}"


def test_modules_within_a_folder_form_no_circle():
    graph = {}
    for path in modules():
        name = ".".join(("localmix", *path.relative_to(PACKAGE).with_suffix("").parts))
        graph[name.removesuffix(".__init__")] = set(imports(path))

    done, open_path = set(), []

    def visit(name):
        if name in done or name not in graph:
            return
        assert name not in open_path, f"circle: {' -> '.join([*open_path, name])}"
        open_path.append(name)
        package = name.rpartition(".")[0]
        for target in graph[name] - {package, name}:
            if not target.startswith(name + "."):
                visit(target)
        open_path.pop()
        done.add(name)

    for name in graph:
        visit(name)


@pytest.mark.parametrize("path", modules(), ids=lambda p: str(p.relative_to(PACKAGE)))
def test_modules_stay_short(path):
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 350


def loaded_after(code):
    """Names of the modules that a fresh interpreter has loaded after running some code."""
    report = "import sys; sys.stderr.write(' '.join(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", f"{code}\n{report}"], capture_output=True, text=True, check=True
    )
    return set(done.stderr.split())


def test_help_imports_neither_numba_nor_huggingface_hub_nor_numpy():
    code = (
        "import sys\n"
        "from localmix.cli.app import main\n"
        "sys.argv = ['localmix', '--help']\n"
        "try:\n    main()\nexcept SystemExit as end:\n    assert not end.code, end.code\n"
    )
    loaded = loaded_after(code)
    assert "localmix.cli.app" in loaded
    assert not loaded & {"numba", "huggingface_hub", "numpy", "jinja2", "sentencepiece"}


def test_import_localmix_is_light():
    loaded = loaded_after("import localmix; localmix.load; localmix.LocalmixError")
    assert "localmix" in loaded
    assert not loaded & {"numba", "huggingface_hub", "numpy", "typer", "rich"}


def test_running_a_model_imports_neither_numba_nor_huggingface_hub():
    loaded = loaded_after("import localmix; localmix.load('tiny').complete('hi', max_tokens=1)")
    assert "localmix.execute.native" in loaded
    assert not loaded & {"numba", "huggingface_hub", "threadpoolctl"}


def test_the_architecture_page_names_every_module_and_no_other():
    page = (PACKAGE.parent / "docs" / "architecture.md").read_text(encoding="utf-8")
    for path in modules():
        parent, name = path.relative_to(PACKAGE).parent.name, path.name
        if name != "__init__.py" and parent != "sandbox":
            assert f"`{name}`" in page or f"`{parent}/{name}`" in page, f"{path} is not named"
    named = set(re.findall(r"`(?:localmix/)?([a-z_]+/)?([a-z_]+\.py)`", page))
    existing = {path.name for path in modules()} | {Path(__file__).name}
    assert {name for _, name in named} <= existing
