"""Whether a model will run is told from its header alone, by what of it must stay in memory."""

from dataclasses import replace

import pytest
from gguf import GGMLQuantizationType as Q
from support.models import Shape, write_model

from localmix.cache.ring import slot_bytes
from localmix.engine import fit, memory
from localmix.engine.fit import PROGRAM_BYTES, fit_of, verdict_of_size
from localmix.engine.load import DEFAULT_CONTEXT
from localmix.errors import UnsupportedModel
from localmix.gguf import GGUFFile
from localmix.gguf.header import read_header

GB = 1_000_000_000
DENSE = Shape(dim=128, n_heads=2, n_kv_heads=1, context_length=8192)
EXPERTS = Shape(n_experts=8, dim=64, hidden_dim=128, n_layers=2)


def headers_of(tmp_path, shape, **options):
    with GGUFFile.open(write_model(tmp_path / "m.gguf", shape, **options)) as file:
        return file.headers


@pytest.fixture
def dense(tmp_path):
    return headers_of(tmp_path, DENSE)


@pytest.fixture
def experts(tmp_path):
    return headers_of(tmp_path, EXPERTS, quant=Q.Q8_0)


def usable_at(wanted):
    """The least free memory of which `wanted` bytes may be taken."""
    free = wanted
    while memory.usable(free) < wanted:
        free += max(1, wanted - memory.usable(free))
    return free


