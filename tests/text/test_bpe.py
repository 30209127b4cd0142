"""Byte-level BPE vocabularies: exact against tiktoken and Hugging Face's own pipelines."""

import base64
import json
import re
from functools import cache
from importlib.resources import files
from itertools import pairwise

import pytest
import tiktoken
from hypothesis import given, settings
from hypothesis import strategies as st
from support.vocabularies import (
    CONTROL,
    NORMAL,
    UNUSED,
    USER_DEFINED,
    letters_of,
    metadata,
    texts,
)
from tokenizers import Regex, models, pre_tokenizers, trainers
from tokenizers import Tokenizer as HuggingFace

from localmix.errors import UnsupportedModel
from localmix.text.pretokenizers import PRE_TOKENIZERS
from localmix.text.tokenizer import Tokenizer

N_RANKS = 3000

# The expressions of the original tokenizers, as their own projects publish them: llama-models
# (tokenizer.py), Qwen (tokenization_qwen.py), tiktoken (openai_public.py, o200k_base and gpt2).
PUBLISHED = {
    "gpt-2": r"""'(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+""",
    "llama-bpe": r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
    "qwen2": r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
    "gpt-4o": r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+"
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
    r"|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*"
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
    r"|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+",
}


@cache
def tekken():
    path = files("mistral_common").joinpath("data", "tekken_240911.json")
    model = json.loads(path.read_text("utf-8"))
    ranks = [base64.b64decode(entry["token_bytes"]) for entry in model["vocab"][:N_RANKS]]
    return ranks, model["config"]["pattern"]


def halves(token, ranks):
    """Return the two tokens that were merged into `token`: tiktoken's ranks are its merges."""
    parts = [bytes([byte]) for byte in token]
    while len(parts) > 2:
        unions = [ranks.get(a + b, len(ranks)) for a, b in pairwise(parts)]
        i = unions.index(min(unions))
        parts[i : i + 2] = [parts[i] + parts[i + 1]]
    return parts


@cache
def tekken_keys():
    """The first ranks of Mistral's Tekken, as a converter to GGUF writes them."""
    tokens, _ = tekken()
    ranks = {token: rank for rank, token in enumerate(tokens)}
    pairs = [map(letters_of, halves(token, ranks)) for token in tokens[256:]]
    return {
        "pieces": [letters_of(token) for token in tokens],
        "token_type": [NORMAL] * len(tokens),
        "merges": [" ".join(pair) for pair in pairs],
        "add_bos_token": False,
    }


def tekken_vocabulary(pre, **more):
    keys = tekken_keys() | {"pre": pre} | more
    return Tokenizer.from_metadata(metadata("gpt2", **keys))


def published_pattern(pre):
    return PUBLISHED[pre] if pre in PUBLISHED else tekken()[1]


@pytest.mark.parametrize("pre", ["tekken", *PUBLISHED])
def test_ids_are_those_of_tiktoken(pre):
    ranks = {token: rank for rank, token in enumerate(tekken()[0])}
    pattern = published_pattern(pre)
    oracle = tiktoken.Encoding(pre, pat_str=pattern, mergeable_ranks=ranks, special_tokens={})
    ours = tekken_vocabulary(pre)
    for text in texts(2000, seed=4):
        expected = oracle.encode(text, disallowed_special=())
        assert ours.encode(text) == expected, repr(text)
        assert ours.decode(expected) == oracle.decode(expected) == text


@settings(derandomize=True, max_examples=300, deadline=None)
@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=40))
def test_tekken_ids_give_any_text_back(text):
    ours = tekken_vocabulary("tekken")
    assert ours.decode(ours.encode(text)) == text


CORPUS = """
The quick brown fox jumps over the lazy dog. The dog doesn't mind; it's asleep, and it'll stay so.
In 1999 there were 12345 foxes, in 2024 only 42. They'd say: "We've seen 3.14 of them!"
def fox(dog: str) -> int:\n    return len(dog) ** 2  # not lazy\n
Zwölf Boxkämpfer jagen Viktor quer über den großen Sylter Deich. Où est le renard? ¿Dónde está?
Быстрая лиса прыгает. 素早い狐が跳ぶ。快狐跳过懒狗。 빠른 여우. 🦊🐕 😀😀 e\u0301e\u0301 ٣٤٥ ½
"""


