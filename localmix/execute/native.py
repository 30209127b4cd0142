"""The native executor: a plan as a tape of compiled kernels, walked by all threads together.

Python runs once per batch: it looks up the embeddings, writes what the batch is into the state, and
calls the team. Weights are read where they lie in the mapped file. The reference executor computes
the same in float32; here activations are rounded to bytes on their way into matrix products.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
from numpy.typing import NDArray

from localmix.cache import Batch, RingCache
from localmix.errors import UnsupportedModel
from localmix.execute.buffers import Arena
from localmix.execute.executor import Routes, check_logits
from localmix.execute.expert_cache import Expert, ExpertCache
from localmix.execute.experts import MixtureSteps
from localmix.execute.lower import lower
from localmix.execute.pace import Pace
from localmix.execute.prepared import PreparedTape, matrices_of
from localmix.execute.profile import Profile
from localmix.execute.team import KERNELS, Team
from localmix.kernels import library
from localmix.kernels.isa import Tile
from localmix.kernels.layout import FEW
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
        n_threads_few: threads for batches of few rows, such as decode, which memory may keep busy
            with fewer; None: as many.
        tile: register tile of matrix products; None: that of the tier.
        power: percent of the time that work may take.

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
        n_threads_few: int | None = None,
        tile: Tile | None = None,
        power: int = 100,
    ) -> None:
        self.n_threads = n_threads
        self.n_threads_few = n_threads_few or n_threads
        self.kv = kv
        self._plan = plan
        self._embed = next(op for op in plan.ops if isinstance(op, ops.Embed))
        self._attend = next(op for op in plan.ops if isinstance(op, ops.Attend))
        rotations = [op.rotation for op in plan.ops if isinstance(op, ops.Rope)]
        self._rotation = rotations[0]
        assert all(rotation is self._rotation for rotation in rotations)
        _check_matrices(plan)
        machine = library.this_machine(tile)
        few = lower(plan, Arena(), machine.tier, FEW, n_threads, kv)
        self._library = library.load([*few.tape.kernels, *KERNELS], on_compile, machine)
        self.jit_s = self._library.compile_s
        self.expert_cache: ExpertCache | None = None
        if expert_memory is not None:
            self.expert_cache = ExpertCache(_experts(few.mixtures), expert_memory)
        self._tapes: dict[int, PreparedTape] = {}
        self._teams: dict[int, Team] = {}
        self._profile: Profile | None = None
        self._pace = Pace(power) if power < 100 else None

    @property
    def isa(self) -> str:
        """The tier that kernels were compiled for."""
        return self._library.machine.tier.name

    @property
    def tile(self) -> Tile:
        """Register tile of its matrix products."""
        return self._library.machine.tier.tile

    @contextmanager
    def profiled(self) -> Iterator[Profile]:
        """Note where the time of batches goes."""
        self._profile = Profile()
        try:
            yield self._profile
        finally:
            self._profile = None

    def run(self, batch: Batch, cache: RingCache, routes: Routes | None = None) -> Floats:
        """Compute a batch; see `Executor.run`."""
        batch.check(self._plan.logits.width)
        cache.admit(batch)
        prepared = self._prepare(len(batch))
        logits = np.empty((len(batch.wanted), self._plan.logits.width), np.float32)  # (R, V)
        prepared.fill(batch, cache, logits)
        prepared.profile, prepared.pace = self._profile, self._pace
        team = self._team(self._threads_for(len(batch)))
        if self.expert_cache is None:
            prepared.walk(team)
        else:
            prepared.walk_with(team, self.expert_cache, len(batch))
        if routes is not None:
            routes.update(prepared.routes(len(batch)))
        return check_logits(logits)

    def _prepare(self, n_rows: int) -> PreparedTape:
        """A tape for so many rows: for a few, or for the next power of two."""
        most = max(FEW, 1 << (n_rows - 1).bit_length())
        if most not in self._tapes:
            # Decode and prefill need one each; a longer prefill takes the place of a shorter one.
            self._tapes = {n: tape for n, tape in self._tapes.items() if n == FEW}
            self._tapes[most] = PreparedTape(
                self._plan, self._library, most, self._threads_for(n_rows), self.kv
            )
            self._teams.clear()  # their scratch memory may be too small now
        return self._tapes[most]

    def _threads_for(self, n_rows: int) -> int:
        return self.n_threads_few if n_rows <= FEW else self.n_threads

    def _team(self, n_threads: int) -> Team:
        """The team of so many threads."""
        if n_threads not in self._teams:
            scratch = max(tape.scratch_bytes for tape in self._tapes.values())
            self._teams[n_threads] = Team(self._library, n_threads, scratch)
        return self._teams[n_threads]


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


def _check_matrices(plan: ops.Plan) -> None:
    for tensor in matrices_of(plan):
        if tensor.shape[1] % 16:
            raise UnsupportedModel(
                f"{tensor.name} has rows of {tensor.shape[1]} weights, no multiple of 16",
                "run it with --executor reference",
            )
