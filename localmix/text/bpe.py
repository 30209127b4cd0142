"""Byte-level BPE vocabularies (GPT-2's kind): text to ids by Hugging Face's tokenizers library.

Text is cut into words (`pretokenizers.py`), each byte of a word is written as one printable
character (`byte_alphabet.py`), and neighbours are merged, best merge first.

Source: llama.cpp's llm_tokenizer_bpe for what the keys of a GGUF file mean.
"""

from typing import Any

from localmix.text.vocabulary import TokenType, Vocabulary


class BpeEncoder:
    """Encodes ordinary text with a "gpt2" vocabulary."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        # Imported here, so that what only decodes does without the library.
        from tokenizers import Regex, Tokenizer, pre_tokenizers

        assert vocabulary.pre_tokenizer is not None, "a gpt2 vocabulary has a pre-tokenizer"
        rules = vocabulary.pre_tokenizer
        self._tokenizer = Tokenizer(_bpe(vocabulary, rules.ignore_merges))
        self._tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
            [pre_tokenizers.Split(Regex(pattern), "isolated") for pattern in rules.patterns]
            + [pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]
        )

    def encode(self, text: str) -> list[int]:
        """Return the ids of `text`; bytes that no piece spells are left out, as in llama.cpp."""
        return list(self._tokenizer.encode(text, add_special_tokens=False).ids)


def text_pieces(vocabulary: Vocabulary) -> dict[str, int]:
    """Return the pieces that words may become.

    The special ones are left out, so that no typed word can ever be one of them. User-defined
    pieces are found before words are cut (`special.py`).
    """
    special = set(
        vocabulary.of_type(
            TokenType.CONTROL, TokenType.UNKNOWN, TokenType.USER_DEFINED, TokenType.UNUSED
        )
    )
    return {piece: i for piece, i in vocabulary.ids.items() if i not in special}


def _bpe(vocabulary: Vocabulary, ignore_merges: bool) -> Any:
    """Build the library's model.

    It refuses a merge of, or into, a piece that does not exist, where llama.cpp never gets to use
    one. Looking for such merges takes as long as building the model: only done on refusal.
    """
    from tokenizers import models

    pieces = text_pieces(vocabulary)
    merges = [_halves(merge) for merge in vocabulary.merges]
    try:
        return models.BPE(pieces, merges, ignore_merges=ignore_merges)
    except Exception:  # the library raises nothing more specific
        usable = [(a, b) for a, b in merges if a in pieces and b in pieces and a + b in pieces]
        return models.BPE(pieces, usable, ignore_merges=ignore_merges)


def _halves(merge: str) -> tuple[str, str]:
    """Split "left right"; a piece has no space in it."""
    space = merge.find(" ")
    return merge[:space], merge[space + 1 :]
