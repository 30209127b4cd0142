"""Carries out a plan: checks the disk, downloads, verifies, and gives the model its place.

    plan = plan_pull("mistral", store, hub)
    model = pull(plan, store, hub, on_progress)

Events are data; drawing them is for the command line. Bytes come by huggingface_hub's own download.
"""

import hashlib
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Literal

from localmix import units
from localmix.errors import ChecksumMismatch, DownloadFailed, NotEnoughDisk
from localmix.registry.hub import Hub
from localmix.registry.manifest import Manifest, RepoFile
from localmix.registry.names import HubName
from localmix.registry.plan import PullPlan
from localmix.registry.store import Store, StoredModel

_HASH_CHUNK_BYTES = 4 << 20


@dataclass(frozen=True)
class PullProgress:
    """How far one file is: first its download, then the check of its SHA-256.

    Attributes:
        file: its path in the repository.
        i_file: from 0, among the `n_files` that were missing.
        done_bytes: of the file's `file_bytes`, in this stage.
    """

    stage: Literal["download", "verify"]
    file: str
    i_file: int
    n_files: int
    done_bytes: int
    file_bytes: int


OnProgress = Callable[[PullProgress], None]


def pull(
    plan: PullPlan,
    store: Store,
    hub: Hub,
    on_progress: OnProgress = lambda progress: None,
    clock: Callable[[], datetime] = lambda: datetime.now(timezone.utc),
) -> StoredModel:
    """Carry a plan out. Modifies: the store.

    Two pulls of one model at the same time: the second waits, then finds it done.

    Raises:
        NotEnoughDisk: before the first byte, or when the disk fills up on the way.
        DownloadFailed: the network or the Hub failed, or the store cannot be written.
        ChecksumMismatch: a file did not arrive as the Hub states it; that file alone is removed.
    """
    if plan.stored is not None:
        return plan.stored
    check_disk(plan, store)
    manifest = plan.manifest()
    with _writable(store), store.lock(manifest):
        done_meanwhile = store.find(HubName(plan.repo, file=plan.files[0].path))
        if done_meanwhile is not None and done_meanwhile.complete:
            return done_meanwhile
        store.write(manifest)
        try:
            _fetch(plan, store, hub, on_progress)
        except BaseException:
            _forget_if_empty(manifest, store)
            raise
        finally:
            store.clear_staging(manifest)
        finished = plan.manifest(clock().isoformat(timespec="seconds"))
        store.write(finished)
        return store.read(finished)


def check_disk(plan: PullPlan, store: Store) -> None:
    """Check that what is missing fits on the disk.

    Raises:
        NotEnoughDisk: it does not; the message has both figures.
    """
    folder = store.folder
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    free_bytes = shutil.disk_usage(folder).free
    if plan.missing_bytes > free_bytes:
        raise NotEnoughDisk(
            f"{plan.name} needs {units.size(plan.missing_bytes)}, but the disk of {store.home} has"
            f" {units.size(free_bytes)} free",
            "free some space, or set LOCALMIX_HOME to a folder on a larger disk",
        )


def _fetch(plan: PullPlan, store: Store, hub: Hub, on_progress: OnProgress) -> None:
    """Download, verify and put into place what is missing, one file after the other."""
    store.clear_staging(plan.manifest())  # what a killed pull left: it cannot be resumed
    staging = store.staging_folder(plan.manifest())
    staging.mkdir(parents=True)
    for i_file, file in enumerate(plan.missing):
        report = _Reporter(file, i_file, len(plan.missing), on_progress)
        on_bytes = report.stage("download")
        arrived = hub.download(plan.repo, plan.revision, file.path, staging, on_bytes)
        _verify(arrived, file, plan, report.stage("verify"))
        place = store.repo_folder(plan.repo) / file.path
        place.parent.mkdir(parents=True, exist_ok=True)
        arrived.replace(place)


@dataclass(frozen=True)
class _Reporter:
    """Turns bytes that arrive into events about one file."""

    file: RepoFile
    i_file: int
    n_files: int
    on_progress: OnProgress

    def stage(self, stage: Literal["download", "verify"]) -> Callable[[int], None]:
        """Begin a stage; gives the function to call with each number of bytes done."""
        done_bytes = 0

        def advance(n_bytes: int) -> None:
            nonlocal done_bytes
            done_bytes += n_bytes
            self.on_progress(
                PullProgress(
                    stage=stage,
                    file=self.file.path,
                    i_file=self.i_file,
                    n_files=self.n_files,
                    done_bytes=done_bytes,
                    file_bytes=self.file.size_bytes,
                )
            )

        advance(0)
        return advance


def _verify(path: Path, file: RepoFile, plan: PullPlan, on_bytes: Callable[[int], None]) -> None:
    """Compare a file with the SHA-256 that the Hub states; removes it when they differ."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while chunk := stream.read(_HASH_CHUNK_BYTES):
            digest.update(chunk)
            on_bytes(len(chunk))
    if digest.hexdigest() == file.sha256.lower():
        return
    path.unlink()
    raise ChecksumMismatch(
        f"{file.path} did not arrive as hf.co/{plan.repo} states it: its SHA-256 is"
        f" {digest.hexdigest()[:12]}…, not {file.sha256[:12]}…",
        f"localmix pull {plan.name}",
    )


def _forget_if_empty(manifest: Manifest, store: Store) -> None:
    """Take a model off the list when not one of its files has arrived."""
    if not any(path.exists() for path in store.read(manifest).paths):
        store.manifest_path(manifest).unlink(missing_ok=True)


@contextmanager
def _writable(store: Store) -> Iterator[None]:
    """Turn a store that cannot be written into a sentence."""
    try:
        yield
    except BrokenPipeError:
        raise  # the reader of our output has left: no fault of the store
    except OSError as exc:
        raise DownloadFailed(
            f"the store {store.folder} cannot be written: {exc.strerror or exc}",
            "set LOCALMIX_HOME to a folder that you may write to",
        ) from exc
