"""Will a model run here? Told from its header alone, before it is downloaded or loaded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from localmix.engine import memory
from localmix.engine.load import DEFAULT_CONTEXT
from localmix.gguf.header import Header
from localmix.gguf.metadata import Metadata
from localmix.model.config import ModelConfig

PROGRAM_BYTES = 180_000_000
"""Private memory of a process beside weights and cache: 173 MB, measured with a 7B model."""

USUAL_CACHE_BYTES = 540_000_000
"""Keys and values of 4096 tokens of a Mistral 7B or Mixtral 8x7B, in float16."""

Verdict = Literal["fits", "tight", "streams", "pages", "never", "unknown"]
"""fits      all of it, beside what runs now
tight     once other programs are closed
streams   experts come from the disk as they are chosen
pages     weights come from the disk again for every token, slowly
never     not even what must be resident has room
unknown   the system does not tell how much memory it has"""


@dataclass(frozen=True)
class Fit:
    """What a model wants of memory, and what is there.

    Attributes:
        verdict: see `Verdict`.
        resident_bytes: must be in memory all the time: keys and values when full, and the program.
        pageable_bytes: weights, which the system may drop and read again.
        free_bytes: there now; None when the system does not tell.
        total_bytes: of the machine or container; None likewise.
        n_ctx: tokens of context that were counted.
        kv: type of keys and values.
    """

    verdict: Verdict
    resident_bytes: int
    pageable_bytes: int
    free_bytes: int | None
    total_bytes: int | None
    n_ctx: int
    kv: str

    def would_fit(self, weights_bytes: int) -> bool:
        """Say whether another quantization of the model would fit beside what runs now."""
        if self.free_bytes is None:
            return False
        return weights_bytes + self.resident_bytes <= memory.usable(self.free_bytes)


def config_of(headers: Sequence[Header]) -> ModelConfig:
    """Read the hyperparameters from the headers of a model's files.

    Raises:
        InvalidGGUF, UnsupportedModel: the model cannot be run.
    """
    return ModelConfig.from_metadata(Metadata(headers[0].stored))


def fit_of(
    headers: Sequence[Header],
    n_ctx: int | None = None,
    kv: str = "f16",
    free_bytes: int | None = None,
    total_bytes: int | None = None,
) -> Fit:
    """Say whether a model runs here.

    Args:
        headers: of all its files, in order.
        n_ctx: tokens; None: what it would be loaded with.
        kv: type of keys and values.
        free_bytes, total_bytes: None: what the system says.

    Raises:
        InvalidGGUF, UnsupportedModel: the model cannot be run.
    """
    config = config_of(headers)
    n_ctx = n_ctx or min(config.context_length, DEFAULT_CONTEXT)
    tensors: Mapping[str, memory.Sized] = {
        tensor.name: tensor for header in headers for tensor in header.tensors
    }
    wanted = memory.needs(tensors, config, n_ctx, kv)
    free = memory.free_bytes() if free_bytes is None else free_bytes
    total = memory.total_bytes() if total_bytes is None else total_bytes
    return Fit(
        verdict=verdict_of(wanted, free, total),
        resident_bytes=wanted.cache + PROGRAM_BYTES,
        pageable_bytes=wanted.weights,
        free_bytes=free,
        total_bytes=total,
        n_ctx=n_ctx,
        kv=kv,
    )


def verdict_of(wanted: memory.Needs, free: int | None, total: int | None) -> Verdict:
    """Say whether what a model wants has room.

    Args:
        wanted: weights and cache; the program comes on top.
        free, total: bytes of memory; None when the system does not tell.
    """
    if free is None:
        return "unknown"
    resident = wanted.cache + PROGRAM_BYTES
    if wanted.weights + resident <= memory.usable(free):
        return "fits"
    most = max(total or 0, free)
    if wanted.weights + resident <= memory.usable(most):
        return "tight"
    if memory.room_for_experts(wanted, free) is not None:
        return "streams"
    return "pages" if resident <= memory.usable(most) else "never"


def verdict_of_size(weights_bytes: int) -> Verdict:
    """Guess the verdict from the size of the files alone, with a small cache."""
    wanted = memory.Needs(dense=weights_bytes, experts=0, one_expert=0, cache=USUAL_CACHE_BYTES)
    return verdict_of(wanted, memory.free_bytes(), memory.total_bytes())
