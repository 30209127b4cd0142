"""The models that were pulled, in folders that a person understands.

    LOCALMIX_HOME/models/
    └── bartowski/
        └── Mistral-7B-Instruct-v0.3-GGUF/
            ├── Mistral-7B-Instruct-v0.3-Q4_K_M.gguf        the model, verified
            ├── Mistral-7B-Instruct-v0.3-Q4_K_M.gguf.json   its manifest
            └── .partial/
                └── Mistral-7B-Instruct-v0.3-Q4_K_M/        a download that has not finished
                    ├── manifest.json                       what it will be
                    ├── ….gguf.part                         bytes that have arrived, with holes
                    ├── ….gguf.part.journal                 which of them
                    └── ….gguf                              a shard that is whole and verified

A model gets its place when all its files are verified, file by file in one step each: a name that
ends in `.gguf` beside a manifest is a whole file, and an older version of a model stays until then.
The store knows nothing of the Hub.
"""

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from localmix.json_file import take_place
from localmix.registry.disk.in_use import told_if_in_use
from localmix.registry.disk.links import refuse_links
from localmix.registry.download.journal import arrived_parts, journal_path
from localmix.registry.file_names import group_models, model_stem
from localmix.registry.manifest import Manifest, RepoFile, read_manifest, write_manifest
from localmix.registry.names import HubName
from localmix.registry.stored import StoredModel, damaged_model, file_size, newest_time

if TYPE_CHECKING:
    from filelock import BaseFileLock

