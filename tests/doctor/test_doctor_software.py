"""Python and its packages, of installations that are made up."""

from importlib import metadata
from types import SimpleNamespace

import pytest
from support.findings import one, seen

from localmix.doctor import kernels, software


@pytest.fixture
def installed(monkeypatch):
    """Say what is installed, and what packages ask for."""

    def put(versions, needs):
        def version(name):
            if name not in versions:
                raise metadata.PackageNotFoundError(name)
            return versions[name]

        def requires(name):
            version(name)
            return needs.get(name)

        monkeypatch.setattr(metadata, "version", version)
        monkeypatch.setattr(metadata, "requires", requires)

    return put


NUMBA = {"numba": "0.61.0", "llvmlite": "0.44.0", "numpy": "2.1.0"}
NEEDS = {"numba": ["llvmlite<0.45,>=0.44.0dev0", "numpy<2.2,>=1.24"]}


def test_a_python_of_32_bits_is_bad(monkeypatch):
    assert one(software.python()).state == "good"
    monkeypatch.setattr(software, "sys", SimpleNamespace(maxsize=2**31 - 1))
    found = one(software.python())
    assert found.state == "bad"
    assert "32 bits" in found.text


@pytest.mark.parametrize(
    ("need", "version", "unmet"),
    [
        ("numpy<2.2,>=1.24", "2.1.3", ""),
        ("numpy<2.2,>=1.24", "2.2.0", "numpy<2.2, and 2.2.0 is installed"),
        ("numpy<2.2,>=1.24", "1.23.9", "numpy>=1.24, and 1.23.9 is installed"),
        ("numpy>=2.10", "2.9", "numpy>=2.10, and 2.9 is installed"),
        ("numpy>=2.0", "2", ""),
        ("numpy>=2.0.0dev0", "2.0.0rc1", ""),
        ("numpy (>=1.24)", "1.0", "numpy>=1.24, and 1.0 is installed"),
        ("numpy<=2.1", "2.1.0", ""),
        ("numpy>2.1", "2.1.0", "numpy>2.1, and 2.1.0 is installed"),
        ("numpy", "1", ""),
        ("numpy!=1.0", "1.0", ""),
        ("scipy>=1", "1", "scipy, which is not installed"),
        ("scipy>=1; extra == 'dev'", "1", ""),
        (">=odd", "1", ""),
    ],
)
def test_what_of_a_requirement_does_not_hold(installed, need, version, unmet):
    installed({"numpy": version}, {})
    assert software.unmet(need) == unmet


def test_bounds_agree_with_those_of_pip():
    requirements = pytest.importorskip("packaging.requirements")
    have = {name: metadata.version(name) for name in ("numpy", "numba", "rich", "typer")}
    for name, version in have.items():
        major = int(version.partition(".")[0])
        for bound in (f">={version}", f"<{version}", f">={major + 1}", f"<{major + 1},>=0.1"):
            holds = requirements.Requirement(name + bound).specifier.contains(version)
            assert (software.unmet(name + bound) == "") == holds, (name, bound)


def test_packages_that_localmix_needs(installed):
    installed({"localmix": "1", "numpy": "1.0"}, {"localmix": ["numpy>=1", "x; extra == 'dev'"]})
    found = one(software.packages())
    assert (found.state, found.text) == ("good", "all 1 package that localmix needs are here")
    installed({"localmix": "1"}, {"localmix": ["numpy>=1"]})
    found = one(software.packages())
    assert (found.state, found.text) == (
        "bad",
        "localmix wants numpy, which is not installed",
    )
    installed({}, {})
    assert one(software.packages()).state == "note"


def test_the_compiler_is_here(installed):
    installed(NUMBA, NEEDS)
    found = one(kernels.compiler())
    assert (found.state, found.text) == ("good", "numba 0.61.0, llvmlite 0.44.0")


def test_a_compiler_that_does_not_suit_numpy_is_bad(installed):
    installed({**NUMBA, "numpy": "2.3.1"}, NEEDS)
    found = one(kernels.compiler())
    assert found.state == "bad"
    assert found.text.endswith("but numba wants numpy<2.2, and 2.3.1 is installed")


def test_a_missing_compiler_is_bad(installed):
    installed({"llvmlite": "0.44.0"}, {})
    assert seen(kernels.compiler()) == {
        "numba": ("bad", "numba is not installed: nothing can be compiled")
    }


def test_versions_of_what_is_not_installed_are_empty(installed):
    installed({"numpy": "2.1.0"}, {})
    found = software.versions()
    assert (found["numpy"], found["numba"]) == ("2.1.0", "")
    assert list(found) == ["localmix", "Python", "numpy", "numba", "llvmlite", "huggingface-hub"]
