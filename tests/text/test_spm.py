"""SentencePiece vocabularies: exact against mistral-common, sentencepiece, and a naive merge."""

import random
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.vocabularies import (
    BYTE,
    CONTROL,
    MISTRAL_MODELS,
    NORMAL,
    UNKNOWN,
    UNUSED,
    USER_DEFINED,
    byte_rows,
    mistral_path,
    mistral_processor,
    mistral_rows,
    mistral_tokenizer,
    spm_metadata,
    texts,
)

from localmix.text.tokenizer import Tokenizer


@pytest.mark.parametrize("version", MISTRAL_MODELS)
def test_ids_are_those_of_mistral_common(version):
    from mistral_common.tokens.tokenizers.sentencepiece import SentencePieceTokenizer

    oracle = SentencePieceTokenizer(mistral_path(version))
    ours = mistral_tokenizer(version)
    for text in texts(3000):
        assert ours.encode(text) == oracle.encode(text, bos=True, eos=False), repr(text)


@settings(derandomize=True, max_examples=500, deadline=None)
@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=40))
def test_ids_are_those_of_sentencepiece_on_any_text(text):
    ids = mistral_tokenizer("v3").encode(text, add_bos=False)
    assert ids == mistral_processor("v3").encode(text)


@pytest.mark.parametrize("version", ["v1", "v3"])
def test_decoded_text_is_that_of_sentencepiece_for_any_ids(version):
    oracle, ours = mistral_processor(version), mistral_tokenizer(version)
    rng = random.Random(1)
    bytes_begin = ours.token_id("<0x00>")
    for _ in range(2000):
        ids = [
            rng.choice([rng.randrange(ours.n_vocab), rng.randrange(bytes_begin + 256)])
            for _ in range(rng.randint(0, 8))
        ]
        assert ours.decode(ids) == oracle.decode(ids), ids


def test_decoding_gives_a_text_back():
    ours = mistral_tokenizer("v3")
    for text in texts(500, seed=2):
        # "▁" is how SentencePiece spells a space: it cannot be told from one afterwards.
        assert ours.decode(ours.encode(text)) == text.replace("▁", " ")


def naive_spm(text, rows):
    """Merge the neighbours whose union scores best, leftmost first, until none is a piece."""
    ids = {piece: i for i, (piece, _, type_) in enumerate(rows) if type_ == NORMAL}
    symbols = list(" ".join(["", text]).replace(" ", "▁")) if text else []
    while True:
        unions = [a + b for a, b in pairwise(symbols)]
        found = [(-rows[ids[u]][1], i) for i, u in enumerate(unions) if u in ids]
        if not found:
            break
        _, i = min(found)
        symbols[i : i + 2] = [unions[i]]
    out = []
    for symbol in symbols:
        first_byte = next(i for i, row in enumerate(rows) if row[2] == BYTE)
        out += [ids[symbol]] if symbol in ids else [first_byte + b for b in symbol.encode()]
    return out


def test_merges_are_those_of_the_naive_rule():
    rng = random.Random(3)
    for _ in range(100):
        pieces = {"▁", *"abc"[: rng.randint(1, 3)]}
        for _ in range(rng.randint(0, 30)):
            pieces.add("".join(rng.choices(sorted(pieces), k=2)))
        rows = [("<unk>", 0.0, UNKNOWN), ("<s>", 0.0, CONTROL), ("</s>", 0.0, CONTROL)]
        # few distinct scores, so that ties are common
        rows += byte_rows() + [(p, -float(rng.randint(0, 6)), NORMAL) for p in sorted(pieces)]
        ours = Tokenizer.from_metadata(spm_metadata(rows))
        for _ in range(20):
            text = "".join(rng.choices("aabbc é", k=rng.randint(0, 12)))
            assert ours.encode(text, add_bos=False) == naive_spm(text, rows), (text, rows[259:])


def small(*extra, **keys):
    rows = [("<unk>", 0.0, UNKNOWN), ("<s>", 0.0, CONTROL), ("</s>", 0.0, CONTROL)]
    rows += [("▁", -1.0, NORMAL), ("a", -2.0, NORMAL), ("b", -3.0, NORMAL), *extra]
    return Tokenizer.from_metadata(spm_metadata(rows, **keys))


def test_without_space_prefix_nothing_is_put_before_the_text():
    plain = small(add_space_prefix=False)
    assert plain.encode("a", add_bos=False) == [4]
    assert plain.decode([3, 4]) == " a"
    assert small().encode("a", add_bos=False) == [3, 4]
    assert small().decode([3, 4]) == "a"


def test_a_repeated_piece_is_its_lowest_id():
    tokenizer = small(("ab", -1.0, NORMAL), ("ab", 0.0, NORMAL))
    assert tokenizer.encode("ab", add_bos=False) == [3, 6]
    assert tokenizer.token_id("ab") == 6
    assert tokenizer.decode([7]) == "ab"


@pytest.mark.parametrize("type_", [NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED])
@pytest.mark.parametrize("piece", ["", "\0", "a\0b", "a", "<unk>", "\udc80", "[x]"])
def test_odd_pieces_of_real_files_do_no_harm(piece, type_):
    tokenizer = small((piece, 0.0, type_), (piece, 0.0, type_))
    assert tokenizer.encode("ab", add_bos=False) == [3, 4, 5]
    for ordinary in (True, False):
        assert tokenizer.encode("a\0b [x]", parse_special=ordinary)[0] == 1
    assert isinstance(tokenizer.decode(range(tokenizer.n_vocab)), str)


def test_without_all_bytes_unknown_characters_are_the_unknown_token():
    assert small(*byte_rows()[:-1]).encode("aé", add_bos=False) == [3, 4, 0]
    whole = small(*byte_rows())
    assert whole.encode("aé", add_bos=False) == [3, 4, 6 + 0xC3, 6 + 0xA9]


def test_without_an_unknown_token_unknown_characters_are_left_out():
    rows = [("▁", -1.0, NORMAL), ("a", -2.0, NORMAL), ("b", 0.0, NORMAL)]
    tokenizer = Tokenizer.from_metadata(spm_metadata(rows, add_bos_token=False))
    assert tokenizer.encode("aéb") == [0, 1, 2]


def test_scores_decide_and_not_the_order_of_pieces():
    low = small(("ab", -9.0, NORMAL), ("▁a", -1.0, NORMAL))
    assert low.encode("ab", add_bos=False) == [7, 5]
    high = small(("ab", -1.0, NORMAL), ("▁a", -9.0, NORMAL))
    assert high.encode("ab", add_bos=False) == [3, 6]


def test_a_megabyte_of_text_is_encoded():
    text = "hello  world \n\t 🙂 don't" * 45_000
    ids = mistral_tokenizer("v3").encode(text)
    assert mistral_tokenizer("v3").decode(ids) == text


def test_all_real_pieces_keep_their_ids():
    tokenizer = mistral_tokenizer("v3")
    for i, (piece, _, _) in enumerate(mistral_rows("v3")):
        assert tokenizer.token_id(piece) == i
