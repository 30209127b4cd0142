"""Bytes and operations of a token, counted by hand for small models."""

import gguf
import numpy as np
import pytest
from support.models import PIECES, Q, Shape, split_experts, tensors_of, write_model

from localmix.bench.cost import n_parameters, quantization_label, tensor_types, token_cost
from localmix.gguf import GGUFFile
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


def test_keys_and_values_grow_with_the_positions(tmp_path):
    file, config = opened(tmp_path)
    cost = token_cost(file.tensors, config)
    assert cost.kv_bytes == 2 * 2 * KV * 2  # layers, keys and values, elements, bytes
    assert cost.decode_bytes(100) - cost.decode_bytes(0) == 100 * cost.kv_bytes


def test_quantized_blocks_count_as_they_lie_in_the_file(tmp_path):
    file, config = opened(tmp_path, quant=Q.Q8_0)
    cost = token_cost(file.tensors, config)
    assert cost.weight_bytes == (cost.n_layer_weights + V * D) * 34 // 32 + 4 * NORMS


FILE_TYPE = ("general.file_type", gguf.GGUFValueType.UINT32)


@pytest.mark.parametrize(
    ("quant", "file_type", "label"),
    [
        (Q.Q8_0, 7, "Q8_0"),
        (Q.Q8_0, None, "Q8_0"),
        (Q.Q8_0, 15, "Q8_0"),  # Q4_K_M, of which no tensor is: a default that nobody set
        (Q.Q4_0, 2, "Q4_0"),
        (Q.F32, 999, "F32"),
    ],
)
def test_the_label_is_the_files_own_word_if_it_fits_its_tensors(tmp_path, quant, file_type, label):
    keys = [] if file_type is None else [(FILE_TYPE[0], file_type, FILE_TYPE[1])]
    file, _ = opened(tmp_path, quant=quant, keys=keys)
    assert quantization_label(file) == label


def test_a_mix_keeps_its_own_name(tmp_path, monkeypatch):
    file, _ = opened(tmp_path, quant=Q.Q8_0, keys=[(FILE_TYPE[0], 15, FILE_TYPE[1])])
    monkeypatch.setattr("localmix.bench.cost.tensor_types", lambda tensors: {"Q4_K": 9, "Q6_K": 1})
    assert quantization_label(file) == "Q4_K_M"


def test_file_types_are_those_of_the_format():
    from localmix.bench.cost import _FILE_TYPES

    theirs = {
        int(f): f.name.removeprefix("MOSTLY_").removeprefix("ALL_") for f in gguf.LlamaFileType
    }
    assert _FILE_TYPES.items() <= theirs.items()


def test_types_are_counted_with_the_heaviest_first(tmp_path):
    file, _ = opened(tmp_path, quant={"token_embd.weight": Q.Q8_0})
    types = tensor_types(file.tensors)
    assert list(types) == ["F32", "Q8_0"]
    assert types["Q8_0"] == 1
    assert sum(types.values()) == len(file.tensors)


def test_weights_are_never_touched(tmp_path):
    tensors = {name: np.full_like(data, np.nan) for name, data in tensors_of(Shape()).items()}
    file, config = opened(tmp_path, tensors=tensors)
    assert token_cost(file.tensors, config).weight_bytes > 0
