"""Equivalences of the reference executor: same tokens, same logits, however they are fed."""

from contextlib import nullcontext
from dataclasses import replace

import numpy as np
import pytest
from gguf import GGMLQuantizationType as Q
from support.models import Shape, split_experts, tensors_of, write_model

from localmix.cache import Batch, RingCache
from localmix.errors import ContextFull, LocalmixError
from localmix.execute.formulas import attend, rms_norm, rotate_pairs, route, silu
from localmix.execute.reference import ReferenceExecutor
from localmix.gguf import GGUFFile
from localmix.model.config import ModelConfig
from localmix.model.ops import Rotation
from localmix.model.transformer import describe
from localmix.model.weights import Weights

DENSE = Shape()
SPARSE = Shape(n_experts=8)
TOLERANCE = 2e-4
"""Sums of a few hundred float32 products in another order; logits are of size 10."""

IDS = [int(i) for i in np.random.default_rng(3).integers(3, 300, 60)]


@pytest.fixture(params=[DENSE, SPARSE], ids=["dense", "experts"])
def shape(request):
    return request.param


def executor_of(path, window="auto", **options):
    file = GGUFFile.open(path)
    config = ModelConfig.from_metadata(file.metadata).with_window(window)
    plan = describe(config, Weights.from_tensors(file.tensors, config))
    return ReferenceExecutor(plan, **options), config


def run(executor, config, ids, chunk, routes=None):
    """Logits (T, V) of one sequence, fed in chunks through a ring of just the size it needs."""
    cache = RingCache(config, n_ctx=256, n_chunk=chunk)
    rows = [
        executor.run(Batch.of(ids[i : i + chunk], i), cache, routes)
        for i in range(0, len(ids), chunk)
    ]
    return np.concatenate(rows)


def naive_logits(tensors, shape, ids, window):
    """The whole model in one function, no cache: full attention under a banded mask."""
    head_dim = shape.dim // shape.n_heads
    frequencies = 10_000.0 ** (-np.arange(0, head_dim, 2) / head_dim)
    positions = np.arange(len(ids))
    distance = positions[:, None] - positions[None, :]
    seen = (distance >= 0) & (distance < (window or len(ids)))
    x = tensors["token_embd.weight"][ids]

    def heads(y, rotate):
        y = rotate_pairs(y, positions, Rotation(head_dim, frequencies)) if rotate else y
        return y.reshape(len(ids), -1, head_dim)

    def ffn(h, gate, up, down):
        return (silu(h @ gate.T) * (h @ up.T)) @ down.T

    for i in range(shape.n_layers):

        def w(name, i=i):
            return tensors[f"blk.{i}.{name}.weight"]

        h = rms_norm(x, w("attn_norm"), 1e-5)
        q, k, v = (heads(h @ w(f"attn_{n}").T, n != "v") for n in "qkv")
        x = x + attend(q, k, v, seen).reshape(len(ids), -1) @ w("attn_output").T
        h = rms_norm(x, w("ffn_norm"), 1e-5)
        if not shape.n_experts:
            x = x + ffn(h, w("ffn_gate"), w("ffn_up"), w("ffn_down"))
            continue
        experts, shares = route(h @ w("ffn_gate_inp").T, shape.n_experts_used)
        gates, ups, downs = w("ffn_gate_exps"), w("ffn_up_exps"), w("ffn_down_exps")
        x = x + np.stack(
            [
                sum(s * ffn(h[t], gates[e], ups[e], downs[e]) for e, s in zip(*row, strict=True))
                for t, row in enumerate(zip(experts, shares, strict=True))
            ]
        )
    return rms_norm(x, tensors["output_norm.weight"], 1e-5) @ tensors["output.weight"].T


@pytest.mark.parametrize("window", [None, 7])
def test_executor_equals_the_model_in_one_function(tmp_path, shape, window):
    tensors = tensors_of(shape)
    path = write_model(tmp_path / "m.gguf", replace(shape, window=window), tensors=tensors)
    logits = run(*executor_of(path), IDS, chunk=len(IDS))
    expected = naive_logits(tensors, shape, np.array(IDS), window)
    assert np.abs(expected).max() > 3
    assert logits == pytest.approx(expected, abs=TOLERANCE)


