"""One conversation in a cache: which ids it holds, and how more are fed."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from localmix.cache import Batch, RingCache
from localmix.execute import Executor

OnPrefill = Callable[[int, int], None]
"""Called with (tokens done, tokens in all) before the first chunk of a prompt and after each."""


class TokenSequence:
    """Feeds ids to an executor, position after position."""

    def __init__(self, executor: Executor, cache: RingCache) -> None:
        self._executor = executor
        self._cache = cache
        self.ids: list[int] = []

    @property
    def room(self) -> int:
        """Positions that are still free."""
        return self._cache.n_ctx - len(self.ids)

    def feed(self, ids: Sequence[int], on_prefill: OnPrefill | None = None) -> NDArray[np.float32]:
        """Append ids, at least one, in chunks that the ring allows.

        Returns:
            (V,) float32: logits after the last id.

        Modifies: ids, the cache.
        """
        n_chunk = self._cache.n_chunk
        last = np.empty(0, np.float32)
        if on_prefill:
            on_prefill(0, len(ids))
        for start in range(0, len(ids), n_chunk):
            chunk = ids[start : start + n_chunk]
            batch = Batch.of(chunk, len(self.ids), wanted=[len(chunk) - 1])
            last = self._executor.run(batch, self._cache)[0]  # (V,)
            self.ids.extend(chunk)
            if on_prefill:
                on_prefill(start + len(chunk), len(ids))
        return last

    def restart(self) -> None:
        """Forget everything.

        Modifies: ids, the cache.
        """
        self._cache.clear()
        self.ids.clear()
