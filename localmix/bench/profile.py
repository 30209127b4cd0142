"""Where the time of prefill and decode goes: one more repetition of each, looked at inside.

The figures of `bench` come from other repetitions, which nobody looks into.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from localmix.bench.run import BenchOptions, Clock, Probe

if TYPE_CHECKING:
    from localmix.engine import Model
    from localmix.execute.native import NativeExecutor


@dataclass(frozen=True)
class Spent:
    """Where the time of one repetition went.

    Attributes:
        name: "prefill" or "decode".
        seconds: of all of it. With decode stands the pass that reads what is before it.
        parts: seconds of each part, by the wall clock, the longest first; see
            `execute/profile.py`.
    """

    name: str
    seconds: float
    parts: dict[str, float]

    def record(self) -> dict[str, Any]:
        """The public JSON object."""
        shares = {name: 100 * part / self.seconds for name, part in self.parts.items()}
        return {"seconds": self.seconds, "pct": shares}


def profile(
    model: Model,
    executor: NativeExecutor,
    options: BenchOptions,
    clock: Clock = time.perf_counter,
) -> list[Spent]:
    """Run prefill and decode once more, as far as they are wanted, and say where time goes.

    Args:
        model: warm.
        executor: of the model.
        options: how much is run.
        clock: seconds.
    """
    probe = Probe(model, options, clock)
    found = []
    for name, n_tokens in (("prefill", options.n_prompt), ("decode", options.n_generated)):
        if n_tokens:
            with executor.profiled() as inside:
                taken = probe.prefill() if name == "prefill" else probe.decode(n_tokens)
            found.append(Spent(name, taken.total_s, inside.seconds(taken.total_s)))
    return found
