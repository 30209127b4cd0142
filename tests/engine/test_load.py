"""Loading: options, limits, and what the file says."""

import pytest
from gguf import GGUFValueType as V
from support.models import Shape, write_model

import localmix
from localmix.errors import InvalidGGUF, LocalmixError, UnsupportedModel


def test_the_context_is_that_of_the_file_but_at_most_4096(tmp_path):
    short = write_model(tmp_path / "short.gguf", Shape(context_length=300))
    long = write_model(tmp_path / "long.gguf", Shape(context_length=32_768))
    assert localmix.load(short).n_ctx == 300
    assert localmix.load(long).n_ctx == 4096
    assert localmix.load(long, n_ctx=10_000).n_ctx == 10_000
    assert localmix.load(long).config.context_length == 32_768


def test_overrides_reach_the_config(tmp_path):
    path = write_model(tmp_path / "m.gguf", Shape(n_experts=4, window=9))
    assert localmix.load(path).config.sliding_window == 9
    assert localmix.load(path, sliding_window="off").config.sliding_window is None
    assert localmix.load(path, sliding_window=3).config.sliding_window == 3
    assert localmix.load(path, n_experts_used=3).config.n_experts_used == 3
    assert localmix.load(path, n_experts_used=3).route([5, 6]).shape == (2, 2, 3)


def test_a_dense_model_has_no_routes(tmp_path):
    with pytest.raises(UnsupportedModel, match="no experts"):
        localmix.load(write_model(tmp_path / "m.gguf")).route([5])


def test_the_native_executor_is_refused_and_never_replaced_in_silence(tmp_path):
    with pytest.raises(UnsupportedModel, match="native") as error:
        localmix.load(write_model(tmp_path / "m.gguf"), executor="native")
    assert "reference" in error.value.hint


@pytest.mark.parametrize(
    "options",
    [
        {"n_ctx": 0},
        {"n_threads": 0},
        {"kv": "f64"},
        {"weights": "swapped"},
        {"executor": "gpu"},
        {"sliding_window": 0},
        {"n_experts_used": 2},
    ],
)
def test_options_that_make_no_sense_are_refused(tmp_path, options):
    with pytest.raises(LocalmixError) as error:
        localmix.load(write_model(tmp_path / "m.gguf"), **options)
    assert error.value.message
    assert error.value.hint


def test_a_vocabulary_larger_than_the_model_is_refused(tmp_path):
    path = write_model(tmp_path / "m.gguf", keys=[("llama.vocab_size", 100, V.UINT32)])
    with pytest.raises(InvalidGGUF, match="vocabulary"):
        localmix.load(path)


def test_the_file_is_let_go_when_the_model_is_closed(tmp_path):
    path = write_model(tmp_path / "m.gguf")
    with localmix.load(path) as model:
        assert model.path == path
    path.unlink()
    with pytest.raises(LocalmixError):
        localmix.load(path)
