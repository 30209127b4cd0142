"""Taking models off the list, and what may be deleted: never a file that we did not download."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from localmix.errors import LocalmixError, NotPulled
from localmix.registry.catalog import Catalog
from localmix.registry.disk.in_use import told_if_in_use
from localmix.registry.disk.inventory import Inventory
from localmix.registry.disk.store import Store
from localmix.registry.names import AliasName, PathName, parse_name
from localmix.registry.resolve import meaning
from localmix.registry.stored import OTHER_PROGRAMS, StoredModel, allocated_bytes, file_size


@dataclass(frozen=True)
class Removed:
    """What `remove` did.

    Attributes:
        name: of the model.
        freed_bytes: on this disk.
        kept: files that stay, because they are somebody else's, or another name stands for them.
        reason: why they stay; empty when none does.
    """

    name: str
    freed_bytes: int
    kept: tuple[Path, ...] = ()
    reason: str = ""


def remove(name: str, inventory: Inventory, catalog: Catalog | None = None) -> Removed:
    """Take a model off the list, and delete its files if they are ours alone.

    Modifies: the store, the records.

    Raises:
        NotPulled: there is no such model here.
        LocalmixError: it cannot be taken away, or is being downloaded.
    """
    parsed, records = parse_name(name), inventory.records
    if isinstance(parsed, AliasName) and (named := records.find(parsed.text)):
        return _forget(named.stored(), inventory, lambda: records.remove(named.name))
    wanted = meaning(parsed, inventory.home, catalog)
    if wanted is None:
        raise LocalmixError(
            f"{name} comes inside localmix and takes little room", "pip uninstall localmix"
        )
    if isinstance(wanted, PathName):
        raise LocalmixError(
            f"{name} is a file of yours; rm takes names of models", "localmix list shows them"
        )
    model = inventory.find(wanted)
    if model is None:
        raise NotPulled(f"{name} is not on this machine", "localmix list shows what is")
    return _remove_found(model, inventory)


def _remove_found(model: StoredModel, inventory: Inventory) -> Removed:
    """Remove a model, and a download of it that has not finished."""
    store, freed_bytes = inventory.store, 0
    if model.hub_name is not None and model.hub_name.file:
        freed_bytes = _drop_partial(store, store.staging_of(model.hub_name), model.name)
    if model.origin in OTHER_PROGRAMS:
        inventory.records.hide(model.path)
        return Removed(model.name, freed_bytes, model.paths, f"{model.origin} put it there")
    manifest = store.manifest_beside(model.path)
    if not manifest.is_file():
        return Removed(model.name, freed_bytes)
    done = _forget(model, inventory, manifest.unlink)
    return replace(done, freed_bytes=done.freed_bytes + freed_bytes)


def _forget(model: StoredModel, inventory: Inventory, drop_name: Callable[[], None]) -> Removed:
    """Drop a name of a model, after its files if they are ours and it was the last name.

    In this order: who is stopped in between finds the model in the list again.
    """
    store, others = inventory.store, _names_of(model, inventory)
    if model.name in others:
        others.remove(model.name)
    if others:
        drop_name()
        return Removed(model.name, 0, model.paths, f"{others[0]} is the same model")
    inventory.records.forget_hashes(str(path) for path in model.paths)
    if model.origin == "imported" or not all(_is_ours(path, store) for path in model.paths):
        drop_name()
        return Removed(model.name, 0, model.paths, "localmix did not put it there")
    freed_bytes = 0
    for path in model.paths:
        freed_bytes += file_size(path) or 0
        with told_if_in_use(path):
            path.unlink(missing_ok=True)
    drop_name()
    for path in model.paths:
        store.remove_empty(path.parent)
    return Removed(model.name, freed_bytes)


def _names_of(model: StoredModel, inventory: Inventory) -> list[str]:
    """Give the names that stand for a model's files: those that people gave, and its own."""
    store, paths = inventory.store, set(model.paths)
    names = [n.name for n in inventory.records.named() if paths & {Path(p) for p in n.paths}]
    return names + [
        m.name for m in store.manifests() if paths & {store.place(m, file) for file in m.files}
    ]


def prune(inventory: Inventory, is_dry_run: bool = False) -> list[Removed]:
    """Delete downloads that have not finished and that nobody is at. Modifies: the store.

    Whole models stay, and so does whatever else lies in the folder.
    """
    store = inventory.store
    names = {store.staging_folder(m): m.name for m in store.partial_manifests()}
    pruned = []
    for folder in store.partial_folders():
        with store.left_alone(folder) as is_idle:
            if is_idle:
                pruned.append(Removed(names.get(folder, folder.name), _bytes_below(folder)))
                if not is_dry_run:
                    store.remove_staging(folder)
    return pruned


def _drop_partial(store: Store, staging: Path, name: str) -> int:
    if staging not in store.partial_folders():
        return 0
    with store.left_alone(staging) as is_idle:
        if not is_idle:
            raise LocalmixError(
                f"{name} is being downloaded at the moment", "stop that first, with Ctrl-C"
            )
        freed_bytes = _bytes_below(staging)
        store.remove_staging(staging)
    return freed_bytes


def _is_ours(path: Path, store: Store) -> bool:
    """Say whether a file lies in the store itself, not behind a link."""
    try:
        return path.resolve().is_relative_to(store.folder.resolve())
    except (OSError, RuntimeError, ValueError):
        return False


def _bytes_below(folder: Path) -> int:
    return sum(allocated_bytes(path) for path in folder.rglob("*") if path.is_file())
