"""The native executor gives what the reference gives, however tokens are fed and whoever computes.

Floats are multiplied as floats, so a model of F32 is compared closely. Other formats round their
activations to bytes; the reference is made to round them likewise, so that only the order of float
sums is left.
"""

import gc
import threading
from dataclasses import replace

import numpy as np
import pytest
from gguf import GGMLQuantizationType as Q
from support.kernels import ALL, FLOATS, form_of, possible_tiers, random_rows
from support.models import PIECES, Shape, split_experts, tensors_of, write_model

import localmix
from localmix.cache import Batch, RingCache
from localmix.errors import ContextFull, LocalmixError, UnsupportedModel
from localmix.execute.buffers import view_of
from localmix.execute.native import NativeExecutor
from localmix.execute.reference import ReferenceExecutor, _Dequantized
from localmix.gguf import GGUFFile, Tensor
from localmix.gguf import resident as resident_tensors
from localmix.model.config import ModelConfig
from localmix.model.transformer import describe
from localmix.model.weights import Weights
from localmix.quant.formats import format_by_name

DENSE = Shape()
SPARSE = Shape(n_experts=8)
WIDE = Shape(dim=256, hidden_dim=512, n_heads=4, n_kv_heads=2)
"""Rows that K-blocks fit into."""

TOLERANCE = 2e-4
"""Sums of a few hundred float32 products in another order; logits are of size 10."""

TYPICAL, FLIPPED = 1e-3, 1.0
"""Now and then a number lies so near the middle of two steps that executors round it differently.
That moves some logits of its token and of those that see it; a fifth must be within TYPICAL. What
is computed wrongly moves all of them."""

IDS = [int(i) for i in np.random.default_rng(3).integers(3, 300, 60)]


@pytest.fixture(params=[DENSE, SPARSE], ids=["dense", "experts"])
def shape(request):
    return request.param


def plan_of(path, change=lambda tensors: tensors):
    """The plan of a file, its tensors changed."""
    file = GGUFFile.open(path)
    config = ModelConfig.from_metadata(file.metadata)
    return describe(config, Weights.from_tensors(change(file.tensors), config)), config


def native_of(path, n_threads=1, kv="f32", **options):
    plan, config = plan_of(path, **options)
    return NativeExecutor(plan, n_threads, kv), config


def run(executor, config, ids, chunk, routes=None, n_ctx=256):
    """Logits (T, V) of one sequence, fed in chunks through a ring of just the size it needs."""
    cache = RingCache(config, n_ctx=n_ctx, n_chunk=chunk, kv=executor.kv)
    rows = []
    for start in range(0, len(ids), chunk):
        found = {}
        rows.append(executor.run(Batch.of(ids[start : start + chunk], start), cache, found))
        for layer, experts in found.items():
            routes is None or routes.setdefault(layer, []).append(experts)
    return np.concatenate(rows)


def expected_of(path, ids, **options):
    plan, config = plan_of(path, **options)
    return run(ReferenceExecutor(plan), config, ids, len(ids))


class Rounding(_Dequantized):
    """Weights of a reference that rounds activations to the bytes that kernels multiply."""

    def multiply(self, x, projection):
        form = form_of(projection.weight.format.name)
        return super().multiply(x if form == "floats" else rounded(x, int(form)), projection)


def rounded(x, block):
    """Rows of float32, each run of `block` elements in 127 steps of its largest."""
    blocks = x.reshape(len(x), -1, block)
    largest = np.abs(blocks).max(axis=2, keepdims=True)
    inverse = np.divide(np.float32(127), largest, out=np.zeros_like(largest), where=largest > 0)
    return (np.rint(blocks * inverse) * (largest / np.float32(127))).reshape(x.shape)


def rounding_reference(plan):
    reference = ReferenceExecutor(plan)
    reference._weights = Rounding(1 << 30)
    return reference


def assert_close(got, expected, is_rounded=False):
    assert got.dtype == np.float32
    assert got.shape == expected.shape
    error = np.abs(got - expected)
    if is_rounded:
        assert np.quantile(error, 0.2) <= TYPICAL
        assert error.max() <= FLIPPED
    else:
        assert error.max(initial=0) <= TOLERANCE


# The same as the reference.


@pytest.mark.parametrize("window", [None, 7])
@pytest.mark.parametrize("chunk", [1, 8, 13, 60])
def test_logits_are_those_of_the_reference(tmp_path, shape, window, chunk):
    path = write_model(tmp_path / "m.gguf", replace(shape, window=window))
    expected = expected_of(path, IDS)
    assert np.abs(expected).max() > 3
    assert_close(run(*native_of(path), IDS, chunk), expected)


