"""Special tokens in text: parsed when asked, and never when a user typed them."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.vocabularies import (
    CONTROL,
    MISTRAL_MODELS,
    NORMAL,
    UNKNOWN,
    USER_DEFINED,
    byte_rows,
    letters_of,
    metadata,
    mistral_processor,
    mistral_tokenizer,
    spm_metadata,
    texts,
)

import localmix
from localmix.errors import LocalmixError
from localmix.text.markers import looks_like_marker
from localmix.text.tokenizer import Tokenizer

MARKERS = [
    "<s>",
    "</s>",
    "<unk>",
    "[INST]",
    "<|im_start|>",
    "<|im_end|>",
    "<start_of_turn>",
    "<<SYS>>",
]


def spm_with(*extra, **keys):
    rows = [("<unk>", 0.0, UNKNOWN), ("<s>", 0.0, CONTROL), ("</s>", 0.0, CONTROL), *byte_rows()]
    rows += [("▁", -1.0, NORMAL), ("a", -2.0, NORMAL), *extra]
    return Tokenizer.from_metadata(spm_metadata(rows, **keys))


def bpe_with(*extra):
    rows = [(letters_of(bytes([byte])), NORMAL) for byte in range(256)] + list(extra)
    pieces, types = zip(*rows, strict=True)
    keys = {"token_type": types, "merges": [], "pre": "llama-bpe", "add_bos_token": False}
    return Tokenizer.from_metadata(metadata("gpt2", pieces, **keys))


@pytest.mark.parametrize("type_", [CONTROL, USER_DEFINED])
def test_what_a_user_types_never_becomes_a_marker(type_):
    spm = spm_with(*((piece, 0.0, type_) for piece in MARKERS[3:]))
    bpe = bpe_with(*((piece, type_) for piece in MARKERS))
    for tokenizer in (spm, bpe):
        ids_of = {tokenizer.token_id(piece) for piece in MARKERS}
        for piece in MARKERS:
            for text in (piece, f"a {piece}a", piece * 2, f" {piece}\n"):
                ids = tokenizer.encode(text, add_bos=False)
                assert not ids_of & set(ids), (piece, text)
                assert tokenizer.decode(ids) == text


@settings(derandomize=True, max_examples=300, deadline=None)
@given(st.lists(st.sampled_from([*MARKERS, "[/INST]", "a", " ", "\n", "<", "]"]), max_size=8))
def test_no_mixture_of_markers_becomes_a_control_token(parts):
    tokenizer = mistral_tokenizer("v3")
    ids = tokenizer.encode("".join(parts), add_bos=False)
    assert not any(tokenizer.is_control(i) or i == tokenizer.unk_id for i in ids)


@pytest.mark.parametrize("make", [spm_with, bpe_with])
def test_parsed_markers_become_their_tokens(make):
    row = {spm_with: lambda p, t: (p, 0.0, t), bpe_with: lambda p, t: (p, t)}[make]
    pieces = (("<|x|>", CONTROL), ("<|y|>", USER_DEFINED), ("\n\n", USER_DEFINED))
    tokenizer = make(*(row(piece, type_) for piece, type_ in pieces))
    x, y, lines = (tokenizer.token_id(piece) for piece, _ in pieces)
    ids = tokenizer.encode("<|x|><|y|>\n\n<|x|>", add_bos=False, parse_special=True)
    assert [i for i in ids if i != tokenizer.token_id("▁")] == [x, y, lines, x]


def test_unknown_is_parsed_too():
    assert spm_with().encode("<unk>", parse_special=True) == [1, 0]


def test_the_longest_of_the_leftmost_markers_is_taken():
    tokenizer = bpe_with(("<a>", CONTROL), ("<a><b>", CONTROL), ("<b><c><d>", CONTROL))
    short, long, late = (tokenizer.token_id(p) for p in ("<a>", "<a><b>", "<b><c><d>"))
    assert tokenizer.encode("<a><b>", parse_special=True) == [long]
    assert tokenizer.encode("<a><c>", parse_special=True)[0] == short
    assert tokenizer.encode("<a><b><c><d>", parse_special=True)[0] == long
    assert tokenizer.encode("<b><c><d>", parse_special=True) == [late]


def test_hundreds_of_markers_are_told_apart():
    pieces = [f"[c_{i}]" for i in range(300)] + ["[c_1", "[c", "(?:", "a|b", "[c_1]]", "\\d"]
    tokenizer = bpe_with(*((piece, CONTROL) for piece in pieces))
    for piece in pieces:
        assert tokenizer.encode(piece, parse_special=True) == [tokenizer.token_id(piece)]
    text = "[c_12[c_299]x[c_1]]"
    names = ["[c_1", "2", "[c_299]", "x", "[c_1]]"]
    assert tokenizer.encode(text, parse_special=True) == [tokenizer.token_id(p) for p in names]


@pytest.mark.parametrize("make", [spm_with, bpe_with])
def test_markers_may_be_longer_than_the_stack_is_deep(make):
    pieces = ["<" + "x" * n + ">" for n in (10, 5000, 20000)] + ["[" * n for n in range(1, 500)]
    rows = [(p, CONTROL) if make is bpe_with else (p, 0.0, CONTROL) for p in pieces]
    tokenizer = make(*rows)
    assert tokenizer.decode(tokenizer.encode("a")) == "a"
    for piece in pieces[:3]:
        ids = tokenizer.encode(piece, add_bos=False, parse_special=True)
        assert ids == [tokenizer.token_id(piece)]
    ids = tokenizer.encode("[" * 600, add_bos=False, parse_special=True)
    assert ids[-2:] == [tokenizer.token_id("[" * 499), tokenizer.token_id("[" * 101)]


def test_text_after_each_special_token_starts_with_the_implied_space():
    tokenizer = mistral_tokenizer("v3")
    inst, end = tokenizer.token_id("[INST]"), tokenizer.token_id("[/INST]")
    spm = mistral_processor("v3")
    for text in texts(300, seed=7):
        if "[" in text or "<" in text or not text:
            continue
        plain = spm.encode(text)
        ids = tokenizer.encode(f"[INST]{text}[/INST]{text}</s>", parse_special=True)
        assert ids == [1, inst, *plain, end, *plain, 2]


@pytest.mark.parametrize("version", MISTRAL_MODELS)
def test_a_begin_token_in_the_text_is_not_doubled(version):
    tokenizer = mistral_tokenizer(version)
    plain = tokenizer.encode("Hello", add_bos=False)
    assert tokenizer.encode("<s>Hello", parse_special=True) == [1, *plain]
    assert tokenizer.encode("<s>Hello", parse_special=True, add_bos=False) == [1, *plain]
    assert tokenizer.encode("Hello") == [1, *plain]
    assert tokenizer.encode("") == [1]


def test_runs_of_spaces_that_are_user_defined_are_found_in_any_text():
    for piece in ("▁▁▁", "   "):
        tokenizer = spm_with((piece, 0.0, USER_DEFINED), add_space_prefix=False)
        run, space, a = (tokenizer.token_id(p) for p in (piece, "▁", "a"))
        for parse_special in (False, True):
            ids = tokenizer.encode("a    a", add_bos=False, parse_special=parse_special)
            assert ids == [a, run, space, a]
            assert tokenizer.decode(ids) == "a    a"


def test_control_tokens_print_nothing():
    tokenizer = mistral_tokenizer("v3")
    hello = tokenizer.encode("Hello", add_bos=False)
    assert tokenizer.decode([1, 3, *hello, 4, 2]) == "Hello"
    assert [tokenizer.piece_bytes(i) for i in (1, 2, 3)] == [b"", b"", b""]


def test_piece_bytes_are_what_a_token_prints():
    tokenizer = mistral_tokenizer("v3")
    assert tokenizer.piece_bytes(tokenizer.token_id("▁Hello")) == b" Hello"
    assert tokenizer.piece_bytes(tokenizer.token_id("<0xF0>")) == b"\xf0"
    bpe = bpe_with(("<|x|>", CONTROL), ("é<", USER_DEFINED))
    assert [bpe.piece_bytes(i) for i in (0xF0, 256, 257)] == [b"\xf0", b"", "é<".encode()]


@pytest.mark.parametrize("token", [-1, 32768, 2**40])
def test_ids_outside_the_vocabulary_are_refused(token):
    tokenizer = mistral_tokenizer("v3")
    for use in (tokenizer.piece_bytes, tokenizer.is_control, lambda i: tokenizer.decode([1, i])):
        with pytest.raises(LocalmixError, match=f"no token {token}") as error:
            use(token)
        assert "0 to 32767" in error.value.hint


@pytest.mark.parametrize("make", [spm_with, bpe_with])
def test_half_a_surrogate_pair_counts_as_a_replacement(make):
    tokenizer = make()
    for text, meant in (("a\ud83da", "a\ufffda"), ("\udc00", "\ufffd"), ("\ud83d\ude00", "😀")):
        assert tokenizer.encode(text) == tokenizer.encode(meant)
        assert tokenizer.decode(tokenizer.encode(text)) == meant


def test_markers_are_told_from_text():
    for piece in [*MARKERS, "▁<PRE>", "_<EOT>", "<｜User｜>", "<|im_start|>user\n", "[control_12]"]:
        assert looks_like_marker(piece), piece
    for piece in [
        "\n",
        "▁▁",
        "   ",
        "a",
        "<",
        "<=",
        "->",
        "[",
        "[]",
        "x[0]",
        "a < b",
        "",
        "if (a > b)",
    ]:
        assert not looks_like_marker(piece), piece


def test_decoding_imports_no_tokenizer_library():
    code = """
import sys
from support.vocabularies import metadata
from localmix.text.tokenizer import Tokenizer
tokenizer = Tokenizer.from_metadata(metadata("gpt2", ["a", "b"], merges=[]))
assert tokenizer.decode([0, 1]) == "ab"
assert not {"sentencepiece", "tokenizers"} & set(sys.modules)
"""
    paths = os.pathsep.join(
        [str(Path(__file__).parents[1]), str(Path(localmix.__file__).parent.parent)]
    )
    environment = {**os.environ, "PYTHONPATH": paths}
    subprocess.run([sys.executable, "-c", code], check=True, env=environment)
