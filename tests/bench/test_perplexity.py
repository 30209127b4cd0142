"""Perplexity and divergence: the formulas of llama.cpp, against the same ones in plain Python."""

import math
import random

import numpy as np
import pytest
from support.models import PIECES, Q, Shape, write_model
from support.scoring_model import BOS, N_VOCAB, ScoringModel

import localmix
from localmix.bench.perplexity import (
    PERCENTILES,
    Estimate,
    Moments,
    check_vocabularies,
    chunks_of,
    log_softmax,
    measure,
)
from localmix.errors import LocalmixError

STORY = """\
Many years ago, a brave cat had a small house by the sea. Every day the cat looked at the sky and \
wanted to fly. "You must ask a clever fox," said the postman, and so she did. "That is easy," said \
the fox. "You must put a yellow stone on your head." The cat found it all. There was a loud bang, \
and everything turned pink. Together they tried again, and again, and once more. Then came a good \
wind, and they rose higher and higher, until the houses looked like toys. "How did you do it?" \
people asked. "We made mistakes until there were none left," said the cat. Since then they have \
eaten soup together every Friday, always with the yellow stone on the table. An otter eats fish. \
The opposite of white is black. After July comes August. Before Wednesday comes Tuesday.
"""


def noise(seed):
    """Logits that hang on the token and its place, the same ones each time."""

    def row(token, place):
        rng = np.random.default_rng((seed, token, place))
        return (3 * rng.standard_normal(N_VOCAB)).astype(np.float32)

    return row


def text_of(n_characters, seed=0):
    draw = random.Random(seed)
    return "".join(draw.choice("abcdefghij ") for _ in range(n_characters))


def last(steps):
    return list(steps)[-1]


def slow_probabilities(logits):
    """Softmax of one row, a float at a time."""
    highest = max(map(float, logits))
    weights = [math.exp(float(x) - highest) for x in logits]
    total = math.fsum(weights)
    return [weight / total for weight in weights]


def slow_mean(values):
    """llama.cpp's `mean_and_uncertainty`: from sums, and sums of squares."""
    n = len(values)
    mean = math.fsum(values) / n
    variance = math.fsum(x * x for x in values) / n - mean * mean
    return mean, math.sqrt(max(variance, 0) / (n - 1))


