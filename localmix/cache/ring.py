"""The rolling-buffer cache: keys and values of the last positions, in a ring.

Source: arXiv:2310.06825, section 2.

Position p lives in slot p mod S. A worked example with a window W = 3 and chunks of at most C = 2
tokens, so S = W + C − 1 = 4 slots. After positions 0…5 were stored:

    slot               0   1   2   3
    position           4   5   2   3         4 took the place of 0, and 5 that of 1

The next chunk holds positions 6 and 7. They are stored first, then they look:

    slot               0   1   2   3
    position           4   5   6   7
    token at 6 sees    4   5   6   ·         (6 − 3, 6]: three positions, its own among them
    token at 7 sees    ·   5   6   7

With one slot less, 7 would have taken the slot of 4 before 6 had seen it: hence the − 1 and not
less. Without a window every position keeps its slot, S is the context, and a position beyond it is
an error.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from localmix.cache.batch import Batch
from localmix.errors import ContextFull, NotEnoughMemory
from localmix.model.config import ModelConfig


class RingCache:
    """Keys and values of every layer for one or more sequences.

    Attributes:
        keys, values: (L, sequences, K, S, slot) uint8; a slot holds the head_dim numbers of one
            position, packed as `kv` says (see `slot_bytes`).
        positions: (sequences, S) int32, the position that each slot holds; −1: none yet.
        window: positions that a token may see, or None.
    """

    def __init__(
        self,
        config: ModelConfig,
        *,
        n_ctx: int,
        n_chunk: int,
        n_sequences: int = 1,
        kv: str = "f32",
    ) -> None:
        """Reserve the ring; memory becomes real as slots are filled.

        Args:
            config: its layers, key/value heads and window.
            n_ctx: positions that a sequence may have.
            n_chunk: tokens of one sequence that a batch may hold at most.
            n_sequences: conversations kept side by side.
            kv: how numbers are kept: "f32", "f16" or "q8_0".

        Raises:
            NotEnoughMemory: the machine refuses the memory.
        """
        self.window = config.sliding_window
        self.n_ctx = n_ctx
        self.n_chunk = n_chunk
        self.n_slots = slots_needed(n_ctx, self.window, n_chunk)
        self._head_dim = config.head_dim
        shape = (config.n_layers, n_sequences, config.n_kv_heads, self.n_slots)
        try:
            self.keys = np.zeros((*shape, slot_bytes(config.head_dim, kv)), np.uint8)
            self.values = np.zeros_like(self.keys)
        except (MemoryError, ValueError) as exc:
            raise NotEnoughMemory(
                f"a cache of {self.n_slots} positions does not fit into memory",
                "ask for a smaller context: --ctx 2048",
            ) from exc
        self.positions = np.full((n_sequences, self.n_slots), -1, np.int32)

    @property
    def n_used_slots(self) -> int:
        """Slots from 0 on among which all used ones are, over all sequences."""
        used = np.flatnonzero((self.positions >= 0).any(axis=0))
        return int(used[-1]) + 1 if used.size else 0

    def admit(self, batch: Batch) -> None:
        """Give every row of a batch its slot; `store` then fills it, layer by layer.

        Raises:
            ContextFull: a position lies beyond the context.

        Modifies: positions.
        """
        beyond = batch.positions[batch.positions >= self.n_ctx]
        if beyond.size:
            raise ContextFull(
                f"position {beyond[0]} is beyond the context of {self.n_ctx} tokens",
                "ask for a larger context (--ctx) or let old text go (--on-overflow shift)",
            )
        _, counts = np.unique(batch.sequences, return_counts=True)
        assert counts.max() <= self.n_chunk, "a chunk longer than the ring was made for"
        self.positions[batch.sequences, batch.positions % self.n_slots] = batch.positions

    def store(
        self, i_layer: int, batch: Batch, key: NDArray[np.float32], value: NDArray[np.float32]
    ) -> None:
        """Write keys and values of a batch, (T, K · Hd) each, into a ring of float32.

        Modifies: keys, values of one layer.
        """
        slots = batch.positions % self.n_slots  # (T,)
        for ring, rows in ((self.keys, key), (self.values, value)):
            heads = rows.reshape(len(batch), -1, self._head_dim)  # (T, K, Hd)
            floats = ring[i_layer].view(np.float32)  # (sequences, K, S, padded)
            floats[batch.sequences, :, slots, : self._head_dim] = heads

    def view(
        self, i_layer: int, sequence: int
    ) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.int32]]:
        """Return the used slots of a ring of float32: keys, values (S', K, Hd), positions (S',)."""
        positions = self.positions[sequence]
        n_used = self.n_slots - int(np.argmax(positions[::-1] >= 0))  # slots fill from 0 upwards
        keys, values = (
            ring[i_layer, sequence].view(np.float32)[:, :n_used, : self._head_dim].swapaxes(0, 1)
            for ring in (self.keys, self.values)
        )
        return keys, values, positions[:n_used]

    def keep(self, n_positions: int, sequence: int = 0) -> bool:
        """Forget a sequence from a position on; the next token can then take that position.

        Returns:
            False if the ring no longer holds all that the next token has to see: a window has moved
            on since. Nothing is changed then.

        Modifies: positions.
        """
        positions = self.positions[sequence]
        first = 0 if self.window is None else max(0, n_positions - self.window + 1)
        needed = np.arange(first, n_positions)
        if not np.array_equal(positions[needed % self.n_slots], needed):
            return False
        positions[positions >= n_positions] = -1
        return True

    def clear(self, sequence: int = 0) -> None:
        """Forget a sequence.

        Modifies: positions.
        """
        self.positions[sequence] = -1


def slots_needed(n_ctx: int, window: int | None, n_chunk: int) -> int:
    """Return S: window + chunk − 1 with a window, and never more than the context."""
    return n_ctx if window is None else min(n_ctx, window + n_chunk - 1)


def slot_bytes(head_dim: int, kv: str) -> int:
    """Return the bytes of one head of one position; see `kernels/kv.py` for the layouts."""
    if kv == "q8_0":
        return -(-head_dim // 32) * 34
    return -(-head_dim // 16) * 16 * {"f16": 2, "f32": 4}[kv]


def position_bytes(config: ModelConfig, kv: str) -> int:
    """Return the bytes that keys and values of one position take in all layers."""
    return 2 * config.n_layers * config.n_kv_heads * slot_bytes(config.head_dim, kv)


def sees(
    query_positions: NDArray[np.int64], key_positions: NDArray[np.int32], window: int | None
) -> NDArray[np.bool_]:
    """Return the mask (T, S): which key each query may see, by their positions.

    A key is seen if it exists (position ≥ 0), is not in the future, and is fewer than `window`
    positions back.
    """
    distance = query_positions[:, None] - key_positions[None, :]  # (T, S)
    seen = (distance >= 0) & (key_positions >= 0)[None, :]
    return seen if window is None else seen & (distance < window)
