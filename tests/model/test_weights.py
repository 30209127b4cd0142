"""Naming tensors: nothing missing, nothing of another shape, nothing left out in silence."""

import numpy as np
import pytest
from support.models import Shape, split_experts, tensors_of, write_model

from localmix.errors import InvalidGGUF, UnsupportedModel
from localmix.gguf import GGUFFile
from localmix.model.config import ModelConfig
from localmix.model.weights import Mixture, Weights

SPARSE = Shape(n_experts=4)


def weights_of(path):
    file = GGUFFile.open(path)
    return Weights.from_tensors(file.tensors, ModelConfig.from_metadata(file.metadata))


@pytest.mark.parametrize("layout", [dict, split_experts], ids=["merged", "split"])
def test_each_expert_is_one_feed_forward_in_both_layouts(tmp_path, layout):
    tensors = tensors_of(SPARSE)
    weights = weights_of(write_model(tmp_path / "m.gguf", SPARSE, tensors=layout(tensors)))
    ffn = weights.layers[1].ffn
    assert isinstance(ffn, Mixture)
    assert len(ffn.experts) == 4
    for e, expert in enumerate(ffn.experts):
        for name in ("ffn_gate", "ffn_up", "ffn_down"):
            expected = tensors[f"blk.1.{name}_exps.weight"][e]
            assert np.array_equal(getattr(expert, name).weight.to_float32(), expected)


@pytest.mark.parametrize(
    "name",
    ["token_embd.weight", "output_norm.weight", "blk.1.attn_k.weight", "blk.0.ffn_gate_inp.weight"],
)
def test_a_missing_tensor_is_named(tmp_path, name):
    path = write_model(tmp_path / "m.gguf", SPARSE, leave_out=(name,))
    with pytest.raises(InvalidGGUF, match=name):
        weights_of(path)


def test_a_missing_expert_is_named(tmp_path):
    tensors = split_experts(tensors_of(SPARSE))
    del tensors["blk.1.ffn_up.3.weight"]
    with pytest.raises(InvalidGGUF, match=r"blk\.1\.ffn_up\.3\.weight"):
        weights_of(write_model(tmp_path / "m.gguf", SPARSE, tensors=tensors))


def test_a_shape_that_contradicts_the_hyperparameters_is_refused(tmp_path):
    tensors = tensors_of(SPARSE)
    tensors["blk.0.attn_k.weight"] = np.zeros((32, 32), np.float32)
    with pytest.raises(InvalidGGUF, match=r"attn_k.*\(32, 32\).*\(16, 32\)"):
        weights_of(write_model(tmp_path / "m.gguf", SPARSE, tensors=tensors))


def test_a_tensor_that_nobody_would_use_is_refused(tmp_path):
    tensors = tensors_of(SPARSE) | {"blk.0.attn_q_norm.weight": np.ones(8, np.float32)}
    with pytest.raises(UnsupportedModel, match=r"blk\.0\.attn_q_norm"):
        weights_of(write_model(tmp_path / "m.gguf", SPARSE, tensors=tensors))


def test_rotary_tables_of_old_converters_are_ignored(tmp_path):
    tensors = tensors_of(SPARSE) | {"blk.0.attn_rot_embd.weight": np.ones(4, np.float32)}
    assert weights_of(write_model(tmp_path / "m.gguf", SPARSE, tensors=tensors)).layers


def test_biases_are_found(tmp_path):
    tensors = tensors_of(Shape()) | {"blk.1.attn_q.bias": np.arange(32, dtype=np.float32)}
    layers = weights_of(write_model(tmp_path / "m.gguf", tensors=tensors)).layers
    assert layers[0].attn_q.bias is None
    assert layers[1].attn_q.bias.to_float32().tolist() == list(range(32))
