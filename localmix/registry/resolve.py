"""A name becomes a file: a path as it is, the embedded model, or one on this machine. No network.

A name that a person gave goes before one of the catalog.
"""

from pathlib import Path
from typing import TYPE_CHECKING

from localmix.errors import ModelNotFound, NotPulled
from localmix.registry.catalog import Catalog
from localmix.registry.disk.records import Records
from localmix.registry.names import AliasName, HubName, ModelName, OllamaName, PathName, parse_name
from localmix.registry.stored import StoredModel, embedded_model

if TYPE_CHECKING:
    from localmix.registry.disk.inventory import Inventory


def resolve(name: str, home: Path, catalog: Catalog | None = None) -> Path:
    """Find the file of a model: the only one, or the first shard.

    Args:
        name: what a person typed; `names` shows the forms.
        home: LOCALMIX_HOME.
        catalog: None reads the one that comes with localmix and the person's own, when needed.

    Raises:
        ModelNotFound: no such name or file; close names are offered.
        NotPulled: the name is known, and its file is not here or not whole.
    """
    return find(name, home, catalog).path


def find(name: str, home: Path, catalog: Catalog | None = None) -> StoredModel | PathName:
    """Find a model, as `resolve` does: what is known of it, or a path to an unknown file."""
    parsed = parse_name(name)
    if isinstance(parsed, AliasName) and (named := Records(home).find(parsed.text)):
        model = named.stored()
        if not model.complete:
            raise NotPulled(
                f"the file of {name} has gone: {model.path}",
                f"put it back, or localmix rm {name}",
            )
        return model
    wanted = meaning(parsed, home, catalog)
    if wanted is None:
        return embedded()
    if isinstance(wanted, PathName):
        existing(wanted)
        return wanted
    found = _inventory(home).find(wanted)
    if found is None and isinstance(wanted, OllamaName):
        if is_there(Path(name)):
            return PathName(Path(name))
        raise NotPulled(f"Ollama has no {wanted.model} on this machine", "localmix list")
    if found is None:
        raise NotPulled(f"{name} is not on this machine yet", f"localmix pull {name}")
    if not found.complete and isinstance(wanted, OllamaName):
        theirs = wanted.text.partition("/")[2]
        raise NotPulled(f"Ollama's download of {theirs} has not finished", f"ollama pull {theirs}")
    if not found.complete:
        raise NotPulled(f"the download of {name} has not finished", f"localmix pull {name}")
    return found


def _inventory(home: Path) -> "Inventory":
    # The embedded model and paths, the quickest to start, need no look at all models here.
    from localmix.registry.disk.inventory import Inventory

    return Inventory(home)


def meaning(
    name: ModelName, home: Path | None = None, catalog: Catalog | None = None
) -> HubName | OllamaName | PathName | None:
    """Say what a name stands for: a model of a repository or of Ollama, a path, or (None) `tiny`.

    Raises:
        ModelNotFound: an alias that the catalog does not have.
    """
    if not isinstance(name, AliasName):
        return name
    if catalog is None:
        from localmix.registry.catalog_file import load_catalog

        catalog = load_catalog(home=home)
    try:
        model = catalog.find(name)
    except ModelNotFound:
        # Pulled under a name that the catalog has lost since.
        if home is not None and (pulled := _inventory(home).find_pulled(name.text)):
            return pulled.hub_name
        # A file without a suffix, such as a blob of another program; a known alias goes first.
        if is_there(Path(name.text)):
            return PathName(Path(name.text))
        raise
    return model.hub_name


def embedded() -> StoredModel:
    """Give the embedded model.

    Raises:
        ModelNotFound: this build of localmix was packaged without it.
    """
    model = embedded_model()
    if model is None:
        raise ModelNotFound(
            "the embedded model tiny is missing from this installation",
            "pip install --force-reinstall localmix",
        )
    return model


def existing(name: PathName) -> Path:
    """Give a path that exists.

    Raises:
        ModelNotFound: it does not; `OWNER/REPO` is taken for a forgotten `hf.co/`.
    """
    if is_there(name.path):
        return name.path
    as_repo = f"hf.co/{name.text}"
    try:
        parse_name(as_repo)
    except ModelNotFound:
        hint = "localmix list shows what is here"
    else:
        hint = f"localmix pull {as_repo}, if a repository of the Hub is meant"
    raise ModelNotFound(f"there is no file {name.text}", hint)


def is_there(path: Path) -> bool:
    """Say whether a path exists; one that the system refuses to look at does not exist for us."""
    try:
        return path.exists()
    except (OSError, ValueError):  # a folder that may not be entered, a name too long, a zero byte
        return False
