"""What the name of a .gguf file says: its quantization, and whether it is one shard of several.

A convention, not a format: repositories on the Hub write `NAME-Q4_K_M.gguf`, `name.q4_k_m.gguf` or
`Q4_K_M/NAME-Q4_K_M-00001-of-00003.gguf` (the shard suffix is llama.cpp's, `llama_split_path`).
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass

DEFAULT_QUANTIZATION = "Q4_K_M"
"""Taken when a name asks for none: the usual balance of size and quality."""

_SHARD = re.compile(r"-(\d{5})-of-(\d{5})$")
_QUANTIZATION_PATTERN = r"(?:I?Q\d|TQ\d)(?:_[0-9A-Z]+)*|MXFP4(?:_MOE)?|BF16|FP?16|FP?32"
_QUANTIZATION = re.compile(rf"(?:^|[-._])({_QUANTIZATION_PATTERN})(?=$|[-.])", re.IGNORECASE)
_TAG_SUFFIX = re.compile(rf"^(.+)[-:]({_QUANTIZATION_PATTERN})$", re.IGNORECASE)


@dataclass(frozen=True)
class ModelFiles:
    """The files that together are one model: one, or all shards in order.

    Attributes:
        stem: the path in its repository without shard suffix and `.gguf`.
        quantization: from the file name, in capitals (`Q4_K_M`); empty when it does not say.
        paths: in the order of the shards.
        n_shards: how many there should be; more than `len(paths)` when the repository lacks some.
    """

    stem: str
    quantization: str
    paths: tuple[str, ...]
    n_shards: int

    @property
    def is_whole(self) -> bool:
        """Say whether no shard is missing."""
        return len(self.paths) == self.n_shards


def model_stem(path: str) -> str:
    """Give the path without `.gguf` and shard suffix: the same for all shards of a model."""
    return _SHARD.sub("", _without_extension(path))


def quantization_of(path: str) -> str:
    """Read the quantization from a file name: `Q4_K_M` from `a/name.q4_k_m.gguf`; else empty."""
    found = _QUANTIZATION.findall(model_stem(path).rpartition("/")[2])
    # The last one counts: a name may hold an earlier one of the model it was made from.
    return found[-1].upper() if found else ""


def split_quantization(tag: str) -> tuple[str, str]:
    """Cut a quantization off the end: `8x7b-instruct-q4_0` → (`8x7b-instruct`, `Q4_0`).

    A tag without one comes back whole, with an empty quantization.
    """
    found = _TAG_SUFFIX.match(tag)
    return (found[1], found[2].upper()) if found else (tag, "")


def group_models(paths: Iterable[str]) -> list[ModelFiles]:
    """Put the .gguf files of a repository together as models, in order of their names.

    Projectors of vision models (`mmproj…`) and importance matrices are no models and are left out.
    """
    by_stem: dict[tuple[str, int], list[str]] = {}
    for path in sorted(paths):
        name = path.rpartition("/")[2].lower()
        if not name.endswith(".gguf") or name.startswith("mmproj") or "imatrix" in name:
            continue
        by_stem.setdefault((model_stem(path), _n_shards(path)), []).append(path)
    return [
        ModelFiles(stem, quantization_of(paths_[0]), tuple(paths_), n_shards)
        for (stem, n_shards), paths_ in by_stem.items()
    ]


def _n_shards(path: str) -> int:
    found = _SHARD.search(_without_extension(path))
    return int(found[2]) if found else 1


def _without_extension(path: str) -> str:
    return path[: -len(".gguf")] if path.lower().endswith(".gguf") else path
