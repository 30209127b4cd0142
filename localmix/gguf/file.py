"""A model file, opened: mapped into memory, checked, its tensors as views on the map.

Opening reads the keys and the tensor table only; weights come from disk when they are first touched
and stay in the system's page cache, shared by all processes that map the file.
"""

from __future__ import annotations

import contextlib
import mmap
import stat
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType, TracebackType

import numpy as np
import numpy.typing as npt

from localmix.errors import InvalidGGUF, LocalmixError
from localmix.gguf.cursor import DAMAGED, damaged, shown
from localmix.gguf.header import Header, read_header
from localmix.gguf.metadata import Metadata
from localmix.gguf.shards import check_shards, shard_count, sibling_paths
from localmix.gguf.tensor import Place, Tensor


@dataclass(frozen=True)
class Shard:
    """One file of a model.

    Attributes:
        path: where it is.
        mapped: (size,) uint8, the whole file, read-only.
        header: its keys and tensor table.
    """

    path: Path
    mapped: npt.NDArray[np.uint8]
    header: Header


class GGUFFile:
    """A model in one or more files; also a context manager.

    Attributes:
        path: the file, or the first shard.
        shards: all files, in order.
        size_bytes: of all files together.
        headers: what stands before the tensors' bytes, of each file.
        version: of the GGUF format, 2 or 3.
        metadata: the model's keys.
        tensors: all tensors by name, in the order of the files.
    """

    def __init__(self, shards: Sequence[Shard]) -> None:
        self.path = shards[0].path
        self.shards = tuple(shard.path for shard in shards)
        self.size_bytes = sum(shard.mapped.size for shard in shards)
        self.headers = tuple(shard.header for shard in shards)
        self.version = shards[0].header.version
        self.metadata = Metadata(shards[0].header.stored)
        self.tensors: Mapping[str, Tensor] = MappingProxyType(_name_tensors(shards))

    @classmethod
    def open(cls, path: str | Path) -> GGUFFile:
        """Open a model file; any shard of a model in several files opens the whole set.

        Raises:
            InvalidGGUF: the file cannot be read, is damaged, or a shard is missing.
            UnsupportedQuant: a tensor has a block format that localmix cannot read.
        """
        given = open_shard(Path(path))
        count = shard_count(given.header)
        if count <= 1:
            return cls([given])
        paths = sibling_paths(given.path, count)
        shards = [given if p == given.path else open_shard(p) for p in paths]
        check_shards(paths, [shard.header for shard in shards])
        return cls(shards)

    def close(self) -> None:
        """Let go of the file.

        It stays mapped for as long as somebody holds one of its tensors, which so stay valid.
        """
        self.tensors = MappingProxyType({})
        self.metadata = Metadata(MappingProxyType({}))

    def __enter__(self) -> GGUFFile:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def open_shard(path: Path) -> Shard:
    """Map one file and read its header; errors begin with the file's name."""
    mapped = _map(path)
    try:
        return Shard(path, mapped, read_header(mapped.data))
    except LocalmixError as exc:
        raise type(exc)(f"{path.name}: {exc.message}", exc.hint) from exc


def _map(path: Path) -> npt.NDArray[np.uint8]:
    """Map a file read-only: (size,) uint8. The array owns the map, which goes with its last view.

    Raises:
        InvalidGGUF: there is no such file, or it cannot be read or mapped.
    """
    hint = "check the path, or see what is there with: localmix list"
    try:
        status = path.stat()
        # Opening a pipe would wait for a writer, so everything but a plain file stops here.
        if stat.S_ISDIR(status.st_mode):
            raise InvalidGGUF(f"{path} is a folder", "give the path of the .gguf file inside it")
        if not stat.S_ISREG(status.st_mode):
            raise InvalidGGUF(f"{path} is not a plain file", "give the path of a .gguf file")
        if status.st_size == 0:
            raise InvalidGGUF(f"{path} is empty", DAMAGED)
        with path.open("rb") as file:
            mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        _ask_for_large_pages(mapped)
        return np.frombuffer(mapped, np.uint8)
    except FileNotFoundError as exc:
        raise InvalidGGUF(f"{path} does not exist", hint) from exc
    except PermissionError as exc:
        raise InvalidGGUF(
            f"{path} may not be read", "look at the permissions of that file"
        ) from exc
    except OSError as exc:
        raise InvalidGGUF(f"{path} cannot be read: {exc.strerror}", hint) from exc
    except ValueError as exc:  # a path with a zero byte
        raise InvalidGGUF(f"{str(path)!r} is not a path: {exc}", hint) from exc


def _ask_for_large_pages(mapped: mmap.mmap) -> None:
    """Have the system read and map 2 MB at a time, if its kernel and file system can.

    A file that is not cached yet then comes from the disk several times as fast, and a processor
    that reads all weights for each token looks up far fewer addresses.
    """
    if sys.platform != "win32" and hasattr(mmap, "MADV_HUGEPAGE"):  # Linux alone has the advice
        with contextlib.suppress(OSError):  # a kernel without large pages
            mapped.madvise(mmap.MADV_HUGEPAGE)


def _name_tensors(shards: Sequence[Shard]) -> dict[str, Tensor]:
    """Make the tensors of all shards, views on their maps.

    Raises:
        InvalidGGUF: two shards have a tensor of the same name.
    """
    tensors: dict[str, Tensor] = {}
    for shard in shards:
        for info in shard.header.tensors:
            if info.name in tensors:
                raise damaged(f"{shard.path.name} repeats the tensor {shown(info.name)}")
            raw = shard.mapped[info.start : info.start + info.n_bytes]
            place = Place(shard.path, info.start)
            tensors[info.name] = Tensor(info.name, info.format, info.shape, raw, place)
    return tensors
