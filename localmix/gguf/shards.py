"""Models in several files: how the files are named, and what their headers must say.

llama.cpp's gguf-split writes `NAME-00001-of-00003.gguf` and so on. Each shard is a whole GGUF file
with its own tensors; the model's keys are in the first, and all carry `split.no` (from 0),
`split.count` and `split.tensors.count` (of all shards together).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from localmix.errors import InvalidGGUF
from localmix.gguf.header import Header
from localmix.gguf.metadata import Metadata

SHARD_NAME: Final = re.compile(r"(?P<stem>.*)-(?P<number>\d{5})-of-(?P<count>\d{5})\.gguf")


def shard_count(header: Header) -> int:
    """Read how many files the model of this header is made of."""
    return Metadata(header.stored).integer("split.count", 1)


def sibling_paths(path: Path, count: int) -> list[Path]:
    """Name all shards of a set, the first one first, from the name of any of them.

    Args:
        path: a shard.
        count: how many its header says there are.

    Raises:
        InvalidGGUF: the name is not that of a shard of such a set, or a file is missing.
    """
    match = SHARD_NAME.fullmatch(path.name)
    if match is None or int(match["count"]) != count:
        raise InvalidGGUF(
            f"{path.name} is one of {count} parts of a model, but its name does not say so",
            f"give the parts their own names again: NAME-00001-of-{count:05}.gguf and so on",
        )
    paths = [
        path.with_name(f"{match['stem']}-{i:05}-of-{count:05}.gguf") for i in range(1, count + 1)
    ]
    missing = [p.name for p in paths if not p.exists()]
    if missing:
        raise InvalidGGUF(
            f"{len(missing)} of {count} parts of the model are missing, the first is {missing[0]}",
            f"put all parts into one folder, or pull the model again; looked in {path.parent}",
        )
    return paths


def check_shards(paths: Sequence[Path], headers: Sequence[Header]) -> None:
    """Check that the files belong together and none has been exchanged.

    Raises:
        InvalidGGUF: a part says that it is another one, or of another set.
    """
    count = len(paths)
    n_tensors = sum(len(header.tensors) for header in headers)
    for i, (path, header) in enumerate(zip(paths, headers, strict=True)):
        keys = Metadata(header.stored)
        said = [keys.integer(f"split.{key}", -1) for key in ("no", "count", "tensors.count")]
        if said != [i, count, n_tensors]:
            raise InvalidGGUF(
                f"{path.name} says it is part {said[0] + 1} of {said[1]} with {said[2]} tensors, "
                f"but stands as part {i + 1} of {count} with {n_tensors}",
                "pull the model again: its parts are from different downloads",
            )
