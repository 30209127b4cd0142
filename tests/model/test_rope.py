"""Rotary frequencies of each scaling, against the formulas written out by hand."""

import math
from dataclasses import replace

import numpy as np
import pytest
from gguf import GGUFValueType as V
from support.models import write_model

from localmix.gguf import GGUFFile
from localmix.model.config import ModelConfig, RopeScaling
from localmix.model.rope import rotation


@pytest.fixture
def config(tmp_path):
    with GGUFFile.open(write_model(tmp_path / "m.gguf")) as file:
        plain = ModelConfig.from_metadata(file.metadata)
    return replace(plain, head_dim=128, rope_dim=128, rope_base=10_000.0)


def plain(i):
    return 10_000 ** (-2 * i / 128)


def test_plain_frequencies_fall_from_one_to_almost_one_over_the_base(config):
    turn = rotation(config, None)
    assert turn.frequencies == pytest.approx([plain(i) for i in range(64)])
    assert turn.frequencies[0] == 1
    assert turn.magnitude == 1


def test_linear_scaling_divides_every_frequency(config):
    scaled = replace(config, rope_scaling=RopeScaling("linear", factor=4))
    assert rotation(scaled, None).frequencies == pytest.approx([plain(i) / 4 for i in range(64)])


def test_divisors_from_the_file_divide_pair_by_pair(config):
    class Divisors:
        def to_float32(self):
            return np.arange(1, 65, dtype=np.float32)

    assert rotation(config, Divisors()).frequencies == pytest.approx(
        [plain(i) / (i + 1) for i in range(64)]
    )


def test_yarn_keeps_fast_pairs_and_divides_slow_ones(config):
    scaled = replace(config, rope_scaling=RopeScaling("yarn", 16, original_context_length=4096))
    turn = rotation(scaled, None)
    assert turn.magnitude == 1

    def pair(turns):
        return 128 * math.log(4096 / (turns * 2 * math.pi)) / (2 * math.log(10_000))

    low, high = math.floor(pair(32)), math.ceil(pair(1))
    assert (low, high) == (20, 46)  # the values of ggml's rope_yarn_corr_dims
    for i in range(64):
        keep = 1 - min(1, max(0, (i - low) / (high - low)))
        assert turn.frequencies[i] == pytest.approx(plain(i) * (keep + (1 - keep) / 16))
    assert turn.frequencies[:21] == pytest.approx([plain(i) for i in range(21)])
    assert turn.frequencies[46:] == pytest.approx([plain(i) / 16 for i in range(46, 64)])


SCALED = [
    ("llama.rope.scaling.type", "yarn", V.STRING),
    ("llama.rope.scaling.factor", 16.0, V.FLOAT32),
]


@pytest.mark.parametrize(
    ("keys", "magnitude"),
    [
        (SCALED, 1 + 0.1 * math.log(16)),
        ([*SCALED, ("llama.rope.scaling.attn_factor", 2.0, V.FLOAT32)], 2 + 0.2 * math.log(16)),
        ([*SCALED, ("llama.rope.scaling.yarn_attn_factor", 1.5, V.FLOAT32)], 1.5),
        (SCALED[1:], 1),
    ],
)
def test_magnitude_of_cosine_and_sine(tmp_path, keys, magnitude):
    with GGUFFile.open(write_model(tmp_path / "yarn.gguf", keys=keys)) as file:
        config = ModelConfig.from_metadata(file.metadata)
    assert rotation(config, None).magnitude == pytest.approx(magnitude)


def test_a_factor_without_a_type_is_linear(tmp_path):
    with GGUFFile.open(write_model(tmp_path / "linear.gguf", keys=SCALED[1:])) as file:
        assert ModelConfig.from_metadata(file.metadata).rope_scaling.kind == "linear"
