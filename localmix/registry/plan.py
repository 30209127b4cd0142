"""Finds out what a pull would do: which files of which repository, and which of them are missing.

It asks the Hub and writes nothing; `pull.py` carries a plan out. `pull --dry-run` stops here.
"""

from dataclasses import dataclass, replace

from localmix.errors import DownloadFailed, ModelNotFound
from localmix.registry.catalog import Catalog
from localmix.registry.disk.inventory import Inventory
from localmix.registry.file_names import DEFAULT_QUANTIZATION, ModelFiles, group_models, model_stem
from localmix.registry.hub import Hub, RepoListing
from localmix.registry.manifest import Manifest, RepoFile
from localmix.registry.names import AliasName, HubName, OllamaName, PathName, parse_name
from localmix.registry.resolve import embedded, existing, find, meaning
from localmix.registry.stored import StoredModel


@dataclass(frozen=True)
class PullPlan:
    """What a pull would do.

    Attributes:
        name: what to type to run the model afterwards.
        manifest: what will be here; None for a model that is here already.
        missing: those of its files that are not whole yet.
        arrived_bytes: of the missing files, left by an earlier pull.
        others: size in bytes of each other quantization of the repository, by name.
        stored: the model, when it is here already and there is nothing to do.
        twin: `OWNER/REPO/FILE`, when that is another name of what is here.
    """

    name: str
    manifest: Manifest | None = None
    missing: tuple[RepoFile, ...] = ()
    arrived_bytes: int = 0
    others: tuple[tuple[str, int], ...] = ()
    stored: StoredModel | None = None
    twin: str = ""

    @property
    def size_bytes(self) -> int:
        """The size of the whole model."""
        if self.stored is not None:
            return self.stored.size_bytes
        return self.manifest.size_bytes if self.manifest is not None else 0

    @property
    def missing_bytes(self) -> int:
        """What is still to download."""
        return sum(file.size_bytes for file in self.missing) - self.arrived_bytes


def plan_pull(
    name: str,
    inventory: Inventory,
    hub: Hub,
    catalog: Catalog | None = None,
    newest: bool = False,
) -> PullPlan:
    """Find out which files a name stands for and which of them are missing. Writes nothing.

    A model that is here and complete needs no network, if the name says which one it is.

    Args:
        name: what a person typed.
        inventory: what is on this machine.
        hub: who is asked for the rest.
        catalog: None reads the one that comes with localmix and the person's own.
        newest: ask the Hub even if the model is here: it may have a newer one.

    Raises:
        ModelNotFound: no such name, repository or quantization; the message lists those that exist.
        DownloadFailed: the Hub cannot be reached or refuses.
    """
    parsed = parse_name(name)
    if isinstance(parsed, AliasName) and inventory.records.find(parsed.text):
        return _plan_of_stored(find(name, inventory.home, catalog), name)
    wanted = meaning(parsed, inventory.home, catalog)
    if wanted is None:
        return _plan_of_stored(embedded(), name)
    if isinstance(wanted, (PathName, OllamaName)):
        if isinstance(wanted, PathName):
            existing(wanted)
        raise ModelNotFound(
            f"{name} is no model of the Hub, so there is nothing to pull", f"localmix run {name}"
        )
    # Without a quantization the Hub has the say, unless the default one is here.
    says_which = bool(wanted.file or wanted.quantization)
    here = inventory.find(
        wanted if says_which else HubName(wanted.repo, DEFAULT_QUANTIZATION), with_hidden=True
    )
    if here is not None and here.complete and not newest:
        return _plan_of_stored(here, name)
    listing = hub.list_files(wanted.repo)
    chosen = choose_files(listing, wanted)
    files = tuple(listing.files[path] for path in chosen.paths)
    same = inventory.find_contents(tuple(file.sha256 for file in files))
    # An older one would go on being run, even if the newest has another name here.
    hides_older = newest and here is not None and same is not None and same.path != here.path
    if same is not None and not hides_older:
        hub_name = HubName(listing.repo, chosen.quantization, chosen.paths[0])
        twin = "" if same.hub_name == hub_name else f"{hub_name.repo}/{hub_name.file}"
        return replace(_plan_of_stored(same, name), twin=twin)
    full_name = _full_name(listing, chosen, inventory, catalog)
    manifest = Manifest(full_name, listing.repo, listing.revision, chosen.quantization, files)
    store = inventory.store
    missing = store.missing(manifest)
    return PullPlan(
        name=full_name,
        manifest=manifest,
        missing=missing,
        arrived_bytes=sum(store.arrived_bytes(manifest, file) for file in missing),
        others=_others(listing, chosen),
    )


