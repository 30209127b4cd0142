"""Threads walk a tape together: each chunk once, no step before its time, and all can be stopped.

Kernels of these tapes are Python functions, or compiled ones that raise a signal.
"""

import ctypes
import gc
import itertools
import os
import signal
import sys
import threading
import time

import numpy as np
import pytest
from llvmlite import binding as llvm
from support.models import Shape, write_model

from localmix.cache import Batch, RingCache
from localmix.execute.native import NativeExecutor
from localmix.execute.team import KERNELS, Team
from localmix.gguf import GGUFFile
from localmix.kernels import library
from localmix.kernels.layout import LINE, RECORD_WORDS, Record, State
from localmix.model.config import ModelConfig
from localmix.model.transformer import describe
from localmix.model.weights import Weights

KERNEL = ctypes.CFUNCTYPE(None, *[ctypes.c_int64] * 4)
DEADLINE_S = 120
"""After so long something hangs. Nothing is asserted of how long it takes."""

no_signals = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no signals like this")


class Walk:
    """A tape of Python functions f(thread ident, chunk, scratch) and the team that walks it."""

    def __init__(self, n_threads):
        self._library = library.load(KERNELS)
        self.team = Team(self._library, n_threads, scratch_bytes=64)
        self._functions = []

    def run(self, *steps):
        """Walk steps: (function or address, chunks, has a barrier in front)."""
        records = np.zeros((len(steps), RECORD_WORDS), np.int64)
        chunks = np.array([(n, 1) for _, n, _ in steps], np.int64)
        counters = np.zeros((len(steps), LINE // 8), np.int64)
        for record, (step, _, barrier) in zip(records, steps, strict=True):
            record[Record.KERNEL] = step if isinstance(step, int) else self._address(step)
            record[Record.BARRIER] = barrier
        state = self.team.state
        state[State.N_OPS] = len(steps)
        state[State.TAPE], state[State.CHUNKS] = records.ctypes.data, chunks.ctypes.data
        state[State.COUNTERS] = counters.ctypes.data
        self.team.run()

    def _address(self, function):
        def kernel(record, state, chunk, scratch):
            function(threading.get_ident(), chunk, scratch)

        self._functions.append(KERNEL(kernel))
        return ctypes.cast(self._functions[-1], ctypes.c_void_p).value


class Noting:
    """A step that writes down which chunks it ran."""

    def __init__(self):
        self.chunks = []

    def __call__(self, thread, chunk, scratch):
        self.chunks.append(chunk)


@pytest.fixture(params=[1, 2, 3, 9])
def walk(request):
    return Walk(request.param)


def wait_until_asleep(team):
    start, n_workers = time.monotonic(), int(team.state[State.N_THREADS]) - 1
    while len(team._bell._waiters) < n_workers:
        assert time.monotonic() - start < DEADLINE_S, "something hangs"
        time.sleep(0.001)


# Chunks and barriers.


def test_every_chunk_runs_once(walk):
    for _ in range(20):
        a, b, c = Noting(), Noting(), Noting()
        walk.run((a, 40, 0), (b, 1, 0), (c, 13, 1))
        assert [sorted(step.chunks) for step in (a, b, c)] == [list(range(n)) for n in (40, 1, 13)]


def test_a_step_may_have_no_chunks(walk):
    empty, step = Noting(), Noting()
    walk.run((empty, 0, 0), (step, 2, 1), (empty, 0, 1))
    assert sorted(step.chunks) == [0, 1]
    assert not empty.chunks


def test_after_a_barrier_all_is_done_that_stands_before_it(walk):
    done, missing = [], []

    def work(thread, chunk, scratch):
        time.sleep(0.0005 * (chunk % 3))
        done.append(chunk)

    def look(thread, chunk, scratch):
        if len(done) != 17:
            missing.append(len(done))

    for _ in range(5):
        done.clear()
        walk.run((work, 12, 0), (work, 5, 0), (look, 8, 1))
    assert not missing


def test_steps_without_a_barrier_overlap():
    """Two steps that wait for each other can only end if both run at the same time."""
    meeting = threading.Barrier(2, timeout=DEADLINE_S)

    def meet(thread, chunk, scratch):
        meeting.wait()

    Walk(2).run((meet, 1, 0), (meet, 1, 0))
    assert not meeting.broken


def test_every_thread_has_a_scratch_of_its_own(walk):
    seen = {}
    meeting = threading.Barrier(int(walk.team.state[State.N_THREADS]), timeout=DEADLINE_S)

    def note(thread, chunk, scratch):
        seen.setdefault(thread, set()).add(scratch)
        meeting.wait()

    for _ in range(3):
        walk.run((note, meeting.parties, 0))
    assert len(seen) == meeting.parties
    assert threading.get_ident() in seen
    assert all(len(scratches) == 1 for scratches in seen.values())
    assert len({*itertools.chain(*seen.values())}) == meeting.parties


def test_workers_sleep_when_there_is_no_work_and_wake_for_the_next_batch():
    walk = Walk(4)
    for _ in range(3):
        step = Noting()
        walk.run((step, 30, 0))
        assert sorted(step.chunks) == list(range(30))
        wait_until_asleep(walk.team)


# Order within a segment does not matter.


class BackwardsTeam(Team):
    """Runs what stands between two barriers backwards: the last chunk of the last step first."""

    def run(self):
        state = self.state
        n_ops = int(state[State.N_OPS])
        records = view(state[State.TAPE], (n_ops, RECORD_WORDS))
        chunks = view(state[State.CHUNKS], (n_ops, 2))
        borders = [0, *np.flatnonzero(records[:, Record.BARRIER]).tolist(), n_ops]
        for start, end in itertools.pairwise(borders):
            for i in reversed(range(start, end)):
                kernel = KERNEL(int(records[i, Record.KERNEL]))
                for chunk in reversed(range(chunks[i, 0])):
                    kernel(
                        records[i].ctypes.data, state.ctypes.data, chunk, self._scratch[0].address
                    )


def view(address, shape):
    memory = (ctypes.c_int64 * int(np.prod(shape))).from_address(int(address))
    return np.ctypeslib.as_array(memory).reshape(shape)


@pytest.mark.parametrize("n_experts", [0, 8])
@pytest.mark.parametrize("chunk", [1, 20])
def test_between_barriers_the_order_does_not_matter(tmp_path, monkeypatch, n_experts, chunk):
    """What threads may do at the same time, in the order that would hurt most."""
    executor, config = small_model(tmp_path, n_experts=n_experts, window=15)
    expected = logits_of(executor, config, chunk)
    backwards, _ = small_model(tmp_path, n_experts=n_experts, window=15)
    monkeypatch.setattr("localmix.execute.native.Team", BackwardsTeam)
    assert np.array_equal(logits_of(backwards, config, chunk), expected)


def small_model(tmp_path, n_threads=1, **shape):
    path = tmp_path / "m.gguf"
    if not path.exists():
        write_model(path, Shape(**shape))
    file = GGUFFile.open(path)
    config = ModelConfig.from_metadata(file.metadata)
    plan = describe(config, Weights.from_tensors(file.tensors, config))
    return NativeExecutor(plan, n_threads, "f32"), config


IDS = [int(i) for i in np.random.default_rng(3).integers(3, 300, 40)]


def logits_of(executor, config, chunk):
    cache = RingCache(config, n_ctx=64, n_chunk=chunk)
    starts = range(0, len(IDS), chunk)
    return np.concatenate([executor.run(Batch.of(IDS[i : i + chunk], i), cache) for i in starts])


# Many small batches by compiled kernels, which run at the same time as Python functions do not.


class Mixing:
    """Batches whose every number depends on two that other threads may have written just before.

    Chunk c of a step with operands from, to, n and k: to[c] = 3 · from[(7c + k) mod n] +
    from[(5c + 1) mod n] + k; but a thread that meets k = −1 cancels the batch. Loads and stores are
    plain ones, as those of kernels are.
    """

    N, DEPTH = 48, 12

    def __init__(self, rng):
        self._rng = rng
        self._engine, self._address = compiled(
            f"""
            define void @mixing(i64 %record, i64 %state, i64 %chunk, i64 %scratch) {{
              %r = inttoptr i64 %record to ptr
              %p_from = getelementptr i64, ptr %r, i64 8
              %p_to = getelementptr i64, ptr %r, i64 9
              %p_n = getelementptr i64, ptr %r, i64 10
              %p_k = getelementptr i64, ptr %r, i64 11
              %from = load ptr, ptr %p_from
              %to = load ptr, ptr %p_to
              %n = load i64, ptr %p_n
              %k = load i64, ptr %p_k
              %stops = icmp eq i64 %k, -1
              br i1 %stops, label %stop, label %go
            stop:
              %s = inttoptr i64 %state to ptr
              %p_cancel = getelementptr i64, ptr %s, i64 {State.CANCEL}
              store i64 1, ptr %p_cancel
              br label %go
            go:
              %seven = mul i64 %chunk, 7
              %spread = mul i64 %chunk, 977
              %delay = urem i64 %spread, 2048
              %at_a = add i64 %seven, %k
              %i_a = urem i64 %at_a, %n
              %five = mul i64 %chunk, 5
              %at_b = add i64 %five, 1
              %i_b = urem i64 %at_b, %n
              %p_a = getelementptr i64, ptr %from, i64 %i_a
              %p_b = getelementptr i64, ptr %from, i64 %i_b
              %a = load i64, ptr %p_a
              %b = load i64, ptr %p_b
              br label %wait
            wait:  ; between reading and writing, so that others meet what is half done
              %left = phi i64 [ %delay, %go ], [ %less, %wait ]
              %less = sub i64 %left, 1
              %more = icmp sgt i64 %less, 0
              br i1 %more, label %wait, label %end
            end:
              %three = mul i64 %a, 3
              %ab = add i64 %three, %b
              %sum = add i64 %ab, %k
              %p_out = getelementptr i64, ptr %to, i64 %chunk
              store i64 %sum, ptr %p_out
              ret void
            }}
            """,
            "mixing",
        )
        # The same memory for all batches: what is seen too late is what the one before has left.
        self._records = np.zeros((self.DEPTH, RECORD_WORDS), np.int64)
        self._chunks = np.zeros((self.DEPTH, 2), np.int64)
        self._counters = np.zeros((self.DEPTH, LINE // 8), np.int64)
        self.numbers = np.zeros((self.DEPTH + 1, self.N), np.int64)

    def run(self, team, cancelled=False):
        """Walk a batch of some depth; what it must have computed, row by row."""
        depth = int(self._rng.integers(2, self.DEPTH + 1))
        n = int(self._rng.integers(self.N // 2, self.N + 1))
        ks = self._rng.integers(0, 1000, depth).tolist()
        self._counters[:] = 0
        self.numbers[0] = self._rng.integers(0, 1 << 30, self.N)
        self._chunks[:, 0] = n
        for i, k in enumerate(ks):
            record = self._records[i]
            record[Record.KERNEL], record[Record.BARRIER] = self._address, i > 0
            record[8], record[9] = self.numbers[i].ctypes.data, self.numbers[i + 1].ctypes.data
            record[10], record[11] = n, -1 if cancelled and i == depth // 2 else k
        state = team.state
        state[State.N_OPS] = depth
        state[State.TAPE], state[State.CHUNKS] = self._records.ctypes.data, self._chunks.ctypes.data
        state[State.COUNTERS] = self._counters.ctypes.data
        team.run()
        expected, chunk = [self.numbers[0, :n]], np.arange(n)
        for k in ks:
            last = expected[-1]
            expected.append(3 * last[(7 * chunk + k) % n] + last[(5 * chunk + 1) % n] + k)
        return np.stack(expected)


ROUNDS = int(os.environ.get("LOCALMIX_TEST_ROUNDS", "30"))
"""Of the test below; more to look for a rare failure."""


def test_many_small_batches_by_teams_of_any_size_are_right_after_cancelled_ones_too():
    mixing, rng = Mixing(np.random.default_rng(8)), np.random.default_rng(9)
    loaded = library.load(KERNELS)
    for _ in range(ROUNDS):
        team = Team(loaded, int(rng.integers(1, 6)), scratch_bytes=64)
        for cancelled in rng.random(20) < 0.2:
            expected = mixing.run(team, cancelled)
            if not cancelled:
                assert np.array_equal(
                    mixing.numbers[: len(expected), : expected.shape[1]], expected
                )


# Ctrl-C.


def compiled(code, name):
    """Machine code of LLVM's language: what holds it, and the address of a function."""
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    machine = llvm.Target.from_default_triple().create_target_machine(jit=True)
    engine = llvm.create_mcjit_compiler(llvm.parse_assembly(code), machine)
    engine.finalize_object()
    return engine, engine.get_function_address(name)


class Interrupting:
    """A compiled kernel that raises SIGINT when it is armed, and then runs another one, if any.

    So the signal comes while compiled code runs, as that of a Ctrl-C does.
    """

    def __init__(self, address=0):
        self.armed = np.zeros(1, np.int64)
        arguments = "i64 %a, i64 %b, i64 %c, i64 %d"
        code = f"""
        declare i32 @raise(i32)
        define void @interrupting({arguments}) {{
          %flag = inttoptr i64 {self.armed.ctypes.data} to ptr
          %armed = load i64, ptr %flag
          %is_armed = icmp ne i64 %armed, 0
          br i1 %is_armed, label %yes, label %go
        yes:
          store i64 0, ptr %flag
          %ignored = call i32 @raise(i32 {int(signal.SIGINT)})
          br label %go
        go:
          %kernel = inttoptr i64 {address} to ptr
          %is_one = icmp ne ptr %kernel, null
          br i1 %is_one, label %run, label %end
        run:
          call void %kernel({arguments})
          br label %end
        end:
          ret void
        }}
        """
        self._engine, self.address = compiled(code, "interrupting")


@no_signals
@pytest.mark.parametrize("n_threads", [1, 3])
def test_ctrl_c_leaves_the_batch_and_the_next_one_is_whole(n_threads):
    walk = Walk(n_threads)
    walk.team.state[State.COST_PER_POLL] = 0  # thread 0 looks after each of its chunks
    kernel = Interrupting()
    for _ in range(3):
        kernel.armed[:] = 1
        with pytest.raises(KeyboardInterrupt):
            walk.run((kernel.address, 50_000, 0), (kernel.address, 50_000, 1))
        step = Noting()
        walk.run((step, 30, 0))
        assert sorted(step.chunks) == list(range(30))


@no_signals
@pytest.mark.parametrize("n_threads", [1, 2])
def test_ctrl_c_in_a_prompt_raises_and_the_executor_still_computes_rightly(tmp_path, n_threads):
    executor, config = small_model(tmp_path, n_threads)
    expected = logits_of(executor, config, 40)
    interrupted, _ = small_model(tmp_path, n_threads)
    kernel = Interrupting(interrupted._library.addresses["quantize"])
    interrupted._library.addresses["quantize"] = kernel.address
    cache = RingCache(config, n_ctx=64, n_chunk=40)
    interrupted.run(Batch.of(IDS, 0), cache)  # makes the team
    interrupted._team(n_threads).state[State.COST_PER_POLL] = 0
    kernel.armed[:] = 1
    with pytest.raises(KeyboardInterrupt):
        interrupted.run(Batch.of(IDS, 0), cache)
    assert np.array_equal(logits_of(interrupted, config, 40), expected)
    assert np.array_equal(interrupted.run(Batch.of(IDS, 0), cache), expected)


# The end.


def workers_of(make):
    """Run `make`, and return what it made and the threads that it started."""
    before = set(threading.enumerate())
    made = make()
    return made, set(threading.enumerate()) - before


@pytest.mark.parametrize("n_threads", [2, 3])
def test_ctrl_c_between_the_call_of_the_workers_and_the_walk_waits_for_them(n_threads):
    """They run the batch alone, to the first barrier; nobody is inside a kernel afterwards."""
    walk, begun, inside, seen = Walk(n_threads), threading.Event(), set(), Noting()

    def slow(thread, chunk, scratch):
        inside.add(chunk)
        begun.set()
        time.sleep(0.05)
        inside.remove(chunk)

    whole = walk.team._walk

    def interrupted(*arguments):
        walk.team._walk = whole
        assert begun.wait(DEADLINE_S)
        raise KeyboardInterrupt

    walk.team._walk = interrupted
    with pytest.raises(KeyboardInterrupt):
        walk.run((slow, 4, 0), (seen, 9, 1))
    assert not inside
    assert seen.chunks == []
    walk.run((slow, 2, 0), (seen, 9, 1))
    assert sorted(seen.chunks) == list(range(9))


def test_a_team_of_one_starts_no_thread():
    walk, workers = workers_of(lambda: Walk(1))
    walk.run((lambda *chunk: None, 3, 0))
    assert not workers


def assert_all_leave(workers):
    for worker in workers:
        worker.join(DEADLINE_S)
    assert not any(worker.is_alive() for worker in workers)


def test_a_dismissal_is_announced_as_a_batch_is():
    """Whoever sees the new generation must see that there is nothing to walk."""
    heard = []

    class Listening:
        def __init__(self, loaded):
            self._loaded = loaded

        def function(self, name):
            function = self._loaded.function(name)

            def announce(seen, state, thread, scratch):
                words = view(state, (len(State),))
                heard.append(int(words[State.N_OPS]))
                before = int(words[State.GENERATION])
                function(seen, state, thread, scratch)
                assert words[State.GENERATION] == before + 1

            return announce if name == "announce" else function

    team, workers = workers_of(lambda: Team(Listening(library.load(KERNELS)), 3, 64))
    generation = team.state[State.GENERATION : State.GENERATION + 1]
    del team
    gc.collect()
    assert heard == [-1]
    assert generation == [1]
    assert_all_leave(workers)


def test_workers_that_sleep_leave_with_their_team():
    walk, workers = workers_of(lambda: Walk(4))
    assert len(workers) == 3
    walk.run((lambda *chunk: None, 5, 0))
    wait_until_asleep(walk.team)
    del walk
    gc.collect()
    assert_all_leave(workers)


def test_workers_that_look_for_work_leave_with_their_team():
    for _ in range(5):
        walk, workers = workers_of(lambda: Walk(3))
        walk.run((lambda *chunk: None, 5, 0))
        del walk
        gc.collect()
        assert_all_leave(workers)


def test_workers_of_a_team_that_never_ran_leave_too():
    team, workers = workers_of(lambda: Walk(3).team)
    del team
    gc.collect()
    assert_all_leave(workers)


def test_what_threads_write_lies_in_cache_lines_of_its_own():
    team = Team(library.load(KERNELS), 2, scratch_bytes=64)
    places = [State.CANCEL, State.ARRIVED, State.GENERATION, State.N_THREADS]
    lines = [(team.state.ctypes.data + 8 * place) // LINE for place in places]
    assert LINE == 128
    assert len(set(lines)) == len(places)


def test_counters_of_steps_lie_in_cache_lines_of_their_own(tmp_path):
    executor, config = small_model(tmp_path)
    logits_of(executor, config, 1)
    (tape,) = executor._tapes.values()
    assert tape._counters.strides[0] >= LINE
