"""A damaged file ends in a typed error with a hint, or in a model that answers: nothing else."""

import warnings

import pytest
from gguf import GGUFValueType as V
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.models import Shape, write_model

import localmix
from localmix.errors import InvalidGGUF, LocalmixError, UnsupportedModel

SPARSE = Shape(dim=32, n_layers=1, hidden_dim=32, n_experts=2, window=4)
PROMPT = [1, 270, 265]


def load_and_answer(path):
    """Use a file as far as it goes; only our own errors may come out, each with a next step."""
    try:
        with warnings.catch_warnings(), localmix.load(path) as model:
            warnings.simplefilter("error")
            model.complete(PROMPT, max_tokens=3, temperature=0)
            model.complete("the fox", max_tokens=2, seed=1)
            model.chat([{"role": "user", "content": "the fox"}], max_tokens=1).complete()
    except LocalmixError as caught:
        error = caught
    else:
        return None
    assert error.message
    assert error.hint
    return error


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    path = write_model(tmp_path_factory.mktemp("sound") / "sound.gguf", SPARSE)
    data = path.read_bytes()
    return path, data, data.index(b"token_embd.weight")


def test_the_sound_file_answers(sound):
    assert load_and_answer(sound[0]) is None


@settings(
    derandomize=True,
    deadline=None,
    max_examples=150,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(data=st.data())
def test_flipped_bytes_in_keys_and_tensor_table(sound, tmp_path, data):
    _, content, table = sound
    damaged = bytearray(content)
    vocabulary = content.index(b"tokenizer.ggml.tokens")
    # The vocabulary is most of the header: aim at the hyperparameters and the tensor table too.
    regions = st.one_of(
        st.integers(0, vocabulary),
        st.integers(vocabulary, table),
        st.integers(table, min(len(content), table + 1200) - 1),
    )
    for _ in range(data.draw(st.integers(1, 4))):
        damaged[data.draw(regions)] = data.draw(st.integers(0, 255))
    path = tmp_path / "damaged.gguf"
    path.write_bytes(damaged)
    load_and_answer(path)


@pytest.mark.parametrize("share", [0, 0.001, 0.01, 0.1, 0.3, 0.5, 0.9, 0.999])
def test_a_file_that_was_cut_is_invalid(sound, tmp_path, share):
    content = sound[1]
    path = tmp_path / "cut.gguf"
    path.write_bytes(content[: int(share * len(content))])
    assert isinstance(load_and_answer(path), InvalidGGUF)


@pytest.mark.parametrize(
    ("key", "value", "kind", "error"),
    [
        ("llama.block_count", 2**31, V.UINT32, InvalidGGUF),
        ("llama.embedding_length", 2**31, V.UINT32, InvalidGGUF),
        ("llama.vocab_size", 2**31, V.UINT32, InvalidGGUF),
        ("llama.expert_count", 2**31, V.UINT32, InvalidGGUF),
        ("llama.attention.key_length", 2**31, V.UINT32, InvalidGGUF),
        ("llama.rope.scaling.type", "su", V.STRING, UnsupportedModel),
    ],
)
def test_an_absurd_hyperparameter_is_refused(tmp_path, key, value, kind, error):
    path = write_model(tmp_path / "m.gguf", SPARSE, keys=[(key, value, kind)])
    assert isinstance(load_and_answer(path), error)


@pytest.mark.parametrize(
    "key", [("llama.context_length", 2**32 - 1), ("llama.attention.sliding_window", 2**32 - 1)]
)
def test_an_absurd_length_costs_no_memory(tmp_path, key):
    path = write_model(tmp_path / "m.gguf", SPARSE, keys=[(*key, V.UINT32)])
    assert load_and_answer(path) is None


def test_a_folder_and_a_missing_file_are_named(tmp_path):
    for path in (tmp_path, tmp_path / "missing.gguf"):
        error = load_and_answer(path)
        assert error is not None
        assert path.name in error.message
