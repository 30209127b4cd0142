"""A tape: the plan as steps of kernels, one fixed record each, with barriers where they are needed.

`Tape` collects steps; `lower.py` decides which. A step needs a barrier if it reads what an earlier
step wrote since the last barrier, or writes what one of those read or wrote. Steps that stand
beside each other without one (q, k and v) run at the same time.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from localmix.execute.buffers import Buffer
from localmix.kernels.layout import RECORD_WORDS, Record

Int64s = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Sizes:
    """What the number of chunks of a step depends on.

    Attributes:
        n_rows: T, rows of the batch.
        n_wanted: R, rows whose logits are wanted.
        n_tiles: runs of rows that attention computes together.
        is_few: the batch is short enough to read weights row by row.
    """

    n_rows: int
    n_wanted: int
    n_tiles: int
    is_few: bool


Count = Callable[[Sizes], int]


@dataclass
class Tape:
    """Steps in order.

    Attributes:
        kernels: name of each step's kernel.
        chunks: how many chunks a step has, and about how many operations a chunk is.
    """

    kernels: list[str] = field(default_factory=list)
    chunks: list[tuple[Count, Count]] = field(default_factory=list)
    _records: list[Int64s] = field(default_factory=list)
    _read: set[Buffer] = field(default_factory=set)
    _written: set[Buffer] = field(default_factory=set)

    def add(
        self,
        kernel: str,
        chunks: Count,
        cost: Count,
        *,
        reads: tuple[Buffer, ...],
        writes: tuple[Buffer, ...],
        fields: Any,
        **operands: int | float | Buffer,
    ) -> int:
        """Append a step.

        Args:
            kernel: its name.
            chunks: how many chunks there are.
            cost: about how many operations a chunk is.
            reads, writes: buffers that decide about barriers; what never changes is left out.
            fields: places of the operands in the record, see `kernels/layout.py`.
            operands: numbers, or buffers for their addresses.

        Returns:
            The number of the step.
        """
        record = np.zeros(RECORD_WORDS, np.int64)
        for name, value in operands.items():
            place = getattr(fields, name)
            if isinstance(value, float):
                record[place : place + 1].view(np.float32)[0] = value
            else:
                record[place] = value.address if isinstance(value, Buffer) else value
        if self._written & {*reads, *writes} or self._read & set(writes):
            record[Record.BARRIER] = 1
            self._read, self._written = set(), set()
        self._read |= set(reads)
        self._written |= set(writes)
        self._records.append(record)
        self.kernels.append(kernel)
        self.chunks.append((chunks, cost))
        return len(self._records) - 1

    def finish(self, addresses: dict[str, int]) -> Int64s:
        """Return the records, (steps, RECORD_WORDS) int64, with the kernels' addresses."""
        records = np.stack(self._records)
        records[:, Record.KERNEL] = [addresses[name] for name in self.kernels]
        return records

    def counts(self, sizes: Sizes) -> Int64s:
        """How many chunks each step has in a batch, and their cost: (steps, 2) int64."""
        return np.array([[count(sizes), cost(sizes)] for count, cost in self.chunks], np.int64)
