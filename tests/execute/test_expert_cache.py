"""Experts read from the file as they are chosen: the same bits, whatever has room."""

import os
import threading
from itertools import chain

import numpy as np
import pytest
from gguf import GGMLQuantizationType as Q
from support.models import Shape, split_experts, tensors_of, write_model

import localmix
from localmix.errors import InvalidGGUF, LocalmixError, NotEnoughMemory
from localmix.execute import expert_cache
from localmix.execute.expert_cache import ExpertCache
from localmix.execute.uncached import SECTOR
from localmix.gguf import GGUFFile

SHAPE = Shape(n_experts=4, dim=64, hidden_dim=96, n_layers=3)
IDS = [1, *(260 + i * 5 % 11 for i in range(20))]
ONE = 3 * 3 * SECTOR
"""At least the sectors of an expert of these models; all twelve have 221 kB."""


@pytest.fixture(params=["merged", "split"])
def path(tmp_path, request):
    tensors = tensors_of(SHAPE)
    if request.param == "split":
        tensors = split_experts(tensors)
    return write_model(tmp_path / "m.gguf", SHAPE, tensors=tensors, quant=Q.Q8_0)


def experts_of(file, n_layers=SHAPE.n_layers, n_experts=SHAPE.n_experts):
    """Layer -> the matrices of each expert, of a file with merged tensors."""
    return {
        layer: [
            tuple(
                file.tensors[f"blk.{layer}.ffn_{m}_exps.weight"].part(e)
                for m in ("gate", "up", "down")
            )
            for e in range(n_experts)
        ]
        for layer in range(n_layers)
    }


def cache_of(path, n_slots):
    file = GGUFFile.open(path)
    experts = experts_of(file)
    span = max(sum(expert_cache._span(t) for t in e) for layer in experts.values() for e in layer)
    return ExpertCache(experts, n_slots * span), experts


def bytes_at(address, n):
    import ctypes

    return bytes((ctypes.c_uint8 * n).from_address(address))


def visit(cache, layer, chosen, experts):
    """Visit, and check that what comes is what stands in the file; return the waves of experts."""
    waves = []
    for here in cache.visit(layer, chosen):
        for tensor, address in here.items():
            assert bytes_at(address, tensor.n_bytes) == tensor.raw.tobytes()
        waves.append([e for e in range(len(experts[layer])) if experts[layer][e][0] in here])
        assert len(here) == 3 * len(waves[-1])
    return [wave for wave in waves if wave]


@pytest.mark.parametrize("n_threads", [1, 2])
@pytest.mark.parametrize("memory", [ONE, 3 * ONE, 5 * ONE])
def test_streamed_and_resident_compute_the_same_bits(path, memory, n_threads):
    with localmix.load(path, n_threads=n_threads) as whole:
        expected = whole.logits(IDS)
        said = whole.complete(IDS, temperature=0, max_tokens=12).tokens
        routes = whole.route(IDS)
    with localmix.load(path, n_threads=n_threads, expert_memory=memory) as streamed:
        assert streamed.executor.expert_cache.n_slots < SHAPE.n_layers * SHAPE.n_experts
        assert np.array_equal(streamed.logits(IDS), expected)
        assert streamed.complete(IDS, temperature=0, max_tokens=12).tokens == said
        assert np.array_equal(streamed.route(IDS), routes)


def test_formats_that_differ_between_experts_and_matrices_come_too(tmp_path):
    tensors = split_experts(tensors_of(SHAPE))
    mixed = dict.fromkeys(tensors, Q.Q8_0)
    mixed |= {"blk.1.ffn_up.2.weight": Q.Q4_0, "blk.2.ffn_down.1.weight": Q.Q5_0}
    path = write_model(tmp_path / "m.gguf", SHAPE, tensors=tensors, quant=mixed)
    with localmix.load(path) as whole, localmix.load(path, expert_memory=2 * ONE) as streamed:
        assert np.array_equal(streamed.logits(IDS), whole.logits(IDS))


def test_room_for_all_experts_means_plain_mapping(path):
    with localmix.load(path, expert_memory="1GB") as model:
        assert model.executor.expert_cache is None


def test_what_is_here_is_computed_first_and_is_not_read_again(tmp_path):
    path = write_model(tmp_path / "m.gguf", SHAPE, quant=Q.Q8_0)
    cache, experts = cache_of(path, 3)
    assert sorted(chain.from_iterable(visit(cache, 0, [1, 2], experts))) == [1, 2]
    assert cache.figures.misses == 2
    read = cache.figures.bytes_read
    waves = visit(cache, 0, [0, 2], experts)
    assert waves == [[2], [0]]
    assert (cache.figures.hits, cache.figures.misses) == (1, 3)
    assert cache.figures.bytes_read - read == sum(map(expert_cache._span, experts[0][0]))
    assert visit(cache, 0, [0, 1, 2], experts) == [[0, 1, 2]]


def test_more_experts_than_there_is_room_for_come_one_after_the_other(tmp_path):
    path = write_model(tmp_path / "m.gguf", SHAPE, quant=Q.Q8_0)
    for n_slots in (1, 2):
        cache, experts = cache_of(path, n_slots)
        waves = visit(cache, 1, [0, 1, 2, 3], experts)
        assert sorted(chain.from_iterable(waves)) == [0, 1, 2, 3]
        assert max(map(len, waves)) <= n_slots


