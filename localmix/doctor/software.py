"""Python and the packages that localmix stands on: their versions, read without importing them."""

from __future__ import annotations

import platform
import re
import sys
from collections.abc import Iterator
from importlib import metadata

from localmix.doctor.checks import Finding, Look, many

TOLD = ("numpy", "numba", "llvmlite", "huggingface-hub")
"""Packages whose versions matter most when something fails."""


def looks() -> list[tuple[str, Look]]:
    """Give what there is to look at."""
    return [("Python", python), ("packages", packages)]


def versions() -> dict[str, str]:
    """Give the versions of what a report is read for; "" for what is not installed."""
    from localmix import __version__

    found = {"localmix": __version__, "Python": platform.python_version()}
    for name in TOLD:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = ""
    return found


def python() -> Iterator[Finding]:
    """Look at the interpreter."""
    bits = 64 if sys.maxsize > 2**32 else 32
    text = f"{platform.python_version()}, {bits} bits, {platform.system()} {platform.machine()}"
    if bits == 32:
        hint = "install a Python of 64 bits"
        yield Finding("Python", "bad", f"{text}: models need more addresses", hint)
    else:
        yield Finding("Python", "good", text)


def packages() -> Iterator[Finding]:
    """Look whether all packages that localmix asks for are here, in versions that it can use."""
    try:
        needs = metadata.requires("localmix") or ()
    except metadata.PackageNotFoundError:
        yield Finding("packages", "note", "localmix runs from its sources, so none are asked for")
        return
    wrong = [clash for need in needs if (clash := unmet(need))]
    if wrong:
        text = f"localmix wants {'; '.join(wrong)}"
        yield Finding("packages", "bad", text, "pip install --upgrade localmix")
    else:
        n = sum(";" not in need for need in needs)
        yield Finding("packages", "good", f"all {many(n, 'package')} that localmix needs are here")


def unmet(need: str) -> str:
    """Say which part of a requirement does not hold; empty when all does.

    Only bounds on releases of packages that are needed in any case are read: `numpy<2.6,>=1.22`.
    """
    name, _, marker = need.partition(";")
    found = re.match(r"\s*([A-Za-z0-9._-]+)\s*\(?(.*?)\)?\s*$", name)
    if found is None or marker.strip():
        return ""
    try:
        version = metadata.version(found[1])
    except metadata.PackageNotFoundError:
        return f"{found[1]}, which is not installed"
    for bound in found[2].split(","):
        parts = re.match(r"\s*(<=|>=|<|>)\s*(\d[\d.]*)", bound)
        if parts is not None and not _holds(_release(version), parts[1], _release(parts[2])):
            return f"{found[1]}{bound.strip()}, and {version} is installed"
    return ""


def _release(version: str) -> tuple[int, ...]:
    """Read the numbers of a release, without zeros at its end: `0.50.0dev0` is (0, 50)."""
    found = re.match(r"\d+(\.\d+)*", version)
    numbers = [int(part) for part in found[0].split(".")] if found else []
    while numbers and numbers[-1] == 0:
        numbers.pop()
    return tuple(numbers)


def _holds(version: tuple[int, ...], sign: str, bound: tuple[int, ...]) -> bool:
    if sign[0] == "<":
        return version < bound or (sign == "<=" and version == bound)
    return version > bound or (sign == ">=" and version == bound)
