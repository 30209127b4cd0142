"""localmix as a contestant: the executor below `localmix.load`, fed as the engine feeds it."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

import localmix
from compare.driver import Driver
from compare.protocol import Answer, Message, serve
from localmix.cache import Batch, RingCache
from localmix.engine.tuned import CHUNK_TOKENS

if TYPE_CHECKING:
    from localmix.engine import Model


class LocalmixContext:
    """A sequence in a ring of its own; the model has no window, so position p is slot p."""

    def __init__(self, model: Model, n_ctx: int) -> None:
        self._executor = model.executor
        n_chunk = min(CHUNK_TOKENS, n_ctx)
        self._cache = RingCache(model.config, n_ctx=n_ctx, n_chunk=n_chunk, kv=model.executor.kv)
        assert self._cache.window is None
        self._logits: list[NDArray[np.float32]] = []
        self.n_held = 0

    def feed(self, ids: Sequence[int], all_logits: bool = False) -> None:
        """Append ids in chunks, as `TokenSequence.feed` does."""
        self._logits = []
        for start in range(0, len(ids), self._cache.n_chunk):
            chunk = ids[start : start + self._cache.n_chunk]
            wanted = None if all_logits else [len(chunk) - 1]
            batch = Batch.of(chunk, self.n_held, wanted=wanted)
            self._logits.append(self._executor.run(batch, self._cache))
            self.n_held += len(chunk)

    def rewind(self, n_kept: int) -> None:
        """Forget all positions but the first ones."""
        self._cache.positions[0, n_kept:] = -1
        self.n_held = n_kept

    def logits(self) -> NDArray[np.float32]:
        """What the last `feed` computed: (R, V)."""
        return np.concatenate(self._logits)


def start(config: Message) -> tuple[Message, Answer]:
    """Load the model; see `contestants.py` for the configuration."""
    model = localmix.load(
        Path(config["model"]),
        n_threads=config["threads"],
        kv="f16",
        weights=config["weights"],
        sliding_window="off",  # llama.cpp does not read it from a Mistral file either
        executor=config["executor"],
        on_compile=_say_compiling,
    )
    about = {
        "isa": model.executor.isa,
        "versions": {name: version(name) for name in ("localmix", "numpy", "numba")},
    }
    return about, Driver(config, lambda n_ctx, flash: LocalmixContext(model, n_ctx)).answer


def _say_compiling(done: int, total: int) -> None:
    sys.stderr.write(f"compiling kernels: {done} of {total}\n")


if __name__ == "__main__":
    serve(start)
