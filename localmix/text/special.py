"""Cuts a text into ordinary text and the special tokens that stand in it.

Two rules, for `parse_special`:

- True: control, unknown and user-defined pieces in the text become their tokens; leftmost first,
  and of those that start at the same place the longest.
- False: nothing that looks like a marker becomes a token, whatever the file calls it. User-defined
  pieces that are plain text (runs of spaces, mostly) still do: models were trained with them in
  ordinary text.
"""

import re
from collections.abc import Iterable, Iterator

from localmix.text.markers import looks_like_marker
from localmix.text.vocabulary import TokenType, Vocabulary


def plain_user_defined(vocabulary: Vocabulary) -> list[int]:
    """Return the user-defined tokens that ordinary text may become."""
    user_defined = vocabulary.of_type(TokenType.USER_DEFINED)
    return [i for i in user_defined if not looks_like_marker(vocabulary.pieces[i])]


class SpecialSplitter:
    """Finds special tokens in text."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        pieces = vocabulary.pieces
        plain = set(plain_user_defined(vocabulary))
        special = set(
            vocabulary.of_type(TokenType.CONTROL, TokenType.UNKNOWN, TokenType.USER_DEFINED)
        )
        if vocabulary.kind == "llama":
            # sentencepiece finds these itself, and without a dummy space after each of them
            special, plain = special - plain, set()
        self._ids = {pieces[i]: i for i in sorted(special, reverse=True) if pieces[i]}
        self._special = _any_of(self._ids)
        self._plain = _any_of(pieces[i] for i in plain)

    def split(self, text: str, parse_special: bool) -> Iterator[str | int]:
        """Yield the parts of `text` in order: ids of special tokens, and the text between them."""
        pattern = self._special if parse_special else self._plain
        end = 0
        for match in pattern.finditer(text) if pattern else ():
            if match.start() > end:
                yield text[end : match.start()]
            yield self._ids[match[0]]
            end = match.end()
        if end < len(text):
            yield text[end:]


def _any_of(pieces: Iterable[str]) -> re.Pattern[str] | None:
    """Return a pattern for the longest piece that starts at a place; None without pieces."""
    written = [piece for piece in pieces if piece]
    return re.compile(_longest_of(written)) if written else None


def _longest_of(pieces: Iterable[str], depth: int = 4) -> str:
    """Write the pieces as a tree of their first characters: "ab", "ac", "a" is `a(?:b|c)?`.

    Trying hundreds of pieces one by one at every "[" of a text would take seconds. The depth is
    limited because a file may well have pieces that are longer than Python's stack is deep.
    """
    if depth == 0:
        return f"(?:{'|'.join(map(re.escape, sorted(pieces, key=len, reverse=True)))})"
    ends: dict[str, list[str]] = {}  # first character -> what may follow
    for piece in pieces:
        ends.setdefault(piece[:1], []).append(piece[1:])
    may_stop = ends.pop("", None) is not None
    branches = [re.escape(first) + _longest_of(rest, depth - 1) for first, rest in ends.items()]
    return f"(?:{'|'.join(branches)})" + "?" * may_stop
