"""The table of formats: complete, sized right, and helpful about what it lacks."""

import subprocess
import sys
from types import SimpleNamespace

import gguf
import numpy as np
import pytest

from localmix.errors import UnsupportedQuant
from localmix.quant import FORMATS, format_by_id, format_by_name
from localmix.quant.block import block_format, split_bits

PROMISED = [
    "F32", "F16", "BF16", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0", "Q2_K", "Q3_K", "Q4_K", "Q5_K",
    "Q6_K", "IQ4_NL", "IQ4_XS", "MXFP4",
]  # fmt: skip


def test_every_promised_format_is_in_the_table():
    assert sorted(FORMATS) == sorted(PROMISED)


@pytest.mark.parametrize("name", PROMISED)
def test_ids_and_sizes_are_those_of_ggml(name):
    kind = gguf.GGMLQuantizationType[name]
    block = FORMATS[name]
    assert block.id == kind.value
    assert (block.n_elements, block.n_bytes) == gguf.GGML_QUANT_SIZES[kind]
    assert block.layout.itemsize == block.n_bytes
    assert format_by_id(kind.value) is format_by_name(name) is block


@pytest.mark.parametrize("name", PROMISED)
def test_bits_per_weight_in_the_docstring_are_true(name):
    block = FORMATS[name]
    assert f"; {block.bits_per_weight:g} bits per weight." in block.decode.__doc__


def test_the_table_is_complete_whichever_module_is_imported_first():
    code = (
        "import localmix.quant.k_quants, localmix.quant.formats as f; "
        f"assert len(f.FORMATS) == {len(PROMISED)}"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_table_cannot_be_changed():
    with pytest.raises(TypeError):
        FORMATS["Q4_0"] = SimpleNamespace()


@pytest.mark.parametrize("id", [4, 5, 31, 32, 33, 36, 37, 38])
def test_removed_formats_say_requantize(id):
    with pytest.raises(UnsupportedQuant) as caught:
        format_by_id(id)
    assert "removed" in caught.value.message
    assert "requantize" in caught.value.hint


@pytest.mark.parametrize(
    "kind", [k for k in gguf.GGMLQuantizationType if k.name not in PROMISED], ids=lambda k: k.name
)
def test_known_but_unsupported_formats_are_called_by_name(kind):
    with pytest.raises(UnsupportedQuant) as caught:
        format_by_id(kind.value)
    assert f"{kind.name} is not supported" in caught.value.message
    assert "Q4_K" in caught.value.hint


@pytest.mark.parametrize("id", [43, 1000, 2**32 - 1, -1])
def test_unknown_numbers_are_named_and_the_supported_formats_listed(id):
    with pytest.raises(UnsupportedQuant) as caught:
        format_by_id(id)
    assert str(id) in caught.value.message
    assert all(name in caught.value.hint for name in PROMISED)


@pytest.mark.parametrize("name", ["q4_k", "Q4", "", "Q9_K"])
def test_unknown_names_list_the_supported_formats(name):
    with pytest.raises(UnsupportedQuant) as caught:
        format_by_name(name)
    assert all(known in caught.value.hint for known in PROMISED)


def test_a_removed_name_says_requantize():
    with pytest.raises(UnsupportedQuant, match="removed"):
        format_by_name("Q4_0_8_8")


def test_a_layout_of_the_wrong_size_is_refused_where_it_is_written():
    with pytest.raises(AssertionError, match="17 bytes laid out, not 18"):
        block_format("X", id=99, n_elements=32, n_bytes=18, layout=[("d", "u1"), ("q", "u1", 16)])


def test_split_bits_takes_the_lowest_field_first():
    packed = np.array([0x21, 0x43], np.uint8)
    assert split_bits(packed, 4).tolist() == [[1, 3], [2, 4]]
    assert split_bits(packed, 2).tolist() == [[1, 3], [0, 0], [2, 0], [0, 1]]
    assert split_bits(packed, 1)[:, 0].tolist() == [1, 0, 0, 0, 0, 1, 0, 0]
