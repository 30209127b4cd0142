"""How threads walk a tape together: claimed chunks, barriers, and sleeping when there is no work.

A step of the tape is a number of chunks. Threads claim them with an atomic counter, so a slow core
takes fewer. A step that reads what other threads wrote waits at a barrier first: arrivals are only
counted up, so there is nothing to reset in between. Chunks never depend on the number of threads,
which is why results have the same bits for any number.

Arm lets a core see two writes of another one in any order. Four words make an order, and all else
is read and written plainly, in between:

    GENERATION   counted up behind all that describes a batch; a worker reads that after it
    ARRIVED      counted up behind the chunks of a thread; their results are read after it
    LEFT         counted up behind a worker's last chunk and its profile; then the batch is over
    CANCEL       orders nothing: whoever sees it late computes a chunk that nobody will read

Counting is a release and an acquire at once, so it carries on what those before have released, and
each look is an acquire. A chunk's counter is such a word too, though nothing hangs on its order:
who claims a chunk reads only what came before the barrier.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from localmix.kernels.elementwise import field
from localmix.kernels.jit import inline, kernel
from localmix.kernels.layout import (
    LINE,
    RECORD_WORDS,
    SPENT_BYTES,
    STEP_BYTES,
    WORD,
    Record,
    Spent,
    State,
)
from localmix.kernels.simd import store_i64
from localmix.kernels.target import ON_ARM, ON_X86
from localmix.kernels.vectors import I32, I64, call, nothing, pointer

SPINS_BEFORE_YIELD = 64
"""Looks at a barrier before the system is asked for another thread to run: a few µs.

More would be wasted where another process has the core that the last thread needs.
"""

IDLE_SPINS = 40_000
"""Looks for a new batch before a worker goes to sleep: some milliseconds."""


@intrinsic
def atomic_add(typing: Any, address: Any, value: Any) -> Any:
    """Add to an int64 that others add to as well; the value before. An acquire and a release."""
    return types.int64(types.int64, types.int64), lambda context, b, sig, args: b.atomic_rmw(
        "add", pointer(b, args[0], I64), args[1], "acq_rel"
    )


@intrinsic
def atomic_load(typing: Any, address: Any) -> Any:
    """An int64 that others write. An acquire: what is read after it is at least as new."""
    return types.int64(types.int64), lambda context, b, sig, args: b.load_atomic(
        pointer(b, args[0], I64), "acquire", 8
    )


@intrinsic
def pause(typing: Any) -> Any:
    """Tell the core that this is a waiting loop."""

    def gen(context: Any, b: Any, sig: Any, args: Any) -> Any:
        if ON_ARM:
            return nothing(context, call(b, "llvm.aarch64.hint", ir.VoidType(), I32(1)))
        if not ON_X86:
            return nothing(context)
        return nothing(context, call(b, "llvm.x86.sse2.pause", ir.VoidType()))

    return types.void(), gen


@intrinsic
def ticks(typing: Any) -> Any:
    """A clock that counts some million times a second or more; 0 where LLVM knows none.

    The counter of cycles on x86; on Arm, where programs may not read cycles, that of the system,
    CNTVCT_EL0: 1 to 50 MHz, 1 GHz from Armv8.6 on (Arm Architecture Reference Manual, The Generic
    Timer).
    """

    def gen(context: Any, b: Any, sig: Any, args: Any) -> Any:
        if ON_ARM:
            # `llvm.readsteadycounter` is 0 on Arm.
            counter = b.module.add_metadata(["cntvct_el0"])
            return call(b, "llvm.read_volatile_register.i64", I64, counter)
        if not ON_X86:
            return I64(0)
        return call(b, "llvm.readcyclecounter", I64)

    return types.int64(), gen


@intrinsic
def call_kernel(
    typing: Any, address: Any, record: Any, state: Any, chunk: Any, scratch: Any
) -> Any:
    """Call a kernel by its address."""
    kind = ir.FunctionType(ir.VoidType(), [I64] * 4)
    return types.void(*[types.int64] * 5), lambda context, b, sig, args: nothing(
        context, b.call(pointer(b, args[0], kind), args[1:])
    )


@intrinsic
def call_plain(typing: Any, address: Any) -> Any:
    """Call a function of the system that takes and returns nothing."""
    kind = ir.FunctionType(ir.VoidType(), [])
    return types.void(types.int64), lambda context, b, sig, args: nothing(
        context, b.call(pointer(b, args[0], kind), [])
    )


@inline
def cancelled(state):
    """Whether the batch is to be left."""
    return atomic_load(state + WORD * State.CANCEL) != 0


@inline
def wait_for(state, arrivals):
    """Wait until so many arrivals were counted, or the batch is cancelled."""
    spins = 0
    while atomic_load(state + WORD * State.ARRIVED) < arrivals and not cancelled(state):
        spins += 1
        if spins < SPINS_BEFORE_YIELD:
            pause()
        else:
            call_plain(field(state, State.YIELD))


@inline
def profile_of(state, thread):
    """Where a thread writes down its time; 0: nobody wants to know."""
    profile = field(state, State.PROFILE)
    return profile + field(state, State.PROFILE_BYTES) * thread if profile != 0 else 0


@inline
def spend(profile, i, what, since):
    """Add the ticks since then to what a step has cost; the ticks now."""
    if profile == 0:
        return since
    now, place = ticks(), profile + SPENT_BYTES * i + WORD * what
    store_i64(place, field(place, 0) + now - since)
    return now


@inline
def walk_tape(state, thread, scratch):
    """Do this thread's part of every step; thread 0 asks now and then whether a signal came."""
    n_threads, tape = field(state, State.N_THREADS), field(state, State.TAPE)
    profile = profile_of(state, thread)
    arrivals, cost, tick = 0, 0, ticks()
    for i in range(field(state, State.N_OPS)):
        record = tape + WORD * RECORD_WORDS * i
        if field(record, Record.BARRIER) != 0:
            arrivals += n_threads
            atomic_add(state + WORD * State.ARRIVED, 1)
            wait_for(state, arrivals)
        tick = spend(profile, i, Spent.WAITING, tick)
        step = field(state, State.CHUNKS) + STEP_BYTES * i
        n_chunks = field(step, 0)
        counter = field(state, State.COUNTERS) + LINE * i
        address = field(record, Record.KERNEL)
        while atomic_load(counter) < n_chunks and not cancelled(state):
            chunk = atomic_add(counter, 1)
            if chunk < n_chunks:
                call_kernel(address, record, state, chunk, scratch)
                cost += field(step, 1)
                if thread == 0 and cost > field(state, State.COST_PER_POLL):
                    cost = 0
                    call_plain(field(state, State.POLL))
        tick = spend(profile, i, Spent.WORKING, tick)


