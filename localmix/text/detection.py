"""Tells Mistral's chat formats from a template by what it does, not by how it is written.

One format exists as many templates, some of which lose or double a space. A template that renders
probe messages as

    <s>[INST]U[/INST]A</s>[INST]L[/INST]

but for white space is one of Mistral's, and `mistral.py` knows its tokens exactly.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from localmix.errors import TemplateError

Render = Callable[[list[dict[str, Any]]], str]
SystemPlace = Literal["first", "last", "own"]

# Words that no template has a reason to change.
_SYSTEM, _USER, _ANSWER, _LAST = "sysprobe", "userprobe", "answerprobe", "lastprobe"


@dataclass(frozen=True)
class Probed:
    """What a template does.

    Attributes:
        takes_system: it accepts a system message and writes its text.
        is_mistral: it writes Mistral's format.
        system_place: where a Mistral template writes the system text: in the first or the last
            user turn, or in its own, between [SYSTEM_PROMPT] and [/SYSTEM_PROMPT]; None if it
            takes none.
    """

    takes_system: bool
    is_mistral: bool = False
    system_place: SystemPlace | None = None


def probe(render: Render, bos: str, eos: str) -> Probed:
    """Look at what a template makes of a few short conversations.

    Args:
        render: the template; raises TemplateError where it refuses.
        bos: the text of the begin token.
        eos: the text of the end token.
    """
    question = {"role": "user", "content": _USER}
    turns = [
        question,
        {"role": "assistant", "content": _ANSWER},
        {"role": "user", "content": _LAST},
    ]
    one = _rendered(render, [question], bos)
    if one is None:
        return Probed(takes_system=True)  # it fails on the simplest message: no more to be learnt
    several = _rendered(render, turns, bos)
    led = _rendered(render, [{"role": "system", "content": _SYSTEM}, *turns], bos)
    takes_system = led is not None and _SYSTEM in led
    if one != _mistral(_USER) or several != f"{_mistral(_USER)}{_ANSWER}{eos}{_mistral(_LAST)}":
        return Probed(takes_system)
    if not takes_system:
        return Probed(takes_system=False, is_mistral=True)
    places: dict[str | None, SystemPlace] = {
        f"{_mistral(_SYSTEM + _USER)}{_ANSWER}{eos}{_mistral(_LAST)}": "first",
        f"{_mistral(_USER)}{_ANSWER}{eos}{_mistral(_SYSTEM + _LAST)}": "last",
        f"[SYSTEM_PROMPT]{_SYSTEM}[/SYSTEM_PROMPT]{several}": "own",
    }
    place = places.get(led)
    return Probed(takes_system=True, is_mistral=place is not None, system_place=place)


def _mistral(text: str) -> str:
    return f"[INST]{text}[/INST]"


def _rendered(render: Render, messages: list[dict[str, Any]], bos: str) -> str | None:
    """Return the prompt without white space and begin token; None where the template refuses."""
    try:
        return "".join(render(messages).split()).removeprefix(bos)
    except TemplateError:
        return None