def test_every_format_gives_the_logits_of_the_reference(tmp_path):
    """One model with all of them, so that steps of different formats stand side by side."""
    shape = replace(WIDE, n_experts=4, n_layers=3, window=24)
    path, rng = write_model(tmp_path / "m.gguf", shape), np.random.default_rng(9)

    def of_every_format(tensors):
        names = [n for n, t in tensors.items() if len(t.shape) > 1 and "gate_inp" not in n]
        return dict(tensors) | {
            name: in_format(rng, tensors[name], ALL[i % len(ALL)]) for i, name in enumerate(names)
        }

    plan, config = plan_of(path, of_every_format)
    expected = run(rounding_reference(plan), config, IDS[:16], 16)
    assert np.abs(expected).max() > 1
    for chunk in (1, 8, 16):
        got = run(NativeExecutor(plan, 2, "f32"), config, IDS[:16], chunk)
        assert_close(got, expected, is_rounded=True)


def in_format(rng, tensor, name):
    """A random tensor of that shape and format, scaled to weights of size 0.05."""
    block = format_by_name(name)
    raw = random_rows(rng, name, int(np.prod(tensor.shape[:-1])), tensor.shape[-1])
    if name in FLOATS:
        made = Tensor(tensor.name, block, tensor.shape, raw.reshape(-1))
        values = (0.05 * made.to_float32()).astype(np.float32)
        if name == "BF16":
            raw = (values.view(np.uint32) >> 16).astype(np.uint16)
        else:
            raw = values.astype(block.layout["x"])
        return replace(made, raw=raw.view(np.uint8).reshape(-1))
    records = raw.reshape(-1, block.n_bytes).view(block.layout)[:, 0]
    size = np.std(Tensor(tensor.name, block, tensor.shape, raw.reshape(-1)).to_float32())
    for field in {"d", "dmin", "m"} & set(records.dtype.names):
        records[field] *= 0.05 / size
    if "e" in records.dtype.names:
        records["e"] = 124 - round(np.log2(size / 0.05)) + (records["e"] - 120)
    return Tensor(tensor.name, block, tensor.shape, raw.reshape(-1))


@pytest.mark.parametrize("quant", [Q.Q8_0, Q.Q5_1, Q.Q4_0, Q.F16])
@pytest.mark.parametrize("chunk", [1, 60])
def test_a_model_of_one_format_gives_the_logits_of_the_reference(tmp_path, shape, quant, chunk):
    path = write_model(tmp_path / "m.gguf", shape, quant=quant)
    plan, config = plan_of(path)
    expected = run(rounding_reference(plan), config, IDS, len(IDS))
    got = run(NativeExecutor(plan, 1, "f32"), config, IDS, chunk)
    assert_close(got, expected, is_rounded=True)


def test_experts_of_one_layer_may_have_different_block_formats(tmp_path):
    """Also gate and up of one expert."""
    tensors = split_experts(tensors_of(SPARSE))
    mixed = {name: (Q.Q8_0, Q.Q5_1, Q.F16)[len(name) % 3] for name in tensors}
    mixed |= {f"blk.0.ffn_gate.{e}.weight": (Q.Q8_0, Q.Q5_1)[e % 2] for e in range(8)}
    mixed |= {f"blk.1.ffn_down.{e}.weight": (Q.Q4_0, Q.F32, Q.F16)[e % 3] for e in range(8)}
    plan, config = plan_of(write_model(tmp_path / "m.gguf", SPARSE, tensors=tensors, quant=mixed))
    expected = run(rounding_reference(plan), config, IDS, len(IDS))
    for chunk in (1, 8, 60):
        got = run(NativeExecutor(plan, 1, "f32"), config, IDS, chunk)
        assert_close(got, expected, is_rounded=True)


@pytest.mark.parametrize("quant", [Q.F32, Q.Q8_0])
def test_biases_are_added(tmp_path, quant):
    tensors, rng = tensors_of(DENSE), np.random.default_rng(4)
    for name in [name for name in tensors if "blk" in name and "norm" not in name]:
        bias = rng.standard_normal(len(tensors[name])).astype(np.float32)
        tensors[name.replace("weight", "bias")] = bias
    plain = tensors_of(DENSE)
    assert len(tensors) > len(plain) + 10
    path = write_model(tmp_path / "m.gguf", DENSE, tensors=tensors, quant=quant)
    plan, config = plan_of(path)
    expected = run(rounding_reference(plan), config, IDS, len(IDS))
    for chunk in (1, 60):
        got = run(NativeExecutor(plan, 1, "f32"), config, IDS, chunk)
        assert_close(got, expected, is_rounded=quant is Q.Q8_0)


