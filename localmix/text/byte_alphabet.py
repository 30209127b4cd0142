"""The 256 printable characters that byte-level BPE vocabularies write bytes with.

A byte that is a visible Latin-1 character stands for itself, the others take the characters from
U+0100 upwards in order: a space (0x20) is "Ġ", a newline (0x0A) is "Ċ".

Source: `bytes_to_unicode` in openai/gpt-2's encoder.py.
"""

from collections.abc import Mapping
from types import MappingProxyType


def _alphabet() -> dict[str, int]:
    visible = {*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1)}
    visible |= set(range(ord("®"), ord("ÿ") + 1))
    hidden = [byte for byte in range(256) if byte not in visible]
    letters = {chr(byte): byte for byte in visible}
    return letters | {chr(0x100 + i): byte for i, byte in enumerate(hidden)}


BYTE_OF_LETTER: Mapping[str, int] = MappingProxyType(_alphabet())


def bytes_of(piece: str) -> bytes | None:
    """Return the bytes that a piece spells, None when it has a character of no byte."""
    values = [BYTE_OF_LETTER.get(letter) for letter in piece]
    known = [value for value in values if value is not None]
    return bytes(known) if len(known) == len(values) else None
