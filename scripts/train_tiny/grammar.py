"""A small template language for the corpus.

`{a|b|c}` chooses one alternative (they may nest, an empty one is allowed), `<slot>` is replaced by
a word. A sentence that begins with a lower-case slot value gets its capital. Knows no subject.
"""

import random
import re
import zlib
from collections.abc import Mapping

INNERMOST = re.compile(r"\{([^{}]*)\}")
SLOT = re.compile(r"<([a-z_]+)>")
HELD_OUT_SHARE = 20  # one wording of this many is never trained on


def expand(template: str, rng: random.Random, slots: Mapping[str, str] | None = None) -> str:
    """Choose alternatives, then fill slots: `expand("{Hi|Hello} <name>", ...)` -> "Hi Anna"."""
    text = template
    while match := INNERMOST.search(text):
        text = text[: match.start()] + rng.choice(match[1].split("|")) + text[match.end() :]
    if slots:
        text = SLOT.sub(lambda m: slots[m[1]], text)
    return re.sub(r" +", " ", text).strip()


def article(noun: str) -> str:
    """Return the noun behind "a" or "an"."""
    is_vowel = noun[0] in "aeiou" and not noun.startswith(("uni", "one"))
    return ("an " if is_vowel else "a ") + noun


def capital(text: str) -> str:
    """Begin with a capital letter."""
    return text[:1].upper() + text[1:]


def sentences(text: str) -> str:
    """Give a capital to whatever begins a sentence; `"Why?" asked the fox` stays as it is."""
    text = capital(text)
    return re.sub(r"(\.\"? |[!?] |^\"|[.!?] \")([a-z])", lambda m: m[1] + m[2].upper(), text)


def held_out(key: str) -> bool:
    """Say whether a wording is reserved for the evaluation; case and punctuation do not count."""
    plain = re.sub(r"[^a-z0-9+*-]+", " ", key.lower()).strip()
    return zlib.crc32(plain.encode()) % HELD_OUT_SHARE == 0
