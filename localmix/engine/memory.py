"""Does a model fit into memory, and if not, how much is there for its experts?"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Mapping
from pathlib import Path

from localmix.cache.ring import position_bytes, slots_needed
from localmix.engine.model import CHUNK_TOKENS
from localmix.gguf import Tensor
from localmix.model.config import ModelConfig
from localmix.model.weights import is_of_experts

HEADROOM_SHARE, MOST_HEADROOM = 0.15, 1_500_000_000
"""What is left to the system and to other programs: a share of what is free, at most 1.5 GB."""

LEAST_EXPERTS = 4
"""With room for fewer, the file is read in place and the system decides what stays."""


def for_experts(
    tensors: Mapping[str, Tensor], config: ModelConfig, n_ctx: int, kv: str
) -> int | None:
    """Decide how much memory experts may take.

    Args:
        tensors: the file's.
        config: hyperparameters.
        n_ctx, kv: of the cache, which is counted as if it were full.

    Returns:
        Bytes for experts; None if all fits, or nobody knows: the file is then read in place.
    """
    free = free_bytes() if config.n_experts else None
    if free is None:
        return None
    usable = free - min(MOST_HEADROOM, int(free * HEADROOM_SHARE))
    of_experts = experts_bytes(tensors)
    of_all = sum(tensor.n_bytes for tensor in tensors.values())
    n_slots = slots_needed(n_ctx, config.sliding_window, min(CHUNK_TOKENS, n_ctx))
    of_cache = n_slots * position_bytes(config, kv)
    if of_all + of_cache <= usable:
        return None
    room = usable - (of_all - of_experts) - of_cache
    of_one = of_experts // (config.n_layers * config.n_experts)
    return room if room >= LEAST_EXPERTS * of_one else None


def experts_bytes(tensors: Mapping[str, Tensor]) -> int:
    """Bytes of all experts of a file."""
    return sum(tensor.n_bytes for name, tensor in tensors.items() if is_of_experts(name))


def free_bytes() -> int | None:
    """Memory that a program may take now, what the system would give up for it included.

    None where the system does not tell.
    """
    known = [value for value in (_free_of_machine(), _free_of_container()) if value is not None]
    return min(known, default=None)


def _free_of_machine() -> int | None:
    if sys.platform == "linux":
        with contextlib.suppress(OSError, ValueError, StopIteration):
            lines = Path("/proc/meminfo").read_text().splitlines()
            return 1024 * int(next(line.split()[1] for line in lines if "MemAvailable" in line))
    if sys.platform == "darwin":
        return _free_of_mac()
    return None


def _free_of_mac() -> int | None:
    """Pages that macOS calls free, inactive or speculative; mapped files are among them."""
    import re
    import subprocess

    with contextlib.suppress(OSError, subprocess.SubprocessError):
        said = subprocess.run(["vm_stat"], capture_output=True, text=True, timeout=5).stdout
        page = re.search(r"page size of (\d+)", said)
        counts = re.findall(r"Pages (?:free|inactive|speculative):\s+(\d+)", said)
        if page and counts:
            return int(page[1]) * sum(map(int, counts))
    return None


def _free_of_container(
    membership: Path = Path("/proc/self/cgroup"), root: Path = Path("/sys/fs/cgroup")
) -> int | None:
    """What the limits of our container, and of those around it, leave; None: there is no limit.

    Linux tells limit and use in files, in two versions. File pages that the system would give up
    count as free.
    """
    left: list[int] = []
    with contextlib.suppress(OSError):
        for line in membership.read_text().splitlines():
            _, kinds, group = line.split(":", 2)
            if kinds == "":
                place, limit, used = root, "memory.max", "memory.current"
            elif "memory" in kinds.split(","):
                place, limit, used = (
                    root / "memory",
                    "memory.limit_in_bytes",
                    "memory.usage_in_bytes",
                )
            else:
                continue
            inner = place / group.lstrip("/")
            for folder in (inner, *inner.parents):
                with contextlib.suppress(OSError, ValueError):
                    most, now = int((folder / limit).read_text()), int((folder / used).read_text())
                    left.append(max(0, most - now + _inactive_files(folder / "memory.stat")))
                if folder == place:
                    break
    return min(left, default=None)


def _inactive_files(stat: Path) -> int:
    with contextlib.suppress(OSError, ValueError):
        fields = dict(line.split(maxsplit=1) for line in stat.read_text().splitlines())
        for name in ("total_inactive_file", "inactive_file"):
            if name in fields:
                return int(fields[name]) + int(fields.get(name.replace("inactive", "active"), 0))
    return 0
