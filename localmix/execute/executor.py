"""What every executor can do."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from localmix.cache import Batch, RingCache
from localmix.errors import LocalmixError

Routes = dict[int, NDArray[np.int32]]
"""Layer number -> the experts that each row of a batch visited, (T, A)."""


class Executor(Protocol):
    """Runs one plan.

    Attributes:
        name: "reference" or "native".
        n_threads: threads that it may use.
        kv: type of the keys and values that it really keeps.
        jit_s: seconds that compiling kernels took; 0 when they were in the cache.
        reads_blocks: it multiplies the file's own blocks, and so reads just their bytes.
    """

    name: str
    n_threads: int
    kv: str
    reads_blocks: bool

    jit_s: float

    @property
    def isa(self) -> str | None:
        """Tier of the kernels; None where there are none."""
        ...

    def run(
        self, batch: Batch, cache: RingCache, routes: Routes | None = None
    ) -> NDArray[np.float32]:
        """Compute a batch.

        Args:
            batch: rows to compute.
            cache: the ring that the rows' sequences live in.
            routes: filled with the experts that were visited, if given.

        Returns:
            Logits of the wanted rows, (R, V) float32.

        Raises:
            ContextFull: a position lies beyond the cache's context.
            LocalmixError: the batch is empty or a token is outside the vocabulary.

        Modifies: cache, routes.
        """
        ...


def check_logits(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return logits; raise a LocalmixError if they hold NaN, as damaged weights make them."""
    if np.isnan(logits).any():
        raise LocalmixError(
            "the model computes NaN: its weights are damaged, or hold infinities",
            "download the file again, or try another quantization",
        )
    return logits
