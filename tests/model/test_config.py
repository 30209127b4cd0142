"""Hyperparameters: defaults, checks, the window rule."""

import math
from dataclasses import replace

import pytest
from gguf import GGUFValueType as V
from support.models import Shape, write_model

from localmix.errors import InvalidGGUF, LocalmixError, UnsupportedModel
from localmix.gguf import GGUFFile
from localmix.model.config import ModelConfig, is_mistral_v01


def config_of(tmp_path, shape=None, **how):
    with GGUFFile.open(write_model(tmp_path / "m.gguf", shape, **how)) as file:
        return ModelConfig.from_metadata(file.metadata)


def test_every_number_comes_from_its_key(tmp_path):
    config = config_of(tmp_path, Shape(n_experts=8, window=9, context_length=77))
    assert (config.architecture, config.dim, config.n_layers) == ("llama", 32, 2)
    assert (config.n_heads, config.n_kv_heads, config.head_dim) == (4, 2, 8)
    assert (config.hidden_dim, config.context_length, config.sliding_window) == (64, 77, 9)
    assert (config.n_experts, config.n_experts_used) == (8, 2)
    assert config.rope_base == 10_000.0
    assert config.norm_eps == pytest.approx(1e-5)


def test_defaults_of_absent_keys(tmp_path):
    absent = ("llama.attention.head_count_kv", "llama.rope.freq_base")
    config = config_of(tmp_path, leave_out=absent)
    assert config.n_kv_heads == config.n_heads
    assert config.rope_base == 10_000.0
    assert config.rope_dim == config.head_dim
    assert config.vocab_size > 259
    assert config.sliding_window is None
    assert (config.n_experts, config.n_experts_used) == (0, 0)


@pytest.mark.parametrize(
    "key",
    [
        "llama.block_count",
        "llama.context_length",
        "llama.embedding_length",
        "llama.feed_forward_length",
        "llama.attention.head_count",
        "llama.attention.layer_norm_rms_epsilon",
    ],
)
def test_a_missing_hyperparameter_is_named(tmp_path, key):
    with pytest.raises(InvalidGGUF, match=key):
        config_of(tmp_path, leave_out=(key,))


@pytest.mark.parametrize(
    ("key", "value", "kind"),
    [
        ("llama.block_count", 0, V.UINT32),
        ("llama.attention.head_count", 5, V.UINT32),
        ("llama.attention.head_count", 0, V.UINT32),
        ("llama.attention.head_count_kv", 3, V.UINT32),
        ("llama.attention.head_count_kv", 0, V.UINT32),
        ("llama.attention.layer_norm_rms_epsilon", math.nan, V.FLOAT32),
        ("llama.attention.layer_norm_rms_epsilon", -1.0, V.FLOAT32),
        ("llama.rope.freq_base", math.inf, V.FLOAT32),
        ("llama.rope.freq_base", 0.0, V.FLOAT32),
        ("llama.rope.freq_base", 1.0, V.FLOAT32),
        ("llama.rope.dimension_count", 7, V.UINT32),
        ("llama.rope.dimension_count", 64, V.UINT32),
        ("llama.expert_used_count", 9, V.UINT32),
        ("llama.expert_used_count", 0, V.UINT32),
        ("llama.embedding_length", "32", V.STRING),
        ("llama.context_length", -4, V.INT32),
    ],
)
def test_a_hyperparameter_that_makes_no_sense_is_refused(tmp_path, key, value, kind):
    with pytest.raises(InvalidGGUF) as error:
        config_of(tmp_path, Shape(n_experts=8), keys=[(key, value, kind)])
    assert error.value.hint


def test_another_architecture_is_named_with_those_that_run(tmp_path):
    with pytest.raises(UnsupportedModel, match="'mamba'") as error:
        config_of(tmp_path, keys=[("general.architecture", "mamba", V.STRING)])
    assert "llama" in error.value.hint


def test_unknown_rope_scaling_is_refused(tmp_path):
    with pytest.raises(UnsupportedModel, match="longrope"):
        config_of(tmp_path, keys=[("llama.rope.scaling.type", "longrope", V.STRING)])


def test_keys_and_values_of_different_length_are_refused(tmp_path):
    with pytest.raises(UnsupportedModel, match="differ"):
        config_of(tmp_path, keys=[("llama.attention.value_length", 4, V.UINT32)])


@pytest.fixture
def v01(tmp_path):
    """The hyperparameters of Mistral 7B v0.1, as its files have them."""
    return replace(
        config_of(tmp_path),
        dim=4096,
        n_layers=32,
        n_heads=32,
        n_kv_heads=8,
        hidden_dim=14336,
        vocab_size=32_000,
        context_length=32_768,
        rope_base=10_000.0,
    )


def test_mistral_v01_is_told_from_its_shape(v01):
    assert is_mistral_v01(v01)
    assert is_mistral_v01(replace(v01, vocab_size=32_002))  # OpenHermes, Zephyr


@pytest.mark.parametrize(
    "other",
    [
        {"rope_base": 1e6},  # Mistral v0.2, v0.3
        {"n_experts": 8},  # Mixtral
        {"hidden_dim": 11_008, "n_kv_heads": 32},  # Llama 2 7B
        {"vocab_size": 128_256},  # Llama 3 8B
        {"context_length": 8192},
        {"n_layers": 40},
    ],
)
def test_other_models_are_not_taken_for_mistral_v01(v01, other):
    assert not is_mistral_v01(replace(v01, **other))


def test_the_window_of_v01_is_set_when_its_file_states_none(tmp_path):
    shape = Shape(dim=4096, n_layers=32, n_heads=32, n_kv_heads=8, hidden_dim=14336)
    shape = replace(shape, context_length=32_768)
    keys = [("llama.vocab_size", 32_000, V.UINT32)]
    assert config_of(tmp_path, shape, tensors={}, keys=keys).sliding_window == 4096
    stated = replace(shape, window=1024)
    assert config_of(tmp_path, stated, tensors={}, keys=keys).sliding_window == 1024


def test_the_window_can_be_switched_off_or_set(tmp_path):
    config = config_of(tmp_path, Shape(window=9))
    assert config.with_window("auto").sliding_window == 9
    assert config.with_window("off").sliding_window is None
    assert config.with_window(3).sliding_window == 3
    for nonsense in (0, -1, "on"):
        with pytest.raises(LocalmixError, match="window"):
            config.with_window(nonsense)


def test_the_number_of_experts_can_be_changed_within_what_there_is(tmp_path):
    config = config_of(tmp_path, Shape(n_experts=8))
    assert config.with_experts_used(None).n_experts_used == 2
    assert config.with_experts_used(8).n_experts_used == 8
    for nonsense in (0, 9):
        with pytest.raises(LocalmixError, match="experts"):
            config.with_experts_used(nonsense)
