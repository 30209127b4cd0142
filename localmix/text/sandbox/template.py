"""A chat template, compiled: from messages to one text.

What templates expect, and what they may use, follows Hugging Face's `apply_chat_template`
(transformers/utils/chat_template_utils.py).
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

import jinja2
import jinja2.nodes

from localmix.errors import TemplateError
from localmix.text.sandbox.environment import Sandbox
from localmix.text.sandbox.meter import Meter, OutOfWork

Clock = Callable[[], datetime]

RAW_HINT = "continue a prompt without the template: localmix run MODEL --raw PROMPT"

_LONGEST_SOURCE = 1 << 16  # characters; the longest templates seen have about 30,000

# A quarter of a second for a template that wants all of it; more for a long conversation.
_UNITS = 4_000_000
_UNITS_PER_CHARACTER = 50


class _Refusal(jinja2.TemplateError):
    """The template itself called `raise_exception`."""


class ChatTemplate:
    """A compiled template.

    Args:
        source: the template's text.
        special_texts: `bos_token`, `eos_token` and the like, as templates name them.
        clock: gives the time for templates that write a date.

    Raises:
        TemplateError: the source is no template.
    """

    def __init__(self, source: str, special_texts: Mapping[str, str], clock: Clock) -> None:
        if len(source) > _LONGEST_SOURCE:
            raise TemplateError(
                f"the model's chat template has {len(source)} characters, too many for a template",
                RAW_HINT,
            )
        self.source = source
        self._special_texts = dict(special_texts)
        sandbox = Sandbox(
            {"raise_exception": _refuse, "strftime_now": lambda format: _date(clock, format)}
        )
        try:
            tree = sandbox.parse(source)
            names = {node.name for node in tree.find_all(jinja2.nodes.Name)}
            self._template = sandbox.load(tree)
        except Exception as exc:  # of all kinds: RecursionError, SyntaxError of the compiled code …
            raise TemplateError(
                f"the model's chat template cannot be read: {_sentence(exc)}", RAW_HINT
            ) from exc
        self.knows_tools = "tools" in names

    def render(self, messages: Sequence[dict[str, Any]], tools: Sequence[dict[str, Any]]) -> str:
        """Return the text of the prompt, ready for the assistant's next words.

        Raises:
            TemplateError: the template refuses the messages, fails on them, or works too much.
        """
        size = _size(messages) + _size(tools)
        meter = Meter(_UNITS + _UNITS_PER_CHARACTER * size)
        variables = {
            **self._special_texts,
            "messages": list(messages),
            "tools": list(tools) or None,
            "documents": None,
            "add_generation_prompt": True,
        }
        try:
            return self._template.render({**variables, **meter.variables})
        except _Refusal as exc:
            raise TemplateError(
                f"the model's chat template refuses these messages: {_sentence(exc)}", RAW_HINT
            ) from exc
        except OutOfWork as exc:
            raise TemplateError(
                "the model's chat template wants to do far more work than a prompt needs", RAW_HINT
            ) from exc
        except Exception as exc:  # a template can cause any of Python's errors
            raise TemplateError(
                f"the model's chat template fails on these messages: {_sentence(exc)}", RAW_HINT
            ) from exc


def _refuse(message: object = "") -> None:
    raise _Refusal(str(message))


def _date(clock: Clock, format: str) -> str:
    # Wide fields, "%999999Y", would make a text of that length.
    if any(character.isdigit() for character in format):
        raise jinja2.TemplateError("a date's format holds a number")
    if len(format) > 100:
        raise jinja2.TemplateError("a date's format is longer than any date")
    return clock().strftime(format)


def _size(value: object) -> int:
    """Count the characters and items of plain data."""
    if isinstance(value, str):
        return len(value)
    if isinstance(value, Mapping):
        return sum(_size(key) + _size(item) for key, item in value.items()) + len(value)
    if isinstance(value, Sequence):
        return sum(map(_size, value)) + len(value)
    return 1


def _sentence(exc: BaseException) -> str:
    """Return the first line of what an exception says, short enough to be read."""
    if isinstance(exc, RecursionError):
        return "it calls itself without end"
    lines = str(exc).strip().splitlines()
    line = lines[0] if lines else type(exc).__name__
    return line if len(line) <= 200 else f"{line[:200]}…"
