"""Vocabularies and texts that several tests of this folder share."""

import random
from functools import cache
from importlib.resources import files

import numpy as np

from localmix.text.byte_alphabet import BYTE_OF_LETTER
from localmix.text.tokenizer import Tokenizer

NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE = range(1, 7)

MISTRAL_MODELS = {
    "v1": "tokenizer.model.v1",
    "v2": "mistral_instruct_tokenizer_240216.model.v2",
    "v3": "mistral_instruct_tokenizer_240323.model.v3",
    "v7": "mistral_instruct_tokenizer_241114.model.v7",
}


class FakeMetadata(dict):
    """A dict with the typed readers of `localmix.gguf.metadata.Metadata` that a vocabulary uses."""

    def _find(self, key, default):
        if key in self or default:
            return self.get(key, *default)
        from localmix.errors import InvalidGGUF

        raise InvalidGGUF(f"{key} is missing", "take another file")

    def text(self, key, *default):
        return self._find(key, default)

    def integer(self, key, *default):
        return self._find(key, default)

    def flag(self, key, *default):
        return self._find(key, default)

    def strings(self, key):
        return self._find(key, ())

    def array(self, key):
        return self._find(key, ())


def metadata(model, pieces, **keys):
    """Return the metadata of a file: `metadata("llama", [...], scores=[...])`."""
    named = {"model": model, "tokens": list(pieces), **keys}
    named = {k: np.array(v) if k in ("scores", "token_type") else v for k, v in named.items()}
    return FakeMetadata({f"tokenizer.ggml.{key}": value for key, value in named.items()})


def spm_metadata(rows, **keys):
    """Return the metadata of a SentencePiece vocabulary from (piece, score, type) rows."""
    pieces, scores, types = zip(*rows, strict=True)
    scores = np.array(scores, np.float32)
    return metadata("llama", pieces, scores=scores, token_type=types, **keys)


def byte_rows():
    return [(f"<0x{byte:02X}>", 0.0, BYTE) for byte in range(256)]


def letters_of(raw):
    """Spell bytes in the alphabet of byte-level BPE."""
    letters = {byte: letter for letter, byte in BYTE_OF_LETTER.items()}
    return "".join(letters[byte] for byte in raw)


@cache
def mistral_path(version):
    return str(files("mistral_common").joinpath("data", MISTRAL_MODELS[version]))


@cache
def mistral_processor(version):
    from sentencepiece import SentencePieceProcessor

    return SentencePieceProcessor(model_file=mistral_path(version))


def mistral_rows(version):
    """Read (piece, score, type) of a real Mistral tokenizer, as the converter to GGUF does."""
    spm = mistral_processor(version)

    def type_of(i):
        kinds = ((spm.is_unknown, UNKNOWN), (spm.is_control, CONTROL), (spm.is_byte, BYTE))
        return next((type_ for is_a, type_ in kinds if is_a(i)), NORMAL)

    return [(spm.id_to_piece(i), spm.get_score(i), type_of(i)) for i in range(spm.vocab_size())]


@cache
def mistral_tokenizer(version):
    return Tokenizer.from_metadata(spm_metadata(mistral_rows(version)))


# First and last character of what a text may be made of.
_SCRIPTS = [
    ("a", "z"), ("A", "Z"), ("0", "9"), ("!", "/"), (":", "@"), ("À", "ɏ"), ("Ͱ", "Ͽ"), ("Ѐ", "ӿ"),
    ("֐", "׿"), ("؀", "ۿ"), ("ऀ", "ॿ"), ("ก", "๛"), ("Ⴀ", "ჿ"), ("ᄀ", "ᇿ"), ("\u2000", "\u206f"),
    ("←", "⇿"), ("∀", "⋿"), ("぀", "ヿ"), ("一", "鿿"), ("가", "힣"), ("\ue000", "\ue0ff"),
    ("\ufe00", "\uffef"), ("𐐀", "𐑏"), ("𝐀", "𝟿"), ("🌀", "🗿"), ("😀", "🙏"),
    ("\U0010ff00", "\U0010ffff"),
]  # fmt: skip
_MOSAIC = [
    " ", "  ", "   ", "\t", "\n", "\r\n", "\n\n", " \n ", "\x00", "\x01", "\x1b[0m", "\x7f",
    "\x85", "\xa0", "\u3000", "\u2028", "\ufeff", "�", "▁", "▁▁", "e\u0301", "ﬁ", "İ", "ſ",
    "'S", "'ll", "👩\u200d👩\u200d👧", "👩\u200d", "\u200d👧", "🏳\ufe0f\u200d🌈", "🏳\ufe0f",
    "🇩🇪", "🇩", "👍🏽", "🏽", "def f(x):\n    return x**2\n", "{\"a\": [1, 2.5e-3]}",
    "<div class='x'>", "https://a.b/c?d=e#f", "1234567", "3.14", "١٢٣", "²³½", "<s>",
    "</s>", "<unk>", "[INST]", "[/INST]", "<0x0A>", "<|im_start|>", "Hello", " world",
    "the", "über", "don't", "DON'T", "camelCaseWord", "HTTPServer", "Straße", "naïve",
    "Привет", "こんにちは", "你好", "안녕", "שלום", "مرحبا", "नमस\u094dते", "ไทย", "....",
    "!!!", "---", "=====", "$100", "a/b", "\\n", "``", "…", "。",
]  # fmt: skip


def texts(n, seed=0):
    """Return n texts of all kinds, the same ones for the same seed."""
    rng = random.Random(seed)
    made = ["", " ", "  ", "\n", "a", " a", "a ", " a ", "  a  ", "\ta\t", "a\nb"]
    while len(made) < n:
        parts = []
        for _ in range(rng.randint(1, 8)):
            kind = rng.random()
            if kind < 0.5:
                parts.append(rng.choice(_MOSAIC))
            elif kind < 0.8:
                first, last = rng.choice(_SCRIPTS)
                word = [chr(rng.randint(ord(first), ord(last))) for _ in range(rng.randint(1, 6))]
                parts.append("".join(word))
            elif kind < 0.9:
                parts.append(" " * rng.randint(1, 20) + rng.choice(_MOSAIC))
            else:
                whole = rng.choice(_MOSAIC)
                parts.append(whole[: rng.randint(0, len(whole))])  # an emoji cut in the middle
        made.append(rng.choice(["", " "]).join(parts))
    return made
