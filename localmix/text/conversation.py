"""Messages and tools as callers give them, checked and in one shape.

Callers give OpenAI's dictionaries, every format reads `Message`s. What is wrong with them is said
here, once, as TemplateError.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby
from typing import Any

from localmix.errors import TemplateError

ROLES = ("system", "user", "assistant", "tool")

# Between texts that become one. Source: mistral-common, `_DEFAULT_JOIN_STR` in normalize.py.
BETWEEN_TEXTS = "\n\n"

_SHAPE_HINT = 'a message looks like {"role": "user", "content": "Hello"}'
_CALL_HINT = (
    'a tool call looks like {"type": "function", "function": {"name": "f", "arguments": {}}}'
)
_TOOL_HINT = 'a tool looks like {"type": "function", "function": {"name": "f", "parameters": {}}}'


@dataclass(frozen=True)
class ToolCall:
    """One call that the assistant made.

    Attributes:
        arguments: parsed JSON; a string only where the caller's string is no JSON.
    """

    name: str
    arguments: Any
    id: str | None = None


@dataclass(frozen=True)
class Message:
    """One checked message.

    Attributes:
        text: the content; several text parts are joined by an empty line.
        name: of the tool, in a message of the role "tool".
        call_id: which call a message of the role "tool" answers.
        is_prefix: the assistant's text is a beginning to be continued; true of a last message only.
        extra: further keys of the caller's dictionary, for templates that know them.
    """

    role: str
    text: str
    tool_calls: tuple[ToolCall, ...] = ()
    name: str | None = None
    call_id: str | None = None
    is_prefix: bool = False
    extra: Mapping[str, Any] = field(default_factory=dict)


def read_messages(messages: object) -> list[Message]:
    """Check the caller's messages and return them in our own shape.

    Raises:
        TemplateError: no messages, an unknown role, content that is no text, a malformed tool call.
    """
    if not isinstance(messages, Sequence) or isinstance(messages, str):
        raise TemplateError("messages must be a list of dictionaries", _SHAPE_HINT)
    if not messages:
        raise TemplateError("there are no messages to answer", "give at least one user message")
    checked = [_message(message, i) for i, message in enumerate(messages)]
    if any(message.is_prefix for message in checked[:-1]):
        raise TemplateError(
            "only the last message can be a prefix", "remove prefix from the others"
        )
    return checked


def read_tools(tools: object) -> list[dict[str, Any]]:
    """Check OpenAI's list of tools and return a plain copy; None is an empty list."""
    if tools is None:
        return []
    if not isinstance(tools, Sequence) or isinstance(tools, str):
        raise TemplateError("tools must be a list of dictionaries", _TOOL_HINT)
    for i, tool in enumerate(tools):
        function = tool.get("function") if isinstance(tool, Mapping) else None
        if not isinstance(function, Mapping) or not isinstance(function.get("name"), str):
            raise TemplateError(f"tool {i} is not a function with a name", _TOOL_HINT)
    copied: list[dict[str, Any]] = _plain(tools, "the tools")
    return copied


def with_system(messages: Sequence[Message], text: str) -> list[Message]:
    """Put a system text first: into a leading system message, else as a new one."""
    if messages[0].role == "system":
        both = join_texts([text, messages[0].text])
        return [replace(messages[0], text=both), *messages[1:]]
    return [Message("system", text), *messages]


def fold_system(messages: Sequence[Message]) -> list[Message]:
    """Move all system texts into the first user turn, for formats without a system role."""
    system = system_text(messages)
    turns = [message for message in messages if message.role != "system"]
    first = next((i for i, message in enumerate(turns) if message.role == "user"), None)
    if first is None:
        return [Message("user", system), *turns]
    turns[first] = replace(turns[first], text=join_texts([system, turns[first].text]))
    return turns


def system_text(messages: Iterable[Message]) -> str:
    """Return all system texts as one."""
    return join_texts(message.text for message in messages if message.role == "system")


def merge_turns(messages: Iterable[Message]) -> list[Message]:
    """Make one message of neighbours of the same role; tool and system messages stay single.

    Source: mistral-common, `InstructRequestNormalizer._aggregate_messages`.
    """
    merged: list[Message] = []
    for role, group in groupby(messages, key=lambda message: message.role):
        turn = list(group)
        if role in ("user", "assistant"):
            calls = tuple(call for message in turn for call in message.tool_calls)
            text = join_texts(message.text for message in turn)
            turn = [replace(turn[-1], text=text, tool_calls=calls)]
        merged += turn
    return merged


