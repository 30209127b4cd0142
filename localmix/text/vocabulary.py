"""What a file says about its tokens, read and checked: pieces, types, scores, merges, special ids.

Everything else in this folder works on a `Vocabulary` and never sees the file. Defaults for absent
keys follow llama.cpp (`llama_vocab::impl::load` in src/llama-vocab.cpp).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from localmix.errors import InvalidGGUF, UnsupportedModel
from localmix.gguf import Metadata
from localmix.text.markers import END_PIECES, is_byte_piece, looks_like_marker, not_an_end
from localmix.text.pretokenizers import PreTokenizer, find_pre_tokenizer

Kind = Literal["llama", "gpt2"]
_DAMAGED = "the file is damaged or was converted wrongly: download it again or take another one"


class TokenType:
    """The values of `tokenizer.ggml.token_type`: those of SentencePiece's ModelProto.

    Plain integers: looking up members of an Enum took most of the time of decoding.
    """

    NORMAL = 1
    UNKNOWN = 2
    CONTROL = 3
    USER_DEFINED = 4
    UNUSED = 5
    BYTE = 6


@dataclass(frozen=True)
class Vocabulary:
    """The tokens of a model; an id is an index into `pieces`.

    Attributes:
        kind: "llama" (SentencePiece BPE, by scores) or "gpt2" (byte-level BPE, by merges).
        pieces: (V,) the text of each token as the file spells it.
        ids: the lowest id of each piece; files with repeated pieces exist.
        types: (V,) int8, values of `TokenType`.
        scores: (V,) float32; empty for "gpt2".
        merges: "left right" pairs, best first; empty for "llama".
        pre_tokenizer: how text is cut into words before merging; None for "llama".
        end_ids: every token that ends an answer.
        add_bos: whether a prompt starts with `bos_id`.
        add_eos: what the file says; localmix never ends a prompt with an end token.
        add_space_prefix: whether a text starts with an implied space; False for "gpt2".
    """

    kind: Kind
    pieces: Sequence[str]
    ids: Mapping[str, int]
    types: NDArray[np.int8]
    scores: NDArray[np.float32]
    merges: Sequence[str]
    pre_tokenizer: PreTokenizer | None
    bos_id: int | None
    eos_id: int | None
    unk_id: int | None
    pad_id: int | None
    end_ids: frozenset[int]
    add_bos: bool
    add_eos: bool
    add_space_prefix: bool

    @classmethod
    def from_metadata(cls, metadata: Metadata) -> "Vocabulary":
        """Read the `tokenizer.ggml.*` keys.

        Raises:
            InvalidGGUF: a key is missing, an array has the wrong length, an id names no token.
            UnsupportedModel: a tokenizer or pre-tokenizer that localmix does not have.
        """
        keys = _Keys(metadata)
        kind = keys.kind()
        pieces = keys.pieces()
        special = keys.special_ids(kind, len(pieces))
        types = keys.types(pieces, special)
        ids = {piece: i for i, piece in reversed(list(enumerate(pieces)))}
        end_ids = _end_ids(ids, types, special)
        _make_control(types, pieces, {*end_ids, special["bos"]} - {None, special["unknown"]})
        pre_tokenizer = keys.pre_tokenizer() if kind == "gpt2" else None
        has_bos = pre_tokenizer is None or pre_tokenizer.add_bos
        return cls(
            kind=kind,
            pieces=pieces,
            ids=MappingProxyType(ids),
            types=types,
            scores=keys.scores(kind, len(pieces)),
            merges=keys.merges(kind),
            pre_tokenizer=pre_tokenizer,
            bos_id=special["bos"],
            eos_id=special["eos"],
            unk_id=special["unknown"],
            pad_id=special["padding"],
            end_ids=end_ids,
            add_bos=special["bos"] is not None and keys.flag("add_bos_token", has_bos),
            add_eos=keys.flag("add_eos_token", False),
            add_space_prefix=kind == "llama" and keys.flag("add_space_prefix", True),
        )

    def type_of(self, token: int) -> int:
        """Return the `TokenType` of a token."""
        return int(self.types[token])

    def of_type(self, *types: int) -> list[int]:
        """Return the ids of all tokens that have one of these types, in order."""
        return [int(i) for i in np.flatnonzero(np.isin(self.types, types))]


class _Keys:
    """Reads one `tokenizer.ggml.*` key after the other and checks it."""

    def __init__(self, metadata: Metadata) -> None:
        self._metadata = metadata

    def has(self, name: str) -> bool:
        return f"tokenizer.ggml.{name}" in self._metadata

    def flag(self, name: str, default: bool) -> bool:
        return self._metadata.flag(f"tokenizer.ggml.{name}", default)

    def kind(self) -> Kind:
        model = self._metadata.text("tokenizer.ggml.model")
        if model == "llama":
            return "llama"
        if model == "gpt2":
            return "gpt2"
        raise UnsupportedModel(
            f"the model's tokenizer is of the kind {model!r}",
            "take a model whose tokenizer is 'llama' (SentencePiece) or 'gpt2' (byte-level BPE)",
        )

    def pieces(self) -> Sequence[str]:
        pieces = self._metadata.strings("tokenizer.ggml.tokens")
        if len(pieces) == 0:
            raise InvalidGGUF("the vocabulary has no tokens", _DAMAGED)
        return pieces

    def numbers(self, name: str, length: int, kinds: str) -> NDArray[Any]:
        """Return an array key with `length` numbers, whose NumPy kind is one of `kinds`."""
        array = np.asarray(self._metadata.array(f"tokenizer.ggml.{name}"))
        if array.shape != (length,) or array.dtype.kind not in kinds:
            raise InvalidGGUF(
                f"tokenizer.ggml.{name} should hold {length} numbers, one for each token", _DAMAGED
            )
        return array

    def scores(self, kind: Kind, n_vocab: int) -> NDArray[np.float32]:
        if kind != "llama":
            return np.zeros(0, np.float32)
        scores = self.numbers("scores", n_vocab, "iuf").astype(np.float32)
        if np.isnan(scores).any():
            raise InvalidGGUF("tokenizer.ggml.scores has values that are not numbers", _DAMAGED)
        return scores

    def merges(self, kind: Kind) -> Sequence[str]:
        return self._metadata.strings("tokenizer.ggml.merges") if kind == "gpt2" else ()

    def pre_tokenizer(self) -> PreTokenizer:
        # Files older than the key (May 2024) have none; llama.cpp warns and takes "default" too.
        return find_pre_tokenizer(self._metadata.text("tokenizer.ggml.pre", "default"))

    def special_ids(self, kind: Kind, n_vocab: int) -> dict[str, int | None]:
        """Return bos, eos, unknown, padding, eot and eom; None where the model has none."""
        defaults = {"unknown": 0, "bos": 1, "eos": 2} if kind == "llama" else {}
        special: dict[str, int | None] = {}
        for name in ("bos", "eos", "unknown", "padding", "eot", "eom"):
            key = f"{name}_token_id"
            token = defaults.get(name)
            if self.has(key):
                token = self._metadata.integer(f"tokenizer.ggml.{key}")
                if name == "padding" and not 0 <= token < n_vocab:
                    token = None  # real files have -1 here; nothing is ever padded
            if token is not None and not 0 <= token < n_vocab:
                raise InvalidGGUF(
                    f"the {name} token is {token}, but the vocabulary has {n_vocab} tokens",
                    _DAMAGED,
                )
            special[name] = token
        return special

    def types(self, pieces: Sequence[str], special: Mapping[str, int | None]) -> NDArray[np.int8]:
        """Return a writable (V,) array of `TokenType`, guessed when the file has none."""
        if self.has("token_type"):
            types = self.numbers("token_type", len(pieces), "iu")
            known = (types >= TokenType.NORMAL) & (types <= TokenType.BYTE)
            return np.where(known, types, TokenType.NORMAL).astype(np.int8)
        guessed = [TokenType.BYTE if is_byte_piece(p) else TokenType.NORMAL for p in pieces]
        if special["unknown"] is not None:
            guessed[special["unknown"]] = TokenType.UNKNOWN
        return np.array(guessed, np.int8)


def _end_ids(
    ids: Mapping[str, int], types: NDArray[np.int8], special: Mapping[str, int | None]
) -> frozenset[int]:
    """Collect the tokens that end an answer: those the file names, and well-known pieces.

    Source: llama.cpp, `special_eog_ids`. As there, a well-known piece counts whatever its type,
    except "</s>", which old vocabularies also use as ordinary text.
    """
    named = {special["eos"], special["eot"], special["eom"]} - {None}
    known = {ids[piece] for piece in END_PIECES - not_an_end(ids) if piece in ids}
    if types[ids.get("</s>", 0)] == TokenType.CONTROL and "</s>" in ids:
        known.add(ids["</s>"])
    return frozenset(token for token in named | known if token is not None)


def _make_control(types: NDArray[np.int8], pieces: Sequence[str], tokens: set[int | None]) -> None:
    """Mark tokens that begin or end an answer as control, so that typed text never becomes one.

    Only where the piece looks like a marker: a file may well end answers with a plain newline.
    Modifies: types.
    """
    for token in tokens:
        if token is not None and looks_like_marker(pieces[token]):
            types[token] = TokenType.CONTROL