_PARTIAL, _LOCKS, _STAGED_MANIFEST = ".partial", ".locks", "manifest.json"


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

    def place(self, manifest: Manifest, file: RepoFile) -> Path:
        """Give the place of a file of a model, once it is verified."""
        return self.folder / manifest.repo / file.path

    def manifest_path(self, manifest: Manifest) -> Path:
        """Give the place of a manifest: beside the first file."""
        return self.manifest_beside(self.place(manifest, manifest.files[0]))

    def manifest_beside(self, path: Path) -> Path:
        """Give the place of the manifest of a model whose first file is `path`."""
        return path.with_name(f"{path.name}.json")

    def staging_folder(self, manifest: Manifest) -> Path:
        """Give the folder of a model's files while they arrive."""
        return self.staging_of(_hub_name(manifest))

    def staging_of(self, name: HubName) -> Path:
        """Give the folder of the files of a model while they arrive, by one of them."""
        return self.folder / name.repo / _PARTIAL / model_stem(name.file).replace("/", "--")

    @contextmanager
    def locked(self, manifest: Manifest, on_wait: Callable[[], None]) -> Iterator[None]:
        """Hold the lock of a model, so that one process downloads it at a time.

        The system frees the lock of a process that dies. Modifies: the store, for the lock.

        Args:
            manifest: the model.
            on_wait: called once when another process has it, before waiting for it.
        """
        lock = self._lock(self.staging_folder(manifest))
        if not _is_taken(lock):
            on_wait()
            lock.acquire(poll_interval=0.2)
        try:
            yield
        finally:
            lock.release()

    @contextmanager
    def left_alone(self, staging: Path) -> Iterator[bool]:
        """Hold the lock of a staging folder if nobody has it -> whether it is held.

        Modifies: the store, for the lock.
        """
        lock = self._lock(staging)
        try:
            yield _is_taken(lock)
        finally:
            lock.release()  # does nothing for one that is not held

    def _lock(self, staging: Path) -> "BaseFileLock":
        from filelock import FileLock

        owner, repo, _, stem = staging.relative_to(self.folder).parts
        name = f"{owner}--{repo}--{stem}"
        folder = self.folder / _LOCKS
        folder.mkdir(parents=True, exist_ok=True)
        return FileLock(folder / f"{name}.lock")

    # ---- a download on its way ----------------------------------------------------------------

    def stage(self, manifest: Manifest) -> Path:
        """Make the staging folder of a model, and keep of what lies there what it still wants.

        Modifies: the store.

        Raises:
            LocalmixError: a link leads out of the store.
        """
        staging = self.staging_folder(manifest)
        before = _manifest_or_none(staging / _STAGED_MANIFEST)
        refuse_links(staging, self.folder)
        staging.mkdir(parents=True, exist_ok=True)
        for file in manifest.files:
            staged = staging / file.path
            for path in (staged, part_path(staged), journal_path(part_path(staged))):
                refuse_links(path, self.folder)
            refuse_links(self.place(manifest, file), self.folder)
            staged.parent.mkdir(parents=True, exist_ok=True)
            if before is None or file not in before.files:
                staged.unlink(missing_ok=True)
        write_manifest(staging / _STAGED_MANIFEST, manifest)
        return staging

    def is_verified(self, manifest: Manifest) -> bool:
        """Say whether all files of a staged model are verified, and some only lack their place."""
        before = _manifest_or_none(self.staging_folder(manifest) / _STAGED_MANIFEST)
        return before is not None and before.files == manifest.files and before.pulled_at != ""

    def missing(self, manifest: Manifest) -> tuple[RepoFile, ...]:
        """Give the files that are not whole yet, neither in their place nor staged."""
        if self.is_verified(manifest):
            return ()
        there = _manifest_or_none(self.manifest_path(manifest))
        in_place = there.files if there is not None else ()
        staging = self.staging_folder(manifest)
        before = _manifest_or_none(staging / _STAGED_MANIFEST)
        staged = before.files if before is not None else ()
        return tuple(
            file
            for file in manifest.files
            if not (file in in_place and _has_size(self.place(manifest, file), file))
            and not (file in staged and _has_size(staging / file.path, file))
        )

    def arrived_bytes(self, manifest: Manifest, file: RepoFile) -> int:
        """Give the bytes of a missing file that an earlier pull has left."""
        part = part_path(self.staging_folder(manifest) / file.path)
        # A journal may speak of bytes that somebody has deleted.
        return min(sum(arrived_parts(journal_path(part), file).values()), file_size(part) or 0)

    def first_bytes(self, manifest: Manifest, file: RepoFile) -> int:
        """Give how many bytes of a file are staged without a hole, from its first one on."""
        staging = self.staging_folder(manifest)
        before = _manifest_or_none(staging / _STAGED_MANIFEST)
        if before is not None and file in before.files and _has_size(staging / file.path, file):
            return file.size_bytes
        part = part_path(staging / file.path)
        return min(arrived_parts(journal_path(part), file).get(0, 0), file_size(part) or 0)

    def publish(self, manifest: Manifest) -> StoredModel:
        """Give the verified files of a model their places. Modifies: the store.

        May be done again after a crash: the staged manifest says that all files were verified. The
        manifest of an older version goes first, lest it vouches for a mixture of both.
        """
        staging = self.staging_folder(manifest)
        write_manifest(staging / _STAGED_MANIFEST, manifest)
        staged = [file for file in manifest.files if (staging / file.path).exists()]
        if staged:
            self.manifest_path(manifest).unlink(missing_ok=True)
        for file in staged:
            place = self.place(manifest, file)
            place.parent.mkdir(parents=True, exist_ok=True)
            with told_if_in_use(place):
                take_place(staging / file.path, place)
        write_manifest(self.manifest_path(manifest), manifest)
        self.remove_staging(staging)
        return self._finished(manifest)

    def remove_staging(self, staging: Path) -> None:
        """Remove a staging folder, and what is empty around it. Modifies: the store."""
        shutil.rmtree(staging, ignore_errors=True)
        self.remove_empty(staging.parent)

    def remove_empty(self, folder: Path) -> None:
        """Remove a folder and those around it as long as they are empty. Modifies: the store."""
        while folder != self.folder and folder.is_relative_to(self.folder):
            with suppress(OSError):
                folder.rmdir()
            if folder.exists():
                return
            folder = folder.parent

    # ---- what is here -------------------------------------------------------------------------

    def list(self) -> list[StoredModel]:
        """List every model that was pulled or is on its way, by name."""
        found = [*(self._finished(m) for m in self.manifests())]
        found += [self._partial(m) for m in self.partial_manifests()]
        found += [*self.unreadable(), *self._unreadable_partial()]
        return sorted(found, key=lambda model: (model.name.lower(), not model.complete))

    def manifests(self) -> Iterator[Manifest]:
        """Give the manifests of all models that have their place."""
        for path in self._manifest_paths():
            manifest = self._manifest_at(path)
            if manifest is not None:
                yield manifest

    def partial_manifests(self) -> Iterator[Manifest]:
        """Give the manifests of all downloads that have not finished."""
        for folder in self.partial_folders():
            manifest = self._staged_at(folder)
            if manifest is not None:
                yield manifest

    def partial_folders(self) -> tuple[Path, ...]:
        """Give all staging folders, also those whose manifest is damaged; none behind a link."""
        found = sorted(self.folder.glob(f"*/*/{_PARTIAL}/*"))
        real = Path(os.path.realpath(self.folder))
        return tuple(
            path
            for path in found
            if path.is_dir()
            and Path(os.path.realpath(path)) == real / path.relative_to(self.folder)
        )

    def _manifest_paths(self) -> Iterator[Path]:
        for path in sorted(self.folder.rglob("*.gguf.json")):
            parts = path.relative_to(self.folder).parts
            is_hidden = any(part.startswith(".") for part in parts)
            if len(parts) >= 3 and not is_hidden and file_size(path) is not None:
                yield path

    def _manifest_at(self, path: Path) -> Manifest | None:
        """Read the manifest of a model that has its place; None when it is damaged or astray."""
        manifest = _manifest_or_none(path)
        return manifest if manifest and self.manifest_path(manifest) == path else None

    def _staged_at(self, folder: Path) -> Manifest | None:
        manifest = _manifest_or_none(folder / _STAGED_MANIFEST)
        return manifest if manifest and self.staging_folder(manifest) == folder else None

    def _finished(self, manifest: Manifest) -> StoredModel:
        paths = tuple(self.place(manifest, file) for file in manifest.files)
        sizes = [file_size(path) for path in paths]
        return StoredModel(
            name=manifest.name,
            origin="pulled",
            paths=paths,
            size_bytes=sum(size or 0 for size in sizes),
            modified=newest_time((*paths, self.manifest_path(manifest))),
            complete=sizes == [file.size_bytes for file in manifest.files],
            hub_name=_hub_name(manifest),
            sha256=tuple(file.sha256 for file in manifest.files),
            whole_bytes=manifest.size_bytes,
        )

    def _partial(self, manifest: Manifest) -> StoredModel:
        staging = self.staging_folder(manifest)
        staged = [staging / file.path for file in manifest.files]
        journals = [journal_path(part_path(path)) for path in staged]
        whole_bytes = sum(file_size(path) or 0 for path in staged)
        arrived_bytes = sum(self.arrived_bytes(manifest, file) for file in manifest.files)
        return StoredModel(
            name=manifest.name,
            origin="pulled",
            paths=tuple(self.place(manifest, file) for file in manifest.files),
            size_bytes=whole_bytes + arrived_bytes,
            modified=newest_time((*staged, *journals, staging)),
            complete=False,
            hub_name=_hub_name(manifest),
            sha256=tuple(file.sha256 for file in manifest.files),
            whole_bytes=manifest.size_bytes,
        )

    def unreadable(self) -> Iterator[StoredModel]:
        """Show models whose manifest is damaged: hiding them would hide gigabytes."""
        for path in self._manifest_paths():
            if self._manifest_at(path) is None:
                first = path.with_suffix("")
                groups = group_models(p.name for p in first.parent.glob("*.gguf"))
                names = next((m.paths for m in groups if first.name in m.paths), (first.name,))
                paths = tuple(first.with_name(name) for name in names)
                yield damaged_model(self.folder, first, paths, paths)

    def _unreadable_partial(self) -> Iterator[StoredModel]:
        for folder in self.partial_folders():
            arrived = [path for path in folder.rglob("*.gguf*") if path.is_file()]
            if arrived and self._staged_at(folder) is None:
                first = folder.parents[1] / f"{folder.name}.gguf"
                yield damaged_model(self.folder, first, (first,), arrived)


def part_path(place: Path) -> Path:
    """Give the place of a file's bytes while they arrive."""
    return place.with_name(place.name + ".part")


def _is_taken(lock: "BaseFileLock") -> bool:
    """Take a lock, if nobody has it -> whether it is ours now."""
    from filelock import Timeout

    try:
        lock.acquire(timeout=0)
    except Timeout:
        return False
    return True


def _hub_name(manifest: Manifest) -> HubName:
    return HubName(manifest.repo, manifest.quantization, manifest.files[0].path)


def _manifest_or_none(path: Path) -> Manifest | None:
    try:
        return read_manifest(path)
    except (OSError, ValueError):
        return None


def _has_size(path: Path, file: RepoFile) -> bool:
    return file_size(path) == file.size_bytes
