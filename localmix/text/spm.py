"""SentencePiece vocabularies: text to ids by the sentencepiece library itself.

A GGUF file holds the pieces, scores and types of a SentencePiece model, but not the model. We write
that model again (a few fields of protobuf, by hand) and let the library run it, so results are its
own.

Source: sentencepiece_model.proto of google/sentencepiece for the field numbers.
"""

import struct
from collections.abc import Iterator
from typing import Any

from localmix.errors import InvalidGGUF
from localmix.text.special import plain_user_defined
from localmix.text.vocabulary import TokenType, Vocabulary

_BPE = 2  # TrainerSpec.ModelType
_LONGEST_BYTES = 7999  # of a piece, measured with sentencepiece 0.2.3


class SpmEncoder:
    """Encodes ordinary text with a "llama" vocabulary."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        # Imported here, so that what only decodes does without the library.
        from sentencepiece import SentencePieceProcessor

        self._n_vocab = len(vocabulary.pieces)
        try:
            self._processor: Any = SentencePieceProcessor(model_proto=model_proto(vocabulary))
        except RuntimeError as exc:  # none is known, but the library has its own idea of soundness
            raise InvalidGGUF(f"the vocabulary cannot be used: {exc}", "take another file") from exc

    def encode(self, text: str) -> list[int]:
        """Return the ids of `text`; an implied space comes first if the vocabulary says so."""
        ids: list[int] = self._processor.encode(text)
        # Where the file has no unknown token, ours stands behind the last one and is left out here.
        return [i for i in ids if i < self._n_vocab]


def model_proto(vocabulary: Vocabulary) -> bytes:
    """Write the vocabulary as a serialized sentencepiece.ModelProto.

    Byte fallback needs all 256 byte pieces; with fewer, unknown characters become the unknown
    token.
    """
    types = _types(vocabulary)
    fields = [_message(1, _piece(*piece)) for piece in _pieces(vocabulary, types)]
    trainer = _integer(3, _BPE) + _integer(35, TokenType.BYTE in types)  # model_type, byte_fallback
    normalizer = (
        _message(1, b"identity")  # name
        + _integer(3, vocabulary.add_space_prefix)  # add_dummy_prefix
        + _integer(4, False)  # remove_extra_whitespaces
        + _integer(5, True)  # escape_whitespaces: " " is written "▁"
    )
    return b"".join([*fields, _message(2, trainer), _message(3, normalizer)])


def _types(vocabulary: Vocabulary) -> list[int]:
    """Return types that sentencepiece accepts and that keep markers out of ordinary text.

    What must not be found in text becomes CONTROL: it keeps its id and is never matched.
    """
    types: list[int] = vocabulary.types.tolist()
    plain = set(plain_user_defined(vocabulary))
    hidden = [i for i in vocabulary.of_type(TokenType.USER_DEFINED) if i not in plain]
    hidden += vocabulary.of_type(TokenType.UNKNOWN)[1:]  # only one is allowed
    byte_ids = vocabulary.of_type(TokenType.BYTE)
    if {vocabulary.pieces[i] for i in byte_ids} != {f"<0x{byte:02X}>" for byte in range(256)}:
        hidden += byte_ids
    for i in hidden:
        types[i] = TokenType.CONTROL
    return types


def _pieces(vocabulary: Vocabulary, types: list[int]) -> Iterator[tuple[bytes, float, int]]:
    """Yield (name, score, type) of each token, with stand-ins for names that sentencepiece refuses.

    It refuses empty and huge names, names with NUL and repeated ones; real files have most of them.
    Stand-ins are never found in text, so of a repeated piece the lowest id is used.
    """
    seen = set()
    scores: list[float] = vocabulary.scores.tolist()
    for i, piece in enumerate(vocabulary.pieces):
        type_ = types[i]
        if type_ == TokenType.USER_DEFINED:
            piece = piece.replace(" ", "▁")  # the converter to GGUF had unescaped these
        name = piece.encode("utf-8", "surrogatepass")
        if not name or b"\0" in name or name in seen or len(name) > _LONGEST_BYTES:
            name = b"\xff%d" % i  # no text is spelled like this: 0xFF never occurs in UTF-8
            type_ = type_ if type_ == TokenType.UNKNOWN else TokenType.CONTROL
        seen.add(name)
        yield name, scores[i], type_
    if TokenType.UNKNOWN not in types:
        yield b"\xffunknown", 0.0, TokenType.UNKNOWN


def _piece(name: bytes, score: float, type_: int) -> bytes:
    """Write a ModelProto.SentencePiece."""
    return _message(1, name) + b"\x15" + struct.pack("<f", score) + _integer(3, type_)


def _message(field: int, content: bytes) -> bytes:
    """Write a field of bytes: protobuf's wire type 2."""
    return _varint(field << 3 | 2) + _varint(len(content)) + content


def _integer(field: int, value: int) -> bytes:
    """Write a field of an integer, an enum or a bool: protobuf's wire type 0."""
    return _varint(field << 3) + _varint(int(value))


def _varint(value: int) -> bytes:
    """Write an unsigned integer in groups of seven bits, lowest first."""
    if value < 128:
        return bytes((value,))
    return bytes((value & 127 | 128,)) + _varint(value >> 7)
