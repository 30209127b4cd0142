"""A model that is on this disk, whoever put it there."""

import importlib.resources
import os
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Literal

from localmix.registry.file_names import quantization_of
from localmix.registry.names import HubName, is_repo, is_safe_file

EMBEDDED_NAME = "tiny"

Origin = Literal["embedded", "pulled", "imported", "copied", "Ollama", "Hugging Face", "LM Studio"]
"""How a model came here. The last three are other programs' files, used where they lie."""

OTHER_PROGRAMS: tuple[Origin, ...] = ("Ollama", "Hugging Face", "LM Studio")


@dataclass(frozen=True)
class StoredModel:
    """A model on this disk, whole or not.

    Attributes:
        name: what to type to run it.
        origin: how it came here.
        paths: its files in the order of the shards; some may be missing when it is not complete.
        size_bytes: what it takes on this disk now.
        modified: when its newest file changed.
        complete: whether every file is there and has its size.
        hub_name: where it is from on the Hub; None when nobody knows.
        sha256: of each file, in hexadecimal, "" for one that nobody stated.
        whole_bytes: what it takes when it is whole; 0 when nobody knows.
    """

    name: str
    origin: Origin
    paths: tuple[Path, ...]
    size_bytes: int
    modified: datetime
    complete: bool
    hub_name: HubName | None = None
    sha256: tuple[str, ...] = ()
    whole_bytes: int = 0

    @property
    def path(self) -> Path:
        """The file to open: the only one, or the first shard."""
        return self.paths[0]


def embedded_model() -> StoredModel | None:
    """Give the model that comes inside the package; None in a build without it."""
    path = Path(str(importlib.resources.files("localmix"))) / "assets" / f"{EMBEDDED_NAME}.gguf"
    size_bytes = file_size(path)
    if size_bytes is None:
        return None
    return StoredModel(
        EMBEDDED_NAME, "embedded", (path,), size_bytes, newest_time((path,)), complete=True
    )


def damaged_model(
    store: Path, first: Path, paths: tuple[Path, ...], arrived: Iterable[Path]
) -> StoredModel:
    """Describe a pulled model whose manifest cannot be read: its place says what it may be.

    Args:
        store: the folder of all models.
        first: its first file, there or not.
        paths: all its files, as far as one can tell.
        arrived: what there is of it.
    """
    owner, repo, *rest = first.relative_to(store).parts
    file, there = "/".join(rest), tuple(arrived)
    name = HubName(f"{owner}/{repo}", quantization_of(file), file)
    can_be_named = is_repo(name.repo) and is_safe_file(file)
    return StoredModel(
        name=name.text if can_be_named else str(first),
        origin="pulled",
        paths=paths,
        size_bytes=sum(allocated_bytes(path) for path in there),
        modified=newest_time(there),
        complete=False,
        hub_name=name if can_be_named else None,
    )


def file_size(path: Path) -> int | None:
    """Give the size of a file, the one that a link leads to; None when there is none."""
    try:
        return path.stat().st_size if path.is_file() else None
    except (OSError, ValueError):
        return None


def allocated_bytes(path: Path) -> int:
    """Give what a file takes on the disk, where the system tells: one on its way has holes."""
    try:
        status = path.lstat()
    except (OSError, ValueError):  # it may have been renamed meanwhile
        return 0
    blocks: int | None = getattr(status, "st_blocks", None)  # of 512 bytes; Windows has none
    return status.st_size if blocks is None else min(status.st_size, blocks * 512)


def newest_time(paths: tuple[Path, ...]) -> datetime:
    """Give the time of the newest of `paths` that exist, in UTC."""
    times_s = []
    for path in paths:
        try:
            times_s.append(path.stat().st_mtime)
        except (OSError, ValueError):
            continue
    return datetime.fromtimestamp(max(times_s, default=0.0), tz=timezone.utc)


def real_path(path: Path) -> Path:
    """Follow all links on the way; unlike Path.resolve it never raises for links in a circle."""
    return Path(os.path.realpath(path))
