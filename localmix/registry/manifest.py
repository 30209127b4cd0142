"""The manifest of a stored model: a small JSON file beside it that says what should be there.

It is written beside the arriving bytes before the first of them, and beside the model when the last
file has been verified.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from localmix.json_file import write_json
from localmix.registry.names import is_repo, is_safe_file


@dataclass(frozen=True)
class RepoFile:
    """One file of a repository.

    Attributes:
        path: in the repository, with `/`.
        size_bytes: as the Hub states it.
        sha256: as the Hub states it, in hexadecimal.
    """

    path: str
    size_bytes: int
    sha256: str


@dataclass(frozen=True)
class Manifest:
    """What was, or is being, downloaded.

    Attributes:
        name: what to type to run the model.
        repo: `OWNER/REPO`.
        revision: the commit of the repository.
        quantization: `Q4_K_M`; empty when the file name does not say.
        files: one, or all shards in order.
        pulled_at: ISO 8601 in UTC; empty while the download has not finished.
    """

    name: str
    repo: str
    revision: str
    quantization: str
    files: tuple[RepoFile, ...]
    pulled_at: str = ""

    @property
    def size_bytes(self) -> int:
        """The size of all files together."""
        return sum(file.size_bytes for file in self.files)


def read_manifest(path: Path) -> Manifest:
    """Read a manifest.

    Raises:
        ValueError: it is no manifest, or names a file outside its repository's folder.
        OSError: it cannot be read.
    """
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        files = tuple(_parse_file(file) for file in document["files"])
        texts = {
            key: str(document[key])
            for key in ("name", "repo", "revision", "quantization", "pulled_at")
        }
    except (KeyError, TypeError, OverflowError, RecursionError) as exc:
        raise ValueError(f"{path} is no manifest of a model") from exc
    if not files or not is_repo(texts["repo"]):
        raise ValueError(f"{path} is no manifest of a model")
    return Manifest(files=files, **texts)


def write_manifest(path: Path, manifest: Manifest) -> None:
    """Write a manifest. Modifies: its folder."""
    write_json(path, asdict(manifest))


def _parse_file(file: Mapping[str, Any]) -> RepoFile:
    path, size_bytes, sha256 = str(file["path"]), int(file["size_bytes"]), str(file["sha256"])
    if not is_safe_file(path) or size_bytes < 0:
        raise ValueError(f"{path!r} is no file of a repository")
    return RepoFile(path, size_bytes, sha256)
