"""A name becomes a file: a path as it is, the embedded model, or one from the store. No network."""

from pathlib import Path

from localmix.errors import ModelNotFound, NotPulled
from localmix.registry.catalog import Catalog
from localmix.registry.names import AliasName, HubName, ModelName, PathName, parse_name
from localmix.registry.store import Store, StoredModel, embedded_model


def resolve(name: str, home: Path, catalog: Catalog | None = None) -> Path:
    """Find the file of a model: the only one, or the first shard.

    Args:
        name: what a person typed; `names` shows the forms.
        home: LOCALMIX_HOME.
        catalog: None reads the one that comes with localmix, when the name needs it.

    Raises:
        ModelNotFound: no such name or file; close names are offered.
        NotPulled: the name is known, and its file is not here or not whole.
    """
    wanted = meaning(parse_name(name), catalog)
    if wanted is None:
        return embedded().path
    if isinstance(wanted, PathName):
        return existing(wanted)
    stored = Store(home).find(wanted)
    if stored is None:
        raise NotPulled(f"{name} is not on this machine yet", f"localmix pull {name}")
    if not stored.complete:
        raise NotPulled(f"the download of {name} has not finished", f"localmix pull {name}")
    return stored.path


def meaning(name: ModelName, catalog: Catalog | None = None) -> HubName | PathName | None:
    """Say what a name stands for: a repository's model, a path, or (None) the embedded model.

    Raises:
        ModelNotFound: an alias that the catalog does not have.
    """
    if not isinstance(name, AliasName):
        return name
    if catalog is None:
        from localmix.registry.catalog_file import load_catalog

        catalog = load_catalog()
    try:
        model = catalog.find(name)
    except ModelNotFound:
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
