"""Carries out a plan: checks the disk, downloads, verifies, and gives the model its place.

    plan = plan_pull("mistral", inventory, hub)
    model = pull(plan, inventory.store, hub, on_progress)

Events are data; drawing them is for the command line.
"""

import errno
import os
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Literal

from localmix import units
from localmix.errors import DownloadFailed, NotEnoughDisk
from localmix.json_file import take_place
from localmix.registry.disk.store import Store, part_path
from localmix.registry.download.journal import journal_path
from localmix.registry.download.parts import Progress
from localmix.registry.download.patience import Patience
from localmix.registry.download.transfer import fetch
from localmix.registry.hub import Hub
from localmix.registry.manifest import Manifest, RepoFile
from localmix.registry.plan import PullPlan
from localmix.registry.stored import StoredModel

Stage = Literal["wait", "download", "verify", "repair"]


@dataclass(frozen=True)
class PullProgress:
    """How far a model is.

    Attributes:
        stage: "wait" while another process downloads it; "download"; "verify" while the rest of a
            file is hashed; "repair" when it came wrong and parts come again.
        file: the path in the repository of the file at work.
        i_file: from 0, among the `n_files` that were missing.
        done_bytes: of `total_bytes` of all files of the model; of one file while it is hashed or
            comes again.
        trouble: why nothing comes at the moment; empty when all is well.
    """

    stage: Stage
    file: str
    i_file: int
    n_files: int
    done_bytes: int
    total_bytes: int
    trouble: str = ""


OnProgress = Callable[[PullProgress], None]


def pull(
    plan: PullPlan,
    store: Store,
    hub: Hub,
    on_progress: OnProgress = lambda progress: None,
    begins: Mapping[str, bytes] | None = None,
    clock: Callable[[], datetime] = lambda: datetime.now(timezone.utc),
    patience: Patience | None = None,
) -> StoredModel:
    """Carry a plan out. Modifies: the store.

    Two pulls of one model at the same time: the second waits, then finds it done. What has arrived
    is kept when it fails, and a later pull goes on from there.

    Args:
        plan: what is to be done.
        store: where the model goes.
        hub: where it comes from.
        on_progress: told about ten times a second.
        begins: first bytes of files that were read for their headers, by path.
        clock: what time it is.
        patience: when to try again.

    Raises:
        NotEnoughDisk: before the first byte, or when the disk fills up on the way.
        DownloadFailed: the network or the Hub failed, or the store cannot be written.
        ChecksumMismatch: a file does not arrive as the Hub states it; that file alone is removed.
    """
    if plan.stored is not None:
        return plan.stored
    assert plan.manifest is not None, "a plan has a manifest or a model that is here"
    check_disk(plan, store)
    manifest = plan.manifest

    def say_wait() -> None:
        first, n_files = manifest.files[0].path, len(manifest.files)
        on_progress(PullProgress("wait", first, 0, n_files, 0, manifest.size_bytes))

    with _writable(plan, store), store.locked(manifest, say_wait):
        staging = store.staging_folder(manifest)
        if not store.is_verified(manifest):
            missing = store.missing(manifest)
            staging = store.stage(manifest)
            for i_file, file in enumerate(missing):
                before = manifest.size_bytes - sum(f.size_bytes for f in missing[i_file:])
                tell = _Teller(manifest, file, i_file, len(missing), before, on_progress)
                begin = (begins or {}).get(file.path, b"")
                _fetch(manifest, file, staging / file.path, hub, tell, patience, begin)
        return store.publish(replace(manifest, pulled_at=clock().isoformat(timespec="seconds")))


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


def _fetch(
    manifest: Manifest,
    file: RepoFile,
    staged: Path,
    hub: Hub,
    tell: "_Teller",
    patience: Patience | None,
    begin: bytes,
) -> None:
    """Bring one file into the staging folder, verified."""
    part = part_path(staged)
    fetch(
        file,
        part,
        lambda: hub.link(manifest.repo, manifest.revision, file),
        tell,
        patience,
        begin=begin,
    )
    with part.open("rb+") as stream:
        os.fsync(stream.fileno())  # from here on it counts as verified, whatever the power does
    take_place(part, staged)
    journal_path(part).unlink(missing_ok=True)


@dataclass(frozen=True)
class _Teller:
    """Turns how far a file is into events about the model."""

    manifest: Manifest
    file: RepoFile
    i_file: int
    n_files: int
    bytes_before: int
    on_progress: OnProgress

    def __call__(self, progress: Progress) -> None:
        stage: Stage = "download"
        done_bytes, total_bytes = progress.done_bytes, self.file.size_bytes
        if done_bytes < total_bytes:
            done_bytes += self.bytes_before
            total_bytes = self.manifest.size_bytes
        else:
            stage = "repair" if progress.comparing else "verify"
            done_bytes = progress.hashed_bytes
        self.on_progress(
            PullProgress(
                stage,
                self.file.path,
                self.i_file,
                self.n_files,
                done_bytes,
                total_bytes,
                progress.trouble,
            )
        )


@contextmanager
def _writable(plan: PullPlan, store: Store) -> Iterator[None]:
    """Turn a disk that is full, and a store that cannot be written, into a sentence."""
    try:
        yield
    except BrokenPipeError:
        raise  # the reader of our output has left: no fault of the store
    except OSError as exc:
        if exc.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise NotEnoughDisk(
                f"the disk of {store.home} filled up; what has arrived of {plan.name} is kept",
                "free some space and pull again, or set LOCALMIX_HOME to a folder on a larger disk",
            ) from exc
        hint = "set LOCALMIX_HOME to a folder that you may write to"
        if sys.platform == "win32" and isinstance(exc, FileNotFoundError):
            # It makes the folders first, so what Windows does not find has too long a path.
            hint = "set LOCALMIX_HOME to a shorter path, or switch on Windows' long paths"
        raise DownloadFailed(
            f"the store {store.folder} cannot be written: {exc.strerror or exc}", hint
        ) from exc
