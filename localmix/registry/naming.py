"""Names that a person gives: to a file that is there already, or to a model that has one."""

import os
from pathlib import Path

from localmix.errors import LocalmixError, ModelNotFound
from localmix.gguf import GGUFFile
from localmix.registry.catalog import Catalog
from localmix.registry.disk.inventory import Inventory
from localmix.registry.disk.records import NamedFile, checked_name, name_from
from localmix.registry.file_names import group_models, model_stem
from localmix.registry.names import AliasName, PathName, parse_name
from localmix.registry.resolve import find, is_there
from localmix.registry.stored import Origin, StoredModel


def import_path(
    path: Path, inventory: Inventory, name: str = "", catalog: Catalog | None = None
) -> list[NamedFile]:
    """Take a file, or all models of a folder, into the list; nothing is copied or moved.

    Args:
        path: a .gguf file, any shard of a model, or a folder of such files.
        inventory: what is on this machine.
        name: what to type for it; empty: made of the file's name.
        catalog: whose names may not be taken; None reads the usual one.

    Raises:
        ModelNotFound: there is no such file, or no .gguf file in the folder.
        InvalidGGUF: it is no model.
        LocalmixError: the name cannot be given.
    """
    if not is_there(path):
        raise ModelNotFound(f"there is no file {path}", "look whether the path is written rightly")
    if not path.is_dir():
        return [_import_file(path, inventory, name, catalog)]
    models = group_models(p.relative_to(path).as_posix() for p in path.rglob("*") if p.is_file())
    if not models:
        raise ModelNotFound(f"{path} holds no .gguf file", "give the folder they are in")
    if name and len(models) > 1:
        raise LocalmixError(
            f"{path} holds {len(models)} models, which cannot all be named {name}",
            "import them one by one, or leave --name away",
        )
    return [_import_file(path / m.paths[0], inventory, name, catalog) for m in models]


def _import_file(path: Path, inventory: Inventory, name: str, catalog: Catalog | None) -> NamedFile:
    path = Path(os.path.abspath(path))  # noqa: PTH100 (without `..`, and links stay)
    with GGUFFile.open(path) as file:
        paths = tuple(str(shard) for shard in file.shards)
    wanted = checked_name(name or name_from(model_stem(path.name)))
    known = inventory.records.find(wanted)
    if known is not None and known.paths != paths:
        raise LocalmixError(
            f"{known.name} is the name of another file: {known.paths[0]}",
            f"localmix import {path} --name ANOTHER, or localmix rm {known.name}",
        )
    _refuse_names_of_catalog(wanted, inventory, catalog)
    pulled = next((m for m in inventory.store.list() if _paths_of(m) == paths), None)
    # A model of ours stays ours, to be deleted with its last name.
    named = _copied(wanted, pulled) if pulled else NamedFile(wanted, paths, "imported")
    inventory.records.add(named)
    inventory.records.hide(Path(paths[0]), is_hidden=False)
    return named


def copy_name(
    source: str, name: str, inventory: Inventory, catalog: Catalog | None = None
) -> NamedFile:
    """Give a model that is here another name; its files stay the only ones.

    Raises:
        ModelNotFound, NotPulled: there is no such model here.
        LocalmixError: the name cannot be given.
    """
    wanted = checked_name(name)
    model = find(source, inventory.home, catalog)
    if isinstance(model, PathName):
        return _import_file(model.path, inventory, wanted, catalog)
    if inventory.records.find(wanted) is not None:
        raise LocalmixError(f"{wanted} is a name already", f"localmix rm {wanted}")
    _refuse_names_of_catalog(wanted, inventory, catalog)
    named = _copied(wanted, model)
    inventory.records.add(named)
    return named


def _copied(name: str, model: StoredModel) -> NamedFile:
    origin: Origin = "imported" if model.origin == "imported" else "copied"
    return NamedFile(name, _paths_of(model), origin, model.sha256)


def _paths_of(model: StoredModel) -> tuple[str, ...]:
    return tuple(str(path.absolute()) for path in model.paths)


def _refuse_names_of_catalog(name: str, inventory: Inventory, catalog: Catalog | None) -> None:
    parsed = parse_name(name)
    assert isinstance(parsed, AliasName), "checked_name gives aliases only"
    if catalog is None:
        from localmix.registry.catalog_file import load_catalog

        catalog = load_catalog(home=inventory.home)
    try:
        catalog.find(parsed)
    except ModelNotFound:
        return
    raise LocalmixError(
        f"{name} is a name of the catalog, which would be hidden by this one",
        f"another name, such as my-{name.partition(':')[0]}",
    )
