"""Finds the best way to run a model on this machine: threads, chunk of a prompt, register tile.

One thing is varied after the other, each with the best of what came before. A challenger is
measured in turns with the champion, so that a machine which slows down meanwhile slows both. It
must win every turn, and by more than `MARGIN` in the median: otherwise the simpler choice stays,
fewer threads, the usual chunk and tile. Tiles that win alone often lose in a whole prefill, so
whole ones are measured.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from localmix.cores import Cores
from localmix.engine.tuned import Tuned
from localmix.kernels.isa import Tile

MARGIN = 0.03
"""A challenger must be faster by more: less is what two runs of the same differ by."""

ROUNDS = 5
"""Turns of champion and challenger. One that is no better wins all of them in 1 of 32 cases."""

DECODED_TOKENS, PROMPT_TOKENS = 16, 256
"""How much is measured at once."""

CHUNKS = (256, 1024)
"""Chunks of a prompt that are tried beside the usual one."""


@dataclass(frozen=True)
class Trial:
    """One choice that was measured.

    Attributes:
        what: `prefill` or `decode`, which the choice is for.
        choices: what was tried.
        turns: tokens per second of champion and challenger, turn by turn; the first turn that the
            challenger lost is the last.
    """

    what: str
    choices: Tuned
    turns: tuple[tuple[float, float], ...]

    @property
    def tok_s(self) -> float:
        """Median of its turns."""
        return statistics.median(new for _, new in self.turns)

    @property
    def champion_tok_s(self) -> float:
        """The same of what it was measured against."""
        return statistics.median(old for old, _ in self.turns)

    @property
    def wins(self) -> bool:
        """Whether it was faster each time, and by more than two runs of the same differ."""
        gains = [new / old for old, new in self.turns]
        return min(gains) > 1 and statistics.median(gains) > 1 + MARGIN


Measure = Callable[[str, Tuned, int], float]
"""Measures `prefill` or `decode` of so many tokens with some choices -> tokens per second."""


@dataclass(frozen=True)
class Tuning:
    """What tuning has found.

    Attributes:
        best: the choices.
        trials: what was measured on the way.
    """

    best: Tuned
    trials: tuple[Trial, ...]


def tune(
    measure: Measure,
    cores: Cores,
    tiles: Sequence[Tile] = (),
    on_trial: Callable[[str, Tuned], None] = lambda what, choices: None,
) -> Tuning:
    """Find the best choices.

    Args:
        measure: runs the model.
        cores: of this machine.
        tiles: register tiles to try beside that of the tier.
        on_trial: hears what is measured next.
    """
    trials: list[Trial] = []

    def better(what: str, champion: Tuned, challenger: Tuned, n_tokens: int) -> bool:
        on_trial(what, challenger)
        turns: list[tuple[float, float]] = []
        while len(turns) < ROUNDS and all(new > old for old, new in turns):
            old = measure(what, champion, n_tokens)
            turns.append((old, measure(what, challenger, n_tokens)))
        trials.append(Trial(what, challenger, tuple(turns)))
        return trials[-1].wins

    least, *more = thread_counts(cores)
    best = Tuned(least, least)
    for n_threads in more:
        challenger = replace(best, n_threads_few=n_threads)
        if better("decode", best, challenger, DECODED_TOKENS):
            best = challenger
    for n_threads in more:
        challenger = replace(best, n_threads=n_threads)
        if better("prefill", best, challenger, PROMPT_TOKENS):
            best = challenger
    for chunk_tokens in CHUNKS:
        challenger = replace(best, chunk_tokens=chunk_tokens)
        if better("prefill", best, challenger, max(chunk_tokens, best.chunk_tokens)):
            best = challenger
    for tile in tiles:
        challenger = replace(best, tile=tile)
        if better("prefill", best, challenger, PROMPT_TOKENS):
            best = challenger
    return Tuning(best, tuple(trials))


def thread_counts(cores: Cores) -> list[int]:
    """Give the numbers of threads to try, rising: up to all cores, never all logical CPUs.

    Slow cores are tried beside the fast ones, half of them and all: chunks of work are claimed, so
    a slow core takes fewer.
    """
    counts = {1} if cores.fast <= 2 else {(cores.fast + 1) // 2, cores.fast - 1}
    counts.add(cores.fast)
    if cores.slow:
        counts |= {cores.fast + (cores.slow + 1) // 2, cores.physical}
    return sorted(counts)