def slow_places(model, text, n_ctx):
    """(logits, the id that comes) of each place that is scored; the whole chunk is computed."""
    ids = model.tokenize(text)
    for start in range(0, len(ids) - n_ctx + 1, n_ctx):
        chunk = ids[start : start + n_ctx]
        if model.tokenizer.add_bos:
            chunk[0] = model.tokenizer.bos_id
        logits = model.logits(chunk)
        for place in range(n_ctx // 2, n_ctx - 1):
            yield logits[place], chunk[place + 1]


def slow_percentile(values, percent):
    """Between the two nearest of the sorted values, as llama.cpp's `percentile` has it."""
    ordered = sorted(values)
    place = percent / 100 * (len(ordered) - 1)
    below = int(place)
    share = place - below
    return (1 - share) * ordered[below] + share * ordered[min(below + 1, len(ordered) - 1)]


@pytest.fixture(scope="module")
def babies(tmp_path_factory):
    """Two small models with one vocabulary, a few weights apart."""
    folder = tmp_path_factory.mktemp("babies")
    shape = Shape(n_experts=4, window=24)
    paths = [
        write_model(folder / f"{quant.name}.gguf", shape, quant=quant) for quant in (Q.Q4_0, Q.F32)
    ]
    models = [localmix.load(path, executor="reference", n_ctx=64) for path in paths]
    yield models
    for model in models:
        model.close()


@pytest.mark.parametrize("n_ctx", [16, 33])
def test_perplexity_is_that_of_a_loop_in_plain_python(babies, n_ctx):
    model, text = babies[0], text_of(200)
    found = last(measure(model, chunks_of(model, text, n_ctx)))
    nll = [
        -math.log(slow_probabilities(logits)[token])
        for logits, token in slow_places(model, text, n_ctx)
    ]
    mean, error = slow_mean(nll)
    assert found.n_scored == len(nll)
    assert found.perplexity.value == pytest.approx(math.exp(mean), rel=1e-6)
    assert found.perplexity.error == pytest.approx(math.exp(mean) * error, rel=1e-6)
    assert found.divergence is None


def test_divergence_is_that_of_a_loop_in_plain_python(babies):
    model, base = babies
    text = text_of(200)
    far = last(measure(model, chunks_of(model, text, 32), base)).divergence
    kl, same, dp, log_ratio, base_nll = [], [], [], [], []
    places = zip(slow_places(model, text, 32), slow_places(base, text, 32), strict=True)
    for (logits, token), (base_logits, _) in places:
        p, q = slow_probabilities(logits), slow_probabilities(base_logits)
        kl.append(math.fsum(b * math.log(b / a) for a, b in zip(p, q, strict=True)))
        same.append(float(p.index(max(p)) == q.index(max(q))))
        dp.append(p[token] - q[token])
        log_ratio.append(math.log(q[token] / p[token]))
        base_nll.append(-math.log(q[token]))
    assert 0 < sum(same) < len(same), "the models agree sometimes, but not always"
    for estimate, values in ((far.kl, kl), (far.same_top, same)):
        assert (estimate.value, estimate.error) == pytest.approx(slow_mean(values), rel=1e-5)
    for estimate, values in ((far.base, base_nll), (far.ratio, log_ratio)):
        mean, error = slow_mean(values)
        assert estimate.value == pytest.approx(math.exp(mean), rel=1e-5)
        assert estimate.error == pytest.approx(math.exp(mean) * error, rel=1e-5)
    mean, error = slow_mean([x * x for x in dp])
    assert far.rms_dp.value == pytest.approx(math.sqrt(mean), rel=1e-5)
    assert far.rms_dp.error == pytest.approx(0.5 / math.sqrt(mean) * error, rel=1e-5)
    assert far.max == pytest.approx(max(kl), rel=1e-5)
    for percent in (*PERCENTILES, 50.0):
        assert far.percentile(percent) == pytest.approx(slow_percentile(kl, percent), rel=1e-5)
    assert far.median == far.percentile(50.0)


def test_the_error_of_the_ratio_is_that_of_llama_cpp(babies):
    """There it comes of both errors and the covariance; here of the differences."""
    model, base = babies
    chunks = chunks_of(model, text_of(200), 32)
    found = last(measure(model, chunks, base))
    nll = np.array([_nll(place) for place in slow_places(model, text_of(200), 32)])
    base_nll = np.array([_nll(place) for place in slow_places(base, text_of(200), 32)])
    covariance = ((nll * base_nll).mean() - nll.mean() * base_nll.mean()) / (len(nll) - 1)
    of_model, of_base = slow_mean(nll.tolist())[1], slow_mean(base_nll.tolist())[1]
    error = math.sqrt(of_model**2 + of_base**2 - 2 * covariance)
    ratio = found.divergence.ratio
    assert ratio.value == pytest.approx(found.perplexity.value / found.divergence.base.value)
    assert ratio.error == pytest.approx(ratio.value * error, rel=1e-5)


def _nll(place):
    logits, token = place
    return -math.log(slow_probabilities(logits)[token])


def test_a_model_that_knows_nothing_has_the_perplexity_of_its_vocabulary():
    model = ScoringModel()
    found = last(measure(model, chunks_of(model, text_of(100), 32)))
    assert found.perplexity.value == pytest.approx(N_VOCAB, rel=1e-12)
    assert found.perplexity.error == pytest.approx(0, abs=1e-12)


def test_a_model_that_knows_what_comes_has_a_perplexity_of_one():
    text = "ab" * 40  # an a is followed by a b, and so on

    def row(token, place):
        logits = np.full(N_VOCAB, -100.0, np.float32)
        logits[ord("a") if token == ord("b") else ord("b")] = 100.0
        return logits

    model = ScoringModel(row)
    assert last(measure(model, chunks_of(model, text, 32))).perplexity == Estimate(1.0, 0.0)


def test_chunks_lie_side_by_side_and_begin_with_bos():
    model = ScoringModel()
    text = "".join(chr(32 + i) for i in range(25))
    chunks = chunks_of(model, text, 8)
    ids = [BOS, *map(ord, text)]
    assert chunks.shape == (3, 8)  # of 26 ids: two are left over
    for i in range(3):
        assert chunks[i].tolist() == [BOS, *ids[8 * i + 1 : 8 * i + 8]]


def test_without_a_bos_chunks_keep_their_first_id():
    model = ScoringModel(add_bos=False)
    text = "".join(chr(32 + i) for i in range(16))
    assert chunks_of(model, text, 8).ravel().tolist() == list(map(ord, text))


def test_only_as_many_chunks_as_wanted():
    model = ScoringModel()
    assert len(chunks_of(model, "a" * 100, 8, 2)) == 2
    assert len(chunks_of(model, "a" * 100, 8, 1000)) == 12


@pytest.mark.parametrize("n_ctx", [3, 4, 7, 8])
def test_the_second_half_is_predicted_from_what_stands_in_front(n_ctx):
    model = ScoringModel(noise(1))
    chunks = chunks_of(model, text_of(50), n_ctx, 2)
    steps = list(measure(model, chunks))
    assert model.sequences == [(chunk[:-1].tolist(), n_ctx // 2) for chunk in chunks]
    nll = [
        _nll((noise(1)(chunk[j], j), chunk[j + 1]))
        for chunk in chunks
        for j in range(n_ctx // 2, n_ctx - 1)
    ]
    assert [step.n_chunks for step in steps] == [1, 2]
    assert [step.n_scored for step in steps] == [len(nll) // 2, len(nll)]
    assert steps[-1].perplexity.value == pytest.approx(math.exp(sum(nll) / len(nll)))


def test_figures_run_along_and_do_not_change_later():
    model, base = ScoringModel(noise(1)), ScoringModel(noise(2))
    chunks = chunks_of(model, text_of(200), 16)
    steps = list(measure(model, chunks, base))
    for i, step in enumerate(steps, start=1):
        alone = last(measure(model, chunks[:i], base))
        assert step.n_chunks == i
        assert step.perplexity.value == pytest.approx(alone.perplexity.value)
        assert step.divergence.kl.value == pytest.approx(alone.divergence.kl.value)
        assert step.divergence.values.tolist() == alone.divergence.values.tolist()


@pytest.mark.parametrize("n_rows", [1, 5, 40, 512])
def test_pieces_of_any_size_say_the_same(n_rows):
    text = text_of(300)
    whole = ScoringModel(noise(1), n_rows=10**6)
    model, base = ScoringModel(noise(1), n_rows=n_rows), ScoringModel(noise(2), n_rows=n_rows)
    one = last(measure(whole, chunks_of(whole, text, 100), ScoringModel(noise(2), n_rows=10**6)))
    other = last(measure(model, chunks_of(model, text, 100), base))
    assert other.perplexity.value == pytest.approx(one.perplexity.value, rel=1e-12)
    assert other.perplexity.error == pytest.approx(one.perplexity.error, rel=1e-9)
    assert other.divergence.values.tolist() == one.divergence.values.tolist()


def test_a_model_is_not_far_from_itself(babies):
    model = babies[0]
    far = last(measure(model, chunks_of(model, text_of(150), 16), model)).divergence
    assert far.kl == far.rms_dp == Estimate(0.0, 0.0)
    assert far.same_top == far.ratio == Estimate(1.0, 0.0)
    assert far.max == far.median == 0.0


def test_rounding_makes_no_divergence_negative():
    def nearly(token, place):
        logits = noise(1)(token, place)
        logits[logits.argmin()] = np.nextafter(logits.min(), np.float32(0))
        return logits

    model, base = ScoringModel(nearly), ScoringModel(noise(1))
    far = last(measure(model, chunks_of(model, text_of(200), 16), base)).divergence
    assert far.values.min() == 0.0
    assert 0 < far.max < 1e-15


def test_divergences_are_of_the_base_from_the_model():
    """KL is not symmetric: its expectation is the base's."""

    def peaked(token, place):
        return np.where(np.arange(N_VOCAB) == 0, 5.0, 0.0).astype(np.float32)

    model, base = ScoringModel(), ScoringModel(peaked)
    far = last(measure(model, chunks_of(model, text_of(50), 16), base)).divergence
    q = np.array(slow_probabilities(peaked(0, 0)))
    assert far.kl.value == pytest.approx((q * np.log(q * N_VOCAB)).sum())
    back = last(measure(base, chunks_of(base, text_of(50), 16), model)).divergence
    assert back.kl.value == pytest.approx(-np.log(q * N_VOCAB).mean())


def test_percentiles_are_numpys(babies):
    model, base = babies
    far = last(measure(model, chunks_of(model, text_of(300), 32), base)).divergence
    for percent in (*PERCENTILES, 50.0):
        assert far.percentile(percent) == np.percentile(far.values, percent, method="linear")
    spread = [far.percentile(percent) for percent in PERCENTILES]
    assert spread == sorted(spread, reverse=True)


@pytest.mark.parametrize("n_ids", [0, 1, 2, 6, 100, 1023])
def test_a_text_of_fewer_than_two_chunks_is_refused_with_a_context_that_will_do(n_ids):
    model = ScoringModel(add_bos=False)
    with pytest.raises(LocalmixError, match=f"has {n_ids} tokens, .* at least 1024") as caught:
        chunks_of(model, "a" * n_ids, 512)
    hint = caught.value.hint
    assert "a longer text" in hint
    if "--ctx" in hint:
        n_ctx = int(hint.split()[1].rstrip(","))
        assert chunks_of(model, "a" * n_ids, n_ctx).shape[0] >= 2
    assert ("--ctx" in hint) == (n_ids > 6)


def test_two_chunks_are_enough():
    model = ScoringModel(add_bos=False)
    assert chunks_of(model, "a" * 1024, 512).shape == (2, 512)


def test_vocabularies_that_differ_are_refused():
    model, base = ScoringModel(), ScoringModel()
    check_vocabularies(model, base)
    base.tokenizer.vocabulary.pieces[5] = "other"
    with pytest.raises(LocalmixError, match="different vocabularies"):
        check_vocabularies(model, base)
    base.tokenizer.vocabulary.pieces[5] = model.tokenizer.vocabulary.pieces[5]
    base.config.vocab_size += 1
    with pytest.raises(LocalmixError, match="different vocabularies"):
        check_vocabularies(model, base)


@pytest.mark.parametrize("wrong", [np.inf, -np.inf])
def test_infinite_logits_are_refused(wrong):
    def row(token, place):
        return np.where(np.arange(N_VOCAB) == 7, wrong, 0.0).astype(np.float32)

    model = ScoringModel(row)
    with pytest.raises(LocalmixError, match="infinities"):
        last(measure(model, chunks_of(model, text_of(50), 16)))


def test_probabilities_of_large_logits_neither_overflow_nor_lose_digits():
    logs = log_softmax(np.array([[3e38, 3e38], [1e4, 1e4 - 100]], np.float32))
    assert logs[0].tolist() == pytest.approx([-math.log(2)] * 2)
    assert logs[1].tolist() == pytest.approx([-math.exp(-100), -100.0])


def test_an_error_of_hardly_any_values_is_not_known():
    moments = Moments()
    assert math.isnan(moments.estimate.value)
    moments.add(np.array([2.0]))
    assert moments.estimate.value == 2.0
    assert math.isnan(moments.estimate.error)


def test_values_that_are_large_and_close_keep_their_variance():
    values = 1e9 + np.random.default_rng(0).standard_normal(1000)
    moments = Moments()
    for piece in np.array_split(values, 7):
        moments.add(piece)
    assert moments.estimate.value == pytest.approx(values.mean(), rel=1e-12)
    assert moments.estimate.error == pytest.approx(math.sqrt(values.var() / 999), rel=1e-6)


def test_a_perplexity_beyond_all_floats_is_infinite():
    def row(token, place):
        return np.where(np.arange(N_VOCAB) == 0, 1e5, 0.0).astype(np.float32)

    model = ScoringModel(row)
    assert last(measure(model, chunks_of(model, text_of(50), 16))).perplexity.value == math.inf


def test_native_is_near_the_reference_on_tiny():
    """Bounds: an activation is rounded to a byte, one part in 254 of the largest of its block.

    On 2040 tokens of scripts/train_tiny/held_out_text.py a mean of 1.3e-4 ± 0.5e-4 nats was
    measured, and a ratio of 0.9996 ± 0.0006; here is ten times as much room, for 93 tokens only.
    """
    with (
        localmix.load("tiny", n_ctx=64, kv="f16") as native,
        localmix.load("tiny", n_ctx=64, executor="reference") as reference,
    ):
        check_vocabularies(native, reference)
        found = last(measure(native, chunks_of(native, STORY, 64), reference))
    assert found.n_scored >= 90
    assert found.divergence.kl.value < 1.3e-3
    assert found.divergence.ratio.value == pytest.approx(1, abs=0.01)
    assert found.divergence.same_top.value > 0.97
    assert 1 < found.perplexity.value < 50


def test_logit_pieces_are_the_rows_of_logits(tmp_path):
    path = write_model(tmp_path / "m.gguf", Shape(context_length=2048))
    ids = [5 + i % 200 for i in range(1100)]
    assert max(ids) < len(PIECES)
    with localmix.load(path, executor="reference") as model:
        whole = model.logits(ids)
        for start in (0, 1, 511, 512, 700, 1099, 1100):
            pieces = list(model.logit_pieces(ids, start=start))
            assert all(0 < len(piece) <= 512 for piece in pieces)
            rows = np.concatenate([*pieces, np.empty((0, len(PIECES)), np.float32)])
            np.testing.assert_allclose(rows, whole[start:], rtol=1e-4, atol=1e-4)
            assert rows.shape == whole[start:].shape
