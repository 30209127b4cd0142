"""A batch: the rows that one pass computes, each a (token, position, sequence).

Decode is a batch of one row, prefill a batch of a whole chunk; rows of several sequences may stand
in one batch.

    tokens     [ 1  733   9   |  5 ]
    positions  [ 0    1   2   | 41 ]     absolute, from 0, never wrapped
    sequences  [ 0    0   0   |  1 ]     which conversation
    wanted     [        2     ,  3 ]     rows whose logits are asked for
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from localmix.errors import LocalmixError


@dataclass(frozen=True)
class Batch:
    """Rows of one pass.

    Attributes:
        tokens: (T,) int64 ids.
        positions: (T,) int64 absolute positions; within a sequence they follow one another.
        sequences: (T,) int32 sequence numbers.
        wanted: (R,) int64 rows whose logits are computed.
    """

    tokens: NDArray[np.int64]
    positions: NDArray[np.int64]
    sequences: NDArray[np.int32]
    wanted: NDArray[np.int64]

    @classmethod
    def of(
        cls,
        tokens: Sequence[int],
        start: int,
        *,
        sequence: int = 0,
        wanted: Sequence[int] | None = None,
    ) -> Batch:
        """Make a batch of consecutive tokens of one sequence.

        Args:
            tokens: ids, at least one.
            start: position of the first.
            sequence: which conversation they belong to.
            wanted: rows whose logits are asked for; None: all.
        """
        n_rows = len(tokens)
        return cls(
            tokens=token_ids(tokens),
            positions=np.arange(start, start + n_rows, dtype=np.int64),
            sequences=np.full(n_rows, sequence, np.int32),
            wanted=np.arange(n_rows) if wanted is None else np.asarray(wanted, np.int64),
        )

    @classmethod
    def join(cls, *batches: Batch) -> Batch:
        """Put the rows of several batches into one."""
        starts = np.cumsum([0] + [len(batch) for batch in batches])
        return cls(
            tokens=np.concatenate([batch.tokens for batch in batches]),
            positions=np.concatenate([batch.positions for batch in batches]),
            sequences=np.concatenate([batch.sequences for batch in batches]),
            wanted=np.concatenate(
                [batch.wanted + start for batch, start in zip(batches, starts, strict=False)]
            ),
        )

    def __len__(self) -> int:
        return len(self.tokens)

    def check(self, vocab_size: int) -> None:
        """Raise a LocalmixError if the batch is empty or a token is outside the vocabulary."""
        if not len(self):
            raise LocalmixError("there are no tokens to compute", "give at least one token")
        outside = self.tokens[(self.tokens < 0) | (self.tokens >= vocab_size)]
        if outside.size:
            raise LocalmixError(
                f"the token {outside[0]} is outside the vocabulary of {vocab_size}",
                "make ids with Model.tokenize of the same model",
            )


def token_ids(ids: object) -> NDArray[np.int64]:
    """Return ids as (T,) int64; whether they are in the vocabulary is `Batch.check`'s question.

    Raises:
        LocalmixError: they are no flat sequence of whole numbers.
    """
    try:
        array = np.asarray(ids)
    except ValueError:  # lists of different lengths
        array = np.empty((0, 0))
    if array.ndim == 1 and (array.dtype.kind in "iu" or not array.size):
        return array.astype(np.int64)
    raise LocalmixError(
        "token ids are a flat list of whole numbers", "make them with Model.tokenize"
    )
