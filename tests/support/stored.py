"""Models as pulls and other programs leave them, whole or not."""

import hashlib
import json
import threading
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from localmix.registry.catalog import Catalog, CatalogEntry, Quantization
from localmix.registry.disk.store import part_path
from localmix.registry.download.journal import Journal, journal_path
from localmix.registry.manifest import Manifest, RepoFile, write_manifest
from support.tiny_gguf import F32, TensorBytes, build, small_file, string_key, u32_key

REPO = "owner/Model-GGUF"
NAME = f"hf.co/{REPO}:Q4_K_M"

CATALOG = Catalog(
    (
        CatalogEntry("tiny"),
        CatalogEntry(
            "small:1b", ("small",), {"Q4_K_M": Quantization("Q4_K_M", 0.7, REPO)}, default="Q4_K_M"
        ),
    )
)


def sha256_of(content):
    return hashlib.sha256(content).hexdigest()


def manifest_of(quantization="Q4_K_M", n_shards=1, size_bytes=10, repo=REPO):
    """The manifest of a model of nothing but the letter x."""
    stem = f"Model-{quantization}"
    shards = [f"-{i:05}-of-{n_shards:05}" for i in range(1, n_shards + 1)] if n_shards > 1 else [""]
    sha256 = sha256_of(b"x" * size_bytes)
    files = tuple(RepoFile(f"{stem}{shard}.gguf", size_bytes, sha256) for shard in shards)
    return Manifest(f"hf.co/{repo}:{quantization}", repo, "c0ffee", quantization, files)


def verified(manifest):
    return replace(manifest, pulled_at="2026-01-02T03:04:05+00:00")


def put(store, manifest, n_files=None, size_bytes=None):
    """Put a model into the store as a pull would leave it; some files or bytes may be missing."""
    manifest = verified(manifest)
    write_manifest(store.manifest_path(manifest), manifest)
    for file in manifest.files[:n_files]:
        path = store.place(manifest, file)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x" * (file.size_bytes if size_bytes is None else size_bytes))
    return manifest


def begin(store, manifest, n_bytes=4):
    """Begin a download as a pull that was killed leaves it -> its staging folder."""
    staging = store.stage(manifest)
    part = part_path(staging / manifest.files[0].path)
    part.write_bytes(b"x" * n_bytes)
    journal = Journal(journal_path(part), manifest.files[0])
    journal.note(0, n_bytes)
    journal.close()
    return staging


@contextmanager
def somebody_downloads(store, manifest):
    """Hold the lock of a model as another process does."""
    held, done = threading.Event(), threading.Event()

    def hold():
        with store.locked(manifest, lambda: None):
            held.set()
            done.wait()

    thread = threading.Thread(target=hold)
    thread.start()
    assert held.wait(10)
    try:
        yield
    finally:
        done.set()
        thread.join()


def write_gguf(path):
    """Write a sound GGUF file of few bytes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(small_file())
    return path


def write_shards(folder, n_shards=3, stem="m-Q8_0"):
    """Write a GGUF file in several parts -> their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for i in range(n_shards):
        keys = [u32_key("split.no", i), u32_key("split.count", n_shards)]
        keys += [u32_key("split.tensors.count", n_shards)]
        keys += [string_key("general.architecture", "llama")] if i == 0 else []
        paths.append(folder / f"{stem}-{i + 1:05}-of-{n_shards:05}.gguf")
        paths[-1].write_bytes(build(keys, [TensorBytes(f"blk.{i}.w", (8,), F32, bytes(32))]))
    return paths


def put_in_lm_studio(path=f"{REPO}/Model-Q4_K_M.gguf", content=b"x" * 10):
    """Put a file where LM Studio would; the home is the one of the test."""
    place = Path.home() / ".lmstudio" / "models" / path
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_bytes(content)
    return place


def put_in_ollama(place="registry.ollama.ai/library/mistral/latest", content=b"x" * 10, size=None):
    """Put a model where Ollama would -> its blob."""
    folder, digits = Path.home() / "ollama", sha256_of(content)
    blob, manifest = folder / "blobs" / f"sha256-{digits}", folder / "manifests" / place
    kind = "application/vnd.ollama.image.model"
    layer = {"mediaType": kind, "digest": f"sha256:{digits}", "size": size or len(content)}
    for path, data in ((blob, content), (manifest, json.dumps({"layers": [layer]}).encode())):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return blob


def files_in(folder):
    """Every file below a folder, but for locks."""
    found = (path for path in folder.rglob("*") if path.is_file())
    return sorted(p.relative_to(folder).as_posix() for p in found if p.suffix != ".lock")
