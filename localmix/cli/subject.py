"""A model that is judged before it runs: its header, from the disk or from the Hub."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from localmix import settings
from localmix.cli.progress import shown_asking
from localmix.cli.terminal import Streams

if TYPE_CHECKING:
    from localmix.gguf.header import Header
    from localmix.registry.catalog import CatalogEntry


@dataclass(frozen=True)
class Subject:
    """A model that is judged.

    Attributes:
        name: what to type to run it.
        headers: of its files.
        size_bytes: of its files.
        missing_bytes: still to download.
        others: bytes of each quantization that there is, by name, its own among them.
        quantization: its own, as in `others`; empty when nobody knows others.
        entry: what the catalog says of it.
        perplexities: as published, by quantization.
        perplexities_of: which entry they are of: it, or a relative.
    """

    name: str
    headers: Sequence[Header]
    size_bytes: int
    missing_bytes: int = 0
    others: Mapping[str, int] | None = None
    quantization: str = ""
    entry: CatalogEntry | None = None
    perplexities: Mapping[str, float] = field(default_factory=dict)
    perplexities_of: CatalogEntry | None = None

    @classmethod
    def known(
        cls,
        name: str,
        headers: Sequence[Header],
        size_bytes: int,
        catalogued: Catalogued | None,
        missing_bytes: int = 0,
        others: Mapping[str, int] | None = None,
        quantization: str = "",
    ) -> Subject:
        """Make one, with what the catalog says of it."""
        if catalogued is None:
            return cls(name, headers, size_bytes, missing_bytes, others, quantization)
        return cls(
            name,
            headers,
            size_bytes,
            missing_bytes,
            others or catalogued.sizes,
            quantization or catalogued.quantization,
            catalogued.entry,
            catalogued.perplexities,
            catalogued.perplexities_of,
        )


@dataclass(frozen=True)
class Catalogued:
    """What the catalog says of a name.

    Attributes:
        entry: the model.
        quantization: which of its quantizations is meant; empty for the model inside the package.
        perplexities, perplexities_of: see `Subject`.
    """

    entry: CatalogEntry
    quantization: str
    perplexities: Mapping[str, float]
    perplexities_of: CatalogEntry

    @property
    def sizes(self) -> dict[str, int] | None:
        """Bytes of each quantization, about; None for the model inside the package."""
        if self.entry.is_embedded:
            return None
        return {q.name: round(q.size_gb * 1e9) for q in self.entry.quantizations.values()}


def look_up(name: str, streams: Streams) -> Subject:
    """Find a model here or on the Hub, and read its header.

    Without the Hub, what the catalog says is all there is: then there are no headers.

    Raises:
        ModelNotFound, DownloadFailed: there is none, or the Hub cannot be asked.
        InvalidGGUF, UnsupportedModel, UnsupportedQuant: it cannot be run.
    """
    from localmix.errors import DownloadFailed, NotPulled
    from localmix.registry.resolve import resolve

    catalogued = _catalogued(name)
    try:
        path = resolve(name, settings.home())
    except NotPulled:
        try:
            return _on_the_hub(name, catalogued, streams)
        except DownloadFailed:
            if catalogued is None or catalogued.sizes is None:
                raise
            n_bytes = catalogued.sizes[catalogued.quantization]
            return Subject.known(name, (), n_bytes, catalogued, n_bytes)
    from localmix.gguf import GGUFFile

    with GGUFFile.open(path) as file:
        return Subject.known(name, tuple(file.headers), file.size_bytes, catalogued)


def _on_the_hub(name: str, catalogued: Catalogued | None, streams: Streams) -> Subject:
    from localmix.cli.pull import Puller
    from localmix.errors import DownloadFailed
    from localmix.registry.head import read_heads

    puller = Puller(streams)
    plan = puller.plan(name)
    assert plan.manifest is not None, "what is not here has a manifest"
    with shown_asking(streams.stderr):
        heads = read_heads(plan.manifest, puller.inventory.store, puller.hub)
    if not heads.headers:
        raise DownloadFailed(
            f"the header of {name} cannot be read", f"localmix pull {name} --dry-run says more"
        )
    quantization = plan.manifest.quantization
    others = {**dict(plan.others), quantization: plan.size_bytes} if quantization else None
    return Subject.known(
        plan.name,
        heads.headers,
        plan.size_bytes,
        catalogued,
        plan.missing_bytes,
        others,
        quantization,
    )


def _catalogued(name: str) -> Catalogued | None:
    """Ask the catalog for a name; None for any that is not its own."""
    from localmix.advice.scores import published_perplexities
    from localmix.errors import ModelNotFound
    from localmix.registry.catalog_file import load_catalog
    from localmix.registry.names import AliasName, parse_name

    parsed = parse_name(name)
    if not isinstance(parsed, AliasName):
        return None
    catalog = load_catalog(home=settings.home())
    try:
        model = catalog.find(parsed)
    except ModelNotFound:  # a name that a person gave
        return None
    quantization = model.quantization.name if model.quantization else ""
    found, whose = published_perplexities(model.entry, catalog.entries)
    return Catalogued(model.entry, quantization, found, whose)
