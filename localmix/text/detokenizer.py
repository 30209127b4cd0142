"""Ids to text, one by one: what each token prints, and characters that arrive in several tokens.

Control tokens print nothing. For "llama" vocabularies the text is exactly sentencepiece's: the
implied first space is dropped, the unknown token prints " ⁇ ", and each byte that is not UTF-8
prints one "\ufffd". For "gpt2" a broken character prints one "\ufffd", as in Python, tiktoken and
Hugging Face.

Source: SentencePieceProcessor::Decode in google/sentencepiece's src/sentencepiece_processor.cc.
"""

import codecs

from localmix.text.byte_alphabet import bytes_of
from localmix.text.markers import byte_of
from localmix.text.vocabulary import TokenType, Vocabulary

_UNKNOWN = " \u2047 ".encode()  # TrainerSpec.unk_surface


def piece_bytes(vocabulary: Vocabulary, token: int) -> bytes:
    """Return the bytes that a token prints; none for control tokens."""
    piece, type_ = vocabulary.pieces[token], vocabulary.type_of(token)
    is_spm = vocabulary.kind == "llama"
    if type_ == TokenType.CONTROL:
        return b""
    if type_ == TokenType.UNKNOWN:
        return _UNKNOWN if is_spm else b""
    spelled = byte_of(piece) if type_ == TokenType.BYTE else None
    if spelled is None and is_spm:
        spelled = _utf8(piece.replace("▁", " "))
    elif spelled is None and type_ != TokenType.USER_DEFINED:
        spelled = bytes_of(piece)
    return _utf8(piece) if spelled is None else spelled


class Detokenizer:
    """Turns ids into text as they come: the text of a character appears with its last byte."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        self._vocabulary = vocabulary
        self._is_spm = vocabulary.kind == "llama"
        self._drop_space = vocabulary.add_space_prefix
        self._pending = b""

    def push(self, token: int) -> str:
        """Return the text that is complete with this token."""
        raw = piece_bytes(self._vocabulary, token)
        type_ = self._vocabulary.type_of(token)
        # In SentencePiece only neighbouring byte pieces make up a character together.
        broken = self.flush() if self._pending and self._is_spm and type_ != TokenType.BYTE else ""
        if self._drop_space and raw:
            self._drop_space = False
            if type_ not in (TokenType.BYTE, TokenType.UNKNOWN):
                raw = raw.removeprefix(b" ")
        return broken + self._decode(raw, final=False)

    def flush(self) -> str:
        """Return what is left of a character that will not be completed."""
        return self._decode(b"", final=True)

    def _decode(self, raw: bytes, *, final: bool) -> str:
        """Decode the pending bytes and `raw`, and keep an incomplete end unless `final`."""
        raw, self._pending = self._pending + raw, b""
        text = ""
        while raw:
            try:
                done, n_used = codecs.utf_8_decode(raw, "strict", final)
                self._pending = raw[n_used:]
                return text + done
            except UnicodeDecodeError as error:
                n_bad = error.end - error.start if self._is_spm else 1
                text += raw[: error.start].decode() + "\ufffd" * n_bad
                raw = raw[error.end :]
        return text


def _utf8(text: str) -> bytes:
    """Encode, replacing what is no character (half a surrogate pair in a damaged piece)."""
    return text.encode("utf-8", "replace")
