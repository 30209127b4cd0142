"""Who takes part: localmix, llama.cpp with each of its settings, and a plain read of the file."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from compare.protocol import Message, Worker


@dataclass(frozen=True)
class Contestant:
    """One row of the table.

    Attributes:
        worker: its process; settings that need no other model share one.
        options: what its requests have in addition.
        is_ours: localmix.
        is_default: llama.cpp as it comes.
    """

    name: str
    worker: Worker
    options: Message = field(default_factory=dict)
    is_ours: bool = False
    is_default: bool = False

    def seconds(self, request: Message) -> float:
        """Run a test; see `driver.py`."""
        return float(self.worker.ask({**request, **self.options})["seconds"])


@dataclass(frozen=True)
class Setup:
    """What the processes are started with.

    Attributes:
        ids: token ids, the same for all.
        n_ctx: depth -> positions that its tests need.
        n_outputs: rows whose logits a pass may ask for.
        repack, flash: settings of llama.cpp to measure, each 0 or 1.
    """

    model: Path
    llama_python: str
    threads: int
    isa: str | None
    with_resident: bool
    ids: list[int]
    n_ctx: dict[int, int]
    n_outputs: int
    repack: tuple[int, ...] = (0, 1)
    flash: tuple[int, ...] = (0, 1)

    def config(self, **own: object) -> Message:
        """The first request to a worker."""
        return {
            "model": str(self.model),
            "threads": self.threads,
            "ids": self.ids,
            "n_ctx": {str(depth): n for depth, n in self.n_ctx.items()},
            "n_outputs": self.n_outputs,
            **own,
        }


@dataclass(frozen=True)
class Field:
    """Everyone who takes part, ready.

    Attributes:
        reader: the plain read.
        notes: what a reader of the table must know of them.
    """

    contestants: list[Contestant]
    reader: Worker
    notes: list[str]


@contextmanager
def started(setup: Setup) -> Iterator[Field]:
    """Start all processes, one after the other; they end with the context."""
    with ExitStack() as stack:
        contestants = _ours(setup, stack)
        theirs, notes = _theirs(setup, stack)
        say("plain read: mapping the file")
        config = setup.config()
        reader = stack.enter_context(Worker("plain read", sys.executable, "read_worker", config))
        yield Field(contestants + theirs, reader, notes)


def localmix_worker(setup: Setup, weights: str = "mapped", executor: str = "native") -> Worker:
    """Start localmix."""
    say(f"localmix, {executor}, {weights} weights: loading")
    environ = {"LOCALMIX_ISA": setup.isa} if setup.isa else {}
    config = setup.config(weights=weights, executor=executor)
    return Worker(f"localmix {weights}", sys.executable, "localmix_worker", config, environ)


def llama_worker(setup: Setup, repack: int | None) -> Worker:
    """Start llama.cpp; repack None: as it comes."""
    say("llama.cpp: loading" + ("" if repack is None else f", repack {repack}"))
    config = setup.config(repack=repack)
    return Worker(f"llama.cpp repack {repack}", setup.llama_python, "llama_worker", config)


def _ours(setup: Setup, stack: ExitStack) -> list[Contestant]:
    found = []
    for weights in ("mapped", "resident") if setup.with_resident else ("mapped",):
        worker = stack.enter_context(localmix_worker(setup, weights))
        found.append(Contestant(f"localmix {weights}", worker, is_ours=True))
    return found


def _theirs(setup: Setup, stack: ExitStack) -> tuple[list[Contestant], list[str]]:
    """llama.cpp's settings, as far as the binding has them, and what is to be said of them."""
    found, notes = [], []
    # The first process tells which settings there are.
    workers = [stack.enter_context(llama_worker(setup, setup.repack[-1]))]
    about = workers[0].about
    repacks: tuple[int | None, ...] = (setup.repack[-1],)
    if not about["has_repack"]:
        repacks = (None,)
        notes.append("this llama-cpp-python has no use_extra_bufts: repack as it comes")
    for other in setup.repack[:-1] if about["has_repack"] else ():
        workers.append(stack.enter_context(llama_worker(setup, other)))
        repacks = (*repacks, other)
    flashes: tuple[int | None, ...] = setup.flash
    if not about["has_flash"]:
        flashes = (None,)
        notes.append("this llama-cpp-python has no flash_attn_type: attention as it comes")
    auto = 1 if about["auto_flash"] is None else about["auto_flash"]
    if about["has_flash"] and about["auto_flash"] is None:
        notes.append("its log does not say what flash attention auto became; taken for 1")
    for worker, repack in zip(workers, repacks, strict=True):
        for flash in flashes:
            settings = (("repack", repack), ("fa", flash))
            told = [f" {word} {value}" for word, value in settings if value is not None]
            name = "llama.cpp" + "".join(told)
            is_default = repack in (None, about["default_repack"]) and flash in (None, auto)
            options = {} if flash is None else {"flash": flash}
            found.append(Contestant(name, worker, options, is_default=is_default))
    notes.append(f"llama.cpp: load mode {about['load_mode']}, flash attention auto is fa {auto}")
    return found, notes


def say(text: str) -> None:
    """Write progress to stderr."""
    sys.stderr.write(text + "\n")
    sys.stderr.flush()
