"""Models in a folder that is laid out as a repository of the Hub, and how they are named."""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from localmix.registry.file_names import ModelFiles, group_models
from localmix.registry.names import HubName, is_repo, is_safe_file
from localmix.registry.stored import Origin, StoredModel, file_size, newest_time


def models_of(files: Iterable[str]) -> list[ModelFiles]:
    """Put files together as models; those whose names no repository may have are left out."""
    return group_models(path for path in files if is_safe_file(path))


def stored_model(
    origin: Origin,
    repo: str,
    folder: Path,
    files: ModelFiles,
    sha256_of: Callable[[Path], str] = lambda path: "",
) -> StoredModel:
    """Describe a model that lies in a folder.

    Args:
        origin: the program that put it there.
        repo: `OWNER/REPO`. When no repository can be named so, the model is named by its path.
        folder: what the paths of `files` are relative to.
        files: the model's files; a shard that is missing makes it incomplete, and so does a link
            that leads to nothing.
        sha256_of: tells what a file's checksum should be, "" for one that nobody stated.
    """
    paths = tuple(folder / path for path in files.paths)
    sizes = [file_size(path) for path in paths]
    hub_name = HubName(repo, files.quantization, files.paths[0]) if is_repo(repo) else None
    return StoredModel(
        name=hub_name.text if hub_name else str(paths[0]),
        origin=origin,
        paths=paths,
        size_bytes=sum(size or 0 for size in sizes),
        modified=newest_time(paths),
        complete=files.is_whole and None not in sizes,
        hub_name=hub_name,
        sha256=tuple(sha256_of(path) for path in paths),
    )


def with_short_names(models: Sequence[StoredModel]) -> list[StoredModel]:
    """Name the models of one repository by quantization; by file where that leaves a doubt."""
    n_alike = Counter(model.hub_name.quantization for model in models if model.hub_name)
    return [
        replace(model, name=HubName(hub_name.repo, hub_name.quantization).text)
        if (hub_name := model.hub_name)
        and hub_name.quantization
        and n_alike[hub_name.quantization] == 1
        else model
        for model in models
    ]
