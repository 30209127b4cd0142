"""Options of the wrong kind are errors with a hint, wherever they are given."""

import math

import numpy as np
import pytest
from support.models import Shape, write_model

import localmix
from localmix.checks import real, size, whole
from localmix.errors import LocalmixError

NO_WHOLE = ("4", 1.5, True, None, math.nan, [1], 2**0.5)


@pytest.mark.parametrize("value", NO_WHOLE)
def test_what_is_no_whole_number_is_refused(value):
    with pytest.raises(LocalmixError, match="n_ctx cannot be") as error:
        whole("n_ctx", value, 1)
    assert "whole number" in error.value.hint


def test_whole_numbers_keep_their_range_and_may_be_numpys():
    assert whole("x", np.int64(7), 1, 7) == 7
    assert type(whole("x", np.int64(7), 1)) is int
    for value in (0, 8):
        with pytest.raises(LocalmixError, match=str(value)):
            whole("x", value, 1, 7)


@pytest.mark.parametrize("value", ["1", True, None, math.nan, 1j])
def test_what_is_no_number_is_refused(value):
    with pytest.raises(LocalmixError):
        real("temperature", value)


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return write_model(tmp_path_factory.mktemp("checks") / "m.gguf", Shape(n_experts=4, window=9))


@pytest.mark.parametrize("name", ["n_ctx", "n_threads", "n_experts_used", "sliding_window"])
@pytest.mark.parametrize("value", ["4096", 1.5, True, 0, -3])
def test_load_refuses_options_of_the_wrong_kind(path, name, value):
    with pytest.raises(LocalmixError):
        localmix.load(path, **{name: value})


@pytest.mark.parametrize(
    "options",
    [
        {"top_k": 1.5},
        {"top_k": None},
        {"temperature": None},
        {"temperature": "hot"},
        {"stop": None},
        {"stop": [1]},
        {"stop": b"x"},
        {"max_tokens": "a"},
        {"max_tokens": 1.5},
        {"seed": "abc"},
        {"seed": 1.5},
        {"seed": -1},
        {"logit_bias": {"a": 1.0}},
    ],
)
def test_generate_refuses_options_of_the_wrong_kind_at_once(path, options):
    with localmix.load(path) as model, pytest.raises(LocalmixError) as error:
        model.generate([5], **options)
    assert error.value.hint


NO_IDS = [
    [1.5],
    [True],
    [None],
    [[1, 2]],
    [[1], [1, 2]],
    ["a"],
    None,
    5,
    [2**40],
    [2**70],
    [-1],
    np.array([2**32 + 5]),
    np.array([2**63], np.uint64),
    np.array([1.0, 2.0]),
    (i for i in [1]),
]


@pytest.mark.parametrize("ids", NO_IDS, ids=repr)
def test_what_are_no_ids_of_the_vocabulary_is_refused_everywhere(path, ids):
    with localmix.load(path) as model:
        for use in (model.logits, model.route, model.complete, model.detokenize):
            with pytest.raises(LocalmixError):
                use(ids)


def test_ids_may_be_a_list_a_tuple_or_an_array(path):
    with localmix.load(path) as model:
        expected = model.logits([5, 6])
        for ids in ((5, 6), np.array([5, 6]), np.array([5, 6], np.uint8)):
            assert np.array_equal(model.logits(ids), expected)


def test_positional_arguments_of_generate_are_in_the_order_of_the_interface(path):
    with localmix.load(path) as model:
        by_place = model.complete([5], max_tokens=9, temperature=1.5, seed=7, stop=("q",))
        placed = model.generate([5], 9, 1.5, 40, 0.9, 0.0, 1.0, 7, ("q",)).complete()
    assert placed.tokens == by_place.tokens


def test_an_unknown_isa_in_the_environment_is_said_at_once(path, monkeypatch):
    monkeypatch.setenv("LOCALMIX_ISA", "sse9")
    with pytest.raises(LocalmixError, match="LOCALMIX_ISA"):
        localmix.load(path)


@pytest.mark.parametrize("name", ["x" * 5000 + ".gguf", "x" * 5000, "a\0b.gguf", "/root\0"])
def test_a_name_that_no_system_accepts_is_an_error_of_ours(name):
    with pytest.raises(LocalmixError):
        localmix.load(name)


@pytest.mark.parametrize(
    ("given", "n_bytes"),
    [
        (1, 1), (np.int64(5), 5), ("800", 800), ("6GB", 6 * 10**9), ("6 gb", 6 * 10**9),
        ("1.5G", 1_500_000_000), ("4GiB", 4 * 2**30), ("10 kB", 10_000), ("2TB", 2 * 10**12),
        ("512MiB", 512 * 2**20), ("7 B", 7),
    ],
)  # fmt: skip
def test_sizes_are_numbers_or_texts_with_a_unit(given, n_bytes):
    assert size("room", given) == n_bytes


@pytest.mark.parametrize(
    "given", ["", "GB", "-1GB", "1e9", "6 GB of it", "1.GB", 0, "0", 1.5, True]
)
def test_what_is_no_size_is_told_by_name(given):
    with pytest.raises(LocalmixError, match="room cannot be"):
        size("room", given)
