"""Numba, and the cache of compiled kernels. Numba itself is never imported."""

from __future__ import annotations

import re
import shutil
import time
from collections.abc import Callable, Iterator
from importlib import metadata
from pathlib import Path

from localmix import settings, units
from localmix.doctor.checks import Finding, Look, many
from localmix.doctor.folders import writable
from localmix.doctor.software import unmet
from localmix.errors import LocalmixError

IN_USE_S = 2 * 86400.0
"""Kernels read or written since may be those of another installation that shares the folder.

Most systems write down that a file was read once a day at most, or not at all.
"""

COMPILERS = ("numba", "llvmlite")


def looks(cache: Path, clock: Callable[[], float] = time.time) -> list[tuple[str, Look]]:
    """Give what there is to look at.

    Args:
        cache: LOCALMIX_CACHE.
        clock: the seconds of now.
    """
    folder = cache / "kernels"
    return [
        ("compiler", compiler),
        ("folder", lambda: writable("folder", folder, "LOCALMIX_CACHE")),
        ("kernels", kernels),
        ("older kernels", lambda: older_kernels(folder, clock)),
    ]


def compiler() -> Iterator[Finding]:
    """Look for Numba and llvmlite, and whether they suit what else is installed."""
    versions: dict[str, str] = {}
    for name in COMPILERS:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            text = f"{name} is not installed: nothing can be compiled"
            yield Finding(name, "bad", text, f"pip install {name}")
    if len(versions) < len(COMPILERS):
        return
    text = ", ".join(f"{name} {version}" for name, version in versions.items())
    clashes = [clash for need in metadata.requires("numba") or () if (clash := unmet(need))]
    if clashes:
        hint = "pip install --upgrade numba"
        yield Finding("compiler", "bad", f"{text}, but numba wants {'; '.join(clashes)}", hint)
    else:
        yield Finding("compiler", "good", text)


def kernels() -> Iterator[Finding]:
    """Count the kernels of this version, this processor and the tier in force."""
    from localmix.kernels import library

    try:
        machine = library.this_machine()
    except LocalmixError:
        return  # `machine.tier` and the settings tell of it
    paths = sorted(library.folder_of(machine).glob("*.o"))
    if not paths:
        text = f"none for {machine.tier.name} yet: the first model compiles its own"
        yield Finding("kernels", "note", text, "localmix warmup")
        return
    damaged = [path for path in paths if library.read(path) is None]
    size = units.size(sum(path.stat().st_size for path in paths))
    text = f"{len(paths)} for {machine.tier.name}, {size}"
    if damaged:
        text += f"; {len(damaged)} damaged, which are compiled again when needed"
        yield Finding("kernels", "note", text, details=tuple(path.name for path in damaged))
    else:
        yield Finding("kernels", "good", text)


def older_kernels(folder: Path, clock: Callable[[], float] = time.time) -> Iterator[Finding]:
    """Look for kernels that nothing here loads: of older versions, or of other processors."""
    from localmix.kernels import isa, library

    current = {
        library.folder_of(library.machine_at(tier.name, tile)).name
        for tier in isa.possible_on(library.host_features())
        for tile in (tier.tile, *isa.OTHER_TILES[tier.name])
    }
    stale = [path for path in _kernel_folders(folder) if path.name not in current]
    if not stale:
        return
    idle = [path for path in stale if clock() - _last_used_s(path) > IN_USE_S]
    size = units.size(sum(_bytes_in(path) for path in stale))
    text = f"{many(len(stale), 'folder')} of older versions or other processors, {size}"
    if len(idle) < len(stale):
        text += f"; {len(stale) - len(idle)} used within two days, so left alone"
    fix = (lambda: _remove(idle)) if idle else None
    yield Finding("older kernels", "note", text, fix=fix, details=(str(folder),))


def _kernel_folders(folder: Path) -> list[Path]:
    """Give the folders that look like ours, and are no links."""
    tiers = "|".join(settings.ISA_TIERS)
    pattern = re.compile(rf"({tiers})(-\d+x\d+)?-[0-9a-f]{{16}}")
    found = sorted(folder.iterdir()) if folder.is_dir() else []
    return [p for p in found if pattern.fullmatch(p.name) and p.is_dir() and not p.is_symlink()]


def _remove(folders: list[Path]) -> str:
    size = units.size(sum(_bytes_in(folder) for folder in folders))
    for folder in folders:
        shutil.rmtree(folder)
    return f"{many(len(folders), 'folder')} of older kernels removed, {size} freed"


def _last_used_s(folder: Path) -> float:
    # Of the folder itself only the writing: whoever looks into it reads it.
    files = [path.stat() for path in folder.iterdir()]
    return max([folder.stat().st_mtime, *(max(s.st_atime, s.st_mtime) for s in files)])


def _bytes_in(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.iterdir() if path.is_file())
