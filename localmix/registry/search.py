"""Searches the Hub, and says of each repository which quantizations it has."""

from collections.abc import Callable
from dataclasses import dataclass

from localmix.errors import LocalmixError
from localmix.registry.download.patience import Trouble
from localmix.registry.file_names import group_models
from localmix.registry.hub import Hub
from localmix.registry.plan import name_in


@dataclass(frozen=True)
class Found:
    """One quantization of one repository.

    Attributes:
        name: what to type to pull it.
        size_bytes: of all its files.
    """

    name: str
    size_bytes: int


def search(
    words: str, hub: Hub, limit: int, on_repo: Callable[[str], None] = lambda repo: None
) -> list[Found]:
    """Find models, those of the most downloaded repositories first, each from small to large.

    Args:
        words: what the names of repositories must hold.
        hub: who is asked.
        limit: repositories at most.
        on_repo: called with each repository before it is asked for.

    Raises:
        DownloadFailed: the Hub cannot be asked.
    """
    found = []
    for repo in hub.search(words, limit):
        on_repo(repo)
        try:
            listing = hub.list_files(repo)
        except Trouble:
            raise
        except LocalmixError:
            continue  # gated, gone since, or not to be trusted: the others are still of use
        models = [
            Found(name_in(listing, m).text, sum(listing.files[p].size_bytes for p in m.paths))
            for m in group_models(listing.files)
            if m.is_whole
        ]
        found += sorted(models, key=lambda model: model.size_bytes)
    return found
