"""`localmix warmup`: which kernels it compiles, and what it says of them."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from support.models import Shape, write_model

from localmix import settings
from localmix.cli.machine import common_kernels
from localmix.execute.buffers import Arena
from localmix.execute.lower import lower
from localmix.execute.team import KERNELS
from localmix.gguf import GGUFFile
from localmix.kernels import isa, library
from localmix.kernels.layout import FEW
from localmix.model.config import ModelConfig
from localmix.model.transformer import describe
from localmix.model.weights import Weights
from localmix.quant.formats import format_by_name
from localmix.registry.resolve import resolve

FILES = {
    "Q4_0": ("Q4_0", "Q6_K"),
    "Q4_K_M": ("Q4_K", "Q6_K"),
    "Q5_K_M": ("Q5_K", "Q6_K"),
    "Q6_K": ("Q6_K", "Q6_K"),
    "Q8_0": ("Q8_0", "Q8_0"),
}
"""Formats of most matrices and of the output in the files that llama.cpp makes."""


def kernels_of(file, tensors, kv):
    config = ModelConfig.from_metadata(file.metadata)
    plan = describe(config, Weights.from_tensors(tensors, config))
    tape = lower(plan, Arena(), isa.tier_named("generic"), FEW, 1, kv).tape
    return {*tape.kernels, *KERNELS}


def in_format(tensor, name):
    """A matrix of zeros in a block format; vectors stay what they are."""
    if len(tensor.shape) < 2:
        return tensor
    block = format_by_name(name)
    n_bytes = tensor.n_elements // block.n_elements * block.n_bytes
    return replace(tensor, format=block, raw=np.zeros(n_bytes, np.uint8))


@pytest.fixture
def loads(monkeypatch):
    """Names of the kernels that were asked for; three of them are always missing."""
    asked = []

    def load(names, on_compile):
        asked.append(list(names))
        on_compile(0, 3)
        on_compile(3, 3)
        return SimpleNamespace(machine=SimpleNamespace(tier=isa.tier_named("neon")), compile_s=6.0)

    monkeypatch.setattr(library, "load", load)
    return asked


@pytest.mark.parametrize("n_experts", [0, 4])
@pytest.mark.parametrize("kv", settings.KV_TYPES)
@pytest.mark.parametrize("kind", FILES)
def test_the_common_kernels_are_all_that_a_common_file_needs(tmp_path, kind, kv, n_experts):
    shape = Shape(dim=256, n_layers=1, hidden_dim=256, n_experts=n_experts)
    most, output = FILES[kind]
    with GGUFFile.open(write_model(tmp_path / "m.gguf", shape)) as file:
        for router in ("F32", "F16"):
            tensors = {
                name: in_format(
                    tensor,
                    router if "gate_inp" in name else output if name == "output.weight" else most,
                )
                for name, tensor in file.tensors.items()
            }
            needed = kernels_of(file, tensors, kv)
            assert f"matmul_{most.lower()}" in needed
            assert needed <= set(common_kernels(kv))


def test_the_common_kernels_are_all_that_tiny_needs():
    with GGUFFile.open(resolve("tiny", settings.home())) as file:
        assert kernels_of(file, file.tensors, "f16") <= set(common_kernels("f16"))


def test_without_a_model_the_common_kernels_are_compiled(cli, loads):
    result = cli("warmup")
    assert result.code == 0
    assert result.err == "compiling kernels for this CPU, once\n"
    assert result.out == (
        "for      files of Q4_0, Q4_K_M, Q5_K_M, Q6_K and Q8_0, cache f16\n"
        "tier     neon\n"
        "kernels  3 compiled in 6.0 s\n"
        f"kept in  {settings.cache_folder() / 'kernels'}\n"
    )
    cli("warmup", "--kv", "q8_0")
    assert loads == [common_kernels("f16"), common_kernels("q8_0")]


def test_with_a_model_its_kernels_are_compiled(cli, model):
    model.n_to_compile = 2
    result = cli("warmup", "m", "--kv", "f32")
    assert model.loads == [("m", {"kv": "f32"})]
    assert model.closed
    assert (result.code, result.err) == (0, "compiling kernels for this CPU, once\n")
    assert result.out.splitlines()[:3] == [
        "for      m, cache f32",
        "tier     avx2",
        "kernels  2 compiled in 4.0 s",
    ]


def test_kernels_that_are_here_are_not_compiled_again(cli, model):
    result = cli("warmup", "m", terminals=("stderr",))
    assert (result.code, result.err) == (0, "")
    assert "\nkernels  all were here\n" in result.out


def test_after_warmup_a_model_has_nothing_to_compile(cli, tmp_path):
    path = write_model(tmp_path / "baby.gguf", Shape())
    assert cli("warmup", str(path)).code == 0
    answer = cli("run", str(path), "hi", "--raw", "-n", "1")
    assert (answer.code, answer.err) == (0, "")


def test_a_missing_model_is_an_error_with_the_next_step(cli):
    result = cli("warmup", "mistral")
    assert (result.code, result.out) == (1, "")
    assert result.err.endswith("try: localmix pull mistral\n")
