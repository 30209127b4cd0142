"""What every executor can do."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from localmix.cache import Batch, RingCache

Routes = dict[int, NDArray[np.int32]]
"""Layer number -> the experts that each row of a batch visited, (T, A)."""


class Executor(Protocol):
    """Runs one plan.

    Attributes:
        name: "reference", later "native".
        n_threads: threads that it may use.
        kv: type of the keys and values that it really keeps.
        reads_blocks: it multiplies the file's own blocks, and so reads just their bytes.
    """

    name: str
    n_threads: int
    kv: str
    reads_blocks: bool

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
