"""`recommend` for this machine: its catalog, its memory, what it can do.

The speed is what was measured last; never measured, it is measured now, which takes a second or
two. No network is asked.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from localmix.advice.candidates import TYPICAL, Memory, Speed, Wishes
from localmix.advice.ranking import Recommendation, rank
from localmix.bench.remembered import known_machine
from localmix.engine import memory
from localmix.registry.catalog_file import load_catalog
from localmix.registry.stored import embedded_model

if TYPE_CHECKING:
    from localmix.kernels.library import OnCompile


def advise(
    wishes: Wishes,
    home: Path,
    cache_folder: Path,
    on_measure: Callable[[], None] = lambda: None,
    on_compile: OnCompile | None = None,
) -> list[Recommendation]:
    """Rank the models of the catalog for this machine, or for a typical one.

    Args:
        wishes: what the model is for; with `compute` this machine is not looked at.
        home: LOCALMIX_HOME, for a person's own catalog.
        cache_folder: where measurements are kept.
        on_measure: called before the machine is measured.
        on_compile: hears of the kernels that this takes, once for a CPU.

    Raises:
        LocalmixError: a catalog cannot be read.

    Modifies: the cache folder, when something was measured.
    """
    entries = load_catalog(home=home).entries
    if wishes.compute is None:
        from localmix.engine.load import threads_asked_for
        from localmix.kernels.library import this_machine

        here = Memory(memory.free_bytes(), memory.total_bytes())
        isa, n_threads = this_machine().tier.name, threads_asked_for()
        machine = known_machine(cache_folder, n_threads, isa, on_measure, on_compile)
        speed = Speed(machine.read_gb_s, machine.int8_gop_s)
    else:
        speed, here = TYPICAL[wishes.compute]
    embedded = embedded_model()
    return rank(entries, speed, here, wishes, embedded.size_bytes if embedded else 0)
