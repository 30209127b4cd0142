"""A model that is judged before it runs: its header, from the disk or from the Hub."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
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
    """

    name: str
    headers: Sequence[Header]
    size_bytes: int
    missing_bytes: int = 0
    others: Mapping[str, int] | None = None
    quantization: str = ""
    entry: CatalogEntry | None = None


def look_up(name: str, streams: Streams) -> Subject:
    """Find a model here or on the Hub, and read its header.

    Raises:
        ModelNotFound, DownloadFailed: there is none, or the Hub cannot be asked.
        InvalidGGUF, UnsupportedModel, UnsupportedQuant: it cannot be run.
    """
    from localmix.errors import NotPulled
    from localmix.registry.resolve import resolve

    try:
        path = resolve(name, settings.home())
    except NotPulled:
        return _on_the_hub(name, streams)
    from localmix.gguf import GGUFFile

    with GGUFFile.open(path) as file:
        headers, n_bytes = tuple(file.headers), file.size_bytes
    entry, quantization = _catalogued(name)
    others = _sizes(entry)
    return Subject(name, headers, n_bytes, 0, others, quantization, entry)


def _on_the_hub(name: str, streams: Streams) -> Subject:
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
    entry, _ = _catalogued(name)
    return Subject(
        plan.name, heads.headers, plan.size_bytes, plan.missing_bytes, others, quantization, entry
    )


def _catalogued(name: str) -> tuple[CatalogEntry | None, str]:
    """What the catalog says of a name -> its entry and quantization, or nothing."""
    from localmix.errors import ModelNotFound
    from localmix.registry.catalog_file import load_catalog
    from localmix.registry.names import AliasName, parse_name

    parsed = parse_name(name)
    if not isinstance(parsed, AliasName):
        return None, ""
    try:
        model = load_catalog(home=settings.home()).find(parsed)
    except ModelNotFound:  # a name that a person gave
        return None, ""
    return model.entry, model.quantization.name if model.quantization else ""


def _sizes(entry: CatalogEntry | None) -> dict[str, int] | None:
    if entry is None or entry.is_embedded:
        return None
    return {one.name: round(one.size_gb * 1e9) for one in entry.quantizations.values()}
