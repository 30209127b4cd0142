"""Laws of the rolling-buffer cache."""

import numpy as np
import pytest

from localmix.cache import Batch, RingCache
from localmix.cache.ring import sees, slots_needed
from localmix.errors import ContextFull, LocalmixError, NotEnoughMemory
from localmix.model.config import ModelConfig, RopeScaling

CONFIG = ModelConfig(
    architecture="llama",
    name="",
    dim=8,
    n_layers=1,
    n_heads=2,
    n_kv_heads=1,
    head_dim=4,
    hidden_dim=16,
    vocab_size=32,
    context_length=64,
    norm_eps=1e-5,
    rope_base=10_000.0,
    rope_dim=4,
    rope_scaling=RopeScaling(),
    sliding_window=3,
    n_experts=0,
    n_experts_used=0,
)


def feed(cache, positions, sequence=0):
    """Store keys and values that say their own position."""
    batch = Batch.of([0] * len(positions), positions[0], sequence=sequence)
    cache.admit(batch)
    marks = np.repeat(np.float32(positions)[:, None], 4, axis=1) + 1000 * sequence
    cache.store(0, batch, marks, -marks)
    return batch


def test_the_worked_example_of_the_docstring_holds():
    cache = RingCache(CONFIG, n_ctx=64, n_chunk=2)
    assert cache.n_slots == 4
    for start in (0, 2, 4):
        feed(cache, [start, start + 1])
    assert cache.view(0, 0)[2].tolist() == [4, 5, 2, 3]
    batch = feed(cache, [6, 7])
    keys, values, positions = cache.view(0, 0)
    assert positions.tolist() == [4, 5, 6, 7]
    assert keys[:, 0, 0].tolist() == [4, 5, 6, 7]
    assert values[:, 0, 0].tolist() == [-4, -5, -6, -7]
    seen = sees(batch.positions, positions, window=3)
    assert [positions[row].tolist() for row in seen] == [[4, 5, 6], [5, 6, 7]]


@pytest.mark.parametrize(("window", "n_chunk"), [(1, 1), (3, 2), (4, 4), (5, 3), (7, 16)])
def test_ring_keeps_every_position_that_a_chunk_may_see_and_not_one_slot_more(window, n_chunk):
    cache = RingCache(CONFIG.with_window(window), n_ctx=10_000, n_chunk=n_chunk)
    for start in range(0, 20 * n_chunk, n_chunk):
        batch = feed(cache, list(range(start, start + n_chunk)))
        keys, _, positions = cache.view(0, 0)
        for p, row in zip(batch.positions, sees(batch.positions, positions, window), strict=True):
            expected = list(range(max(0, p - window + 1), p + 1))
            assert sorted(positions[row].tolist()) == expected
            assert sorted(keys[row, 0, 0].tolist()) == expected
    assert cache.n_slots == window + n_chunk - 1
    assert cache.keys.shape[3] == cache.n_slots


def test_without_a_window_every_position_keeps_its_slot():
    cache = RingCache(CONFIG.with_window("off"), n_ctx=16, n_chunk=8)
    feed(cache, list(range(8)))
    feed(cache, list(range(8, 16)))
    assert cache.view(0, 0)[2].tolist() == list(range(16))
    with pytest.raises(ContextFull) as full:
        feed(cache, [16])
    assert "--ctx" in full.value.hint


def test_the_ring_is_never_larger_than_the_context():
    assert slots_needed(n_ctx=100, window=4096, n_chunk=512) == 100
    assert slots_needed(n_ctx=1_000_000, window=4096, n_chunk=512) == 4096 + 511
    assert slots_needed(n_ctx=100, window=None, n_chunk=512) == 100


def test_sequences_do_not_touch_each_other():
    cache = RingCache(CONFIG, n_ctx=64, n_chunk=2, n_sequences=3)
    feed(cache, [0, 1], sequence=2)
    feed(cache, [0, 1], sequence=0)
    feed(cache, [2], sequence=2)
    assert cache.view(0, 2)[0][:, 0, 0].tolist() == [2000, 2001, 2002]
    assert cache.view(0, 0)[0][:, 0, 0].tolist() == [0, 1]
    cache.clear(2)
    feed(cache, [0], sequence=2)
    assert cache.view(0, 2)[2].tolist() == [0]
    assert cache.view(0, 0)[2].tolist() == [0, 1]


def test_a_cache_that_no_machine_can_hold_is_refused():
    with pytest.raises(NotEnoughMemory) as error:
        RingCache(CONFIG.with_window("off"), n_ctx=1 << 60, n_chunk=1)
    assert "--ctx" in error.value.hint


def test_a_batch_is_checked_before_anything_runs():
    with pytest.raises(LocalmixError, match="no tokens"):
        Batch.of([], 0).check(vocab_size=10)
    with pytest.raises(LocalmixError, match="token 10 is outside"):
        Batch.of([3, 10], 0).check(vocab_size=10)
    with pytest.raises(LocalmixError, match="token -1 is outside"):
        Batch.of([-1], 0).check(vocab_size=10)


def test_joined_batches_keep_their_wanted_rows():
    joined = Batch.join(
        Batch.of([1, 2, 3], 0, wanted=[2]), Batch.of([5, 6], 41, sequence=1, wanted=[0, 1])
    )
    assert joined.tokens.tolist() == [1, 2, 3, 5, 6]
    assert joined.positions.tolist() == [0, 1, 2, 41, 42]
    assert joined.sequences.tolist() == [0, 0, 0, 1, 1]
    assert joined.wanted.tolist() == [2, 3, 4]


def test_keep_forgets_what_comes_later_and_only_that():
    cache = RingCache(CONFIG.with_window("off"), n_ctx=64, n_chunk=4)
    feed(cache, [0, 1, 2, 3])
    assert cache.keep(2)
    assert cache.view(0, 0)[2].tolist() == [0, 1]
    feed(cache, [2, 3])
    assert cache.view(0, 0)[2].tolist() == [0, 1, 2, 3]
    assert cache.keep(0)
    assert cache.n_used_slots == 0


@pytest.mark.parametrize("n_fed", [1, 5, 9, 23])
def test_keep_says_whether_a_window_still_has_all_that_the_next_token_sees(n_fed):
    window, n_chunk = 3, 4
    for n in range(n_fed + 1):
        cache = RingCache(CONFIG.with_window(window), n_ctx=64, n_chunk=n_chunk)
        for start in range(0, n_fed, n_chunk):
            feed(cache, list(range(start, min(n_fed, start + n_chunk))))
        held = set(cache.positions[0].tolist())
        needed = {p for p in range(n) if n - p < window}
        before = cache.positions.copy()
        assert cache.keep(n) == (needed <= held)
        if not needed <= held:
            assert np.array_equal(cache.positions, before)
        else:
            assert cache.positions.max() < n


def test_a_chunk_that_was_broken_off_takes_nothing_that_is_needed():
    """It was admitted, so its slots lost what they held; `keep` then goes back before it."""
    cache = RingCache(CONFIG.with_window(3), n_ctx=64, n_chunk=4)
    for start in (0, 4, 8):
        feed(cache, list(range(start, start + 4)))
    cache.admit(Batch.of([0] * 4, 12))
    assert cache.keep(12)
    assert {10, 11} <= set(cache.positions[0].tolist())
