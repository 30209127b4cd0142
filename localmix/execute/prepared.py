"""A tape for batches of up to so many rows, with the memory that it works in."""

from __future__ import annotations

import itertools
import time
from contextlib import closing

import numpy as np
from numpy.typing import NDArray

from localmix.cache import Batch, RingCache
from localmix.execute.buffers import Arena, Buffer, view_of
from localmix.execute.executor import Routes
from localmix.execute.expert_cache import ExpertCache
from localmix.execute.experts import MixtureSteps
from localmix.execute.lower import Lowered, lower
from localmix.execute.pace import Pace
from localmix.execute.products import FLOAT_FORMATS
from localmix.execute.profile import ATTENTION, Profile, empty_table, parts_of
from localmix.execute.tape import Int64s, Sizes
from localmix.execute.team import Team
from localmix.gguf import Tensor
from localmix.kernels import isa
from localmix.kernels.layout import (
    FEW,
    KEYS_PER_BLOCK,
    LINE,
    STRIP,
    WORD,
    AttentionTile,
    Matmul,
    State,
)
from localmix.kernels.library import Library
from localmix.model import ops

Floats = NDArray[np.float32]


class PreparedTape:
    """A tape for batches of at most so many rows, with the memory that it works in."""

    def __init__(
        self, plan: ops.Plan, library: Library, most: int, n_threads: int, kv: str
    ) -> None:
        self._plan, self._tier = plan, library.machine.tier
        self._arena = Arena()
        self.profile: Profile | None = None
        self.pace: Pace | None = None
        self._embed = next(op for op in plan.ops if isinstance(op, ops.Embed))
        self._rotation = next(op.rotation for op in plan.ops if isinstance(op, ops.Rope))
        heads = next(op.heads for op in plan.ops if isinstance(op, ops.Attend))
        group = heads.n_heads // heads.n_kv_heads
        self._rows_per_tile = max(1, self._tier.queries // group)
        self._lowered: Lowered = lower(plan, self._arena, self._tier, most, n_threads, kv)
        self._records = self._lowered.tape.finish(library.addresses)
        self._parts = parts_of(self._lowered.tape.kernels, self._lowered.mixtures)
        self._layers = [i for i, part in enumerate(self._parts) if part == ATTENTION]
        self._counts: dict[Sizes, Int64s] = {}
        self._counts_now = np.zeros((0, 2), np.int64)
        self._n_used = {op.i_layer: op.n_used for op in self._plan.ops if isinstance(op, ops.Route)}
        n_steps = len(self._records)
        self._counters = np.zeros((n_steps, LINE // WORD), np.int64)  # not in one cache line
        self._state = np.zeros(len(State), np.int64)
        self._positions = np.zeros(most, np.int32)  # (T,)
        self._sequences = np.zeros(most, np.int64)  # (T,)
        self._slots = np.zeros(most, np.int64)  # (T,)
        n_pairs = len(self._rotation.frequencies)
        self._cosines = np.zeros((most, n_pairs), np.float32)  # (T, R / 2)
        self._sines = np.zeros((most, n_pairs), np.float32)
        self._tiles = np.zeros((most, len(AttentionTile)), np.int64)
        self.scratch_bytes = _scratch_bytes(self._plan, self._tier, most)
        dim = self._embed.out.width
        self._embedded = view_of(self._lowered.embedded).view(np.float32).reshape(most, dim)
        self._groups = [
            view_of(buffer).view(np.int64)
            for buffer in (self._lowered.all_rows, self._lowered.wanted_rows)
        ]
        self._wanted = view_of(self._lowered.wanted).view(np.int64)

    def fill(self, batch: Batch, cache: RingCache, logits: Floats) -> None:
        """Write down what the batch is."""
        n, n_wanted = len(batch), len(batch.wanted)
        self._embedded[:n] = self._embed.weight.rows(batch.tokens)
        self._positions[:n] = batch.positions
        self._sequences[:n] = batch.sequences
        self._slots[:n] = batch.positions % cache.n_slots
        # Angles in float64: as float32, one at position 30,000 is off by 0.002.
        angles = batch.positions[:, None] * self._rotation.frequencies[None, :]
        self._cosines[:n] = np.cos(angles) * self._rotation.magnitude
        self._sines[:n] = np.sin(angles) * self._rotation.magnitude
        for group, count in zip(self._groups, (n, n_wanted), strict=True):
            group[:] = 0, count, 0
        self._wanted[:n_wanted] = batch.wanted
        self._records[self._lowered.logits, Matmul.OUT] = logits.ctypes.data
        tiles = self._split(batch)
        self._tiles[: len(tiles)] = tiles
        sizes = Sizes(n, n_wanted, len(tiles), n <= FEW)
        if sizes not in self._counts:
            self._counts = {
                **dict(list(self._counts.items())[-7:]),
                sizes: self._lowered.tape.counts(sizes),
            }
        self._counts_now = self._counts[sizes]
        self._write_state(cache, sizes)

    def _write_state(self, cache: RingCache, sizes: Sizes) -> None:
        values = {
            "FEW_ROWS": int(sizes.is_few),
            "N_ROWS": sizes.n_rows,
            "POSITIONS": self._positions.ctypes.data,
            "SEQUENCES": self._sequences.ctypes.data,
            "SLOTS": self._slots.ctypes.data,
            "COSINES": self._cosines.ctypes.data,
            "SINES": self._sines.ctypes.data,
            "TILES": self._tiles.ctypes.data,
            "KEYS": cache.keys.ctypes.data,
            "VALUES": cache.values.ctypes.data,
            "SLOT_POSITIONS": cache.positions.ctypes.data,
            "N_SLOTS": cache.n_slots,
            "N_USED_SLOTS": cache.n_used_slots,
        }
        layer, sequence, head, slot = cache.keys.strides[:4]
        values |= {
            "LAYER_BYTES": layer,
            "SEQUENCE_BYTES": sequence,
            "HEAD_BYTES": head,
            "SLOT_BYTES": slot,
        }
        for name, value in values.items():
            self._state[getattr(State, name)] = value

    def walk(self, team: Team, first: int = 0, end: int | None = None) -> None:
        """Walk the steps from `first` to the one before `end`, with rests if there is a pace."""
        end = len(self._records) if end is None else end
        if self.pace is None:
            self._walk(team, first, end)
            return
        borders = [first, *(i for i in self._layers if first < i < end), end]
        for start, stop in itertools.pairwise(borders):
            since = time.perf_counter()
            self._walk(team, start, stop)
            self.pace.worked(time.perf_counter() - since)

    def _walk(self, team: Team, first: int, end: int) -> None:
        self._counters[first:end] = 0
        state = team.state
        state[State.N_OPS : len(State)] = self._state[State.N_OPS :]
        state[State.N_OPS] = end - first
        for field, of_steps in (
            (State.TAPE, self._records),
            (State.CHUNKS, self._counts_now),
            (State.COUNTERS, self._counters),
        ):
            state[field] = of_steps[first:].ctypes.data
        if self.profile is None:
            team.run()
        else:
            self._run_profiled(team, self.profile, first, end)

    def _run_profiled(self, team: Team, profile: Profile, first: int, end: int) -> None:
        """Run, and write down where the time goes."""
        spent = empty_table(int(team.state[State.N_THREADS]), end - first)
        team.state[State.PROFILE] = spent.ctypes.data
        team.state[State.PROFILE_BYTES] = spent.strides[0]
        start = time.perf_counter()
        team.run()
        profile.add(spent, self._parts[first:end], time.perf_counter() - start)

    def walk_with(self, team: Team, experts: ExpertCache, n_rows: int) -> None:
        """Walk everything, with experts that come as they are chosen.

        The steps of a mixture are walked as often as experts come. Each time only the experts that
        came have addresses, so the others are passed over.
        """
        first = 0
        for mixture in self._lowered.mixtures:
            self.walk(team, first, mixture.first)
            chosen = np.unique(self._route(mixture.i_layer, n_rows)).tolist()
            with closing(experts.visit(mixture.i_layer, chosen)) as visit:
                for here in visit:
                    self._point_to(here, mixture)
                    self.walk(team, mixture.first, mixture.end)
            first = mixture.end
        self.walk(team, first)

    def _point_to(self, here: dict[Tensor, int], mixture: MixtureSteps) -> None:
        """Give the products of a mixture the addresses of some experts, and none of the others."""
        for step, matrices in mixture.products.items():
            table = [[here.get(part, 0) if part else 0 for part in pair] for pair in matrices]
            at = Buffer(int(self._records[step, Matmul.WEIGHTS]), 2 * WORD * len(matrices))
            view_of(at).view(np.int64)[:] = np.ravel(table)

    def routes(self, n_rows: int) -> Routes:
        """The experts that the rows of the last batch visited, by layer: (T, A) int32."""
        return {layer: self._route(layer, n_rows).copy() for layer in self._lowered.routes}

    def _route(self, layer: int, n_rows: int) -> NDArray[np.int32]:
        """The experts of one layer, where the kernels wrote them: (T, A)."""
        experts = view_of(self._lowered.routes[layer]).view(np.int32)
        return experts[: n_rows * self._n_used[layer]].reshape(n_rows, -1)

    def _split(self, batch: Batch) -> list[tuple[int, int, int]]:
        """Split the rows into runs of one sequence: (first row, rows, sequence).

        A run that would fill less than half of the lanes is computed row by row.
        """
        n = len(batch)
        borders = [0, *(np.flatnonzero(np.diff(batch.sequences)) + 1).tolist(), n]
        tiles = []
        for start, end in itertools.pairwise(borders):
            step = self._rows_per_tile if 2 * (end - start) >= self._rows_per_tile else 1
            sequence = int(batch.sequences[start])
            tiles += [(i, min(step, end - i), sequence) for i in range(start, end, step)]
        return tiles


def matrices_of(plan: ops.Plan) -> list[Tensor]:
    """Every matrix that activations are multiplied with."""
    found = []
    for op in plan.ops:
        if isinstance(op, ops.Linear):
            found.append(op.projection.weight)
        elif isinstance(op, ops.Route):
            found.append(op.weight)
        elif isinstance(op, ops.MixExperts):
            for ffn in op.weights:
                found += [ffn.ffn_gate.weight, ffn.ffn_up.weight, ffn.ffn_down.weight]
    return found


def _scratch_bytes(plan: ops.Plan, tier: isa.Tier, most: int) -> int:
    """Private memory that a thread needs: an expanded strip and its products, or attention."""
    heads = next(op.heads for op in plan.ops if isinstance(op, ops.Attend))
    padded = -(-heads.head_dim // 32) * 32
    line = 4 * tier.queries
    attention = line * (2 * padded + KEYS_PER_BLOCK + 1) + 8 * padded * KEYS_PER_BLOCK
    attention += 8 * padded * heads.n_heads + 16 * heads.n_heads + 4096
    products = 0
    for tensor in matrices_of(plan):
        n_in = tensor.shape[1]
        per_weight = 4.0 if tensor.format.name in FLOAT_FORMATS else 1.5
        products = max(products, int(STRIP * n_in * per_weight), 4 * n_in)
    room = 4 * STRIP * (most + tier.tile_columns)
    return max(attention, products + 2 * room) + 4096
