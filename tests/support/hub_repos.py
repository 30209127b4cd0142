"""A repository of the fake Hub: its commits, and what the Hub's listings tell of it."""

import hashlib
import threading
from dataclasses import dataclass, field
from fnmatch import fnmatch
from typing import Any

from support.hub_answers import sha256
from support.hub_faults import Fault

REVISION = "0123456789abcdef0123456789abcdef01234567"


@dataclass
class FakeRepo:
    """A repository: its files, and what is wrong with it."""

    files: dict[str, Any]  # bytes or Patterns; those of `main`
    token: str | None = None  # gated: who brings another one is refused
    has_blobs: bool = True  # False: a mirror that leaves sizes and hashes out of the short answer
    served: dict[str, Any] = field(default_factory=dict)  # contents that differ from those stated
    status: int = 200  # other than 200: the answer to everything
    faults: list[Fault] = field(default_factory=list)
    link_uses: int | None = None  # how many requests a link is good for; None: any number
    renamed_to: str | None = None
    lfs: tuple[str, ...] = ("*.gguf", "*.bin", "*.safetensors")  # other files come from the Hub
    open_listing: bool = False  # True: a token is asked for by resolve alone, as the real Hub does
    downloads: int = 0
    likes: int = 0
    tags: tuple[str, ...] = ("gguf",)
    last_modified: str = "2026-01-02T03:04:05.000Z"
    sha: str = REVISION
    old: dict[str, dict] = field(default_factory=dict)  # earlier commits
    lock: Any = field(default_factory=threading.Lock, repr=False, compare=False)

    def update(self, files, forget=False):
        """Commit new contents (None: remove the file); say the new commit.

        The old commit can be asked for as before, unless the history is rewritten (`forget`).
        """
        with self.lock:
            self.old[self.sha] = self.files
            self.sha = hashlib.sha1(f"after {self.sha}".encode()).hexdigest()
            merged = {**self.files, **files}
            self.files = {path: data for path, data in merged.items() if data is not None}
            if forget:
                self.old.clear()
        return self.sha

    def at(self, revision):
        """The commit and the files that a revision names, or None."""
        with self.lock:
            if revision in ("main", self.sha):
                return self.sha, self.files
            return (revision, self.old[revision]) if revision in self.old else None

    def is_lfs(self, path):
        return any(fnmatch(path.lower(), pattern) for pattern in self.lfs)


def blob(repo, path, content, id_key):
    """Size and hashes of a file, as the two listings give them."""
    size, pointer, about = len(content), content, {}
    if repo.is_lfs(path):
        digest = sha256(content)
        pointer = (
            f"version https://git-lfs.github.com/spec/v1\noid sha256:{digest}\nsize {size}\n"
        ).encode()
        hash_key = "oid" if id_key == "oid" else "sha256"
        about = {"lfs": {hash_key: digest, "size": size, "pointerSize": len(pointer)}}
    oid = hashlib.sha1(b"blob %d\0" % len(pointer) + pointer[:]).hexdigest()
    return {"size": size, id_key: oid, **about}


def full_about(name, repo):
    return {
        "_id": "0" * 24,
        "id": name,
        "modelId": name,
        "author": name.partition("/")[0],
        "sha": repo.sha,
        "private": False,
        "gated": "auto" if repo.token is not None else False,
        "downloads": repo.downloads,
        "likes": repo.likes,
        "tags": list(repo.tags),
        "lastModified": repo.last_modified,
        "createdAt": repo.last_modified,
    }


def about(name, repo, query):
    """What a search tells of a model: `gated`, `lastModified` and `sha` only when asked for."""
    known = full_about(name, repo)
    if "expand" in query:
        return {key: known[key] for key in ("_id", "id", *query["expand"]) if key in known}
    if "full" in query:
        return {**known, "siblings": [{"rfilename": path} for path in repo.files]}
    return {k: v for k, v in known.items() if k not in ("author", "gated", "lastModified", "sha")}