def test_the_weights_are_pageable_and_the_rest_must_stay(dense):
    found = fit_of(dense, free_bytes=8 * GB, total_bytes=16 * GB)
    weights = sum(tensor.n_bytes for tensor in dense[0].tensors)
    one_slot = slot_bytes(DENSE.dim // DENSE.n_heads, "f16")
    cache = 2 * DENSE.n_layers * DENSE.n_kv_heads * one_slot
    assert found.pageable_bytes == weights
    assert found.resident_bytes == cache * DEFAULT_CONTEXT + PROGRAM_BYTES
    assert (found.free_bytes, found.total_bytes) == (8 * GB, 16 * GB)
    assert (found.n_ctx, found.kv, found.verdict) == (DEFAULT_CONTEXT, "f16", "fits")


def test_context_and_type_of_the_cache_count(dense):
    def resident(**options):
        return fit_of(dense, free_bytes=GB, total_bytes=GB, **options).resident_bytes

    half, whole = resident(n_ctx=1024), resident(n_ctx=2048)
    assert whole - PROGRAM_BYTES == 2 * (half - PROGRAM_BYTES)
    assert resident(n_ctx=2048, kv="q8_0") < whole
    assert fit_of(dense, n_ctx=7, free_bytes=GB, total_bytes=GB).n_ctx == 7


def test_a_short_context_of_the_model_is_what_it_is_judged_by(tmp_path):
    found = fit_of(headers_of(tmp_path, Shape(context_length=512)), free_bytes=GB, total_bytes=GB)
    assert found.n_ctx == 512


def test_each_verdict_begins_where_the_one_before_ends(dense):
    easy = fit_of(dense, free_bytes=GB, total_bytes=GB)
    resident, all_bytes = easy.resident_bytes, easy.resident_bytes + easy.pageable_bytes

    def verdict(free, total):
        return fit_of(dense, free_bytes=free, total_bytes=total).verdict

    whole, least = usable_at(all_bytes), usable_at(resident)
    assert verdict(whole, whole) == "fits"
    assert verdict(whole - 2, whole) == "tight"
    assert verdict(0, whole) == "tight"
    assert verdict(whole - 2, whole - 2) == "pages"
    assert verdict(0, least) == "pages"
    assert verdict(least - 2, least - 2) == "never"
    assert verdict(0, 0) == "never"


def test_experts_stream_when_there_is_room_for_some(experts):
    easy = fit_of(experts, free_bytes=GB, total_bytes=GB)
    with_half = easy.pageable_bytes * 3 // 4
    program = PROGRAM_BYTES  # not counted in what experts may take
    free = usable_at(with_half + easy.resident_bytes - program)
    assert fit_of(experts, free_bytes=free, total_bytes=free).verdict == "streams"
    assert fit_of(experts, free_bytes=free, total_bytes=GB).verdict == "tight"
    assert fit_of(experts, free_bytes=1000, total_bytes=1000).verdict == "never"


def test_dense_models_never_stream(dense):
    easy = fit_of(dense, free_bytes=GB, total_bytes=GB)
    for free in range(0, easy.resident_bytes + easy.pageable_bytes, 10_000_000):
        verdict = fit_of(dense, free_bytes=free, total_bytes=free).verdict
        assert verdict in ("pages", "never", "fits")


def test_less_memory_never_makes_a_better_verdict(experts):
    order = ["never", "pages", "streams", "tight", "fits"]
    easy = fit_of(experts, free_bytes=GB, total_bytes=GB)
    most = usable_at(easy.resident_bytes + easy.pageable_bytes) + 1000
    ranks = [
        order.index(fit_of(experts, free_bytes=free, total_bytes=most).verdict)
        for free in range(0, most, 1_000_000)
    ]
    assert ranks == sorted(ranks)


def test_a_container_that_says_less_than_what_is_free_is_not_believed_twice(dense):
    assert fit_of(dense, free_bytes=8 * GB, total_bytes=1).verdict == "fits"


@pytest.mark.parametrize("total", [None, 64 * GB])
def test_without_a_word_of_the_system_nobody_knows(dense, monkeypatch, total):
    monkeypatch.setattr(memory, "free_bytes", lambda: None)
    monkeypatch.setattr(memory, "total_bytes", lambda: total)
    found = fit_of(dense)
    assert (found.verdict, found.free_bytes, found.total_bytes) == ("unknown", None, total)
    assert not found.would_fit(0)
    assert verdict_of_size(1) == "unknown"


def test_the_system_is_asked_when_nobody_says(dense, monkeypatch):
    monkeypatch.setattr(memory, "free_bytes", lambda: 3 * GB)
    monkeypatch.setattr(memory, "total_bytes", lambda: 4 * GB)
    found = fit_of(dense)
    assert (found.free_bytes, found.total_bytes) == (3 * GB, 4 * GB)


def test_another_quantization_would_fit_beside_the_same_cache(dense):
    found = fit_of(dense, free_bytes=GB, total_bytes=GB)
    room = memory.usable(GB) - found.resident_bytes
    assert found.would_fit(room)
    assert not found.would_fit(room + 1)


def test_a_header_that_is_read_ahead_of_its_file_is_enough(dense, tmp_path):
    content = (tmp_path / "m.gguf").read_bytes()
    n_data = sum(tensor.n_bytes for tensor in dense[0].tensors)
    begin = memoryview(content[: len(content) - n_data])
    ahead = read_header(begin, len(content))
    known = {"free_bytes": GB, "total_bytes": GB}
    assert fit_of([ahead], **known) == fit_of(dense, **known)


def test_the_parts_of_a_model_are_counted_together(dense):
    half = len(dense[0].tensors) // 2
    first = replace(dense[0], tensors=dense[0].tensors[:half])
    second = replace(dense[0], stored={}, tensors=dense[0].tensors[half:])
    known = {"free_bytes": GB, "total_bytes": GB}
    assert fit_of([first, second], **known) == fit_of(dense, **known)


def test_a_model_that_cannot_be_run_says_so(dense):
    strange = replace(dense[0], stored={**dense[0].stored, "general.architecture": "mamba"})
    with pytest.raises(UnsupportedModel, match="mamba"):
        fit_of([strange], free_bytes=GB, total_bytes=GB)


def test_a_size_alone_gives_a_verdict(monkeypatch):
    monkeypatch.setattr(memory, "free_bytes", lambda: 8 * GB)
    monkeypatch.setattr(memory, "total_bytes", lambda: 16 * GB)
    beside = fit.USUAL_CACHE_BYTES + PROGRAM_BYTES
    fits = memory.usable(8 * GB) - beside
    tight = memory.usable(16 * GB) - beside
    verdicts = [verdict_of_size(n) for n in (0, fits, fits + 1, tight, tight + 1, 400 * GB)]
    assert verdicts == ["fits", "fits", "tight", "tight", "pages", "pages"]
