"""What to expect of a model: its bytes are the real ones, and its speed follows from them."""

from dataclasses import replace

import pytest
from gguf import GGMLQuantizationType as Q
from support.models import Shape, write_model

import localmix
from localmix.bench.cost import token_cost
from localmix.bench.limits import Machine
from localmix.bench.outlook import outlook
from localmix.bench.predict import Efficiency, predict, predict_streamed
from localmix.engine import memory
from localmix.engine.fit import PROGRAM_BYTES
from localmix.gguf import GGUFFile
from localmix.model.config import ModelConfig

GB = 10**9
SLOW = Machine("A CPU", 2, 1, 0.001, 0.01, 0.01)
"""So slow, with caches so small, that even a small model is bound by memory."""

SHAPE = Shape(n_experts=8, dim=64, hidden_dim=128, n_layers=2, context_length=512)


@pytest.fixture(params=["dense", "mixture", "window"])
def path(request, tmp_path):
    shape = {
        "dense": Shape(dim=64, n_layers=2, context_length=512),
        "mixture": SHAPE,
        "window": Shape(dim=64, n_layers=2, context_length=512, window=32),
    }[request.param]
    return write_model(tmp_path / "m.gguf", shape, quant=Q.Q8_0)


def no_disk():
    raise AssertionError("the disk was measured although all fits")


def opened(path):
    with GGUFFile.open(path) as file:
        return tuple(file.headers), ModelConfig.from_metadata(file.metadata)


def judged(path, free=16 * GB, disk=no_disk, **options):
    return outlook(opened(path)[0], SLOW, disk, free_bytes=free, **options)


@pytest.mark.parametrize("kv", ["f16", "q8_0", "f32"])
def test_bytes_are_the_real_ones(path, kv):
    found = judged(path, kv=kv)
    with localmix.load(path, kv=kv) as model:
        cache = model._new_cache()
        arrays = (cache.keys.nbytes, cache.values.nbytes)
        weights = sum(tensor.raw.nbytes for tensor in model.file.tensors.values())
        assert found.fit.n_ctx == model.n_ctx
    assert found.fit.pageable_bytes == weights
    assert found.fit.resident_bytes - PROGRAM_BYTES == sum(arrays)


def test_the_cost_is_that_of_the_loaded_model(path):
    with localmix.load(path) as model:
        expected = token_cost(model.file.tensors, model.config)
    assert judged(path).cost == expected


def test_speed_is_predicted_from_the_cost(path):
    found = judged(path, reached=Efficiency(0.5, 0.5))
    _, config = opened(path)
    seen = min(512, config.sliding_window or 512)
    assert found.prediction == predict(found.cost, SLOW, Efficiency(0.5, 0.5), 512, seen)
    assert found.prediction.streaming is None


def tight(path):
    """Free memory that leaves room for half of the experts, and that room."""
    headers, config = opened(path)
    tensors = {t.name: t for header in headers for t in header.tensors}
    wanted = memory.needs(tensors, config, 512, "f16")
    free = int((wanted.dense + wanted.cache + wanted.experts // 2) / (1 - memory.HEADROOM_SHARE))
    return free, memory.room_for_experts(wanted, free), wanted


def test_a_mixture_larger_than_memory_reads_what_is_not_there(tmp_path):
    path = write_model(tmp_path / "m.gguf", SHAPE, quant=Q.Q8_0)
    free, room, wanted = tight(path)
    found = judged(path, free, disk=lambda: 0.0005)
    streamed = found.prediction.streaming
    assert found.fit.verdict == "streams"
    n_slots, n_experts = room // wanted.one_expert, 8 * SHAPE.n_layers
    assert streamed.hit_rate == pytest.approx((n_slots - 2) / (n_experts - 2))
    per_token = (1 - streamed.hit_rate) * 2 * SHAPE.n_layers * wanted.one_expert
    assert streamed.bytes_per_token == pytest.approx(per_token)
    in_memory = judged(path).prediction
    assert found.prediction.decode_tok_s < in_memory.decode_tok_s


@pytest.mark.parametrize("share", [0.4, 0.75])
def test_the_predicted_hit_rate_is_that_of_a_run(tmp_path, share):
    shape = replace(SHAPE, dim=128, hidden_dim=512, n_layers=4)
    path = write_model(tmp_path / "m.gguf", shape, quant=Q.Q8_0)
    headers, config = opened(path)
    tensors = {t.name: t for header in headers for t in header.tensors}
    wanted = memory.needs(tensors, config, 512, "f16")
    with localmix.load(path, expert_memory=int(share * wanted.experts)) as model:
        options = {"max_tokens": 300, "temperature": 1.0, "logit_bias": {2: -1e9}, "seed": 1}
        done = model.complete(list(range(5, 13)), **options)
        room = model.executor.expert_cache.n_slots * wanted.one_expert
    fitting = judged(path).prediction
    told = predict_streamed(fitting, wanted, room, 2, 4, disk_gb_s=1.0).streaming.hit_rate
    # random weights choose nearly evenly; a router that prefers some experts does better
    assert told - 0.05 < done.stats.streamed.hit_rate < told + 0.25


def test_a_dense_model_larger_than_memory_comes_from_the_disk_for_each_token(tmp_path):
    shape = Shape(dim=256, hidden_dim=1024, n_layers=6, context_length=16)
    path = write_model(tmp_path / "m.gguf", shape, quant=Q.Q8_0)
    fit = judged(path).fit
    # all that must be resident has room, and half of the weights beside it
    free = int((fit.resident_bytes + fit.pageable_bytes / 2) / (1 - memory.HEADROOM_SHARE))
    found = judged(path, free, disk=lambda: 0.002)
    assert found.fit.verdict == "pages"
    assert found.prediction.streaming.bytes_per_token == found.cost.weight_bytes
    weights_s = found.cost.weight_bytes / 0.002e9
    assert found.prediction.decode_tok_s == pytest.approx(
        1 / (weights_s + 1 / judged(path).prediction.decode_tok_s)
    )


def test_what_does_not_run_has_no_speed(path):
    assert judged(path, free=10_000).fit.verdict == "never"
    assert judged(path, free=10_000).prediction is None


def test_another_quantization_is_told_by_its_size(path):
    found = judged(path)
    half = found.of_size(found.fit.pageable_bytes // 2, SLOW)
    cost = replace(found.cost, weight_bytes=round(found.cost.weight_bytes / 2))
    assert half.decode_tok_s == pytest.approx(predict(cost, SLOW).decode_tok_s, rel=1e-4)
    assert found.of_size(100 * GB, SLOW) is None
