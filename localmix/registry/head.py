"""The header of a file that is not here yet: by HTTP Range, or from what has arrived.

A header of 32,000 pieces takes 0.7 MB, one of 128,000 some 8 MB. What is read is not thrown away:
the pull begins with it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from localmix.errors import InvalidGGUF
from localmix.gguf.header import MAGIC, Header, read_header
from localmix.registry.disk.store import Store, part_path
from localmix.registry.download.patience import Patience, Trouble
from localmix.registry.download.source import Source
from localmix.registry.hub import Hub
from localmix.registry.manifest import Manifest, RepoFile

STEPS_BYTES = (1 << 20, 4 << 20, 12 << 20)
"""How much is read: more, when a header does not end before."""


@dataclass(frozen=True)
class Heads:
    """The headers of all files of a model, or of none.

    Attributes:
        headers: in the order of the files; empty when one could not be read.
        read: what was downloaded for it, by path in the repository: the files' first bytes.
    """

    headers: tuple[Header, ...] = ()
    read: Mapping[str, bytes] = field(default_factory=dict, repr=False)


def read_heads(manifest: Manifest, store: Store, hub: Hub) -> Heads:
    """Read the headers of a model's files. Writes nothing.

    A server that is busy, or a file that is no model, gives no headers: the pull itself will say.

    Raises:
        DownloadFailed, ModelNotFound: the Hub refuses the files.
        UnsupportedQuant: a tensor has a block format that localmix cannot read.
    """
    headers, read = [], {}
    for file in manifest.files:
        here = _first_bytes_here(manifest, file, store)
        header, fetched = _read_head(manifest, file, here, hub)
        if len(fetched) > len(here):
            read[file.path] = fetched
        if header is None:
            return Heads((), read)
        headers.append(header)
    return Heads(tuple(headers), read)


def _read_head(
    manifest: Manifest, file: RepoFile, begin: bytes, hub: Hub
) -> tuple[Header | None, bytes]:
    """Read a header -> it, or None; and the first bytes of the file, as far as they were needed."""
    patience = Patience()
    source = Source(file, lambda: hub.link(manifest.repo, manifest.revision, file), patience)
    try:
        for step_bytes in (len(begin), *STEPS_BYTES):
            n_bytes = min(step_bytes, file.size_bytes)
            if n_bytes > len(begin):
                begin += _range(source, len(begin), n_bytes)
            if begin[: len(MAGIC)] not in (MAGIC, b""):
                break
            try:
                return read_header(memoryview(begin), file.size_bytes), begin
            except InvalidGGUF:
                continue  # it may only end later
    except Trouble:
        return None, begin
    finally:
        source.close()
    return None, begin


def _range(source: Source, first: int, end: int) -> bytes:
    """Fetch the bytes from `first` to before `end`, or as many as come in one go."""
    pieces, at = [], 0
    with source.open(first, end - 1) as answer:
        skip = first - answer.first  # a server that knows no ranges begins at 0
        while at < skip + end - first and (chunk := answer.read()):
            pieces.append(chunk)
            at += len(chunk)
    return b"".join(pieces)[skip : skip + end - first]


def _first_bytes_here(manifest: Manifest, file: RepoFile, store: Store) -> bytes:
    """Read the beginning of a file from what an earlier pull has left."""
    staged = store.staging_folder(manifest) / file.path
    n_bytes = min(STEPS_BYTES[-1], store.first_bytes(manifest, file))
    if not n_bytes:
        return b""
    try:
        with (staged if staged.exists() else part_path(staged)).open("rb") as stream:
            return stream.read(n_bytes)
    except OSError:  # another pull has just given it its place
        return b""
