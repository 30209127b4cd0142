"""Files that older converters wrote give what the golden ones give.

The old files are made here, from the golden ones.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest

import localmix

GOLDENS = Path(__file__).parents[1] / "data" / "goldens"
TOLERANCE = 1e-4  # as in test_golden_models.py

Tensors = Iterator[tuple[str, np.ndarray]]


def as_it_is(name: str, data: np.ndarray) -> Tensors:
    yield name, data


def split_experts(name: str, data: np.ndarray) -> Tensors:
    """Give each expert a tensor of its own: `blk.N.ffn_gate.E.weight`, as in December 2023.

    In some files of that time experts of one layer have different block formats; here F16 and F32,
    which hold the same values.
    """
    if "_exps." in name:
        for expert, weight in enumerate(data):
            part = weight.astype(np.float32) if expert % 3 == 0 else weight
            yield name.replace("_exps.", f".{expert}."), part
    elif "ffn_gate_inp" in name:
        yield name, data.astype(np.float16)
    else:
        yield name, data


def rewrite(
    source: Path,
    target: Path,
    tensors: Callable[[str, np.ndarray], Tensors] = as_it_is,
    renamed: dict[str, str | None] | None = None,
) -> None:
    """Copy a GGUF file, changing tensors and renaming keys; a key renamed to None is left out."""
    reader = gguf.GGUFReader(source)
    writer = gguf.GGUFWriter(target, "llama")
    for field in reader.fields.values():
        name = (renamed or {}).get(field.name, field.name)
        if name is None or name.startswith("GGUF.") or name == "general.architecture":
            continue  # the last two are written by the writer itself
        element = field.types[1] if len(field.types) > 1 else None
        writer.add_key_value(name, field.contents(), field.types[0], element)
    for tensor in reader.tensors:
        for name, data in tensors(tensor.name, tensor.data):
            writer.add_tensor(name, data)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def golden(name: str) -> dict[str, Any]:
    with np.load(GOLDENS / f"{name}.npz") as arrays:
        return dict(arrays)


@pytest.mark.parametrize("name", ["mixtral", "mixtral-window"])
def test_one_tensor_per_expert_equals_merged_tensors(name: str, tmp_path: Path) -> None:
    path, expected = tmp_path / "split.gguf", golden(name)
    rewrite(GOLDENS / f"{name}.gguf", path, tensors=split_experts)
    with localmix.load(str(path), executor="reference") as model:
        assert (model.config.n_experts, model.config.n_experts_used) == (8, 2)
        logits = model.logits(expected["ids"].tolist())
        route = model.route(expected["ids"].tolist())
    np.testing.assert_allclose(logits, expected["logits"], rtol=0, atol=TOLERANCE)
    np.testing.assert_array_equal(np.sort(route, axis=-1), expected["route"])


def test_the_old_key_of_linear_scaling_is_read(tmp_path: Path) -> None:
    path, expected = tmp_path / "old.gguf", golden("rope-linear")
    old_names = {
        "llama.rope.scaling.factor": "llama.rope.scale_linear",
        "llama.rope.scaling.type": None,
    }
    rewrite(GOLDENS / "rope-linear.gguf", path, renamed=old_names)
    with localmix.load(str(path), executor="reference") as model:
        logits = model.logits(expected["ids"].tolist())
    np.testing.assert_allclose(logits, expected["logits"], rtol=0, atol=TOLERANCE)