@pytest.mark.parametrize("window", [None, 1, 7, 16])
@pytest.mark.parametrize("chunk", [1, 5, 16])
def test_chunked_equals_whole_equals_one_by_one(tmp_path, shape, window, chunk):
    path = write_model(tmp_path / "m.gguf", replace(shape, window=window))
    executor, config = executor_of(path)
    whole = run(executor, config, IDS, chunk=len(IDS))
    assert run(executor, config, IDS, chunk=chunk) == pytest.approx(whole, abs=TOLERANCE)


def test_a_window_changes_the_logits_only_once_it_is_full(tmp_path):
    path = write_model(tmp_path / "m.gguf", Shape(window=7))
    windowed = run(*executor_of(path), IDS, chunk=4)
    full = run(*executor_of(path, window="off"), IDS, chunk=4)
    assert windowed[:7] == pytest.approx(full[:7], abs=TOLERANCE)
    assert np.abs(windowed[7:] - full[7:]).max(axis=1).min() > 0.01


def test_sequences_in_one_batch_equal_sequences_alone(tmp_path, shape):
    path = write_model(tmp_path / "m.gguf", replace(shape, window=6))
    executor, config = executor_of(path)
    a, b = IDS[:20], IDS[30:45]
    cache = RingCache(config, n_ctx=256, n_chunk=5, n_sequences=3)
    rows = {0: [], 2: []}
    for start in range(0, 20, 5):
        parts = [Batch.of(a[start : start + 5], start, sequence=2)]
        if start < 15:
            parts.insert(0, Batch.of(b[start : start + 5], start, sequence=0))
        logits = executor.run(Batch.join(*parts), cache)
        if start < 15:
            rows[0].append(logits[:5])
        rows[2].append(logits[-5:])
    assert np.concatenate(rows[2]) == pytest.approx(
        run(executor, config, a, chunk=20), abs=TOLERANCE
    )
    assert np.concatenate(rows[0]) == pytest.approx(
        run(executor, config, b, chunk=15), abs=TOLERANCE
    )


def test_only_wanted_rows_are_returned(tmp_path):
    executor, config = executor_of(write_model(tmp_path / "m.gguf"))
    whole = run(executor, config, IDS[:8], chunk=8)
    cache = RingCache(config, n_ctx=64, n_chunk=8)
    some = executor.run(Batch.of(IDS[:8], 0, wanted=[7, 2]), cache)
    assert some == pytest.approx(whole[[7, 2]], abs=TOLERANCE)


def test_both_expert_layouts_give_the_same_logits(tmp_path):
    tensors = tensors_of(SPARSE)
    merged = write_model(tmp_path / "merged.gguf", SPARSE, tensors=tensors, quant=Q.Q8_0)
    split = write_model(
        tmp_path / "split.gguf", SPARSE, tensors=split_experts(tensors), quant=Q.Q8_0
    )
    assert np.array_equal(run(*executor_of(merged), IDS, 16), run(*executor_of(split), IDS, 16))


def test_experts_of_one_layer_may_have_different_block_formats(tmp_path):
    tensors = split_experts(tensors_of(SPARSE))
    mixed = {name: (Q.Q8_0, Q.Q5_1, Q.F16)[len(name) % 3] for name in tensors}
    mixed |= {f"blk.0.ffn_gate.{e}.weight": (Q.Q8_0, Q.Q5_1)[e % 2] for e in range(8)}
    path = write_model(tmp_path / "mixed.gguf", SPARSE, tensors=tensors, quant=mixed)
    with GGUFFile.open(path) as file:
        formats = {file.tensors[f"blk.0.ffn_gate.{e}.weight"].format.name for e in range(8)}
        as_float = {name: np.array(tensor.to_float32()) for name, tensor in file.tensors.items()}
    assert formats == {"Q8_0", "Q5_1"}
    plain = write_model(tmp_path / "plain.gguf", SPARSE, tensors=as_float)
    assert run(*executor_of(path), IDS, 16) == pytest.approx(
        run(*executor_of(plain), IDS, 16), abs=TOLERANCE
    )


