"""The wheel is one file for every system: plain Python, with tiny and the catalog inside."""

import zipfile
from email.parser import Parser
from pathlib import Path

import pytest
from hatchling.builders.wheel import WheelBuilder

import localmix

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """Build it with the back end that pip would call, which needs no network."""
    folder = tmp_path_factory.mktemp("dist")
    [path] = WheelBuilder(str(ROOT)).build(directory=str(folder), versions=["standard"])
    return Path(path)


@pytest.fixture(scope="module")
def contents(wheel):
    with zipfile.ZipFile(wheel) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def test_the_wheel_is_for_every_system_and_python_3(wheel, contents):
    assert wheel.name == f"localmix-{localmix.__version__}-py3-none-any.whl"
    [told] = [text for name, text in contents.items() if name.endswith(".dist-info/WHEEL")]
    told = Parser().parsestr(told.decode())
    assert (told["Root-Is-Purelib"], told.get_all("Tag")) == ("true", ["py3-none-any"])
    assert not [n for n in contents if n.endswith((".so", ".pyd", ".dylib", ".dll", ".c", ".o"))]


def test_the_wheel_holds_the_package_tiny_and_the_catalog_and_nothing_else(contents):
    package = {
        path.relative_to(ROOT).as_posix(): path.read_bytes()
        for path in (ROOT / "localmix").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert "localmix/assets/tiny.gguf" in package
    package["localmix/registry/models.toml"] = (ROOT / "models.toml").read_bytes()
    assert {n: text for n, text in contents.items() if ".dist-info/" not in n} == package


def test_the_wheel_makes_the_command(contents):
    [told] = [t for name, t in contents.items() if name.endswith(".dist-info/entry_points.txt")]
    assert "localmix = localmix.__main__:main" in told.decode()
