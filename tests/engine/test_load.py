"""Loading: options, limits, and what the file says."""

import weakref
from pathlib import Path

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


def test_a_model_that_kernels_cannot_read_is_refused_and_never_run_another_way(tmp_path):
    path = write_model(tmp_path / "m.gguf", Shape(dim=40, hidden_dim=64, n_heads=5, n_kv_heads=5))
    with pytest.raises(UnsupportedModel, match="multiple of 16") as error:
        localmix.load(path, executor="native")
    assert "reference" in error.value.hint
    localmix.load(path, executor="reference").close()


def test_the_native_executor_is_the_default(tmp_path):
    with localmix.load(write_model(tmp_path / "m.gguf")) as model:
        assert model.executor.name == "native"


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


def test_a_closed_model_lets_everything_go_and_says_so(tmp_path):
    model = localmix.load(write_model(tmp_path / "m.gguf"))
    executor = weakref.ref(model._executor)
    model.logits([5])
    model.close()
    assert executor() is None
    for use in (lambda: model.logits([5]), lambda: model.generate([5])):
        with pytest.raises(LocalmixError, match="closed"):
            use()


def test_a_path_is_a_path_even_if_a_name_is_spelled_like_it(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_model(tmp_path / "tiny", Shape(context_length=77))
    assert localmix.load(Path("tiny")).config.context_length == 77
    assert localmix.load("tiny").config.context_length != 77
