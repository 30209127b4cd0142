"""What `localmix tune` found best on this machine, by shape of model; used by everything after it.

Kept in LOCALMIX_CACHE/tuned.json: processor and tier, then shape of model, then choices.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from localmix.errors import LocalmixError
from localmix.gguf import Tensor
from localmix.gguf.summary import main_format
from localmix.json_file import write_json
from localmix.kernels.isa import Tile
from localmix.model.config import ModelConfig
from localmix.system import cpu_name

if TYPE_CHECKING:
    from localmix.kernels.library import Machine

CHUNK_TOKENS = 512
"""Tokens of a prompt that go through the layers together, unless another number was found best."""

_FILE = "tuned.json"


@dataclass(frozen=True)
class Tuned:
    """Choices for a shape of model.

    Attributes:
        n_threads: threads that read a prompt.
        n_threads_few: threads that make one token after the other.
        chunk_tokens: tokens of a prompt that go through the layers together.
        tile: register tile of matrix products; None: that of the tier.
    """

    n_threads: int
    n_threads_few: int
    chunk_tokens: int = CHUNK_TOKENS
    tile: Tile | None = None


def shape_of(config: ModelConfig, tensors: Mapping[str, Tensor]) -> str:
    """Name what decides about speed: models of one shape share their choices."""
    experts = f", {config.n_experts} experts" if config.n_experts else ""
    size = f"{config.n_layers} layers of {config.dim}x{config.hidden_dim}"
    return f"{size}{experts}, {main_format(tensors.values())}"


def read(folder: Path, machine: Machine, shape: str) -> Tuned | None:
    """Give what was found best; None: nothing was, or the file is damaged."""
    known = _read(folder).get(_key(machine), {}).get(shape, {})
    with suppress(TypeError, ValueError, KeyError, IndexError, LocalmixError):
        tile = known["tile"]
        found = Tuned(
            n_threads=_positive(known["n_threads"]),
            n_threads_few=_positive(known["n_threads_few"]),
            chunk_tokens=_positive(known["chunk_tokens"]),
            tile=None if tile is None else (_positive(tile[0]), _positive(tile[1])),
        )
        if found.tile is not None:
            machine.tier.with_tile(found.tile)  # raises if this version knows no such tile
        return found
    return None


def write(folder: Path, machine: Machine, shape: str, found: Tuned | None) -> None:
    """Write down what was found best; None forgets it.

    Raises:
        OSError: the folder cannot be written.

    Modifies: the folder.
    """
    known = _read(folder)
    shapes = known.setdefault(_key(machine), {})
    if found is None:
        shapes.pop(shape, None)
    else:
        shapes[shape] = asdict(found)
    write_json(folder / _FILE, known)


def _key(machine: Machine) -> str:
    return f"{cpu_name()}, {machine.tier.name}"


def _positive(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ValueError("a count is missing")
    return value


def _read(folder: Path) -> dict[str, dict[str, Any]]:
    with suppress(OSError, ValueError, RecursionError):
        known = json.loads((folder / _FILE).read_text(encoding="utf-8"))
        if isinstance(known, dict):
            return {str(k): v for k, v in known.items() if isinstance(v, dict)}
    return {}
