"""Processor, cores, memory and disks."""

from __future__ import annotations

import platform
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

from localmix import settings, units
from localmix.cores import cores, cpu_quota, n_threads_by_default
from localmix.doctor.checks import Finding, Look, many
from localmix.doctor.folders import existing
from localmix.errors import LocalmixError
from localmix.system import cpu_name

T = TypeVar("T")

LITTLE_MEMORY = 5_500_000_000
"""Free bytes below which a common model of 7 billion weights, 4.4 GB with its cache, is tight."""

LITTLE_STORE_DISK, LITTLE_CACHE_DISK = 5_000_000_000, 100_000_000
"""Free bytes: a common model is 4.4 GB; kernels of one tier take less than 10 MB."""


def looks(home: Path, cache: Path) -> list[tuple[str, Look]]:
    """Give what there is to look at.

    Args:
        home: LOCALMIX_HOME.
        cache: LOCALMIX_CACHE.
    """
    return [
        ("CPU", processor),
        ("tier", tier),
        ("cores", threads),
        ("memory", memory),
        ("disk of models", lambda: disk("disk of models", home, LITTLE_STORE_DISK)),
        ("disk of kernels", lambda: disk("disk of kernels", cache, LITTLE_CACHE_DISK)),
    ]


def processor() -> Iterator[Finding]:
    """Name the processor."""
    name = cpu_name()
    # Rosetta calls an Apple processor so, and shows one of Intel without AVX2 or less.
    if platform.machine() == "x86_64" and "Apple" in name:
        text = f"{name}: this Python is made for Intel, and is translated"
        yield Finding("CPU", "warn", text, "install a Python for arm64")
    else:
        yield Finding("CPU", "good", name)


def tier() -> Iterator[Finding]:
    """Say which kernels are made for the processor, and why no better ones."""
    from localmix.kernels import isa, library

    features, asked = library.host_features(), _or_none(settings.isa)
    chosen, best = isa.choose(features, asked), isa.choose(features)
    found = ", ".join(isa.found_on(features)) or "nothing that a better one needs"
    text = f"{chosen.name}: this CPU has {found}"
    better = isa.above(chosen, features)
    if chosen != best:
        text = f"{chosen.name}, as LOCALMIX_ISA says; this CPU can run {best.name}"
        yield Finding("tier", "note", text, "unset LOCALMIX_ISA")
        return
    if better is not None:
        text += f"; {better[0].name} needs {', '.join(better[1])} too"
    yield Finding("tier", "warn" if chosen.name == "generic" else "good", text)


def threads() -> Iterator[Finding]:
    """Count cores, and compare them with the threads that will work."""
    here, quota = cores(), cpu_quota()
    text = f"{here}, {here.logical} logical"
    if quota is not None:
        text += f", time of {quota:g} in this container"
    n_threads = _or_none(settings.n_threads) or n_threads_by_default()
    if n_threads > here.physical:
        text += f", but LOCALMIX_THREADS is {n_threads}: more threads than cores are slower"
        yield Finding("cores", "warn", text, "unset LOCALMIX_THREADS")
    else:
        yield Finding("cores", "good", f"{text}, {many(n_threads, 'thread')}")


def memory() -> Iterator[Finding]:
    """Look how much memory there is and is free."""
    from localmix.engine import memory

    total, free = memory.total_bytes(), memory.free_bytes()
    if free is None:
        known = f"{units.size(total)}, " if total is not None else ""
        yield Finding("memory", "note", f"{known}the system does not tell how much is free")
        return
    text = f"{units.size(free)} free" + (f" of {units.size(total)}" if total is not None else "")
    if free < LITTLE_MEMORY:
        yield Finding(
            "memory", "note", f"{text}: little for a model of 7 B", "localmix fit mistral"
        )
    else:
        yield Finding("memory", "good", text)


def _or_none(read: Callable[[], T]) -> T | None:
    """Read a setting; one that makes no sense is told of among the settings."""
    try:
        return read()
    except LocalmixError:
        return None


def disk(name: str, folder: Path, little: int) -> Iterator[Finding]:
    """Look how much room a folder has, or the nearest one around it that exists."""
    usage = shutil.disk_usage(existing(folder))
    text = f"{units.size(usage.free)} free of {units.size(usage.total)}"
    if usage.free < little:
        hint = "free some room, or move the folder: LOCALMIX_HOME, LOCALMIX_CACHE"
        yield Finding(name, "warn", text, hint, details=(str(folder),))
    else:
        yield Finding(name, "good", text, details=(str(folder),))
