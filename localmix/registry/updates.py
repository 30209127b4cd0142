"""Which of the pulled models have changed on the Hub since."""

from collections.abc import Iterator
from dataclasses import dataclass

from localmix.errors import LocalmixError
from localmix.registry.disk.inventory import Inventory
from localmix.registry.hub import Hub, RepoListing
from localmix.registry.manifest import Manifest


@dataclass(frozen=True)
class Freshness:
    """One pulled model beside what the Hub has now.

    Attributes:
        manifest: of the model that is here.
        is_outdated: the Hub has other files under its names.
        revision: the Hub's commit now; empty when it could not be asked.
        problem: why it could not be asked, or what is gone there; empty when all is well.
    """

    manifest: Manifest
    is_outdated: bool = False
    revision: str = ""
    problem: str = ""


def freshness(inventory: Inventory, hub: Hub) -> Iterator[Freshness]:
    """Compare every pulled model with the Hub, one request for each repository."""
    listings: dict[str, RepoListing | LocalmixError] = {}
    for manifest in inventory.store.manifests():
        if manifest.repo not in listings:
            try:
                listings[manifest.repo] = hub.list_files(manifest.repo)
            except LocalmixError as exc:
                listings[manifest.repo] = exc
        listing = listings[manifest.repo]
        if isinstance(listing, LocalmixError):
            yield Freshness(manifest, problem=listing.message)
            continue
        now = [listing.files.get(file.path) for file in manifest.files]
        if None in now:
            problem = "the Hub does not have it any more"
            yield Freshness(manifest, revision=listing.revision, problem=problem)
            continue
        yield Freshness(manifest, tuple(now) != manifest.files, listing.revision)