@cache
def trained():
    """A small byte-level BPE, trained here: (pieces in order, merges)."""
    trainer = trainers.BpeTrainer(
        vocab_size=700,
        show_progress=False,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
    )
    tokenizer = HuggingFace(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.train_from_iterator([CORPUS] * 4, trainer)
    model = json.loads(tokenizer.to_str())["model"]
    pieces = sorted(model["vocab"], key=model["vocab"].get)
    return pieces, [" ".join(pair) for pair in model["merges"]]


def split_then_bytes(pattern):
    return [
        pre_tokenizers.Split(Regex(pattern), "isolated"),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
    ]


PIPELINES = {
    "gpt-2": [pre_tokenizers.ByteLevel(add_prefix_space=False)],
    "starcoder": [
        pre_tokenizers.Digits(individual_digits=True),
        pre_tokenizers.ByteLevel(add_prefix_space=False),
    ],
    "falcon": [
        pre_tokenizers.Punctuation("contiguous"),
        pre_tokenizers.ByteLevel(add_prefix_space=False),
        pre_tokenizers.Split(Regex("[0-9][0-9][0-9]"), "isolated"),
    ],
    "dbrx": split_then_bytes(PUBLISHED["llama-bpe"]),
    "qwen2": split_then_bytes(PUBLISHED["qwen2"]),
}


@pytest.mark.parametrize("pre", PIPELINES)
def test_ids_are_those_of_the_pipeline_of_hugging_face(pre):
    pieces, merges = trained()
    pairs = [tuple(merge.split(" ")) for merge in merges]
    oracle = HuggingFace(models.BPE({piece: i for i, piece in enumerate(pieces)}, pairs))
    oracle.pre_tokenizer = pre_tokenizers.Sequence(PIPELINES[pre])
    keys = {"token_type": [NORMAL] * len(pieces), "merges": merges, "pre": pre}
    ours = Tokenizer.from_metadata(metadata("gpt2", pieces, **keys))
    for text in [CORPUS, *texts(2000, seed=5)]:
        assert ours.encode(text) == oracle.encode(text).ids, repr(text)


@pytest.mark.parametrize("pre", PRE_TOKENIZERS)
def test_no_way_of_cutting_loses_text(pre):
    pieces, merges = trained()
    keys = {"token_type": [NORMAL] * len(pieces), "merges": merges, "pre": pre}
    ours = Tokenizer.from_metadata(metadata("gpt2", pieces, **keys))
    for text in texts(100, seed=6):
        assert ours.decode(ours.encode(text)) == text


CUTS = {
    # what tells one family from the next: a text and its words
    "default": ("a12345b!? c", "a|123|45|b|!?| c"),
    "gpt-2": ("I'LL x12345 it's", "I|'|LL| x|12345| it|'s"),
    "falcon": ("12345 a$b", "123|45| a|$|b"),
    "starcoder": ("x 12a", "x| |1|2|a"),
    "llama-bpe": ("I'LLx 12345\n\n x", "I|'LL|x| |123|45|\n\n| x"),
    "qwen2": ("I'LLx 123\n\n x", "I|'LL|x| |1|2|3|\n\n| x"),
    "tekken": ("camelCase 12 a/b//", "camel|Case| |1|2| a|/b|//"),
    "gpt-4o": ("camelCase's 1234", "camel|Case's| |123|4"),
    "poro-chat": ("one, two 12", "one|,| two| 12"),
    "viking": ("one, two 12", "one|,| two| |1|2"),
    # its range of signs runs from ":" to "~" and so takes the letters of ASCII along
    "deepseek-llm": ("été 123,\n狐狸a", "é|t|é| |123|,|\n|狐狸|a"),
    "deepseek-coder": ("ab 12!", "ab| |1|2|!"),
    "deepseek-v3": ("a1234(x)狐き b", "a|123|4|(x|)|狐き| b"),
    "bailingmoe": ("it'Ll 12", "it|'Ll| |1|2"),
    "seed-coder": ("a++\nb", "a|++|\n|b"),
    "exaone-moe": ("a b 1", "a b| |1"),
}


@pytest.mark.parametrize("pre", CUTS)
def test_families_cut_words_in_their_own_way(pre):
    text, expected = CUTS[pre]
    # Every substring is a piece and any two neighbours merge, so that the tokens are the words.
    spelled = letters_of(text.encode())
    spans = [(i, j) for j in range(len(spelled) + 1) for i in range(j)]
    parts = dict.fromkeys(sorted((spelled[i:j] for i, j in spans), key=len))
    pieces = list(dict.fromkeys([letters_of(bytes([byte])) for byte in range(256)]) | parts)
    merges = [f"{part[:i]} {part[i:]}" for part in parts for i in range(1, len(part))]
    keys = {"token_type": [NORMAL] * len(pieces), "merges": merges, "pre": pre}
    ours = Tokenizer.from_metadata(metadata("gpt2", pieces, **keys))
    ids = ours.encode(text, add_bos=False)
    assert "|".join(ours.decode([i]) for i in ids) == expected


def test_an_unknown_pre_tokenizer_is_named_with_those_that_are_known():
    with pytest.raises(UnsupportedModel, match="'klingon'") as error:
        tekken_vocabulary("klingon")
    assert re.search(r"\bllama-bpe, ", error.value.hint)


def gpt2_vocabulary(*extra, merges=(), **keys):
    """256 bytes and a few (piece, type) rows."""
    rows = [(letters_of(bytes([byte])), NORMAL) for byte in range(256)] + list(extra)
    pieces, types = zip(*rows, strict=True)
    keys = {"token_type": types, "merges": list(merges), "pre": "gpt-2"} | keys
    return Tokenizer.from_metadata(metadata("gpt2", pieces, **keys))


def test_a_word_never_becomes_a_special_piece():
    for type_ in (CONTROL, UNUSED, USER_DEFINED):
        # llama-bpe takes whole words that are pieces, and the merge leads there as well
        tokenizer = gpt2_vocabulary(("<|", type_), merges=["< |"], pre="llama-bpe")
        assert tokenizer.encode("<|") == [ord("<"), ord("|")]


def test_a_special_piece_does_not_hide_a_letter_spelled_alike():
    tokenizer = gpt2_vocabulary(("]", CONTROL))
    assert tokenizer.encode("]") == [ord("]")]


def test_families_that_ignore_merges_take_whole_words_at_once():
    for pre, ids in (("llama-bpe", [256]), ("tekken", [256]), ("qwen2", [*b"abc"])):
        assert gpt2_vocabulary(("abc", NORMAL), pre=pre).encode("abc") == ids


def test_merges_of_pieces_that_are_missing_are_passed_over():
    tokenizer = gpt2_vocabulary(("ab", NORMAL), merges=["a c", "xyz a", "nospace", "", "a b"])
    assert tokenizer.encode("abac") == [256, ord("a"), ord("c")]


def test_repeated_and_empty_pieces_do_no_harm():
    tokenizer = gpt2_vocabulary(("ab", NORMAL), ("ab", NORMAL), ("", NORMAL), merges=["a b"])
    assert tokenizer.encode("ab") == [256]
    assert tokenizer.decode([257, 258, 256]) == "abab"


def test_bytes_of_a_cut_character_print_one_replacement():
    tokenizer = gpt2_vocabulary()
    assert tokenizer.decode("é🦊".encode()[:-1]) == "é\ufffd"
    assert tokenizer.decode([0x80, 0x80]) == "\ufffd\ufffd"


def test_user_defined_text_is_found_before_words_are_cut():
    tokenizer = gpt2_vocabulary(("   ", USER_DEFINED), (" ", USER_DEFINED))
    assert tokenizer.encode("a    b") == [ord("a"), 256, 257, ord("b")]
    assert tokenizer.decode([256, 257]) == "    "


def test_begin_tokens_follow_the_family_unless_the_file_says():
    assert tekken_vocabulary("llama-bpe", bos_token_id=5, add_bos_token=True).add_bos
    keys = {k: v for k, v in tekken_keys().items() if k != "add_bos_token"} | {"bos_token_id": 5}
    for pre, begins in (("llama-bpe", True), ("tekken", True), ("qwen2", False)):
        assert Tokenizer.from_metadata(metadata("gpt2", pre=pre, **keys)).add_bos is begins
