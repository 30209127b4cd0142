"""The reference executor answers what Hugging Face transformers answers, model by model.

`tests/data/goldens/` holds tiny random models and, for each, `ids` (a random prompt and its greedy
continuation), the logits of every position, and the experts visited; `scripts/make_goldens.py` made
them. Attention there is one masked matrix product, so these tests are equivalences as well: a ring
that wraps = a banded mask, one token at a time = the whole sequence at once.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import localmix

GOLDENS = Path(__file__).parents[1] / "data" / "goldens"

# Both sides compute in float32; the golden side is within 5e-5 of float64. A wrong pass moves these
# logits, of standard deviation 3, by about 10, a wrong epsilon still by 4e-4.
TOLERANCE = 1e-4

DENSE = (
    "mistral",
    "mistral-window",
    "llama-tied",
    "llama-head-dim",
    "llama-biases",
    "rope-linear",
    "rope-llama3",
    "rope-yarn",
    "rope-yarn-keys",
)
MIXTURES = ("mixtral", "mixtral-window")
WINDOWED = ("mistral-window", "mixtral-window")
WINDOW = 7


@cache
def golden(name: str) -> dict[str, Any]:
    with np.load(GOLDENS / f"{name}.npz") as arrays:
        return dict(arrays)


def load(name: str, **options: Any) -> Any:
    return localmix.load(str(GOLDENS / f"{name}.gguf"), executor="reference", **options)


def ids_of(name: str) -> list[int]:
    return golden(name)["ids"].tolist()


def assert_close(ours: np.ndarray, theirs: np.ndarray) -> None:
    assert ours.dtype == np.float32
    assert ours.shape == theirs.shape
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=TOLERANCE)


def log_softmax(logits: np.ndarray) -> np.ndarray:
    shifted = logits.astype(np.float64) - logits.max(axis=-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))


@pytest.mark.parametrize("name", DENSE + MIXTURES)
def test_logits_are_those_of_transformers(name: str) -> None:
    with load(name) as model:
        assert_close(model.logits(ids_of(name)), golden(name)["logits"])


@pytest.mark.parametrize("name", MIXTURES)
def test_tokens_visit_the_experts_transformers_sends_them_to(name: str) -> None:
    with load(name) as model:
        route = model.route(ids_of(name))
    assert route.dtype == np.int32
    np.testing.assert_array_equal(np.sort(route, axis=-1), golden(name)["route"])


@pytest.mark.parametrize("name", DENSE + MIXTURES)
def test_one_token_at_a_time_equals_the_whole_sequence_at_once(name: str) -> None:
    """Greedy decoding follows the golden text, with the log-probabilities of its logits."""
    ids, n_prompt = ids_of(name), int(golden(name)["n_prompt"])
    with load(name) as model:
        pieces = list(model.generate(ids[:n_prompt], temperature=0, max_tokens=len(ids) - n_prompt))
    assert [piece.token for piece in pieces] == ids[n_prompt:]
    expected = log_softmax(golden(name)["logits"])[np.arange(n_prompt - 1, len(ids) - 1)]
    expected = np.take_along_axis(expected, np.array(ids[n_prompt:])[:, None], axis=1)[:, 0]
    ours = np.array([piece.logprob for piece in pieces])
    np.testing.assert_allclose(ours, expected, rtol=0, atol=TOLERANCE)


@pytest.mark.parametrize("name", ["mistral", *WINDOWED])
@pytest.mark.parametrize("length", [1, WINDOW - 1, WINDOW, WINDOW + 1, 2 * WINDOW])
def test_what_comes_later_changes_no_earlier_logits(name: str, length: int) -> None:
    with load(name) as model:
        assert_close(model.logits(ids_of(name)[:length]), golden(name)["logits"][:length])


@pytest.mark.parametrize("name", ["mistral-window", "mixtral"])
def test_every_call_starts_a_fresh_sequence(name: str) -> None:
    ids = ids_of(name)
    with load(name) as model:
        list(model.generate(ids[5:20], temperature=0, max_tokens=3))
        assert_close(model.logits(ids), golden(name)["logits"])
        assert_close(model.logits(ids), golden(name)["logits"])


@pytest.mark.parametrize("name", ["mistral", "mistral-window"])
def test_a_context_of_just_the_text_is_enough(name: str) -> None:
    ids, n_prompt = ids_of(name), int(golden(name)["n_prompt"])
    with load(name, n_ctx=len(ids)) as model:
        assert_close(model.logits(ids), golden(name)["logits"])
        pieces = model.generate(ids[:n_prompt], temperature=0, max_tokens=len(ids) - n_prompt)
        assert [piece.token for piece in pieces] == ids[n_prompt:]


@pytest.mark.parametrize("name", ["mixtral", *WINDOWED])
@pytest.mark.parametrize("n_chunk", [1, 3, WINDOW, WINDOW + 1])
def test_a_text_fed_in_chunks_has_the_logits_of_one_fed_whole(name: str, n_chunk: int) -> None:
    """With a window the ring is then a few slots wide and goes round several times."""
    with load(name) as model:
        model.chunk_tokens = n_chunk
        assert_close(model.logits(ids_of(name)), golden(name)["logits"])


def test_a_text_longer_than_chunk_and_ring_keeps_its_logits() -> None:
    """1032 tokens: two full chunks and a bit, in a ring not much larger than one."""
    data = golden("mistral-window")
    ids, rows = data["long_ids"].tolist(), data["long_rows"]
    with load("mistral-window") as model:
        assert_close(model.logits(ids)[rows], data["long_logits"])


def test_decoding_in_a_ring_that_has_wrapped_follows_the_golden_text() -> None:
    ids, n_greedy = golden("mistral-window")["long_ids"].tolist(), 8
    with load("mistral-window") as model:
        pieces = list(model.generate(ids[:-n_greedy], temperature=0, max_tokens=n_greedy))
    assert [piece.token for piece in pieces] == ids[-n_greedy:]


@pytest.mark.parametrize("name", WINDOWED)
def test_a_window_switched_off_is_full_attention(name: str) -> None:
    with load(name, sliding_window="off") as model:
        assert model.config.sliding_window is None
        logits = model.logits(ids_of(name))
    assert_close(logits, golden(name)["logits_off"])
    apart = np.abs(logits - golden(name)["logits"]).max(axis=-1)  # (T,)
    assert apart[:WINDOW].max() < TOLERANCE
    assert apart[WINDOW:].min() > 0.1


def test_experts_are_those_of_full_attention_when_the_window_is_off() -> None:
    with load("mixtral-window", sliding_window="off") as model:
        route = model.route(ids_of("mixtral-window"))
    np.testing.assert_array_equal(np.sort(route, axis=-1), golden("mixtral-window")["route_off"])


@pytest.mark.parametrize("name", ["mistral", "mixtral"])
def test_a_window_given_by_hand_acts_like_one_of_the_file(name: str) -> None:
    """The windowed twin of a model has the same weights, and a key for its window."""
    twin = golden(f"{name}-window")
    with load(name, sliding_window=WINDOW) as model:
        assert model.config.sliding_window == WINDOW
        assert_close(model.logits(twin["ids"].tolist()), twin["logits"])


def test_a_window_given_by_hand_overrides_the_file() -> None:
    ids = ids_of("mistral-window")
    with load("mistral-window", sliding_window=len(ids)) as model:
        assert model.config.sliding_window == len(ids)
        assert_close(model.logits(ids), golden("mistral-window")["logits_off"])


def test_config_is_what_the_file_says() -> None:
    with load("mixtral-window") as model:
        config = model.config
    assert (config.architecture, config.dim, config.n_layers) == ("llama", 32, 2)
    assert (config.n_heads, config.n_kv_heads, config.head_dim) == (4, 2, 8)
    assert (config.hidden_dim, config.vocab_size, config.context_length) == (24, 288, 128)
    assert (config.n_experts, config.n_experts_used) == (8, 2)
    assert (config.rope_base, config.sliding_window) == (1e6, WINDOW)


def test_keys_a_file_leaves_out_have_their_defaults() -> None:
    with load("llama-tied") as model:
        config = model.config
    assert (config.n_kv_heads, config.head_dim, config.vocab_size) == (4, 8, 288)
    assert (config.rope_base, config.sliding_window) == (10000.0, None)


def test_a_head_may_be_wider_than_its_share_of_the_model() -> None:
    with load("llama-head-dim") as model:
        config = model.config
    assert (config.dim, config.n_heads, config.head_dim) == (32, 4, 12)