def test_a_tied_output_uses_the_embedding(tmp_path):
    path = write_model(tmp_path / "m.gguf", DENSE, leave_out=("output.weight",))
    assert_close(run(*native_of(path), IDS, 16), expected_of(path, IDS))


class RoundingRing(RingCache):
    """A ring of float32 whose numbers were kept as `kind` in between."""

    kind = "f16"

    def store(self, i_layer, batch, key, value):
        keep = half if self.kind == "f16" else bytes_of_heads(self._head_dim)
        super().store(i_layer, batch, keep(key), keep(value))


def half(x):
    return x.astype(np.float16).astype(np.float32)


def bytes_of_heads(head_dim):
    """Rounding of runs of 32 within a head, their scales kept as halves: q8_0."""

    def keep(x):
        blocks = np.zeros((*x.reshape(len(x), -1, head_dim).shape[:2], -(-head_dim // 32) * 32))
        blocks[..., :head_dim] = x.reshape(len(x), -1, head_dim)
        runs = blocks.astype(np.float32).reshape(len(x), -1, 32)
        largest = np.abs(runs).max(axis=2, keepdims=True)
        numbers = np.rint(runs * (np.float32(127) / largest))
        kept = (numbers * half(largest / np.float32(127))).reshape(blocks.shape)
        return kept[..., :head_dim].reshape(x.shape)

    return keep


@pytest.mark.parametrize("kv", ["f16", "q8_0"])
@pytest.mark.parametrize("window", [None, 9])
def test_a_smaller_cache_rounds_keys_and_values_and_nothing_else(tmp_path, kv, window):
    path = write_model(tmp_path / "m.gguf", replace(WIDE, window=window))
    plan, config = plan_of(path)
    ring = RoundingRing(config, n_ctx=64, n_chunk=60)
    ring.kind = kv
    expected = ReferenceExecutor(plan).run(Batch.of(IDS, 0), ring)
    for chunk in (1, 60):
        got = run(NativeExecutor(plan, 1, kv), config, IDS, chunk)
        assert_close(got, expected, is_rounded=True)
    exact = expected_of(path, IDS)
    assert np.median(np.abs(got - exact)) > TYPICAL


def test_routes_are_those_of_the_reference(tmp_path):
    path = write_model(tmp_path / "m.gguf", SPARSE, quant=Q.Q8_0)
    plan, config = plan_of(path)
    theirs, ours = {}, {}
    run(rounding_reference(plan), config, IDS, len(IDS), theirs)
    for chunk in (1, 8, 60):
        ours.clear()
        run(NativeExecutor(plan, 2, "f32"), config, IDS, chunk, ours)
        assert set(ours) == {0, 1}
        for layer, chunks in ours.items():
            assert all(part.dtype == np.int32 for part in chunks)
            assert np.array_equal(np.concatenate(chunks), theirs[layer][0])
    assert len(np.unique(theirs[0][0])) == 8


def test_greedy_text_is_that_of_the_reference():
    texts = {}
    for executor in ("native", "reference"):
        with localmix.load("tiny", executor=executor, kv="f32") as model:
            answer = model.complete("Once upon a time", max_tokens=48, temperature=0)
            texts[executor] = answer.text
    assert len(texts["native"]) > 100
    assert texts["native"] == texts["reference"]


# However tokens are fed.


@pytest.mark.parametrize("quant", [Q.F32, Q.Q8_0])
@pytest.mark.parametrize("window", [None, 1, 7])
def test_chunked_equals_whole_equals_one_by_one(tmp_path, shape, window, quant):
    path = write_model(tmp_path / "m.gguf", replace(shape, window=window), quant=quant)
    executor, config = native_of(path)
    whole = run(executor, config, IDS, chunk=len(IDS))
    for chunk in (1, 2, 8, 9, 33):
        got = run(executor, config, IDS, chunk=chunk)
        assert_close(got, whole, is_rounded=quant is Q.Q8_0)


def test_sequences_in_one_batch_equal_sequences_alone(tmp_path, shape):
    executor, config = native_of(write_model(tmp_path / "m.gguf", replace(shape, window=6)))
    lengths, chunk = {0: 15, 2: 40, 3: 3}, 5
    ids = {sequence: IDS[sequence : sequence + n] for sequence, n in lengths.items()}
    cache = RingCache(config, n_ctx=256, n_chunk=chunk, n_sequences=4)
    rows = {sequence: [] for sequence in lengths}
    for start in range(0, 40, chunk):
        parts = {s: some[start : start + chunk] for s, some in ids.items() if some[start:]}
        batches = [Batch.of(part, start, sequence=s) for s, part in parts.items()]
        logits = executor.run(Batch.join(*batches), cache)
        for s, part in parts.items():
            rows[s].append(logits[: len(part)])
            logits = logits[len(part) :]
    for sequence, found in rows.items():
        alone = run(executor, config, ids[sequence], chunk=len(ids[sequence]))
        assert_close(np.concatenate(found), alone)


def test_only_wanted_rows_are_returned_in_the_order_asked_for(tmp_path):
    executor, config = native_of(write_model(tmp_path / "m.gguf"))
    for n in (8, 40):
        whole = run(executor, config, IDS[:n], chunk=n)
        for wanted in ([n - 1, 2], [0], list(range(n)), []):
            cache = RingCache(config, n_ctx=64, n_chunk=n)
            some = executor.run(Batch.of(IDS[:n], 0, wanted=wanted), cache)
            assert_close(some, whole[wanted])


def test_batches_of_any_length_may_follow_each_other(tmp_path, shape):
    """Short and long ones have tapes of their own, and longer ones take their place."""
    executor, config = native_of(write_model(tmp_path / "m.gguf", shape), n_threads=2)
    ids = (IDS * 6)[:330]
    whole = run(executor, config, ids, chunk=len(ids), n_ctx=400)
    cache, start = RingCache(config, n_ctx=400, n_chunk=150), 0
    for n in (1, 40, 8, 9, 1, 64, 65, 130, 2, 10):
        got = executor.run(Batch.of(ids[start : start + n], start), cache)
        assert_close(got, whole[start : start + n])
        start += n
    assert start == len(ids)


def test_two_caches_take_turns(tmp_path):
    executor, config = native_of(write_model(tmp_path / "m.gguf"))
    a, b = IDS[:20], IDS[20:40]
    expected = [run(executor, config, ids, chunk=4) for ids in (a, b)]
    caches = [RingCache(config, n_ctx=size, n_chunk=4) for size in (32, 64)]
    for start in range(0, 20, 4):
        for ids, cache, whole in zip((a, b), caches, expected, strict=True):
            got = executor.run(Batch.of(ids[start : start + 4], start), cache)
            assert_close(got, whole[start : start + 4])


# Whoever computes.


@pytest.mark.parametrize("quant", [Q.F32, Q.Q5_1])
def test_any_number_of_threads_gives_the_same_bits(tmp_path, shape, quant):
    path = write_model(tmp_path / "m.gguf", replace(shape, window=20), quant=quant)
    for chunk in (1, 30):
        results = [run(*native_of(path, n_threads), IDS, chunk) for n_threads in (1, 2, 3, 5)]
        assert all(np.array_equal(results[0], result) for result in results[1:])


def test_the_same_batch_gives_the_same_bits_every_time(tmp_path, shape):
    executor, config = native_of(write_model(tmp_path / "m.gguf", shape), n_threads=3)
    results = [run(executor, config, IDS, 30) for _ in range(5)]
    assert all(np.array_equal(results[0], result) for result in results[1:])


def test_weights_in_private_memory_give_the_same_bits(tmp_path, shape):
    path = write_model(tmp_path / "m.gguf", shape, quant=Q.Q8_0)
    mapped = run(*native_of(path), IDS, 20)
    assert np.array_equal(run(*native_of(path, change=resident_tensors), IDS, 20), mapped)


@pytest.mark.parametrize("tier", [pytest.param("avx2", marks=pytest.mark.slow), "generic"])
def test_a_lower_tier_gives_the_same_text(monkeypatch, tier):
    if tier not in possible_tiers():
        pytest.skip(f"this machine lacks {tier}")
    with localmix.load("tiny", kv="f32") as model:
        best = model.executor.isa
        expected = model.complete("Once upon a time", max_tokens=24, temperature=0).text
    monkeypatch.setenv("LOCALMIX_ISA", tier)
    with localmix.load("tiny", kv="f32") as model:
        assert model.executor.isa == tier
        assert model.complete("Once upon a time", max_tokens=24, temperature=0).text == expected
    assert best


# What goes wrong.


@pytest.mark.parametrize("damage", [np.nan, np.inf])
def test_damaged_weights_are_an_error_and_another_model_still_runs(tmp_path, shape, damage):
    whole = native_of(write_model(tmp_path / "whole.gguf", shape), n_threads=2)
    expected = run(*whole, IDS, 16)
    tensors = tensors_of(shape)
    up = "blk.1.ffn_up_exps.weight" if shape.n_experts else "blk.1.ffn_up.weight"
    tensors[up][..., 3, 5] = damage
    damaged = native_of(write_model(tmp_path / "m.gguf", shape, tensors=tensors), n_threads=2)
    for chunk in (1, 16):
        with pytest.raises(LocalmixError, match="NaN"):
            run(*damaged, IDS, chunk)
    assert np.array_equal(run(*whole, IDS, 16), expected)


def test_damage_of_one_sequence_does_not_reach_another(tmp_path):
    """A token whose embedding is NaN, beside a sequence of others."""
    tensors = tensors_of(DENSE)
    tensors["token_embd.weight"][50] = np.nan
    executor, config = native_of(write_model(tmp_path / "m.gguf", DENSE, tensors=tensors))
    ids = [i for i in IDS if i != 50]
    expected = run(executor, config, ids[:8], 8)
    cache = RingCache(config, n_ctx=64, n_chunk=8, n_sequences=2)
    bad = Batch.of([50] * 8, 0, sequence=1, wanted=[])
    got = executor.run(Batch.join(bad, Batch.of(ids[:8], 0, sequence=0)), cache)
    assert_close(got, expected)


def test_bad_batches_raise_before_a_kernel_runs(tmp_path, monkeypatch):
    executor, config = native_of(write_model(tmp_path / "m.gguf"))
    cache = RingCache(config, n_ctx=8, n_chunk=8)
    keys = cache.keys.copy()
    monkeypatch.setattr(executor, "_prepare", None)
    for batch in (
        Batch.of([], 0),
        Batch.of([5, len(PIECES)], 0),
        Batch.of([-1], 0),
        Batch.of([5, 1 << 40], 0),
    ):
        with pytest.raises(LocalmixError):
            executor.run(batch, cache)
    with pytest.raises(ContextFull):
        executor.run(Batch.of([5, 5], 7), cache)
    assert (cache.positions == -1).all()
    assert np.array_equal(cache.keys, keys)


def test_rows_that_kernels_cannot_read_are_refused(tmp_path):
    shape = Shape(dim=40, n_heads=5, n_kv_heads=5)
    with pytest.raises(UnsupportedModel, match="multiple of 16"):
        native_of(write_model(tmp_path / "m.gguf", shape))


# Threads come and go.


@pytest.mark.parametrize("n_threads", [1, 2, 7])
def test_a_model_has_a_worker_less_than_threads_and_they_leave_with_it(tmp_path, n_threads):
    before = set(threading.enumerate())
    with localmix.load(write_model(tmp_path / "m.gguf"), n_threads=n_threads) as model:
        model.logits(IDS[:5])
        workers = set(threading.enumerate()) - before
        assert len(workers) == n_threads - 1
        assert all(worker.daemon for worker in workers)
    del model
    gc.collect()
    for worker in workers:
        worker.join(timeout=10)
        assert not worker.is_alive()


def test_workers_of_a_replaced_team_leave(tmp_path):
    """A longer batch needs more memory, and so another team."""
    executor, config = native_of(write_model(tmp_path / "m.gguf"), n_threads=3)
    before = set(threading.enumerate())
    run(executor, config, IDS[:1], 1)
    first = set(threading.enumerate()) - before
    run(executor, config, IDS, 60)
    gc.collect()
    for worker in first:
        worker.join(timeout=10)
    assert not any(worker.is_alive() for worker in first)
    assert len(set(threading.enumerate()) - before) == 2


def test_models_do_not_share_workers_and_may_run_from_several_threads(tmp_path):
    path = write_model(tmp_path / "m.gguf", SPARSE)
    expected = run(*native_of(path), IDS, 16)
    found = [None] * 3

    def work(i):
        found[i] = run(*native_of(path, n_threads=2), IDS, 16)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(np.array_equal(result, expected) for result in found)


@pytest.mark.parametrize("junk", [0x7F, 0xFF])
@pytest.mark.parametrize("chunk", [1, 30])
def test_what_is_left_in_scratch_memory_does_not_matter(tmp_path, junk, chunk):
    """Steps share it: as numbers, bytes of one are anything to the next, also 3e38 and NaN."""
    executor, config = native_of(write_model(tmp_path / "m.gguf", DENSE), n_threads=2)
    results = []
    for byte in (None, junk):
        cache = RingCache(config, n_ctx=256, n_chunk=chunk)
        rows = []
        for start in range(0, len(IDS), chunk):
            if byte is not None:
                for scratch in executor._team(executor.n_threads)._scratch:
                    view_of(scratch)[:] = byte
            rows.append(executor.run(Batch.of(IDS[start : start + chunk], start), cache))
        results.append(np.concatenate(rows))
    assert np.array_equal(*results)
