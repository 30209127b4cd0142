"""How likely continuations are: as the whole sequence's logits say, and nothing stays behind."""

import numpy as np
import pytest
from support.models import Shape, write_model

import localmix
from localmix.errors import ContextFull, LocalmixError

PROMPT = [1, *(260 + i % 9 for i in range(40))]
CONTINUATIONS = [[265], [266, 267], [270, 3, 68, 281]]
NEVER_ENDS = {2: -1e9}


@pytest.fixture(params=[("reference", None), ("reference", 5), ("native", None), ("native", 5)])
def model(tmp_path, request):
    executor, window = request.param
    path = write_model(tmp_path / "m.gguf", Shape(n_experts=4, window=window))
    with localmix.load(path, executor=executor, kv="f32") as loaded:
        yield loaded


def by_logits(model, prompt, ids):
    """The same from the logits of one fresh sequence, in double precision."""
    logits = model.logits([*prompt, *ids]).astype(np.float64)
    total = 0.0
    for i, token in enumerate(ids, start=len(prompt) - 1):
        total += logits[i, token] - np.log(np.exp(logits[i] - logits[i].max()).sum())
        total -= logits[i].max()
    return total


def test_scores_are_the_log_probabilities_of_the_whole_sequence(model):
    expected = [by_logits(model, PROMPT, ids) for ids in CONTINUATIONS]
    assert model.score(PROMPT, CONTINUATIONS) == pytest.approx(expected, abs=2e-4)


def test_order_and_company_of_continuations_do_not_matter(model):
    together = model.score(PROMPT, CONTINUATIONS)
    assert model.score(PROMPT, CONTINUATIONS[::-1]) == pytest.approx(together[::-1], abs=2e-5)
    alone = [model.score(PROMPT, [ids])[0] for ids in CONTINUATIONS]
    assert alone == pytest.approx(together, abs=2e-5)


def test_single_tokens_share_one(model):
    ids = [[token] for token in range(model.config.vocab_size)]
    assert np.exp(model.score(PROMPT[:3], ids)).sum() == pytest.approx(1.0, abs=1e-4)


def test_an_answer_after_a_score_is_that_of_a_fresh_model(model):
    def answer():
        options = {"temperature": 0, "max_tokens": 6, "logit_bias": NEVER_ENDS}
        return model.complete(PROMPT, **options).tokens

    expected = answer()
    model.score([1, 265, 266, 267], CONTINUATIONS)
    assert answer() == expected
    model.score(PROMPT, CONTINUATIONS)
    assert answer() == expected


def test_a_prompt_is_read_once_for_all_its_continuations(model):
    fed = []
    run = model.executor.run

    def watched(batch, cache, routes=None):
        fed.append(len(batch))
        return run(batch, cache, routes)

    model.executor.run = watched
    model.score(PROMPT, [[265], [266], [267]])
    if model.config.sliding_window is None:
        assert fed == [len(PROMPT), 1, 1]


def test_arrays_of_numpy_are_ids_too(model):
    expected = model.score(PROMPT, CONTINUATIONS)
    arrays = [np.array(ids, np.int32) for ids in CONTINUATIONS]
    assert model.score(np.array(PROMPT), arrays) == pytest.approx(expected, abs=2e-5)


@pytest.mark.parametrize(
    ("prompt", "continuations"),
    [([], [[1]]), ([1], [[]]), ([1], [[2], []]), ([1], [[-1]]), ([1], [[10**6]]), ([-1], [[1]]),
     ([1], [[1.5]]), ([[1]], [[1]])],
)  # fmt: skip
def test_ids_that_are_none_are_refused(model, prompt, continuations):
    with pytest.raises(LocalmixError) as error:
        model.score(prompt, continuations)
    assert error.value.hint


def test_no_continuations_have_no_scores(model):
    assert model.score(PROMPT, []) == []


def test_what_does_not_fit_the_context_is_refused_and_what_does_is_not(tmp_path):
    path = write_model(tmp_path / "m.gguf")
    with localmix.load(path, executor="reference", n_ctx=8) as model:
        assert len(model.score([1] * 6, [[3, 4], [5]])) == 2
        with pytest.raises(ContextFull, match="9 tokens"):
            model.score([1] * 6, [[5], [3, 4, 5]])
