"""What tuning found is kept by processor, tier and shape, and used when a model is loaded."""

import json

import pytest
from gguf import GGMLQuantizationType as Q
from support.models import Shape, write_model

import localmix
from localmix.engine import tuned
from localmix.engine.load import load_file
from localmix.engine.tuned import CHUNK_TOKENS, Tuned
from localmix.errors import LocalmixError
from localmix.gguf import GGUFFile
from localmix.kernels import isa, library
from localmix.model.config import ModelConfig

HERE = library.this_machine()
OTHER_TILE = next(iter(isa.OTHER_TILES[HERE.tier.name]), None)
FOUND = Tuned(3, 2, 256, OTHER_TILE)


@pytest.fixture
def path(tmp_path):
    return write_model(tmp_path / "m.gguf", Shape(n_experts=4, dim=64, hidden_dim=96), quant=Q.Q8_0)


def shape_of(path):
    with GGUFFile.open(path) as file:
        return tuned.shape_of(ModelConfig.from_metadata(file.metadata), file.tensors)


@pytest.fixture
def folder(tmp_path, monkeypatch, kernel_cache):
    """A cache whose choices are our own; kernels are those of the run."""
    (tmp_path / "cache").mkdir()
    (kernel_cache / "kernels").mkdir(exist_ok=True)
    (tmp_path / "cache" / "kernels").symlink_to(kernel_cache / "kernels")
    monkeypatch.setenv("LOCALMIX_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_a_shape_is_what_decides_about_speed(path, tmp_path):
    assert "4 experts, Q8_0" in shape_of(path)
    other = write_model(
        tmp_path / "o.gguf", Shape(n_experts=4, dim=64, hidden_dim=96), quant=Q.Q4_0
    )
    assert shape_of(other) != shape_of(path)
    wider = write_model(tmp_path / "w.gguf", Shape(n_experts=4, dim=64), quant=Q.Q8_0)
    assert shape_of(wider) != shape_of(path)


def test_what_was_found_is_read_again_and_can_be_forgotten(tmp_path):
    assert tuned.read(tmp_path, HERE, "a") is None
    tuned.write(tmp_path, HERE, "a", FOUND)
    tuned.write(tmp_path, HERE, "b", Tuned(1, 1))
    assert tuned.read(tmp_path, HERE, "a") == FOUND
    tuned.write(tmp_path, HERE, "a", None)
    assert tuned.read(tmp_path, HERE, "a") is None
    assert tuned.read(tmp_path, HERE, "b") == Tuned(1, 1)
    tuned.write(tmp_path, HERE, "unknown", None)


def test_another_tier_is_another_machine(tmp_path):
    tuned.write(tmp_path, HERE, "a", FOUND)
    generic = library.Machine(isa.tier_named("generic"), HERE.triple, "", "")
    if HERE.tier.name != "generic":
        assert tuned.read(tmp_path, generic, "a") is None


@pytest.mark.parametrize(
    "change",
    [
        {"n_threads": 0},
        {"n_threads_few": "many"},
        {"chunk_tokens": True},
        {"tile": [7, 9]},
        {"tile": [2]},
        {"tile": "2x4"},
    ],
)
def test_a_damaged_choice_is_none(tmp_path, change):
    tuned.write(tmp_path, HERE, "a", FOUND)
    known = json.loads((tmp_path / "tuned.json").read_text())
    next(iter(known.values()))["a"].update(change)
    (tmp_path / "tuned.json").write_text(json.dumps(known))
    assert tuned.read(tmp_path, HERE, "a") is None


@pytest.mark.parametrize("text", ["", "[]", "{", '{"x": 3}'])
def test_a_damaged_file_is_none_and_is_written_anew(tmp_path, text):
    (tmp_path / "tuned.json").write_text(text)
    assert tuned.read(tmp_path, HERE, "a") is None
    tuned.write(tmp_path, HERE, "a", FOUND)
    assert tuned.read(tmp_path, HERE, "a") == FOUND


def how(model):
    executor = model.executor
    return executor.n_threads, executor.n_threads_few, model.chunk_tokens


def test_a_model_is_loaded_with_what_was_found(path, folder):
    with localmix.load(path) as model:
        usual = how(model)
    assert usual[0] == usual[1]
    assert usual[2] == CHUNK_TOKENS
    tuned.write(folder, HERE, shape_of(path), FOUND)
    with localmix.load(path) as model:
        assert how(model) == (3, 2, 256)
        assert (model.executor.tile == OTHER_TILE) or OTHER_TILE is None


def test_threads_that_were_asked_for_go_first(path, folder, monkeypatch):
    tuned.write(folder, HERE, shape_of(path), FOUND)
    with localmix.load(path, n_threads=1) as model:
        assert how(model) == (1, 1, 256)
    monkeypatch.setenv("LOCALMIX_THREADS", "2")
    with localmix.load(path) as model:
        assert how(model) == (2, 2, 256)


def test_threads_and_tile_change_no_bit(path, folder):
    ids = list(range(5, 45))
    with localmix.load(path) as model:
        expected, few = model.logits(ids), model.logits(ids[:3])
    for choices in (FOUND, Tuned(1, 3, 64), Tuned(2, 1, 1024, OTHER_TILE)):
        with load_file(path, choices=choices) as model:
            assert (model.logits(ids) == expected).all()
            assert (model.logits(ids[:3]) == few).all()


def test_the_reference_executor_has_no_use_for_them(path, folder):
    tuned.write(folder, HERE, shape_of(path), FOUND)
    with localmix.load(path, executor="reference") as model:
        assert model.chunk_tokens == CHUNK_TOKENS


def test_power_is_a_percentage_of_the_native_executor(path):
    for power in (0, 101, -5):
        with pytest.raises(LocalmixError, match="power"):
            localmix.load(path, power=power)
    with pytest.raises(LocalmixError, match="native"):
        localmix.load(path, power=50, executor="reference")