@inline
def wait_for_workers(state):
    """Wait for the last worker even when cancelled: nobody may be inside a kernel any more."""
    spins = 0
    while atomic_load(state + WORD * State.LEFT) < field(state, State.N_THREADS) - 1:
        spins += 1
        if spins < SPINS_BEFORE_YIELD:
            pause()
        else:
            call_plain(field(state, State.YIELD))


@kernel("walk")
def walk(record, state, thread, scratch):
    """Thread 0: run the batch and leave last."""
    walk_tape(state, thread, scratch)
    tick = ticks()
    wait_for_workers(state)
    # as if before one step more
    spend(profile_of(state, thread), field(state, State.N_OPS), Spent.WAITING, tick)


@kernel("announce")
def announce(record, state, thread, scratch):
    """Tell the workers of a new batch: all that was written before is theirs to see."""
    atomic_add(state + WORD * State.GENERATION, 1)


@kernel("work")
def work(seen, state, thread, scratch):
    """A worker: run batch after batch; return when there was none for some milliseconds.

    `seen` is the address of the last generation that this worker has run.
    """
    idle = 0
    while idle < IDLE_SPINS:
        generation = atomic_load(state + WORD * State.GENERATION)
        if generation == field(seen, 0):
            idle += 1
            if idle < SPINS_BEFORE_YIELD:
                pause()
            else:
                call_plain(field(state, State.YIELD))
        else:
            store_i64(seen, generation)
            if field(state, State.N_OPS) < 0:  # the team is dismissed
                return
            walk_tape(state, thread, scratch)
            atomic_add(state + WORD * State.LEFT, 1)
            idle = 0