def name_in(listing: RepoListing, model: ModelFiles) -> HubName:
    """Give the shortest name that means this model of a repository and no other."""
    if model.quantization:
        name = HubName(listing.repo, model.quantization)
        if _plainest(_meant(group_models(listing.files), name)) == model:
            return name
    return HubName(listing.repo, file=model.paths[0])


def choose_files(listing: RepoListing, wanted: HubName) -> ModelFiles:
    """Choose the model that a name means among those of a repository.

    A file that is named wins, then a quantization; without either it is Q4_K_M, or the only model.

    Raises:
        ModelNotFound: there is none, or several and no way to choose.
        DownloadFailed: the repository lacks a shard.
    """
    models = group_models(listing.files)
    if not models:
        raise ModelNotFound(
            f"hf.co/{listing.repo} holds no .gguf file",
            "look for a repository of the same model whose name ends in -GGUF",
        )
    found = _meant(models, wanted)
    if not found:
        raise _no_such_model(models, wanted)
    chosen = _plainest(found)
    if not chosen.is_whole:
        raise DownloadFailed(
            f"hf.co/{listing.repo} holds only {len(chosen.paths)} of the {chosen.n_shards} shards"
            f" of {chosen.stem}",
            "take another repository or quantization",
        )
    return chosen


def _meant(models: list[ModelFiles], wanted: HubName) -> list[ModelFiles]:
    if wanted.file:
        return [m for m in models if wanted.file in m.paths or m.stem == model_stem(wanted.file)]
    quantization = wanted.quantization.upper() or DEFAULT_QUANTIZATION
    found = [m for m in models if m.quantization == quantization]
    return models if not found and not wanted.quantization and len(models) == 1 else found


def _plainest(models: list[ModelFiles]) -> ModelFiles:
    """Of the same quantization twice: the file nearest to the root, then the shortest name."""
    return min(models, key=lambda m: (m.stem.count("/"), len(m.stem), m.stem))


def _plan_of_stored(stored: StoredModel | PathName, name: str) -> PullPlan:
    if isinstance(stored, PathName):
        raise ModelNotFound(
            f"{name} is no model of the Hub, so there is nothing to pull", f"localmix run {name}"
        )
    return PullPlan(stored.name, stored=stored)


def _full_name(
    listing: RepoListing, chosen: ModelFiles, inventory: Inventory, catalog: Catalog | None
) -> str:
    """Give the name that means exactly this model: the catalog's, else the repository's."""
    name = name_in(listing, chosen)
    if catalog is None:
        from localmix.registry.catalog_file import load_catalog

        catalog = load_catalog(home=inventory.home)
    return catalog.name_of(name.repo, name.quantization) or name.text


def _others(listing: RepoListing, chosen: ModelFiles) -> tuple[tuple[str, int], ...]:
    """Give quantization and size of the other whole models of a repository."""
    return tuple(
        (model.quantization, sum(listing.files[path].size_bytes for path in model.paths))
        for model in group_models(listing.files)
        if model.is_whole and model.quantization and model != chosen
    )


def _no_such_model(models: list[ModelFiles], wanted: HubName) -> ModelNotFound:
    known = ", ".join(dict.fromkeys(m.quantization or m.paths[0] for m in models))
    first = models[0]
    example = HubName(wanted.repo, first.quantization, "" if first.quantization else first.paths[0])
    if wanted.file:
        return ModelNotFound(
            f"hf.co/{wanted.repo} has no file {wanted.file}; quantizations that exist: {known}",
            f"localmix pull {example.text}",
        )
    missing = wanted.quantization or DEFAULT_QUANTIZATION
    return ModelNotFound(
        f"hf.co/{wanted.repo} has no quantization {missing}; those that exist: {known}",
        f"localmix pull {example.text}",
    )
