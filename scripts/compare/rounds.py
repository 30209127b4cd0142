"""Rounds: each test is run by A B C D …, then all over again.

Neighbours on a shared machine make any two minutes differ, so figures are only compared within one
round, where they were taken seconds apart.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, field

from compare.contestants import Contestant, Field, say
from compare.driver import SHORT_PROMPT
from compare.protocol import Message, Worker

SLICE_S, LONG_SLICE_S = 0.5, 3.0
"""A slice shorter than the first is repeated; of one longer than the second, stderr speaks."""

SETTLE_S = 0.1
"""Pause before each slice: threads that still wait at the last one's barriers go to sleep."""

READ = "plain read"


@dataclass(frozen=True)
class Test:
    """One kind of work.

    Attributes:
        kind: "prefill", "decode" or "batch", see `driver.py`.
        tokens: in all.
        depth: positions that are there before.
        size: tokens of a pass in "batch".
    """

    kind: str
    tokens: int
    depth: int = 0
    size: int = 1

    @property
    def name(self) -> str:
        """For the table."""
        if self.kind == "batch":
            return f"batch of {self.size}"
        return f"{self.kind} {self.tokens}" + (f" at {self.depth}" if self.depth else "")

    @property
    def n_positions(self) -> int:
        """Positions that it needs."""
        before = {"prefill": 0, "decode": max(self.depth, 1), "batch": SHORT_PROMPT}[self.kind]
        return before + self.tokens

    def request(self, repeat: int) -> Message:
        """What workers are asked."""
        return {
            "test": self.kind,
            "tokens": self.tokens,
            "depth": self.depth,
            "size": self.size,
            "repeat": repeat,
        }


@dataclass
class Samples:
    """What was measured, one figure a round.

    Attributes:
        tok_s: (test, contestant) -> tokens per second.
        read_gb_s: test -> plain read in the same rounds, 10⁹ bytes per second.
    """

    tok_s: dict[tuple[str, str], list[float]] = field(default_factory=dict)
    read_gb_s: dict[str, list[float]] = field(default_factory=dict)


def measure(field_: Field, tests: list[Test], n_rounds: int) -> Samples:
    """Warm up, then measure."""
    repeats = {test.name: _warm_up(test, field_.contestants) for test in tests}
    read_repeat = _repeat(_read(field_.reader, 2)[0])
    samples = Samples()
    for i_round in range(n_rounds):
        for test in tests:
            request = test.request(repeats[test.name])
            for contestant in field_.contestants:
                time.sleep(SETTLE_S)
                tok_s = test.tokens / contestant.seconds(request)
                samples.tok_s.setdefault((test.name, contestant.name), []).append(tok_s)
                where = f"round {i_round + 1} of {n_rounds}, {test.name}"
                say(f"{where}, {contestant.name}: {tok_s:.1f} tok/s")
            if test.kind == "decode":
                time.sleep(SETTLE_S)
                _, gb_s = _read(field_.reader, read_repeat)
                samples.read_gb_s.setdefault(test.name, []).append(gb_s)
    return samples


def _warm_up(test: Test, contestants: list[Contestant]) -> int:
    """Run a test once by everyone -> repetitions that make the fastest slice long enough."""
    seconds = []
    for contestant in contestants:
        say(f"warm-up, {test.name}, {contestant.name}")
        seconds.append(contestant.seconds(test.request(1)))
    if max(seconds) > LONG_SLICE_S:
        say(f"{test.name} takes {max(seconds):.1f} s: fewer tokens would make pairs closer in time")
    return _repeat(min(seconds))


def _repeat(seconds: float) -> int:
    return max(1, math.ceil(SLICE_S / max(seconds, 1e-6)))


def _read(reader: Worker, repeat: int) -> tuple[float, float]:
    """Read the file so many times -> seconds a pass, 10⁹ bytes per second."""
    answer = reader.ask({"test": READ, "repeat": repeat})
    return answer["seconds"], answer["bytes"] / answer["seconds"] / 1e9
