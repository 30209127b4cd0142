"""Finds the best way to run a model on this machine: threads, chunk of a prompt, register tile.

One thing is varied after the other, each with the best of what came before. A challenger is
measured in turns with the champion, so that a machine which slows down meanwhile slows both; it
must win by more than `MARGIN`, or the simpler choice stays: fewer threads, the usual chunk and
tile. Tiles that win alone often lose in a whole prefill, so whole ones are measured.
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

ROUNDS = 3
"""Turns of champion and challenger; the median of each counts."""

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
        tok_s: its tokens per second, the median of its turns.
        champion_tok_s: the same of what it was measured against.
    """

    what: str
    choices: Tuned
    tok_s: float
    champion_tok_s: float

    @property
    def wins(self) -> bool:
        """Whether it is faster by more than two runs of the same differ."""
        return self.tok_s > (1 + MARGIN) * self.champion_tok_s


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
        turns = [
            (measure(what, champion, n_tokens), measure(what, challenger, n_tokens))
            for _ in range(ROUNDS)
        ]
        old, new = (statistics.median(column) for column in zip(*turns, strict=True))
        trials.append(Trial(what, challenger, new, old))
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
