"""What a file says it is made of."""

import gguf
import pytest
from support.models import Q, write_model

from localmix.gguf import GGUFFile
from localmix.gguf.summary import quantization_label, tensor_types


def opened(tmp_path, **options):
    return GGUFFile.open(write_model(tmp_path / "m.gguf", **options))


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
    file = opened(tmp_path, quant=quant, keys=keys)
    assert quantization_label(file) == label


def test_a_mix_keeps_its_own_name(tmp_path, monkeypatch):
    file = opened(tmp_path, quant=Q.Q8_0, keys=[(FILE_TYPE[0], 15, FILE_TYPE[1])])
    monkeypatch.setattr(
        "localmix.gguf.summary.tensor_types", lambda tensors: {"Q4_K": 9, "Q6_K": 1}
    )
    assert quantization_label(file) == "Q4_K_M"


def test_file_types_are_those_of_the_format():
    from localmix.gguf.summary import _FILE_TYPES

    theirs = {
        int(f): f.name.removeprefix("MOSTLY_").removeprefix("ALL_") for f in gguf.LlamaFileType
    }
    assert _FILE_TYPES.items() <= theirs.items()


def test_types_are_counted_with_the_heaviest_first(tmp_path):
    file = opened(tmp_path, quant={"token_embd.weight": Q.Q8_0})
    types = tensor_types(file.tensors)
    assert list(types) == ["F32", "Q8_0"]
    assert types["Q8_0"] == 1
    assert sum(types.values()) == len(file.tensors)
