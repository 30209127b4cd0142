"""Does a model fit into memory, and if not, how much is there for its experts?"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from localmix import system
from localmix.cache.ring import position_bytes, slots_needed
from localmix.engine.tuned import CHUNK_TOKENS
from localmix.model.config import ModelConfig
from localmix.model.weights import is_of_experts

HEADROOM_SHARE, MOST_HEADROOM = 0.15, 1_500_000_000
"""What is left to the system and to other programs: a share of what is free, at most 1.5 GB."""

LEAST_EXPERTS = 4
"""With room for fewer, the file is read in place and the system decides what stays."""


class Sized(Protocol):
    """A tensor, or what a file's table says of one."""

    @property
    def n_bytes(self) -> int:
        """Its size in the file."""


@dataclass(frozen=True)
class Needs:
    """What a model wants of memory, in bytes.

    Attributes:
        dense: weights that every token reads.
        experts: all experts together.
        one_expert: a layer's share of one of them; 0 without experts.
        cache: keys and values, when it is full.
    """

    dense: int
    experts: int
    one_expert: int
    cache: int

    @property
    def weights(self) -> int:
        """All weights: pages of the file that the system may drop and read again."""
        return self.dense + self.experts


def needs(
    tensors: Mapping[str, Sized],
    config: ModelConfig,
    n_ctx: int,
    kv: str,
    chunk: int = CHUNK_TOKENS,
) -> Needs:
    """Count what a model wants.

    Args:
        tensors: the file's, by name.
        config: hyperparameters.
        n_ctx, kv: of the cache.
        chunk: tokens of a batch: a window's ring holds as many more.
    """
    experts = experts_bytes(tensors)
    n_slots = slots_needed(n_ctx, config.sliding_window, min(chunk, n_ctx))
    return Needs(
        dense=sum(tensor.n_bytes for tensor in tensors.values()) - experts,
        experts=experts,
        one_expert=experts // (config.n_layers * config.n_experts) if config.n_experts else 0,
        cache=n_slots * position_bytes(config, kv),
    )


def for_experts(
    tensors: Mapping[str, Sized], config: ModelConfig, n_ctx: int, kv: str
) -> int | None:
    """Decide how much memory experts may take.

    Returns:
        Bytes for experts; None if all fits, or nobody knows: the file is then read in place.
    """
    free = free_bytes() if config.n_experts else None
    return None if free is None else room_for_experts(needs(tensors, config, n_ctx, kv), free)


def context_that_fits(
    tensors: Mapping[str, Sized], config: ModelConfig, kv: str, least: int
) -> int:
    """Choose a context for a conversation: what the model knows, halved until its cache has room.

    Args:
        tensors: the file's, by name.
        config: hyperparameters.
        kv: type of the cache.
        least: tokens that are given in any case, if the model knows as many.
    """
    n_ctx, free = config.context_length, free_bytes()
    if free is None:
        return min(n_ctx, least)
    while n_ctx > least:
        wanted = needs(tensors, config, n_ctx, kv)
        if wanted.weights + wanted.cache <= usable(free):
            return n_ctx
        n_ctx = max(least, n_ctx // 2)
    return n_ctx


def room_for_experts(wanted: Needs, free: int) -> int | None:
    """Give the bytes for experts when `free` are there; None if all fits, or hardly any would."""
    left = usable(free)
    if wanted.weights + wanted.cache <= left or not wanted.one_expert:
        return None
    room = left - wanted.dense - wanted.cache
    return room if room >= LEAST_EXPERTS * wanted.one_expert else None


def usable(free: int) -> int:
    """Give what a model may take of free memory, in bytes."""
    return free - min(MOST_HEADROOM, int(free * HEADROOM_SHARE))


def experts_bytes(tensors: Mapping[str, Sized]) -> int:
    """Bytes of all experts of a file."""
    return sum(tensor.n_bytes for name, tensor in tensors.items() if is_of_experts(name))


def total_bytes() -> int | None:
    """Memory of the machine, or of the container around us; None where nobody tells."""
    known = [value for value in (system.total_memory(), _limit_of_container()) if value is not None]
    return min(known, default=None)


def free_bytes() -> int | None:
    """Memory that a program may take now, what the system would give up for it included.

    None where the system does not tell.
    """
    known = [value for value in (system.free_memory(), _free_of_container()) if value is not None]
    return min(known, default=None)


def _free_of_container() -> int | None:
    """What the limits of our container, and of those around it, leave; None: there is no limit.

    File pages that the system would give up count as free.
    """
    left = [
        max(0, most - now + _inactive_files(folder / "memory.stat"))
        for folder, most, now in _limits()
    ]
    return min(left, default=None)


def _limit_of_container() -> int | None:
    return min((most for _, most, _ in _limits()), default=None)


def _limits() -> Iterator[tuple[Path, int, int]]:
    """Give folder, limit and use of our container and of those around it that have a limit.

    Source: Linux, Documentation/admin-guide/cgroup-v2.rst, cgroup-v1/memory.rst.
    """
    for folder, is_v2 in system.container_folders("memory"):
        limit, used = (
            ("memory.max", "memory.current")
            if is_v2
            else ("memory.limit_in_bytes", "memory.usage_in_bytes")
        )
        with contextlib.suppress(OSError, ValueError):
            yield (
                folder,
                int((folder / limit).read_text(encoding="ascii")),
                int((folder / used).read_text(encoding="ascii")),
            )


def _inactive_files(stat: Path) -> int:
    with contextlib.suppress(OSError, ValueError):
        fields = dict(
            line.split(maxsplit=1) for line in stat.read_text(encoding="ascii").splitlines()
        )
        for name in ("total_inactive_file", "inactive_file"):
            if name in fields:
                return int(fields[name]) + int(fields.get(name.replace("inactive", "active"), 0))
    return 0
