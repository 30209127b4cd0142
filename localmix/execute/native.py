"""The native executor: a plan as a tape of compiled kernels, walked by all threads together.

Python runs once per batch: it looks up the embeddings, writes what the batch is into the state, and
calls the team. Weights are read where they lie in the mapped file. The reference executor computes
the same in float32; here activations are rounded to bytes on their way into matrix products.
"""

from __future__ import annotations

import itertools
from contextlib import closing

import numpy as np
from numpy.typing import NDArray

from localmix.cache import Batch, RingCache
from localmix.errors import UnsupportedModel
from localmix.execute.buffers import Arena, Buffer, view_of
from localmix.execute.executor import Routes, check_logits
from localmix.execute.expert_cache import Expert, ExpertCache
from localmix.execute.experts import MixtureSteps
from localmix.execute.lower import Lowered, lower
from localmix.execute.products import FLOAT_FORMATS
from localmix.execute.tape import Int64s, Sizes
from localmix.execute.team import KERNELS, Team
from localmix.gguf import Tensor
from localmix.kernels import isa, library
from localmix.kernels.layout import (
    FEW,
    KEYS_PER_BLOCK,
    STRIP,
    WORD,
    AttentionTile,
    Matmul,
    State,
)
from localmix.model import ops

Floats = NDArray[np.float32]


class NativeExecutor:
    """Runs one plan with compiled kernels.

    Args:
        plan: the pass.
        n_threads: threads that walk the tape, the calling one among them.
        kv: type of keys and values.
        on_compile: hears of kernels that are compiled, once for a CPU.
        expert_memory: bytes for experts, which then are read from the file when they are chosen;
            None: they are read in place.

    Raises:
        UnsupportedModel: a matrix has rows that kernels cannot read.
        LocalmixError: kernels cannot be compiled, or this machine lacks the tier asked for.
    """

    name = "native"
    reads_blocks = True

    def __init__(
        self,
        plan: ops.Plan,
        n_threads: int = 1,
        kv: str = "f16",
        on_compile: library.OnCompile | None = None,
        expert_memory: int | None = None,
    ) -> None:
        self.n_threads = n_threads
        self.kv = kv
        self._plan = plan
        self._embed = next(op for op in plan.ops if isinstance(op, ops.Embed))
        self._attend = next(op for op in plan.ops if isinstance(op, ops.Attend))
        rotations = [op.rotation for op in plan.ops if isinstance(op, ops.Rope)]
        self._rotation = rotations[0]
        assert all(rotation is self._rotation for rotation in rotations)
        _check_matrices(plan)
        tier = library.this_machine().tier
        few = lower(plan, Arena(), tier, FEW, n_threads, kv)
        self._library = library.load([*few.tape.kernels, *KERNELS], on_compile)
        self.jit_s = self._library.compile_s
        self.expert_cache: ExpertCache | None = None
        if expert_memory is not None:
            self.expert_cache = ExpertCache(_experts(few.mixtures), expert_memory)
        self._tapes: dict[int, _Prepared] = {}
        self._team: Team | None = None

    @property
    def isa(self) -> str:
        """The tier that kernels were compiled for."""
        return self._library.machine.tier.name

    def run(self, batch: Batch, cache: RingCache, routes: Routes | None = None) -> Floats:
        """Compute a batch; see `Executor.run`."""
        batch.check(self._plan.logits.width)
        cache.admit(batch)
        prepared = self._prepare(len(batch))
        logits = np.empty((len(batch.wanted), self._plan.logits.width), np.float32)  # (R, V)
        prepared.fill(batch, cache, logits)
        assert self._team is not None
        if self.expert_cache is None:
            prepared.walk(self._team)
        else:
            prepared.walk_with(self._team, self.expert_cache, len(batch))
        if routes is not None:
            routes.update(prepared.routes(len(batch)))
        return check_logits(logits)

    def _prepare(self, n_rows: int) -> _Prepared:
        """A tape for so many rows: for a few, or for the next power of two."""
        most = max(FEW, 1 << (n_rows - 1).bit_length())
        if most not in self._tapes:
            # Decode and prefill need one each; a longer prefill takes the place of a shorter one.
            self._tapes = {n: tape for n, tape in self._tapes.items() if n == FEW}
            self._tapes[most] = _Prepared(self, most)
            self._team = None
        if self._team is None:
            scratch = max(tape.scratch_bytes for tape in self._tapes.values())
            self._team = Team(self._library, self.n_threads, scratch)
        return self._tapes[most]


class _Prepared:
    """A tape for batches of at most so many rows, with the memory that it works in."""

    def __init__(self, executor: NativeExecutor, most: int) -> None:
        machine = executor._library.machine
        self._plan, self._tier = executor._plan, machine.tier
        self._arena = Arena()
        self._embed, self._rotation = executor._embed, executor._rotation
        heads = executor._attend.heads
        group = heads.n_heads // heads.n_kv_heads
        self._rows_per_tile = max(1, self._tier.queries // group)
        self._lowered: Lowered = lower(
            self._plan, self._arena, self._tier, most, executor.n_threads, executor.kv
        )
        self._records = self._lowered.tape.finish(executor._library.addresses)
        self._counts: dict[Sizes, Int64s] = {}
        self._counts_now = np.zeros((0, 2), np.int64)
        self._n_used = {op.i_layer: op.n_used for op in self._plan.ops if isinstance(op, ops.Route)}
        n_steps = len(self._records)
        self._counters = np.zeros((n_steps, 8), np.int64)  # a cache line each
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
        """Walk the steps from `first` to the one before `end`."""
        end = len(self._records) if end is None else end
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
        team.run()

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


def _experts(mixtures: list[MixtureSteps]) -> dict[int, list[Expert]]:
    """The matrices of the experts of each layer."""
    found: dict[int, list[Expert]] = {}
    for mixture in mixtures:
        of_step = list(mixture.products.values())
        found[mixture.i_layer] = [
            tuple(part for pair in of_expert for part in pair if part)
            for of_expert in zip(*of_step, strict=True)
        ]
    return found


def _matrices(plan: ops.Plan) -> list[Tensor]:
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


def _check_matrices(plan: ops.Plan) -> None:
    for tensor in _matrices(plan):
        if tensor.shape[1] % 16:
            raise UnsupportedModel(
                f"{tensor.name} has rows of {tensor.shape[1]} weights, no multiple of 16",
                "run it with --executor reference",
            )


def _scratch_bytes(plan: ops.Plan, tier: isa.Tier, most: int) -> int:
    """Private memory that a thread needs: an expanded strip and its products, or attention."""
    heads = next(op.heads for op in plan.ops if isinstance(op, ops.Attend))
    padded = -(-heads.head_dim // 32) * 32
    line = 4 * tier.queries
    attention = line * (2 * padded + KEYS_PER_BLOCK + 1) + 8 * padded * KEYS_PER_BLOCK
    attention += 8 * padded * heads.n_heads + 16 * heads.n_heads + 4096
    products = 0
    for tensor in _matrices(plan):
        n_in = tensor.shape[1]
        per_weight = 4.0 if tensor.format.name in FLOAT_FORMATS else 1.5
        products = max(products, int(STRIP * n_in * per_weight), 4 * n_in)
    room = 4 * STRIP * (most + tier.tile_columns)
    return max(attention, products + 2 * room) + 4096