def join_texts(texts: Iterable[str]) -> str:
    """Join the texts that are not empty by an empty line."""
    return BETWEEN_TEXTS.join(text for text in texts if text)


def parse_json(text: str) -> Any:
    """Return what a JSON text says, or the text itself when it is none."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def _message(message: object, i: int) -> Message:
    if not isinstance(message, Mapping):
        raise TemplateError(f"message {i} is not a dictionary", _SHAPE_HINT)
    role = message.get("role")
    if role not in ROLES:
        raise TemplateError(
            f"message {i} has the role {role!r}",
            f"roles are {', '.join(ROLES[:-1])} and {ROLES[-1]}",
        )
    calls = _tool_calls(message.get("tool_calls"), role, i)
    known = {"role", "content", "tool_calls", "tool_call_id", "name", "prefix"}
    extra = {key: value for key, value in message.items() if key not in known}
    return Message(
        role=role,
        text=_text(message.get("content"), i, may_be_missing=bool(calls)),
        tool_calls=calls,
        name=_optional_text(message, "name", i),
        call_id=_optional_text(message, "tool_call_id", i),
        is_prefix=role == "assistant" and message.get("prefix") is True,
        extra=_plain(extra, f"message {i}"),
    )


def _text(content: object, i: int, may_be_missing: bool) -> str:
    """Return the content as one text."""
    if content is None and may_be_missing:
        return ""
    if content is None:
        raise TemplateError(f"message {i} has no content", _SHAPE_HINT)
    parts = [content] if isinstance(content, str) else content
    if not isinstance(parts, Sequence):
        raise TemplateError(f"the content of message {i} is not text", _SHAPE_HINT)
    return _encodable(join_texts(_part(part, i) for part in parts), i)


def _part(part: object, i: int) -> str:
    if isinstance(part, Mapping) and part.get("type") == "text":
        part = part.get("text")
    if not isinstance(part, str):
        raise TemplateError(
            f"the content of message {i} has a part that is not text",
            'localmix reads text only: parts look like {"type": "text", "text": "Hello"}',
        )
    return part


def _encodable(text: str, i: int) -> str:
    try:
        text.encode()
    except UnicodeEncodeError as exc:
        raise TemplateError(
            f"message {i} holds a half of a character (a lone surrogate)",
            "give text as valid Unicode",
        ) from exc
    return text


def _optional_text(message: Mapping[Any, Any], key: str, i: int) -> str | None:
    value = message.get(key)
    if value is not None and not isinstance(value, str):
        raise TemplateError(f"{key} of message {i} is not text", _SHAPE_HINT)
    return None if value is None else _encodable(value, i)


def _tool_calls(calls: object, role: str, i: int) -> tuple[ToolCall, ...]:
    if not calls:
        return ()
    if role != "assistant":
        raise TemplateError(f"message {i} is no assistant message but calls tools", _CALL_HINT)
    if not isinstance(calls, Sequence):
        raise TemplateError(f"tool_calls of message {i} is not a list", _CALL_HINT)
    return tuple(_tool_call(call, i) for call in calls)


def _tool_call(call: object, i: int) -> ToolCall:
    function = call.get("function") if isinstance(call, Mapping) else None
    if not isinstance(call, Mapping) or not isinstance(function, Mapping):
        raise TemplateError(f"message {i} has a tool call without a function", _CALL_HINT)
    name = function.get("name")
    if not isinstance(name, str):
        raise TemplateError(f"message {i} calls a tool without a name", _CALL_HINT)
    call_id = _optional_text(call, "id", i)
    return ToolCall(_encodable(name, i), _arguments(function.get("arguments"), i), call_id)


def _arguments(arguments: object, i: int) -> Any:
    """Parse the arguments of a call; missing and empty ones are an empty dictionary."""
    if arguments is None or arguments == "":
        return {}
    if isinstance(arguments, str):
        return _plain(parse_json(arguments), f"the tool call in message {i}")
    if isinstance(arguments, Mapping):
        return _plain(arguments, f"the tool call in message {i}")
    raise TemplateError(
        f"the arguments of a tool call in message {i} are neither a dictionary nor JSON text",
        _CALL_HINT,
    )


def _plain(value: object, what: str) -> Any:
    """Return a copy of plain JSON data that shares nothing with the caller's."""
    try:
        text = json.dumps(value, ensure_ascii=False)
        text.encode()
        return json.loads(text)
    except (TypeError, ValueError, RecursionError) as exc:
        raise TemplateError(f"{what} cannot be written as JSON", "give plain JSON data") from exc
