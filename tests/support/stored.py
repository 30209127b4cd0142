"""Models put into a store as a pull leaves them, whole or not."""

from localmix.registry.manifest import Manifest, RepoFile

REPO = "owner/Model-GGUF"


def manifest_of(quantization="Q4_K_M", n_shards=1, size_bytes=10, repo=REPO):
    stem = f"Model-{quantization}"
    shards = [f"-{i:05}-of-{n_shards:05}" for i in range(1, n_shards + 1)] if n_shards > 1 else [""]
    files = tuple(RepoFile(f"{stem}{shard}.gguf", size_bytes, "ab" * 32) for shard in shards)
    return Manifest(f"hf.co/{repo}:{quantization}", repo, "c0ffee", quantization, files)


def put(store, manifest, n_files=None, size_bytes=None):
    """Put a model into the store as a pull would leave it; some files or bytes may be missing."""
    store.write(manifest)
    for file in manifest.files[:n_files]:
        path = store.repo_folder(manifest.repo) / file.path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x" * (file.size_bytes if size_bytes is None else size_bytes))
    return manifest