def test_tied_output_uses_the_embedding(tmp_path):
    tensors = tensors_of(DENSE)
    del tensors["output.weight"]
    path = write_model(tmp_path / "tied.gguf", DENSE, tensors=tensors)
    expected = naive_logits(
        tensors | {"output.weight": tensors["token_embd.weight"]}, DENSE, np.array(IDS), None
    )
    assert run(*executor_of(path), IDS, 16) == pytest.approx(expected, abs=5 * TOLERANCE)


def test_weights_dequantized_each_time_equal_weights_kept(tmp_path):
    path = write_model(tmp_path / "m.gguf", SPARSE, quant=Q.Q8_0)
    kept, config = executor_of(path)
    fresh, _ = executor_of(path, keep_bytes=0)
    assert np.array_equal(run(kept, config, IDS, 16), run(fresh, config, IDS, 16))


def test_routes_are_those_of_the_router_best_first(tmp_path):
    """In a model of one layer the router sees the embedding and the attention alone."""
    shape = replace(SPARSE, n_layers=1, window=1)
    tensors = tensors_of(shape)
    executor, config = executor_of(write_model(tmp_path / "m.gguf", shape, tensors=tensors))
    routes = {}
    run(executor, config, IDS, len(IDS), routes)

    def w(name):
        return tensors[f"blk.0.{name}.weight"]

    x = tensors["token_embd.weight"][IDS]
    # With a window of 1 a token sees itself alone: attention passes its own value on.
    value = rms_norm(x, w("attn_norm"), 1e-5) @ w("attn_v").T  # (T, K * Hd)
    shared = np.repeat(value.reshape(len(IDS), 2, 8), 2, axis=1).reshape(len(IDS), 32)
    h = rms_norm(x + shared @ w("attn_output").T, w("ffn_norm"), 1e-5)
    expected = np.argsort(-(h @ w("ffn_gate_inp").T), axis=1)[:, :2]
    assert np.array_equal(routes[0], expected)
    assert {int(e) for e in expected.ravel()} == set(range(8))


def test_any_number_of_threads_gives_the_same_logits(tmp_path):
    path = write_model(tmp_path / "m.gguf", SPARSE)
    one, config = executor_of(path, n_threads=1)
    two, _ = executor_of(path, n_threads=2)
    assert run(one, config, IDS, 60) == pytest.approx(run(two, config, IDS, 60), abs=TOLERANCE)


def test_long_batches_get_the_threads_that_were_asked_for_and_short_ones_get_one(tmp_path):
    executor, config = executor_of(write_model(tmp_path / "m.gguf"), n_threads=2)
    limits = []

    class Recording:
        def limit(self, **options):
            limits.append(options["limits"])
            return nullcontext()

    executor._blas = Recording()
    run(executor, config, IDS[:33], chunk=32)
    assert limits == [2, 1]


def test_nan_weights_are_an_error_and_not_an_answer(tmp_path):
    tensors = tensors_of(DENSE)
    tensors["blk.1.ffn_up.weight"][3, 5] = np.nan
    executor, config = executor_of(write_model(tmp_path / "m.gguf", DENSE, tensors=tensors))
    with pytest.raises(LocalmixError, match="NaN"):
        run(executor, config, IDS, 16)


def test_bad_batches_raise_before_the_cache_is_touched(tmp_path):
    executor, config = executor_of(write_model(tmp_path / "m.gguf"))
    cache = RingCache(config, n_ctx=8, n_chunk=8)
    for batch in (Batch.of([], 0), Batch.of([5, 100_000], 0)):
        with pytest.raises(LocalmixError):
            executor.run(batch, cache)
    with pytest.raises(ContextFull):
        executor.run(Batch.of([5, 5], 7), cache)
    assert (cache.positions == -1).all()
