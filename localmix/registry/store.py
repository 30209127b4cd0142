"""The models on this disk, in folders that a person understands.

    LOCALMIX_HOME/models/
    └── bartowski/
        └── Mistral-7B-Instruct-v0.3-GGUF/
            ├── Mistral-7B-Instruct-v0.3-Q4_K_M.gguf        the model, verified
            ├── Mistral-7B-Instruct-v0.3-Q4_K_M.gguf.json   its manifest
            └── .partial/                                   a download that has not finished

A file gets its place in one step, after its SHA-256 was checked: a name that ends in `.gguf` here
is a whole file. The embedded model is listed among them. The store knows nothing of the Hub.
"""

import importlib.resources
import shutil
from collections.abc import Iterator
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Literal

from localmix.registry.file_names import DEFAULT_QUANTIZATION, model_stem, quantization_of
from localmix.registry.manifest import Manifest, read_manifest, write_manifest
from localmix.registry.names import HubName

EMBEDDED_NAME = "tiny"


@dataclass(frozen=True)
class StoredModel:
    """A model of the store, whole or not.

    Attributes:
        name: what to type to run it.
        origin: how it came here.
        paths: its files in the order of the shards; some may be missing when it is not complete.
        size_bytes: what it takes on this disk now.
        modified: when its newest file changed.
        complete: whether every file is there and has its size.
        manifest: None for the embedded model and when the manifest cannot be read.
    """

    name: str
    origin: Literal["embedded", "pulled"]
    paths: tuple[Path, ...]
    size_bytes: int
    modified: datetime
    complete: bool
    manifest: Manifest | None = None

    @property
    def path(self) -> Path:
        """The file to open: the only one, or the first shard."""
        return self.paths[0]


@dataclass(frozen=True)
class Store:
    """The store under one home folder.

    Attributes:
        home: LOCALMIX_HOME; nothing is written until a model is pulled.
    """

    home: Path

    @property
    def folder(self) -> Path:
        """The folder of all models."""
        return self.home / "models"

    def repo_folder(self, repo: str) -> Path:
        """Give the folder of a repository's models."""
        return self.folder / repo

    def manifest_path(self, manifest: Manifest) -> Path:
        """Give the place of a manifest: beside the first file."""
        first = manifest.files[0].path
        return self.repo_folder(manifest.repo) / f"{first}.json"

    def staging_folder(self, manifest: Manifest) -> Path:
        """Give the folder where a model is downloaded to before it is verified."""
        name = model_stem(manifest.files[0].path).replace("/", "--")
        return self.repo_folder(manifest.repo) / ".partial" / name

    def lock(self, manifest: Manifest) -> AbstractContextManager[object]:
        """Hold the download of a model: other processes wait until this one is done or dead."""
        from filelock import FileLock

        name = f"{manifest.repo}/{model_stem(manifest.files[0].path)}".replace("/", "--")
        folder = self.folder / ".locks"
        folder.mkdir(parents=True, exist_ok=True)
        return FileLock(folder / f"{name}.lock")

    def write(self, manifest: Manifest) -> None:
        """Write a manifest. Modifies: the store."""
        write_manifest(self.manifest_path(manifest), manifest)

    def clear_staging(self, manifest: Manifest) -> None:
        """Remove what a download left in its staging folder. Modifies: the store."""
        staging = self.staging_folder(manifest)
        shutil.rmtree(staging, ignore_errors=True)
        with suppress(OSError):  # another model of the repository may be on its way
            staging.parent.rmdir()

    def find(self, name: HubName) -> StoredModel | None:
        """Find the model that a repository's name means, complete or not.

        Without a quantization it is the default one, else the only one there is.
        """
        of_repo = [m for m in self._pulled() if _is_of(m, name.repo)]
        wanted = name.quantization.upper()
        if name.file:
            of_repo = [m for m in of_repo if _holds(m, name.file)]
        elif wanted:
            of_repo = [m for m in of_repo if _quantization(m) == wanted]
        elif len(of_repo) > 1:
            of_repo = [m for m in of_repo if _quantization(m) == DEFAULT_QUANTIZATION]
        return max(of_repo, key=lambda m: m.complete, default=None)

    def read(self, manifest: Manifest) -> StoredModel:
        """Look how much of a manifest's model is on this disk."""
        paths = tuple(self.repo_folder(manifest.repo) / file.path for file in manifest.files)
        sizes = [_size(path) for path in paths]
        complete = sizes == [file.size_bytes for file in manifest.files]
        partial_bytes = 0 if complete else _folder_size(self.staging_folder(manifest))
        return StoredModel(
            name=manifest.name,
            origin="pulled",
            paths=paths,
            size_bytes=sum(size for size in sizes if size is not None) + partial_bytes,
            modified=_modified((*paths, self.manifest_path(manifest))),
            complete=complete,
            manifest=manifest,
        )

    def list(self) -> list[StoredModel]:
        """List every model: the embedded one first, the others by name."""
        embedded = embedded_model()
        pulled = sorted(self._pulled(), key=lambda model: model.name.lower())
        return ([embedded] if embedded else []) + pulled

    def _pulled(self) -> Iterator[StoredModel]:
        for path in sorted(self.folder.rglob("*.json")):
            relative = path.relative_to(self.folder)
            if any(part.startswith(".") for part in relative.parts) or len(relative.parts) < 3:
                continue
            try:
                yield self.read(read_manifest(path))
            except (OSError, ValueError):
                yield _unreadable(path, relative)


def embedded_model() -> StoredModel | None:
    """Give the model that comes inside the package; None in a build without it."""
    path = Path(str(importlib.resources.files("localmix"))) / "assets" / f"{EMBEDDED_NAME}.gguf"
    size_bytes = _size(path)
    if size_bytes is None:
        return None
    return StoredModel(
        EMBEDDED_NAME, "embedded", (path,), size_bytes, _modified((path,)), complete=True
    )


def _unreadable(path: Path, relative: Path) -> StoredModel:
    """Show a model whose manifest is damaged: hiding it would hide gigabytes."""
    model_path = path.with_suffix("")
    name = "hf.co/" + relative.with_suffix("").as_posix()
    return StoredModel(
        name, "pulled", (model_path,), _size(model_path) or 0, _modified((path,)), complete=False
    )


def _is_of(model: StoredModel, repo: str) -> bool:
    return model.manifest is not None and model.manifest.repo.lower() == repo.lower()


def _holds(model: StoredModel, file: str) -> bool:
    manifest = model.manifest
    return manifest is not None and file in [f.path for f in manifest.files]


def _quantization(model: StoredModel) -> str:
    manifest = model.manifest
    return (manifest.quantization or quantization_of(manifest.files[0].path)) if manifest else ""


def _size(path: Path) -> int | None:
    """Give the size of a file; None when there is none."""
    try:
        return path.stat().st_size if path.is_file() else None
    except OSError:
        return None


def _folder_size(folder: Path) -> int:
    return sum(_size(path) or 0 for path in folder.rglob("*"))


def _modified(paths: tuple[Path, ...]) -> datetime:
    """Give the time of the newest of `paths` that exist."""
    times_s = [path.stat().st_mtime for path in paths if path.exists()]
    return datetime.fromtimestamp(max(times_s, default=0.0), tz=timezone.utc)
