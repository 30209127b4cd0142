"""Keeps what a message says from becoming a control token when a template is rendered.

A template gives one text, in which its own `<|im_start|>` and one that a user typed look the same.
So before rendering, every marker in what was said is broken by a *gap*, a Unicode noncharacter that
occurs nowhere else; after rendering the text is cut at the markers that are still whole, and the
gaps are taken out.

    said         "Hi</s>[INST] there"       vocabulary: </s> is 2, <s> is 1
    marked       "Hi<·/s>[INST] there"      · is the gap
    rendered     "<s>Hi<·/s>[INST] there</s>"
    cut          1, "Hi<·/s>[INST] there", 2
    encoded      1, ids of the text "Hi</s>[INST] there", 2

A marker is also broken where templates could make it whole: by taking out white space, by changing
small and capital letters, or by what they put around it (a content that ends in "<" or is just
"INST" gets a gap at its edge). Everything else stays as it was said, so `strip()`, `split()` and
comparisons in templates keep working. A template that takes markers apart by other means, say by
`replace('*', '')` on "[IN*ST]", could still make one; none is known that does.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from localmix.errors import TemplateError
from localmix.text.special import plain_user_defined
from localmix.text.tokenizer import Tokenizer
from localmix.text.vocabulary import TokenType, Vocabulary

GAPS = tuple(chr(code) for code in range(0xFDD0, 0xFDF0))

# Keys of values that templates compare with fixed words: a part of a marker is no danger in them.
_IDENTIFIERS = frozenset({"role", "type", "name", "id", "tool_call_id"})
_SPACE = re.compile(r"\s+")


def choose_gap(texts: Iterable[str]) -> str:
    """Return a noncharacter that occurs in none of the texts.

    Raises:
        TemplateError: they hold all 32 of them.
    """
    used = set().union(*map(set, texts))
    free = [gap for gap in GAPS if gap not in used]
    if not free:
        raise TemplateError(
            "the messages hold every noncharacter from U+FDD0 to U+FDEF", "take out one of them"
        )
    return free[0]


def special_pieces(vocabulary: Vocabulary) -> dict[str, int]:
    """Return piece -> id of the tokens that only a template may write, never a message."""
    kinds = (TokenType.CONTROL, TokenType.UNKNOWN, TokenType.USER_DEFINED)
    special = set(vocabulary.of_type(*kinds)) - set(plain_user_defined(vocabulary))
    return {vocabulary.pieces[i]: i for i in sorted(special, reverse=True)}


class Shield:
    """Breaks and finds the special tokens of one vocabulary.

    Args:
        pieces: text of each special token -> its id. A piece of one character cannot be broken and
            counts as text.
    """

    def __init__(self, pieces: Mapping[str, int]) -> None:
        self._ids = {piece: i for piece, i in pieces.items() if len(_squeeze(piece)) > 1}
        squeezed = sorted({_squeeze(piece) for piece in self._ids})
        self._whole = _Finder(self._ids)
        self._squeezed = _Finder(squeezed)
        self._prefixes = {piece[:n] for piece in squeezed for n in range(1, len(piece))}
        self._suffixes = {piece[n:] for piece in squeezed for n in range(1, len(piece))}
        self._infixes = "\0".join(squeezed)
        self._longest = max(map(len, squeezed), default=0)

    def mark(self, value: Any, gap: str, key: str = "") -> Any:
        """Return plain data with the gap put into every text that could become a marker."""
        if isinstance(value, str):
            return self._mark_text(value, gap, is_identifier=key in _IDENTIFIERS)
        if isinstance(value, dict):
            return {
                self._mark_text(k, gap, is_identifier=True): self.mark(v, gap, k)
                for k, v in value.items()
            }
        if isinstance(value, list):
            return [self.mark(item, gap, key) for item in value]
        return value

    def split(self, text: str, gap: str) -> list[str | int]:
        """Cut rendered text into special tokens and the text between them, without gaps."""
        parts: list[str | int] = []
        end = 0
        for start, stop in self._whole.find(text):
            if start >= end:  # else it overlaps the one before
                parts += [text[end:start].replace(gap, ""), self._ids[text[start:stop]]]
                end = stop
        parts.append(text[end:].replace(gap, ""))
        return [part for part in parts if part != ""]

    def _mark_text(self, text: str, gap: str, is_identifier: bool) -> str:
        squeezed = _squeeze(text)
        if any(self._squeezed.find(squeezed)):
            text = self._break_inside(text, gap)
        sizes = range(1, min(self._longest, len(squeezed) + 1))
        is_infix = not is_identifier and squeezed != "" and squeezed in self._infixes
        if is_infix or any(squeezed[:n] in self._suffixes for n in sizes):
            body = text.lstrip()  # the gap goes inside the white space, which templates strip
            text = text[: len(text) - len(body)] + gap + body
        if any(squeezed[-n:] in self._prefixes for n in sizes):
            body = text.rstrip()
            text = body + gap + text[len(body) :]
        return text

    def _break_inside(self, text: str, gap: str) -> str:
        """Put the gap after the first character of every marker, be it spread over white space."""
        places = [i for i, character in enumerate(text) if not character.isspace()]
        small = "".join(_small(text[i]) for i in places)
        pieces: list[str] = []
        end = 0
        for start, _ in self._squeezed.find(small):
            cut = places[start] + 1
            pieces += [text[end:cut], gap]
            end = cut
        return "".join([*pieces, text[end:]])


def encode_parts(parts: Sequence[str | int], tokenizer: Tokenizer) -> list[int]:
    """Turn the parts of a prompt into ids, the begin token once and in front.

    Where the tokenizer puts a space before each text, a space that the template wrote there is
    taken for that one: " [INST]" is `▁[INST]`, not `▁▁[INST]`.
    """
    adds_space = tokenizer.vocabulary.add_space_prefix
    bos = tokenizer.bos_id
    body = list(parts)
    while body and (body[0] == bos or (body[1:2] == [bos] and str(body[0]).isspace())):
        del body[0]
    had_bos = len(body) < len(parts)
    ids = [bos] if bos is not None and (had_bos or tokenizer.add_bos) else []
    for part in body:
        ids += [part] if isinstance(part, int) else _encode_text(part, adds_space, tokenizer)
    return ids


def _encode_text(text: str, adds_space: bool, tokenizer: Tokenizer) -> list[int]:
    space = tokenizer.token_id("▁")
    if adds_space and text == " " and space is not None:
        return [space]  # nothing is left for the tokenizer to put its space before
    return tokenizer.encode(text[1:] if adds_space and text[0] == " " else text, add_bos=False)


def _squeeze(text: str) -> str:
    """Return the text without white space and in small letters."""
    dense = _SPACE.sub("", text)
    return dense.lower() if dense.isascii() else "".join(map(_small, dense))


def _small(character: str) -> str:
    """Return the small letter where it is one character too, so that places in a text stay."""
    small = character.lower()
    return small if len(small) == 1 else character


class _Finder:
    """Finds any of many pieces in a text; a pattern of a thousand alternatives takes far longer."""

    def __init__(self, pieces: Iterable[str]) -> None:
        self._pieces = frozenset(pieces)
        self._lengths = sorted({len(piece) for piece in self._pieces}, reverse=True)
        self._starts = frozenset(piece[:2] for piece in self._pieces)
        first = "".join(sorted({re.escape(piece[0]) for piece in self._pieces}))
        self._first = re.compile(f"[{first}]" if first else "(?!)")

    def find(self, text: str) -> Iterator[tuple[int, int]]:
        """Yield (start, end) of each place where a piece starts, with the longest one there."""
        for match in self._first.finditer(text):
            start = match.start()
            if text[start : start + 2] not in self._starts:
                continue
            for length in self._lengths:
                if text[start : start + length] in self._pieces:
                    yield start, start + length
                    break
