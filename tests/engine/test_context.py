"""The context of a conversation: from the model and free memory, and what is dropped is counted."""

import pytest
from support.models import Shape, write_model

import localmix
from localmix.cache.ring import position_bytes, slots_needed
from localmix.engine import memory
from localmix.engine.load import DEFAULT_CONTEXT
from localmix.engine.tuned import CHUNK_TOKENS
from localmix.gguf import GGUFFile
from localmix.model.config import ModelConfig

NEVER_ENDS = {2: -1e9}
PROMPT = [1, *(260 + i % 9 for i in range(29))]
KNOWN = 65_536


@pytest.fixture
def auto(tmp_path, monkeypatch):
    """The context that a model of some shape gets when its weights and so many bytes are free."""

    def choose(free, **shape):
        path = write_model(tmp_path / "m.gguf", Shape(context_length=KNOWN, **shape))
        with GGUFFile.open(path) as file:
            config = ModelConfig.from_metadata(file.metadata)
            if callable(free):
                free = free(sum(t.n_bytes for t in file.tensors.values()), config)
            monkeypatch.setattr(memory, "free_bytes", lambda: free)
            return memory.context_that_fits(file.tensors, config, "f16", DEFAULT_CONTEXT)

    return choose


def enough_for(n_ctx, missing=0):
    """Free memory that has room for the weights and a cache of n_ctx, less some bytes."""

    def free(weights, config):
        n_slots = slots_needed(n_ctx, config.sliding_window, CHUNK_TOKENS)
        wanted = weights + n_slots * position_bytes(config, "f16") - missing
        least = int(wanted / (1 - memory.HEADROOM_SHARE))
        return next(n for n in range(least - 3, least + 5) if memory.usable(n) >= wanted)

    return free


def test_with_room_the_context_is_all_that_the_model_knows(auto):
    assert auto(10**12) == KNOWN
    assert auto(enough_for(KNOWN)) == KNOWN


@pytest.mark.parametrize("n_ctx", [32_768, 16_384, 8192, 4096])
def test_without_room_it_is_halved_until_it_fits(auto, n_ctx):
    assert auto(enough_for(n_ctx)) == n_ctx
    assert auto(enough_for(n_ctx * 2, missing=4)) == n_ctx


@pytest.mark.parametrize("free", [0, 1, enough_for(4096, missing=10_000)])
def test_it_is_never_less_than_4096_however_little_is_free(auto, free):
    assert DEFAULT_CONTEXT == 4096
    assert auto(free) == 4096


def test_where_nobody_tells_what_is_free_it_is_the_usual_one(auto):
    assert auto(None) == DEFAULT_CONTEXT


def test_a_window_bounds_the_cache_so_that_all_fits(auto):
    assert auto(enough_for(KNOWN), window=4096) == KNOWN
    assert auto(enough_for(8192), window=4096) == KNOWN
    assert auto(enough_for(8192)) == 8192


def test_a_mixture_larger_than_memory_gets_the_least(auto):
    assert auto(lambda weights, config: weights // 2, n_experts=8) == DEFAULT_CONTEXT


@pytest.mark.parametrize("known", [64, 512, 4095, 4096, 5000, 8191])
def test_a_model_that_knows_less_gets_no_more_than_it_knows(tmp_path, monkeypatch, known):
    path = write_model(tmp_path / "m.gguf", Shape(context_length=known))
    for free, expected in ((10**12, known), (0, min(known, 4096)), (None, min(known, 4096))):
        monkeypatch.setattr(memory, "free_bytes", lambda free=free: free)
        with localmix.load(path, executor="reference", n_ctx="auto") as model:
            assert model.n_ctx == expected


def test_without_auto_nothing_is_asked_of_memory(tmp_path, monkeypatch):
    path = write_model(tmp_path / "m.gguf", Shape(context_length=KNOWN))
    monkeypatch.setattr(memory, "free_bytes", lambda: 1 / 0)
    with localmix.load(path, executor="reference") as model:
        assert model.n_ctx == DEFAULT_CONTEXT
    with localmix.load(path, executor="reference", n_ctx=100) as model:
        assert model.n_ctx == 100


# ---- what is dropped ---------------------------------------------------------------------------


@pytest.fixture
def small(tmp_path):
    with localmix.load(write_model(tmp_path / "m.gguf"), executor="reference", n_ctx=16) as model:
        yield model


def answer(model, prompt, n, on_overflow):
    options = {"temperature": 0, "logit_bias": NEVER_ENDS, "on_overflow": on_overflow}
    return model.complete(prompt, max_tokens=n, **options)


def test_nothing_is_dropped_while_all_fits(small):
    for on_overflow in localmix.settings.OVERFLOWS:
        assert answer(small, PROMPT[:10], 6, on_overflow).stats.dropped_tokens == 0


@pytest.mark.parametrize("on_overflow", ["truncate", "shift"])
def test_what_is_cut_off_a_prompt_is_counted(small, on_overflow):
    stats = answer(small, PROMPT, 2, on_overflow).stats
    assert (stats.dropped_tokens, stats.prompt_tokens) == (len(PROMPT) - 12, 12)


def test_what_an_answer_pushes_out_is_counted_each_time(small):
    fed = []
    run = small.executor.run

    def watched(batch, cache, routes=None):
        if len(batch) > 1:
            fed.append(len(batch))
        return run(batch, cache, routes)

    small.executor.run = watched
    stats = answer(small, PROMPT[:10], 20, "shift").stats
    assert fed[1:] == [8] * (len(fed) - 1)
    assert stats.dropped_tokens == 9 * (len(fed) - 1) > 9


def test_both_are_counted_together(small):
    assert answer(small, PROMPT, 5, "shift").stats.dropped_tokens == len(PROMPT) - 12
    assert answer(small, PROMPT, 6, "shift").stats.dropped_tokens == len(PROMPT) - 12 + 9
