"""What a model keeps between prompts, and caches in files."""

import numpy as np
import pytest
from support.models import Shape, write_model

import localmix
from localmix.errors import ContextFull, LocalmixError

NEVER_ENDS = {2: -1e9}
LONG = [1, *(260 + i % 9 for i in range(40))]


@pytest.fixture(params=[("reference", None), ("reference", 5), ("native", None)])
def model(tmp_path, request):
    executor, window = request.param
    shape = Shape(n_experts=4, window=window)
    path = write_model(tmp_path / "m.gguf", shape)
    with localmix.load(path, executor=executor, kv="f32") as loaded:
        yield loaded


class Watched:
    """Notes how many tokens each batch of a model has, and can interrupt it."""

    def __init__(self, model):
        self.fed, self.interrupt_at = [], None
        self._run = model.executor.run
        model.executor.run = self.run

    def run(self, batch, cache, routes=None):
        self.fed.append(len(batch))
        logits = self._run(batch, cache, routes)
        if self.interrupt_at == len(self.fed):
            raise KeyboardInterrupt
        return logits


def answer(model, prompt, n=6):
    return model.complete(prompt, temperature=0, max_tokens=n, logit_bias=NEVER_ENDS).tokens


def fresh(model, **settings):
    """The same model, which has read nothing."""
    name = "reference" if model.executor.kv == "f32" else "native"
    return localmix.load(model.path, executor=name, kv="f32", **settings)


def test_a_prompt_that_continues_is_read_from_where_it_differs(model):
    expected = [answer(model, LONG), None]
    again = [*LONG, *expected[0], 263, 264]
    with fresh(model) as other:
        expected[1] = answer(other, again)
    watched = Watched(model)
    generation = model.generate(again, temperature=0, max_tokens=6, logit_bias=NEVER_ENDS)
    assert [piece.token for piece in generation] == expected[1]
    # The last token of an answer is not fed any more when the answer ends.
    assert watched.fed[0] == 3
    assert generation.stats.prompt_tokens == len(again)
    assert generation.stats.kept_tokens == len(again) - 3


def test_a_prompt_that_differs_early_is_read_anew_and_answers_alike(model):
    with fresh(model) as other:
        expected = answer(other, [1, 265, 266, *LONG[3:]])
    answer(model, LONG)
    watched = Watched(model)
    assert answer(model, [1, 265, 266, *LONG[3:]]) == expected
    assert sum(watched.fed[:1]) >= len(LONG) - 1


def test_the_same_prompt_again_computes_its_last_token(model):
    first = answer(model, LONG)
    watched = Watched(model)
    assert answer(model, LONG) == first
    if model.config.sliding_window is None:
        assert watched.fed[0] == 1


def test_two_generations_at_once_do_not_disturb_each_other(model):
    expected = answer(model, LONG), answer(model, LONG[:9])
    options = {"temperature": 0, "max_tokens": 6, "logit_bias": NEVER_ENDS}
    one, two = model.generate(LONG, **options), model.generate(LONG[:9], **options)
    pairs = [(next(one).token, next(two).token) for _ in range(6)]
    assert tuple(map(list, zip(*pairs, strict=True))) == expected


def test_an_interrupted_prompt_goes_on_where_it_was(model):
    with fresh(model) as other:
        other.chunk_tokens = 8
        expected = answer(other, LONG)
    with fresh(model) as other:
        other.chunk_tokens = 8
        watched = Watched(other)
        watched.interrupt_at = 4
        with pytest.raises(KeyboardInterrupt):
            answer(other, LONG)
        watched.interrupt_at = None
        watched.fed.clear()
        assert answer(other, LONG) == expected
        assert watched.fed[0] == 8
        assert sum(watched.fed[:3]) == len(LONG) - 24


def test_a_saved_cache_stands_for_the_prompt(model, tmp_path):
    expected = answer(model, [*LONG, 263])
    path = tmp_path / "long.cache"
    assert model.save_cache(path, LONG) == len(LONG)
    with fresh(model) as other:
        assert other.load_cache(path) == len(LONG)
        watched = Watched(other)
        assert answer(other, [*LONG, 263]) == expected
        assert watched.fed[0] == 1


def test_without_a_prompt_the_last_answer_is_saved(model, tmp_path):
    with pytest.raises(LocalmixError, match="nothing to save"):
        model.save_cache(tmp_path / "a")
    said = answer(model, LONG)
    assert model.save_cache(tmp_path / "a") == len(LONG) + len(said) - 1


def test_texts_are_read_as_generate_reads_them(model, tmp_path):
    text = "ab cd"
    n = model.save_cache(tmp_path / "a", text)
    assert n == len(model.tokenize(text))


def test_prompts_that_cannot_be_read_are_told(model, tmp_path):
    with pytest.raises(LocalmixError, match="empty"):
        model.save_cache(tmp_path / "a", [])
    with pytest.raises(ContextFull):
        model.save_cache(tmp_path / "a", [1] * (model.n_ctx + 1))
    assert list(tmp_path.glob("a*")) == []


def test_a_cache_of_another_model_or_other_settings_is_refused(model, tmp_path):
    path = tmp_path / "a.cache"
    model.save_cache(path, LONG)
    twin = write_model(tmp_path / "other.gguf", Shape(n_experts=4, window=5), seed=9)
    settings = {"executor": "reference"}
    with localmix.load(twin, **settings) as other, pytest.raises(LocalmixError, match="another"):
        other.load_cache(path)
    with (
        localmix.load(model.path, n_experts_used=1, **settings) as other,
        pytest.raises(LocalmixError, match="settings"),
    ):
        other.load_cache(path)


def test_a_cache_that_is_refused_leaves_a_model_that_answers(model, tmp_path):
    expected = answer(model, LONG)
    (tmp_path / "a").write_bytes(b"lmxcache" + bytes(50))
    with pytest.raises(LocalmixError):
        model.load_cache(tmp_path / "a")
    assert answer(model, LONG) == expected


def test_keys_and_values_of_halves_come_back_to_the_bit(tmp_path):
    path = write_model(tmp_path / "m.gguf", Shape())
    with localmix.load(path, kv="f16") as model:
        model.save_cache(tmp_path / "a", LONG)
        with localmix.load(path, kv="f16") as other:
            other.load_cache(tmp_path / "a")
            for ours, theirs in (
                (model._kept.cache.keys, other._kept.cache.keys),
                (model._kept.cache.values, other._kept.cache.values),
            ):
                assert ours.any()
                assert np.array_equal(ours, theirs)
