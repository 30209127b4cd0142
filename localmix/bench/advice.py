"""`recommend` for this machine: its catalog, its memory, what it can do.

The speed is what `bench` measured last; never measured, it is measured now, which takes about a
second. No network is asked.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from localmix.bench.candidates import TYPICAL, Memory, Speed, Wishes
from localmix.bench.limits import measure_machine
from localmix.bench.recommend import Recommendation, rank
from localmix.bench.remembered import read_gb_s, remember
from localmix.engine import memory
from localmix.registry.catalog_file import load_catalog
from localmix.registry.stored import embedded_model


def advise(
    wishes: Wishes,
    home: Path,
    cache_folder: Path,
    n_threads: int,
    on_measure: Callable[[], None] | None = None,
) -> list[Recommendation]:
    """Rank the models of the catalog for this machine, or for a typical one.

    Args:
        wishes: what the model is for; with `compute` this machine is not looked at.
        home: LOCALMIX_HOME, for a person's own catalog.
        cache_folder: where measurements are kept.
        n_threads: threads that a model would have.
        on_measure: called before the machine is measured.

    Raises:
        LocalmixError: a catalog cannot be read.

    Modifies: the cache folder, when something was measured.
    """
    entries = load_catalog(home=home).entries
    if wishes.compute is None:
        here = Memory(memory.free_bytes(), memory.total_bytes())
        speed = speed_of_this_machine(cache_folder, n_threads, on_measure)
    else:
        speed, here = TYPICAL[wishes.compute]
    embedded = embedded_model()
    return rank(entries, speed, here, wishes, embedded.size_bytes if embedded else 0)


def speed_of_this_machine(
    cache_folder: Path, n_threads: int, on_measure: Callable[[], None] | None = None
) -> Speed:
    """Give what was measured last, or measure; the int8 peak takes a kernel and stays unknown."""
    known = read_gb_s(cache_folder, n_threads)
    if known is None:
        if on_measure:
            on_measure()
        machine = measure_machine(n_threads)
        remember(cache_folder, machine, n_threads)
        known = machine.read_gb_s
    return Speed(known)
