"""What tells two model files apart."""

import pytest
from gguf import GGMLQuantizationType as Q
from support.models import Shape, write_model

from localmix.gguf import GGUFFile
from localmix.gguf.fingerprint import N_SAMPLES, fingerprint

LARGE = Shape(n_layers=12, dim=32, hidden_dim=32, n_heads=1, n_kv_heads=1)


def of(path):
    with GGUFFile.open(path) as file:
        return fingerprint(file)


@pytest.mark.parametrize("shape", [Shape(), LARGE])
def test_the_same_weights_have_the_same_fingerprint_wherever_they_lie(tmp_path, shape):
    one = of(write_model(tmp_path / "a.gguf", shape))
    assert of(write_model(tmp_path / "b.gguf", shape)) == one
    assert len(one) == 32


@pytest.mark.parametrize("shape", [Shape(), LARGE])
def test_other_weights_formats_and_shapes_have_another(tmp_path, shape):
    path = write_model(tmp_path / "a.gguf", shape)
    with GGUFFile.open(path) as file:
        assert (len(file.tensors) > N_SAMPLES) == (shape is LARGE)
    others = [
        write_model(tmp_path / "b.gguf", shape, seed=1),
        write_model(tmp_path / "c.gguf", shape, quant=Q.Q8_0),
        write_model(tmp_path / "d.gguf", Shape(hidden_dim=96)),
    ]
    assert len({of(path), *map(of, others)}) == 4
