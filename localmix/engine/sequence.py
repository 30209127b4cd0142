"""One conversation in a cache: which ids it holds, and how more are fed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from localmix.cache import Batch, RingCache
from localmix.execute import Executor
from localmix.text.sampling import log_probability

if TYPE_CHECKING:
    from localmix.execute.expert_cache import StreamFigures

OnPrefill = Callable[[int, int], None]
"""Called with (tokens in the cache, tokens in all) before the first chunk and after each."""


class TokenSequence:
    """Feeds ids to an executor, position after position.

    Attributes:
        cache: keys and values of its positions.
        ids: what the cache holds, position by position.
    """

    def __init__(self, executor: Executor, cache: RingCache) -> None:
        self._executor = executor
        self.cache = cache
        self.ids: list[int] = []

    @property
    def figures(self) -> StreamFigures | None:
        """Experts found and read by the executor so far; None if they are not read one by one."""
        cache = getattr(self._executor, "expert_cache", None)
        return None if cache is None else replace(cache.figures)

    @property
    def n_ctx(self) -> int:
        """Positions that it may have."""
        return self.cache.n_ctx

    @property
    def room(self) -> int:
        """Positions that are still free."""
        return self.n_ctx - len(self.ids)

    def read(
        self, prompt: Sequence[int], on_prefill: OnPrefill | None = None
    ) -> tuple[NDArray[np.float32], int]:
        """Make a prompt the whole sequence; its beginning is not computed again if it is here.

        Returns:
            (V,) float32: logits after its last id; and how many ids were here already.

        Modifies: ids, the cache.
        """
        # The last id is always computed: its logits are wanted.
        n_kept = _n_common(self.ids, prompt[:-1])
        if self.cache.keep(n_kept):
            del self.ids[n_kept:]
        else:
            self.restart()
        n_kept = len(self.ids)
        return self.feed(prompt[n_kept:], on_prefill), n_kept

    def feed(self, ids: Sequence[int], on_prefill: OnPrefill | None = None) -> NDArray[np.float32]:
        """Append ids, at least one, in chunks that the ring allows.

        What was computed stays when this is interrupted, up to the last whole chunk.

        Returns:
            (V,) float32: logits after the last id.

        Modifies: ids, the cache.
        """
        n_chunk, n_total = self.cache.n_chunk, len(self.ids) + len(ids)
        last = np.empty(0, np.float32)
        if on_prefill:
            on_prefill(len(self.ids), n_total)
        for start in range(0, len(ids), n_chunk):
            chunk = ids[start : start + n_chunk]
            batch = Batch.of(chunk, len(self.ids), wanted=[len(chunk) - 1])
            try:
                last = self._executor.run(batch, self.cache)[0]  # (V,)
            except BaseException:  # Ctrl-C too
                self.cache.keep(len(self.ids))
                raise
            self.ids.extend(chunk)
            if on_prefill:
                on_prefill(len(self.ids), n_total)
        return last

    def score(
        self, prompt: Sequence[int], ids: Sequence[int], on_prefill: OnPrefill | None = None
    ) -> float:
        """Give the natural logarithm of the probability that ids follow a prompt.

        Modifies: ids, the cache.
        """
        logits, _ = self.read(prompt, on_prefill)
        total = log_probability(logits, ids[0])
        for before, after in pairwise(ids):
            total += log_probability(self.feed([before]), after)
        return total

    def restart(self) -> None:
        """Forget everything.

        Modifies: ids, the cache.
        """
        self.cache.clear()
        self.ids.clear()


def _n_common(a: Sequence[int], b: Sequence[int]) -> int:
    """Ids that two sequences begin with alike."""
    for i, (x, y) in enumerate(zip(a, b, strict=False)):
        if x != y:
            return i
    return min(len(a), len(b))
