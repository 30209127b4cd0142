"""Bytes and operations of a token, counted by hand for small models."""

import numpy as np
import pytest
from support.models import PIECES, Q, Shape, split_experts, tensors_of, write_model

from localmix.bench.cost import token_cost
from localmix.gguf import GGUFFile
from localmix.gguf.summary import n_parameters
from localmix.model.config import ModelConfig

V, D, F, KV = len(PIECES), 32, 64, 16
ATTENTION = D * D + 2 * KV * D + D * D
NORMS = 2 * (2 * D) + D


def opened(tmp_path, shape=None, **options):
    file = GGUFFile.open(write_model(tmp_path / "m.gguf", shape, **options))
    return file, ModelConfig.from_metadata(file.metadata)


def test_a_dense_token_reads_all_but_the_embedding(tmp_path):
    file, config = opened(tmp_path)
    cost = token_cost(file.tensors, config)
    assert cost.n_layer_weights == 2 * (ATTENTION + 3 * F * D)
    assert cost.n_output_weights == V * D
    assert cost.weight_bytes == 4 * (cost.n_layer_weights + V * D + NORMS)
    assert n_parameters(file.tensors) == cost.n_layer_weights + 2 * V * D + NORMS


@pytest.mark.parametrize("layout", [dict, split_experts])
@pytest.mark.parametrize("n_used", [1, 2, 3])
def test_a_token_reads_only_the_experts_it_visits(tmp_path, layout, n_used):
    shape = Shape(n_experts=4, n_experts_used=n_used)
    file, config = opened(tmp_path, shape, tensors=layout(tensors_of(shape)))
    cost = token_cost(file.tensors, config)
    assert cost.n_layer_weights == 2 * (ATTENTION + 4 * D + n_used * 3 * F * D)
    assert cost.weight_bytes == 4 * (cost.n_layer_weights + V * D + NORMS)


def test_a_tied_embedding_is_read_as_the_output(tmp_path):
    file, config = opened(tmp_path, leave_out=("output.weight",))
    cost = token_cost(file.tensors, config)
    assert cost.n_output_weights == V * D
    assert cost.n_layer_weights == 2 * (ATTENTION + 3 * F * D)
    assert cost.weight_bytes == 4 * (cost.n_layer_weights + V * D + NORMS)


def test_a_prompt_needs_the_output_matrix_once(tmp_path):
    cost = token_cost(
        *[part(opened(tmp_path)) for part in (lambda x: x[0].tensors, lambda x: x[1])]
    )
    assert cost.prefill_operations(10) == 2 * (10 * cost.n_layer_weights + V * D)


@pytest.mark.parametrize(("kv", "head_bytes"), [("f16", 16 * 2), ("q8_0", 34), ("f32", 16 * 4)])
def test_keys_and_values_grow_with_the_positions_as_the_cache_keeps_them(tmp_path, kv, head_bytes):
    # A head of 8 numbers is padded to 16, or to a block of q8_0.
    file, config = opened(tmp_path)
    cost = token_cost(file.tensors, config, kv)
    assert cost.kv_bytes == 2 * 2 * 2 * head_bytes  # layers, keys and values, heads
    assert cost.decode_bytes(100) - cost.decode_bytes(0) == 100 * cost.kv_bytes


def test_quantized_blocks_count_as_they_lie_in_the_file(tmp_path):
    file, config = opened(tmp_path, quant=Q.Q8_0)
    cost = token_cost(file.tensors, config)
    assert cost.weight_bytes == (cost.n_layer_weights + V * D) * 34 // 32 + 4 * NORMS


def test_weights_are_never_touched(tmp_path):
    tensors = {name: np.full_like(data, np.nan) for name, data in tensors_of(Shape()).items()}
    file, config = opened(tmp_path, tensors=tensors)
    assert token_cost(file.tensors, config).weight_bytes > 0


@pytest.mark.parametrize(("quant", "floats"), [(Q.F32, True), (Q.F16, True), (Q.Q8_0, False)])
def test_weights_that_are_multiplied_as_floats_are_told_apart(tmp_path, quant, floats):
    file, config = opened(tmp_path, quant=quant)
    cost = token_cost(file.tensors, config)
    assert cost.is_of_floats is floats
    assert cost.n_float_weights == (cost.n_layer_weights if floats else 0)


def test_a_decoded_token_needs_every_matrix_once():
    from localmix.bench.cost import TokenCost

    assert TokenCost(1, 7, 3, 1).decode_operations() == 2 * (7 + 3)
