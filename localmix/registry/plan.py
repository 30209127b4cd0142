"""Finds out what a pull would do: which files of which repository, and which of them are missing.

It asks the Hub and writes nothing; `pull.py` carries a plan out. `pull --dry-run` stops here.
"""

from dataclasses import dataclass

from localmix.errors import DownloadFailed, ModelNotFound
from localmix.registry.catalog import Catalog
from localmix.registry.file_names import DEFAULT_QUANTIZATION, ModelFiles, group_models, model_stem
from localmix.registry.hub import Hub, RepoListing
from localmix.registry.manifest import Manifest, RepoFile
from localmix.registry.names import HubName, PathName, parse_name
from localmix.registry.resolve import embedded, existing, meaning
from localmix.registry.store import Store, StoredModel


@dataclass(frozen=True)
class PullPlan:
    """What a pull would do.

    Attributes:
        name: what to type to run the model afterwards.
        repo: `OWNER/REPO`; empty for the embedded model.
        revision: the commit of the repository.
        quantization: empty when the file name does not say.
        files: all files of the model.
        missing: those still to download.
        stored: the model, when it is here already and there is nothing to do.
    """

    name: str
    repo: str = ""
    revision: str = ""
    quantization: str = ""
    files: tuple[RepoFile, ...] = ()
    missing: tuple[RepoFile, ...] = ()
    stored: StoredModel | None = None

    @property
    def size_bytes(self) -> int:
        """The size of the whole model."""
        if self.stored is not None:
            return self.stored.size_bytes
        return sum(file.size_bytes for file in self.files)

    @property
    def missing_bytes(self) -> int:
        """What is still to download."""
        return sum(file.size_bytes for file in self.missing)

    def manifest(self, pulled_at: str = "") -> Manifest:
        """Make the manifest of the model."""
        return Manifest(
            self.name, self.repo, self.revision, self.quantization, self.files, pulled_at
        )


def plan_pull(name: str, store: Store, hub: Hub, catalog: Catalog | None = None) -> PullPlan:
    """Find out which files a name stands for and which of them are missing. Writes nothing.

    A model that is here and complete needs no network, if the name says which one it is.

    Raises:
        ModelNotFound: no such name, repository or quantization; the message lists those that exist.
        DownloadFailed: the Hub cannot be reached or refuses.
    """
    parsed = parse_name(name)
    wanted = meaning(parsed, catalog)
    if isinstance(wanted, PathName):
        existing(wanted)
        raise ModelNotFound(
            f"{name} is on this disk already, nothing to pull", f"localmix run {name}"
        )
    if wanted is None:
        model = embedded()
        return PullPlan(model.name, stored=model)
    # Without a quantization the Hub has the say, unless the default one is here.
    says_which = bool(wanted.file or wanted.quantization)
    here = store.find(wanted if says_which else HubName(wanted.repo, DEFAULT_QUANTIZATION))
    if here is not None and here.complete:
        return _plan_of_stored(here)
    listing = hub.list_files(wanted.repo)
    chosen = choose_files(listing, wanted)
    here = store.find(HubName(wanted.repo, file=chosen.paths[0]))
    if here is not None and here.complete:
        return _plan_of_stored(here)
    files = tuple(listing.files[path] for path in chosen.paths)
    return PullPlan(
        name=_full_name(listing.repo, chosen, catalog),
        repo=listing.repo,
        revision=listing.revision,
        quantization=chosen.quantization,
        files=files,
        missing=tuple(file for file in files if not _is_here(file, here)),
    )


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
    if wanted.file:
        found = [m for m in models if wanted.file in m.paths or m.stem == model_stem(wanted.file)]
    else:
        quantization = wanted.quantization.upper() or DEFAULT_QUANTIZATION
        found = [m for m in models if m.quantization == quantization]
        if not found and not wanted.quantization and len(models) == 1:
            found = models
    if not found:
        raise _no_such_model(models, wanted)
    # The same quantization twice: the file nearest to the root, then the shortest name.
    chosen = min(found, key=lambda m: (m.stem.count("/"), len(m.stem), m.stem))
    if not chosen.is_whole:
        raise DownloadFailed(
            f"hf.co/{listing.repo} holds only {len(chosen.paths)} of the {chosen.n_shards} shards"
            f" of {chosen.stem}",
            "take another repository or quantization",
        )
    return chosen


def _plan_of_stored(stored: StoredModel) -> PullPlan:
    manifest = stored.manifest
    assert manifest is not None, "what the store finds by its repository has a manifest"
    return PullPlan(
        name=stored.name,
        repo=manifest.repo,
        revision=manifest.revision,
        quantization=manifest.quantization,
        files=manifest.files,
        stored=stored,
    )


def _full_name(repo: str, chosen: ModelFiles, catalog: Catalog | None) -> str:
    """Give the name that means exactly this model: the catalog's, else the repository's."""
    if catalog is None:
        from localmix.registry.catalog_file import load_catalog

        catalog = load_catalog()
    known = catalog.name_of(repo, chosen.quantization)
    file = "" if chosen.quantization else chosen.paths[0]
    return known or HubName(repo, chosen.quantization, file).text


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


def _is_here(file: RepoFile, stored: StoredModel | None) -> bool:
    """Say whether a verified file of the same content is in its place."""
    if stored is None or stored.manifest is None or file not in stored.manifest.files:
        return False
    path = stored.paths[stored.manifest.files.index(file)]
    return path.is_file() and path.stat().st_size == file.size_bytes