def test_the_expert_goes_that_was_chosen_least_and_whose_layer_comes_last(tmp_path):
    path = write_model(tmp_path / "m.gguf", SHAPE, quant=Q.Q8_0)
    cache, experts = cache_of(path, 3)
    for _ in range(3):
        visit(cache, 0, [0], experts)
    visit(cache, 1, [1], experts)
    visit(cache, 2, [2], experts)  # as often as (1, 1); its layer was passed last
    visit(cache, 0, [3], experts)
    assert set(cache._here) == {(0, 0), (0, 3), (1, 1)}


@pytest.mark.parametrize("damage", ["cut", "touched", "gone"])
def test_a_file_that_changes_meanwhile_is_an_error_and_never_other_tokens(tmp_path, damage):
    path = write_model(tmp_path / "m.gguf", SHAPE, quant=Q.Q8_0)
    with localmix.load(path, expert_memory=ONE) as model:
        model.logits(IDS)
        if damage == "cut":
            os.truncate(path, path.stat().st_size - 1)
        elif damage == "touched":
            os.utime(path, ns=(0, 0))
        else:
            path.rename(tmp_path / "other")
        with pytest.raises(InvalidGGUF, match=r"m\.gguf"):
            model.logits(IDS)


def test_a_failed_read_leaves_a_cache_that_works(tmp_path, monkeypatch):
    path = write_model(tmp_path / "m.gguf", SHAPE, quant=Q.Q8_0)
    cache, experts = cache_of(path, 2)
    whole = cache._disk._read_tensor

    def fail(tensor, out):
        if tensor is experts[0][1][2]:
            raise InvalidGGUF("the disk is gone", "")
        whole(tensor, out)

    monkeypatch.setattr(cache._disk, "_read_tensor", fail)
    with pytest.raises(InvalidGGUF):
        visit(cache, 0, [0, 1], experts)
    monkeypatch.undo()
    for chosen in ([0, 1], [2, 3], [1, 2]):
        assert sorted(chain.from_iterable(visit(cache, 0, chosen, experts))) == chosen


def test_a_visit_that_is_left_waits_for_its_reads(tmp_path, monkeypatch):
    """Otherwise a slot could be written to that somebody else has got meanwhile."""
    path = write_model(tmp_path / "m.gguf", SHAPE, quant=Q.Q8_0)
    cache, experts = cache_of(path, 2)
    visit(cache, 0, [0], experts)
    gate, whole, n_done = threading.Event(), cache._disk._read_tensor, []

    def slow(tensor, out):
        gate.wait(10)
        whole(tensor, out)
        n_done.append(tensor)

    monkeypatch.setattr(cache._disk, "_read_tensor", slow)
    waves = cache.visit(0, [0, 1])
    next(waves)
    threading.Timer(0.05, gate.set).start()
    waves.close()
    assert len(n_done) == 3
    assert sorted(chain.from_iterable(visit(cache, 0, [0, 1], experts))) == [0, 1]


def test_without_direct_reads_the_same_bytes_come(tmp_path, monkeypatch):
    monkeypatch.delattr(os, "O_DIRECT", raising=False)
    path = write_model(tmp_path / "m.gguf", SHAPE, quant=Q.Q8_0)
    cache, experts = cache_of(path, 2)
    assert sorted(chain.from_iterable(visit(cache, 2, [0, 3], experts))) == [0, 3]


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"expert_memory": 1000}, NotEnoughMemory, "room for 1000"),
        ({"expert_memory": "much"}, LocalmixError, "much"),
        ({"expert_memory": 0}, LocalmixError, "expert_memory"),
        ({"expert_memory": ONE, "executor": "reference"}, LocalmixError, "native"),
        ({"expert_memory": ONE, "weights": "resident"}, LocalmixError, "mapped"),
    ],
)
def test_sizes_and_settings_that_make_no_sense_are_told(tmp_path, options, error, words):
    path = write_model(tmp_path / "m.gguf", SHAPE, quant=Q.Q8_0)
    with pytest.raises(error, match=words) as raised:
        localmix.load(path, **options)
    assert raised.value.hint


def test_a_dense_model_has_no_experts_to_read(tmp_path):
    path = write_model(tmp_path / "m.gguf", Shape())
    with pytest.raises(LocalmixError, match="no experts"):
        localmix.load(path, expert_memory=ONE)


def test_what_was_read_is_told(path):
    with localmix.load(path, expert_memory=2 * ONE) as model:
        generation = model.generate(IDS, temperature=0, max_tokens=6, logit_bias={2: -1e9})
        list(generation)
        told = generation.stats.streamed
        assert told.n_tokens == 5
        assert told.hits + told.misses == 5 * SHAPE.n_layers * SHAPE.n_experts_used
        assert 0 <= told.hit_rate < 1
        assert told.bytes_per_token * 5 == told.bytes_read > 0
        assert told.disk_bytes_s > 0
    with localmix.load(path) as model:
        generation = model.generate(IDS, max_tokens=2)
        list(generation)
        assert generation.stats.streamed is None
