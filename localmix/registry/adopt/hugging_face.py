"""Models in the cache of huggingface_hub: whatever `hf download` or another program fetched.

    HF_HUB_CACHE/
    └── models--OWNER--REPO/
        ├── blobs/
        │   ├── SHA256                        a file, named by its checksum
        │   └── SHA256.incomplete             a download that has not finished; no link leads to it
        ├── refs/
        │   └── main                          the commit that was the newest when someone asked
        └── snapshots/
            └── COMMIT/
                └── FILE.gguf                 → ../../blobs/SHA256, or on Windows often a file

A model is used by its path in the snapshot, where shards find each other by their names.

Source: https://huggingface.co/docs/huggingface_hub/guides/manage-cache
"""

import re
from collections.abc import Mapping
from pathlib import Path

from localmix import settings
from localmix.registry.adopt.folders import files_below, read_text, subfolders
from localmix.registry.adopt.repository import models_of, stored_model, with_short_names
from localmix.registry.names import is_repo
from localmix.registry.stored import StoredModel, newest_time, real_path

_N_LEVELS = 4
"""How deep to look in a snapshot: repositories put quantizations into folders, rarely deeper."""

_SHA256 = re.compile(r"[0-9a-f]{64}")


def hugging_face_models(environ: Mapping[str, str] | None = None) -> list[StoredModel]:
    """List the models of the Hugging Face cache."""
    cache = settings.hugging_face_cache(environ)
    found: list[StoredModel] = []
    for folder in subfolders(cache):
        kind, *names = folder.name.split("--")
        repo = "/".join(names)
        if kind == "models" and is_repo(repo):
            found += with_short_names(_models_of_repo(folder, repo, real_path(cache)))
    return found


def _models_of_repo(folder: Path, repo: str, cache: Path) -> list[StoredModel]:
    """List each model once: from the best snapshot that has it whole, else from the best one."""
    found: dict[tuple[str, int], StoredModel] = {}
    for snapshot in _best_first(folder):
        paths = [path for path in files_below(snapshot, _N_LEVELS) if _is_in(cache, snapshot, path)]
        for files in models_of(paths):
            model = stored_model("Hugging Face", repo, snapshot, files, _sha256_of)
            known = found.setdefault((files.stem, files.n_shards), model)
            if model.complete and not known.complete:
                found[files.stem, files.n_shards] = model
    return list(found.values())


def _best_first(folder: Path) -> list[Path]:
    """Give the snapshots of a repository: what `main` was last, then the others, newest first."""
    main = read_text(folder / "refs" / "main").strip()
    return sorted(
        subfolders(folder / "snapshots"),
        key=lambda snapshot: (snapshot.name == main, newest_time((snapshot,))),
        reverse=True,
    )


def _is_in(cache: Path, snapshot: Path, path: str) -> bool:
    """Say whether a file lies in the cache: a link could lead to any file of this machine."""
    return real_path(snapshot / path).is_relative_to(cache)


def _sha256_of(path: Path) -> str:
    """Read the checksum off the blob's name; small files are named by another one, and copies."""
    name = real_path(path).name
    return name if _SHA256.fullmatch(name) else ""
