"""A team of threads that walks tapes.

The calling thread is one of them, so a model with one thread starts none. Workers look for the next
batch for some milliseconds after each, which is how long decode needs between two tokens, and then
sleep until they are called.
"""

from __future__ import annotations

import contextlib
import ctypes
import sys
import threading
import weakref
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from localmix.execute.buffers import Arena, Buffer, view_of
from localmix.kernels.layout import LINE, STATE_WORDS, WORD, State
from localmix.kernels.library import Kernel, Library

Int64s = npt.NDArray[np.int64]

COST_PER_POLL = 100_000_000
"""Operations of thread 0 between two looks for Ctrl-C: a millisecond, on a slow CPU fifty."""

KERNELS = ("walk", "work", "announce")


class Team:
    """Threads that share one state.

    Attributes:
        state: (STATE_WORDS,) int64, the batch that runs.
    """

    def __init__(self, library: Library, n_threads: int, scratch_bytes: int) -> None:
        self._arena = Arena()
        self._state = self._arena.take(WORD * STATE_WORDS)
        self.state = view_of(self._state).view(np.int64)
        self._walk, self._announce = library.function("walk"), library.function("announce")
        self._scratch = [self._arena.take(scratch_bytes) for _ in range(n_threads)]
        self._signals = _Signals(self.state)
        # Kept here for as long as compiled code may call it.
        looks = self._signals.looks()
        next(looks)
        self._poll = ctypes.CFUNCTYPE(None)(looks.__next__)
        self.state[State.POLL] = ctypes.cast(self._poll, ctypes.c_void_p).value or 0
        self.state[State.YIELD] = _yield_address()
        self.state[State.COST_PER_POLL] = COST_PER_POLL
        self.state[State.N_THREADS] = n_threads
        self._bell = threading.Condition()
        for i in range(1, n_threads):
            seen = self._arena.take(LINE)
            arguments = (library, self._arena, self._state, seen, i, self._scratch[i], self._bell)
            threading.Thread(target=_work, args=arguments, daemon=True).start()
        weakref.finalize(
            self, _dismiss, self.state, self._state, self._announce, self._bell, self._arena
        )

    def run(self) -> None:
        """Walk the tape that the state names.

        Raises:
            KeyboardInterrupt: Ctrl-C came meanwhile; the batch was left.
        """
        state, address = self.state, self._state.address
        state[State.CANCEL] = state[State.ARRIVED] = state[State.LEFT] = 0
        self._signals.came = False
        before = int(state[State.GENERATION])
        try:
            if state[State.N_THREADS] > 1:
                with self._bell:
                    self._announce(0, address, 0, 0)
                    self._bell.notify_all()
            self._walk(0, address, 0, self._scratch[0].address)
        except BaseException:
            if state[State.GENERATION] != before:
                self._call_back()
            raise
        if self._signals.came:
            raise KeyboardInterrupt

    def _call_back(self) -> None:
        """Ctrl-C came between two lines of `run`: wait until no worker is inside a kernel.

        A walk that is cancelled from its start does nothing else, and what workers wrote is seen
        behind it.
        """
        self.state[State.CANCEL] = 1
        with self._bell:
            self._bell.notify_all()
        self._walk(0, self._state.address, 0, self._scratch[0].address)


class _Signals:
    """Looks for Ctrl-C while compiled code runs, and cancels the batch.

    Attributes:
        came: Ctrl-C came during this batch.
    """

    def __init__(self, state: Int64s) -> None:
        self.came = False
        self._state = state

    def looks(self) -> Iterator[None]:
        """Each step is a look: Python runs its handlers of signals when the generator goes on.

        A function would not do: Python runs them before its first line, outside of any `try`.
        """
        while True:
            try:
                yield
            except KeyboardInterrupt:
                self.came = True
                self._state[State.CANCEL] = 1


def _work(
    library: Library,
    arena: Arena,
    state: Buffer,
    seen: Buffer,
    thread: int,
    scratch: Buffer,
    bell: threading.Condition,
) -> None:
    """A worker's life: walk while there are batches, sleep while there are none.

    It holds the library and the arena, so code and memory outlive a model that is closed meanwhile.
    """
    run = library.function("work")
    words, last = view_of(state).view(np.int64), view_of(seen).view(np.int64)
    while True:
        run(seen.address, state.address, thread, scratch.address)
        with bell:
            while words[State.GENERATION] == last[0] and words[State.N_OPS] >= 0:
                bell.wait()
        if words[State.N_OPS] < 0:
            return


def _dismiss(
    state: Int64s, buffer: Buffer, announce: Kernel, bell: threading.Condition, arena: Arena
) -> None:
    """Send the workers home; they hold the arena until they have left.

    A worker that saw the new generation before the −1 would walk a tape that is gone, and the two
    may come in any order on Arm unless the generation is counted as for a batch.
    """
    with bell:
        state[State.N_OPS] = -1
        announce(0, buffer.address, 0, 0)
        bell.notify_all()


def _yield_address() -> int:
    """The system's function that lets another thread run."""
    with contextlib.suppress(OSError, AttributeError):
        if sys.platform == "win32":
            function = ctypes.WinDLL("kernel32").SwitchToThread
        else:
            function = ctypes.CDLL(None).sched_yield
        return ctypes.cast(function, ctypes.c_void_p).value or 0
    raise AssertionError("the system has no way to yield")
