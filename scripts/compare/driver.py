"""The tests, as both engines run them: who is measured differs, what is done does not.

prefill   a prompt of N ids, logits of the last one
decode    N passes of one id, logits each time, after `depth` positions (at least 1)
batch     passes of B ids of one sequence at once, logits of all B, after a short prompt
logits    of every position of a sequence, in one go or id by id; not timed

Time is wall time from ids to logits that can be read; clearing and the prompt before decode are
not in it. Nothing is sampled: the ids are given, the same ones for everyone.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from compare import protocol

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

SHORT_PROMPT = 8
"""Positions in front of the passes of the batch test."""


class Context(Protocol):
    """One sequence in one engine.

    Attributes:
        n_held: positions that it holds.
    """

    n_held: int

    def feed(self, ids: Sequence[int], all_logits: bool = False) -> None:
        """Append ids and compute logits, of the last one or of all."""
        ...

    def rewind(self, n_kept: int) -> None:
        """Forget all positions but the first ones."""
        ...

    def logits(self) -> NDArray[np.float32]:
        """What the last `feed` computed: (R, V)."""
        ...


class Driver:
    """Answers requests by running tests.

    Args:
        config: `ids`, drawn once; `n_ctx`, depth -> positions that its tests need.
        new_context: (positions, the request's `flash`) -> an empty context.
    """

    def __init__(
        self,
        config: protocol.Message,
        new_context: Callable[[int, int | None], Context],
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._ids: list[int] = config["ids"]
        self._n_ctx: dict[str, int] = config["n_ctx"]
        self._new_context = new_context
        self._clock = clock
        self._contexts: dict[tuple[int, int | None], Context] = {}

    def answer(self, request: protocol.Message) -> protocol.Message:
        """Run the test of a request; the answer's `seconds` are the mean of its repetitions."""
        test = request["test"]
        if test == "memory":
            return protocol.memory()
        context = self._context(request.get("depth", 0), request.get("flash"))
        if test == "logits":
            self._save_logits(context, request)
            return {}
        run = {"prefill": self._prefill, "decode": self._decode, "batch": self._batch}[test]
        repeat = request.get("repeat", 1)
        return {"seconds": sum(run(context, request) for _ in range(repeat)) / repeat}

    def _context(self, depth: int, flash: int | None) -> Context:
        """Tests at a depth have a context of their own, so that its prompt is read only once."""
        key = depth, flash
        if key not in self._contexts:
            self._contexts[key] = self._new_context(self._n_ctx[str(depth)], flash)
        return self._contexts[key]

    def _hold(self, context: Context, n_ids: int) -> None:
        """Make a context hold exactly the first ids: always the same ones, so rewinding will do."""
        if context.n_held < n_ids:
            context.rewind(0)
            context.feed(self._ids[:n_ids])
        context.rewind(n_ids)

    def _prefill(self, context: Context, request: dict[str, Any]) -> float:
        context.rewind(0)
        start = self._clock()
        context.feed(self._ids[: request["tokens"]])
        return self._clock() - start

    def _decode(self, context: Context, request: dict[str, Any]) -> float:
        first = max(request.get("depth", 0), 1)
        self._hold(context, first)
        start = self._clock()
        for token in self._ids[first : first + request["tokens"]]:
            context.feed([token])
        return self._clock() - start

    def _batch(self, context: Context, request: dict[str, Any]) -> float:
        self._hold(context, SHORT_PROMPT)
        size, end = request["size"], SHORT_PROMPT + request["tokens"]
        start = self._clock()
        for first in range(SHORT_PROMPT, end, size):
            context.feed(self._ids[first : first + size], all_logits=True)
        return self._clock() - start

    def _save_logits(self, context: Context, request: dict[str, Any]) -> None:
        """Write logits (T, V) to the request's `path`, a .npy file."""
        import numpy as np

        context.rewind(0)
        pieces = [[token] for token in self._ids] if request["one_by_one"] else [self._ids]
        rows = []
        for piece in pieces:
            context.feed(piece, all_logits=True)
            rows.append(context.logits())
        np.save(request["path"], np.concatenate(rows))  # (T, V)
