"""Decoding: block for block what the gguf package gives, bit for bit."""

import gguf
import numpy as np
import pytest

from localmix.errors import UnsupportedQuant
from localmix.quant import FORMATS, dequantize
from localmix.quant.reference import CHUNK

NAMES = list(FORMATS)
SCALES = {"d", "dmin", "m"}  # the half-precision fields of a block

# Halves that arithmetic treats specially.
ZEROS_AND_SUBNORMALS = [0.0, -0.0, 6e-8, -6e-8, 3e-5, -1.0, 65504.0, -65504.0]
NOT_FINITE = [np.inf, -np.inf, np.nan]


def random_blocks(name: str, n_blocks: int, seed: int = 0) -> np.ndarray:
    """Random bytes with finite scales of both signs: (n_blocks, n_bytes) uint8."""
    rng = np.random.default_rng(seed)
    block = FORMATS[name]
    raw = rng.integers(0, 256, (n_blocks, block.n_bytes), dtype=np.uint8)
    records = raw.view(block.layout)[:, 0]
    for field in SCALES & set(block.layout.names):
        records[field] = rng.normal(0, 0.1, n_blocks).astype(np.float16)
    if name == "MXFP4":
        records["e"] //= 2  # 2 ** (e - 128) reaches inf at the other end
    if block.n_elements == 1:
        values = rng.normal(0, 0.02, n_blocks).astype(np.float32)
        if name == "BF16":
            records["x"] = values.view(np.uint32) >> 16
        else:
            records["x"] = values
    return raw


def oracle(raw: np.ndarray, name: str) -> np.ndarray:
    with np.errstate(all="ignore"):
        values = gguf.quants.dequantize(raw, gguf.GGMLQuantizationType[name])
    return values.reshape(-1).astype(np.float32, copy=False)


def same_bits(a: np.ndarray, b: np.ndarray) -> bool:
    return a.shape == b.shape and np.array_equal(a.view(np.uint32), b.view(np.uint32))


@pytest.mark.parametrize("name", NAMES)
def test_random_blocks_equal_the_gguf_package_bit_for_bit(name):
    raw = random_blocks(name, 500)
    values = dequantize(raw.reshape(-1), name)
    assert values.dtype == np.float32
    assert values.shape == (500 * FORMATS[name].n_elements,)
    assert np.isfinite(values).all()
    assert same_bits(values, oracle(raw, name))


@pytest.mark.parametrize("name", [n for n in NAMES if SCALES & set(FORMATS[n].layout.names)])
def test_special_scales_equal_the_gguf_package(name):
    specials = np.array([*ZEROS_AND_SUBNORMALS, *NOT_FINITE], np.float16)
    fields = sorted(SCALES & set(FORMATS[name].layout.names))
    grid = np.stack(np.meshgrid(*[specials] * len(fields)), axis=-1).reshape(-1, len(fields))
    raw = random_blocks(name, len(grid), seed=1)
    records = raw.view(FORMATS[name].layout)[:, 0]
    for i, field in enumerate(fields):
        records[field] = grid[:, i]
    ours, theirs = dequantize(raw, name), oracle(raw, name)
    np.testing.assert_array_equal(ours, theirs)  # NaN where they have NaN
    finite = np.isfinite(theirs)
    assert same_bits(ours[finite], theirs[finite])
    assert 0 < finite.sum() < finite.size


@pytest.mark.parametrize("name", ["F16", "BF16"])
def test_all_16_bit_patterns_equal_the_gguf_package(name):
    raw = np.arange(2**16, dtype="<u2").view(np.uint8)
    np.testing.assert_array_equal(dequantize(raw, name), oracle(raw.reshape(-1, 2), name))


def test_all_exponents_of_mxfp4_equal_the_gguf_package():
    raw = random_blocks("MXFP4", 256)
    raw[:, 0] = np.arange(256)
    assert same_bits(dequantize(raw, "MXFP4"), oracle(raw, "MXFP4"))


@pytest.mark.parametrize("name", NAMES)
def test_every_byte_of_a_block_matters(name):
    block = FORMATS[name]
    raw = random_blocks(name, 1, seed=2)
    for i in range(block.n_bytes):
        changed = raw.copy()
        changed[0, i] ^= 0xFF
        before, after = dequantize(raw, name), dequantize(changed, name)
        assert not np.array_equal(before, after), f"byte {i} of {name} is ignored"


@pytest.mark.parametrize("name", NAMES)
def test_chunks_join_without_a_seam(name):
    n_blocks = CHUNK // FORMATS[name].n_elements + 3
    raw = random_blocks(name, n_blocks, seed=3)
    values = dequantize(raw, name)
    n = 5 * FORMATS[name].n_elements
    assert same_bits(values[-n:], dequantize(raw[-5:], name))
    assert same_bits(values[:n], dequantize(raw[:5], name))


@pytest.mark.parametrize("name", NAMES)
def test_the_result_is_new_memory_and_the_input_stays(name):
    raw = random_blocks(name, 4)
    raw.setflags(write=False)
    values = dequantize(raw, name)
    values[:] = 7.0
    assert not np.shares_memory(values, raw)


@pytest.mark.parametrize("name", NAMES)
def test_unaligned_bytes_decode_alike(name):
    raw = random_blocks(name, 3).reshape(-1)
    shifted = np.empty(raw.size + 1, np.uint8)[1:]
    shifted[:] = raw
    assert same_bits(dequantize(shifted, name), dequantize(raw, name))


@pytest.mark.parametrize("name", [n for n in NAMES if FORMATS[n].n_bytes > 1])
@pytest.mark.parametrize("extra", [-1, 1])
def test_a_part_of_a_block_is_refused(name, extra):
    n_bytes = 2 * FORMATS[name].n_bytes + extra
    with pytest.raises(UnsupportedQuant, match=f"{n_bytes} bytes are not whole {name} blocks"):
        dequantize(np.zeros(n_bytes, np.uint8), name)


@pytest.mark.parametrize("name", NAMES)
def test_no_bytes_are_no_weights(name):
    assert dequantize(np.zeros(0, np.uint8), name).shape == (0,)


def test_an_unknown_format_is_refused():
    with pytest.raises(UnsupportedQuant, match="IQ2_XXS"):
        dequantize(np.zeros(66, np.uint8), "IQ2_XXS")
