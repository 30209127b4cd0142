"""Models on this disk: what is whole, cut, missing or on its way. None is ever touched."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from localmix import units
from localmix.doctor.checks import Finding, Look, many
from localmix.doctor.folders import writable
from localmix.registry.disk.inventory import Inventory
from localmix.registry.manifest import Manifest
from localmix.registry.stored import OTHER_PROGRAMS, allocated_bytes, file_size


def looks(home: Path) -> list[tuple[str, Look]]:
    """Give what there is to look at.

    Args:
        home: LOCALMIX_HOME.
    """
    inventory = Inventory(home)
    return [
        ("folder", lambda: writable("folder", home, "LOCALMIX_HOME")),
        ("models", lambda: models(inventory)),
        ("files", lambda: files(inventory)),
        ("downloads", lambda: downloads(inventory)),
        ("names", lambda: names(inventory)),
        ("links", lambda: links(inventory)),
    ]


def models(inventory: Inventory) -> Iterator[Finding]:
    """Count the models of each origin."""
    found = [model for model in inventory.list() if model.complete]
    by_origin = Counter(model.origin for model in found)
    parts = [f"{n} {'of ' if origin in OTHER_PROGRAMS else ''}{origin}" for origin, n in
             by_origin.items()]  # fmt: skip
    pulled = sum(model.size_bytes for model in found if model.origin == "pulled")
    text = ", ".join(parts) + (f"; pulled ones take {units.size(pulled)}" if pulled else "")
    if by_origin.total() == 0:
        hint = "pip install --force-reinstall localmix"
        yield Finding("models", "warn", "none, not even tiny, which comes inside localmix", hint)
    else:
        yield Finding("models", "good", text)


def files(inventory: Inventory) -> Iterator[Finding]:
    """Compare the files of pulled models with their manifests: there, and of the right size?"""
    wrong, n_files = [], 0
    for manifest in inventory.store.manifests():
        n_files += len(manifest.files)
        wrong += list(_wrong_files(inventory, manifest))
    unreadable = [model.name for model in inventory.store.unreadable()]
    if wrong:
        hint = "localmix pull NAME again: what is right is kept"
        text = f"{many(len(wrong), 'file')} of pulled models missing or of the wrong size"
        yield Finding("files", "bad", text, hint, details=tuple(wrong))
    if unreadable:
        text = f"{many(len(unreadable), 'model')} with a manifest that cannot be read"
        hint = "localmix pull NAME again, or localmix rm NAME"
        yield Finding("files", "bad", text, hint, details=tuple(unreadable))
    if n_files and not wrong and not unreadable:
        text = f"{many(n_files, 'file')} of pulled models, each of its size"
        yield Finding("files", "good", text, "localmix verify compares what is in them")


def _wrong_files(inventory: Inventory, manifest: Manifest) -> Iterator[str]:
    for file in manifest.files:
        path = inventory.store.place(manifest, file)
        size = file_size(path)
        if size is None:
            what = "a link to nothing" if path.is_symlink() else "missing"
            yield f"{manifest.name}: {file.path} is {what}"
        elif size != file.size_bytes:
            has, wants = units.size(size), units.size(file.size_bytes)
            yield f"{manifest.name}: {file.path} has {size} bytes ({has}), not {wants}"


def downloads(inventory: Inventory) -> Iterator[Finding]:
    """Count the downloads that have not finished."""
    store = inventory.store
    folders = store.partial_folders()
    if not folders:
        return
    names = {store.staging_folder(m): m.name for m in store.partial_manifests()}
    n_bytes = sum(allocated_bytes(path) for folder in folders for path in folder.rglob("*"))
    text = f"{many(len(folders), 'download')} unfinished, {units.size(n_bytes)}"
    hint = "localmix pull NAME goes on with one, localmix prune deletes them"
    details = tuple(names.get(folder, folder.name) for folder in folders)
    yield Finding("downloads", "note", text, hint, details=details)


def names(inventory: Inventory) -> Iterator[Finding]:
    """Look whether the files are still there that a person gave names to."""
    models = [named.stored() for named in inventory.records.named()]
    gone = [model for model in models if not model.complete]
    if gone:
        text = f"{len(gone)} of {many(len(models), 'name')} without a file: it has gone"
        details = tuple(f"{model.name}: {model.path}" for model in gone)
        yield Finding(
            "names", "warn", text, "put the file back, or localmix rm NAME", None, details
        )
    elif models:
        yield Finding("names", "good", f"{many(len(models), 'name')}, each with its file")


def links(inventory: Inventory) -> Iterator[Finding]:
    """Look for links in the store that lead nowhere, but for those that `files` tells of."""
    store = inventory.store
    known = {store.place(m, file) for m in store.manifests() for file in m.files}
    broken = []
    for folder, folders, names in os.walk(store.folder):
        paths = [Path(folder, name) for name in (*folders, *names)]
        broken += [p for p in paths if p.is_symlink() and not os.path.exists(p)]  # noqa: PTH110
    broken = [path for path in broken if path not in known]
    if broken:
        text = f"{many(len(broken), 'link')} among the models that lead nowhere"
        details = tuple(str(path) for path in sorted(broken))
        yield Finding(
            "links", "warn", text, "put back what they led to, or delete them", None, details
        )
