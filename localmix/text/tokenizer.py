"""Text ↔ ids: the one door to a model's vocabulary.

Knows nothing of models or chats. `spm.py` and `bpe.py` encode ordinary text, `special.py` finds
special tokens in it, `detokenizer.py` turns ids back into text.
"""

from collections.abc import Iterable
from functools import cached_property

from localmix.errors import LocalmixError
from localmix.gguf import Metadata
from localmix.text.bpe import BpeEncoder
from localmix.text.detokenizer import Detokenizer, piece_bytes
from localmix.text.special import SpecialSplitter
from localmix.text.spm import SpmEncoder
from localmix.text.vocabulary import TokenType, Vocabulary


class Tokenizer:
    """The tokenizer of a model file.

    Attributes:
        vocabulary: the tokens and what the file says of them.
        n_vocab: how many tokens there are.
        bos_id, eos_id, unk_id: ids of the begin, end and unknown tokens; None where there is none.
        end_ids: every token that ends an answer.
        add_bos: whether prompts of this model start with `bos_id`.
    """

    def __init__(self, vocabulary: Vocabulary) -> None:
        self.vocabulary = vocabulary
        self.n_vocab = len(vocabulary.pieces)
        self.bos_id = vocabulary.bos_id
        self.eos_id = vocabulary.eos_id
        self.unk_id = vocabulary.unk_id
        self.end_ids = vocabulary.end_ids
        self.add_bos = vocabulary.add_bos

    @classmethod
    def from_metadata(cls, metadata: Metadata) -> "Tokenizer":
        """Read the tokenizer of a GGUF file.

        Raises:
            InvalidGGUF: the vocabulary is missing or damaged.
            UnsupportedModel: a kind of tokenizer that localmix does not have.
        """
        return cls(Vocabulary.from_metadata(metadata))

    # The encoder and the splitter are made when first needed: decoding needs neither.
    @cached_property
    def _encoder(self) -> SpmEncoder | BpeEncoder:
        return (SpmEncoder if self.vocabulary.kind == "llama" else BpeEncoder)(self.vocabulary)

    @cached_property
    def _splitter(self) -> SpecialSplitter:
        return SpecialSplitter(self.vocabulary)

    def encode(self, text: str, *, add_bos: bool = True, parse_special: bool = False) -> list[int]:
        """Return the ids of a text.

        With a vocabulary that implies a space before a text (`add_space_prefix`), the text after
        each special token starts with one too. Source: llama.cpp's `llama_vocab::impl::tokenize`,
        `is_prev_special`; mistral-common encodes the text between control tokens apart, to the same
        end. Unlike llama.cpp, a BOS that the text already begins with is not doubled.

        Args:
            text: any string; half a surrogate pair counts as U+FFFD.
            add_bos: begin with BOS if the model wants one.
            parse_special: let "</s>", "[INST]" and the like become their tokens. Never for what
                users type. Without it they stay text, whatever the file says.

        Returns:
            Ids in [0, n_vocab).
        """
        ids: list[int] = []
        for part in self._splitter.split(_without_surrogates(text), parse_special):
            if isinstance(part, int):
                ids.append(part)
            else:
                ids += self._encoder.encode(part)
        if add_bos and self.add_bos and self.bos_id is not None and ids[:1] != [self.bos_id]:
            ids.insert(0, self.bos_id)
        return ids

    def decode(self, ids: Iterable[int]) -> str:
        """Return the text of a sequence of ids; control tokens print nothing.

        Bytes that are not UTF-8 become U+FFFD. The implied first space is dropped.

        Raises:
            LocalmixError: an id is not in the vocabulary.
        """
        detokenizer = self.detokenizer()
        pieces = [detokenizer.push(self.check_id(token)) for token in ids]
        return "".join(pieces) + detokenizer.flush()

    def detokenizer(self) -> Detokenizer:
        """Return a fresh decoder that takes ids one by one."""
        return Detokenizer(self.vocabulary)

    def piece_bytes(self, token: int) -> bytes:
        """Return the bytes that a token prints, none for control tokens.

        Raises:
            LocalmixError: the id is not in the vocabulary.
        """
        return piece_bytes(self.vocabulary, self.check_id(token))

    def visible_text(self, ids: Iterable[int]) -> str:
        """Return a sequence of ids as text with its control tokens visible, to look at."""
        return b"".join(
            self.vocabulary.pieces[token].encode()
            if self.is_control(token)
            else self.piece_bytes(token)
            for token in ids
        ).decode("utf-8", "replace")

    def token_id(self, piece: str) -> int | None:
        """Return the id of a piece as the file spells it ("[INST]", "▁the"), or None."""
        return self.vocabulary.ids.get(piece)

    def is_control(self, token: int) -> bool:
        """Say whether a token is control: it prints nothing, and no typed text becomes it."""
        return self.vocabulary.type_of(self.check_id(token)) == TokenType.CONTROL

    def check_id(self, token: int) -> int:
        """Return the id as an int.

        Raises:
            LocalmixError: the id is not in the vocabulary.
        """
        if not 0 <= token < self.n_vocab:
            raise LocalmixError(
                f"there is no token {token}: the vocabulary has {self.n_vocab} tokens",
                f"give ids from 0 to {self.n_vocab - 1}",
            )
        return int(token)


def _without_surrogates(text: str) -> str:
    """Join surrogate pairs and replace lone halves, which no encoder can take, with U+FFFD."""
    if text.isascii():
        return text
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
