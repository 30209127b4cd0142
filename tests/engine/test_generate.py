"""Generation: what is said, when it stops, what it costs."""

import math

import numpy as np
import pytest
from support.models import Shape, write_model

import localmix
from localmix.errors import ContextFull, LocalmixError

PROMPT = [1, 262, 270, 265]


@pytest.fixture
def model(tmp_path):
    with localmix.load(write_model(tmp_path / "m.gguf", Shape(n_experts=4, window=5))) as loaded:
        yield loaded


def script(model, tokens):
    """Make the model say these tokens, one a pass, whatever it is fed."""
    forced = iter(tokens)

    class Scripted:
        kv = "f32"

        def run(self, batch, cache, routes=None):
            cache.admit(batch)
            logits = np.zeros((len(batch.wanted), model.config.vocab_size), np.float32)
            logits[:, next(forced)] = 50
            return logits

    model._executor = Scripted()


def log_softmax(logits):
    logits = logits.astype(np.float64)
    return logits - logits.max() - math.log(np.exp(logits - logits.max()).sum())


def test_greedy_ids_and_logprobs_are_those_of_the_whole_sequence(model):
    pieces = list(model.generate(PROMPT, temperature=0, max_tokens=30))
    ids = [piece.token for piece in pieces]
    logits = model.logits(PROMPT + ids)
    for t, piece in enumerate(pieces):
        row = log_softmax(logits[len(PROMPT) - 1 + t])
        assert piece.token == row.argmax()
        assert piece.logprob == pytest.approx(row[piece.token], abs=1e-4)


def test_logprob_is_that_of_the_plain_softmax_whatever_the_filters(model):
    options = {"temperature": 1.7, "top_k": 5, "min_p": 0.05, "repeat_penalty": 1.3, "seed": 4}
    pieces = list(model.generate(PROMPT, max_tokens=12, **options))
    logits = model.logits(PROMPT + [piece.token for piece in pieces])
    for t, piece in enumerate(pieces):
        row = log_softmax(logits[len(PROMPT) - 1 + t])
        assert piece.logprob == pytest.approx(row[piece.token], abs=1e-4)


def test_same_seed_same_text_and_other_seed_other_text(model):
    def tokens(seed):
        return model.complete(PROMPT, temperature=1.5, top_k=0, top_p=1, seed=seed).tokens

    assert tokens(1) == tokens(1)
    assert tokens(1) != tokens(2)
    assert tokens(None) != tokens(None)


def test_text_is_the_detokenized_tokens(model):
    generation = model.generate(PROMPT, temperature=1.0, seed=3, max_tokens=50)
    text = "".join(piece.text for piece in generation)
    assert generation.text == text
    assert len(text) > 10
    assert model.detokenize(PROMPT + generation.tokens) == model.detokenize(PROMPT) + text


def test_an_answer_begins_without_the_implied_space_and_a_continuation_with_it(model):
    script(model, [262, 262])  # "▁dog"
    messages = [{"role": "user", "content": "the fox"}]
    answer = model.chat(messages, temperature=0, max_tokens=1).complete()
    assert answer.text == model.detokenize([262])
    assert not answer.text.startswith(" ")
    assert model.complete("the fox", temperature=0, max_tokens=1).text == " " + answer.text


def test_max_tokens_ends_with_length(model):
    done = model.complete(PROMPT, temperature=0, max_tokens=3, logit_bias={2: -1e9})
    assert (len(done.tokens), done.finish_reason) == (3, "length")
    assert done.stats.generated_tokens == 3


def test_the_end_token_ends_with_stop_and_is_not_part_of_the_answer(model):
    generation = model.generate(PROMPT, temperature=0, logit_bias={2: 1e9})
    pieces = list(generation)
    assert [(piece.text, piece.token) for piece in pieces] == [("", 2)]
    assert (generation.tokens, generation.text, generation.finish_reason) == ([], "", "stop")


def test_a_stop_string_across_tokens_ends_the_answer_before_it(model):
    # Byte pieces spell "abXYcd" one character a token.
    wanted = [3 + byte for byte in b"abXYcd"]
    script(model, wanted)
    generation = model.generate(PROMPT, temperature=0, stop=["XYZ", "XYc"], max_tokens=20)
    pieces = [piece.text for piece in generation]
    assert "".join(pieces) == "ab"
    assert generation.finish_reason == "stop"
    assert generation.tokens == wanted[:5]


def test_what_a_stop_string_held_back_is_emitted_at_the_end(model):
    script(model, [3 + byte for byte in b"abXY"])
    generation = model.generate(PROMPT, temperature=0, stop=["XYZ"], max_tokens=4)
    assert [piece.text for piece in generation] == ["a", "b", "", "XY"]


def test_a_prompt_longer_than_the_context_is_an_error_that_says_what_to_do(tmp_path):
    model = localmix.load(write_model(tmp_path / "m.gguf"), n_ctx=8)
    with pytest.raises(ContextFull, match="9 tokens") as error:
        model.complete([5] * 9)
    assert "--ctx 1024" in error.value.hint
    assert "--on-overflow truncate" in error.value.hint


def test_a_full_context_ends_with_length(tmp_path):
    model = localmix.load(write_model(tmp_path / "m.gguf"), n_ctx=8)
    done = model.complete([5] * 6, max_tokens=None, temperature=0, logit_bias={2: -1e9})
    assert (len(done.tokens), done.finish_reason) == (3, "length")  # the last one needs no slot


def test_truncate_keeps_the_first_token_and_the_last_ones(tmp_path):
    model = localmix.load(write_model(tmp_path / "m.gguf"), n_ctx=8)
    prompt = [1, *range(100, 120)]
    long = model.complete(prompt, on_overflow="truncate", temperature=0, max_tokens=1)
    short = model.complete([1, *range(115, 120)], temperature=0, max_tokens=1)
    assert long.tokens == short.tokens
    assert long.stats.prompt_tokens == 6


def test_shift_drops_the_older_half_and_goes_on(tmp_path):
    model = localmix.load(write_model(tmp_path / "m.gguf"), n_ctx=8)
    greedy = {"temperature": 0, "logit_bias": {2: -1e9}}
    done = model.complete([1, 5, 6], max_tokens=30, on_overflow="shift", **greedy)
    assert (len(done.tokens), done.finish_reason) == (30, "length")
    # Seven ids and the first answer fill the context; what follows is said to [1, last three].
    assert done.tokens[:6] == model.complete([1, 5, 6], max_tokens=6, **greedy).tokens
    kept = [1, *done.tokens[3:6]]
    assert done.tokens[6:11] == model.complete(kept, max_tokens=5, **greedy).tokens


def test_shift_never_drops_the_newest_token(tmp_path):
    model = localmix.load(write_model(tmp_path / "m.gguf"), n_ctx=3)
    fed = []

    class Recording:
        kv = "f16"

        def run(self, batch, cache, routes=None):
            fed.append(batch.tokens.tolist())
            return executor.run(batch, cache, routes)

    executor, model._executor = model._executor, Recording()
    done = model.complete(
        [1], max_tokens=9, on_overflow="shift", temperature=0, logit_bias={2: -1e9}
    )
    assert [tokens[-1] for tokens in fed] == [1, *done.tokens[:-1]]


def test_stats_count_what_happened(model):
    calls = []
    generation = model.generate(PROMPT, max_tokens=5, on_prefill=lambda *at: calls.append(at))
    list(generation)
    stats = generation.stats
    assert calls == [(0, 4), (4, 4)]
    assert stats.prompt_tokens == 4
    assert stats.generated_tokens == len(generation.tokens)
    assert 0 < stats.ttft_s < 60
    assert stats.prefill_tok_s > 0
    assert stats.decode_tok_s > 0
    assert stats.peak_rss_bytes > 1_000_000
    assert stats.load_s == model.load_s > 0


def test_a_generation_can_be_left_early(model):
    generation = model.generate(PROMPT, max_tokens=50, logit_bias={2: -1e9})
    next(generation)
    generation.close()
    assert len(generation.tokens) == 1
    assert list(generation) == []
    with pytest.raises(LocalmixError, match="left before its end"):
        generation.complete()


@pytest.mark.parametrize(
    "options",
    [
        {"max_tokens": 0},
        {"temperature": -1},
        {"temperature": math.nan},
        {"top_p": 1.5},
        {"on_overflow": "explode"},
    ],
)
def test_options_that_make_no_sense_are_refused_at_once(model, options):
    with pytest.raises(LocalmixError) as error:
        model.generate(PROMPT, **options)
    assert error.value.hint


def test_bad_prompts_are_refused(model):
    with pytest.raises(LocalmixError, match="empty"):
        model.generate([])
    with pytest.raises(LocalmixError, match="vocabulary"):
        model.complete([1, 10**6])
    with pytest.raises(LocalmixError, match="no tokens"):
        model.logits([])


def test_a_text_prompt_gets_the_begin_token_and_ids_are_taken_as_they_are(model):
    from_text = model.complete("the fox", temperature=0, max_tokens=4)
    ids = model.tokenize("the fox")
    assert ids[0] == 1
    assert model.complete(ids, temperature=0, max_tokens=4).tokens == from_text.tokens
    assert from_text.stats.prompt_tokens == len(ids)


def test_a_long_context_with_a_window_does_not_change_with_chunks(tmp_path):
    """700 tokens go through in two chunks of the engine's size; alone they give the same logits."""
    model = localmix.load(
        write_model(tmp_path / "m.gguf", Shape(window=9, context_length=2048)),
        n_ctx=1024,
        executor="reference",
    )
    ids = [int(i) for i in np.random.default_rng(0).integers(3, 300, 700)]
    logits = model.logits(ids)
    assert logits.shape == (700, model.config.vocab_size)
    # With two layers and a window of 9, a token depends on itself and the 16 before it.
    for t in (20, 300, 511, 512, 520, 699):
        tail = model.logits(ids[t - 16 : t + 1])[-1]
        assert tail == pytest.approx(logits[t], abs=2e-3)
