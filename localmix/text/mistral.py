r"""Mistral's chat formats v1, v2, v3 and v7, token for token as mistral-common writes them.

`enc` below is one call of the tokenizer. Each call adds SentencePiece's implied space at its start,
so the *places of the calls* are part of the format: one long text would not give the same ids.

v1 (Mistral 7B v0.1 and v0.2, Mixtral 8x7B): `[INST]` is ordinary text, and the system text stands
in the first user turn. "Be kind", "Hi", "Hello", "Bye" are

    <s>                                  1
    enc("[INST] Be kind\n\nHi [/INST]")  733 16289 28793 1739 2112 13 13 23809 733 28748 16289 28793
    enc("Hello") </s>                    22557 2
    enc("[INST] Bye [/INST]")            733 16289 28793 2463 28706 733 28748 16289 28793

v2 and v3 (7B v0.3, Mixtral 8x22B; Nemo with its Tekken vocabulary): `[INST]` is one control token,
and the system text stands in the last user turn. The same conversation in v3 is

    <s>                                  1
    [INST] enc("Hi") [/INST]             3 16127 4
    enc("Hello") </s>                    23325 2
    [INST] enc("Be kind\n\nBye") [/INST] 3 2507 2880 781 781 2698 29474 4

Tools stand before the last user turn; calls and results are turns of their own:

    [AVAILABLE_TOOLS] enc(json) [/AVAILABLE_TOOLS]
    [TOOL_CALLS] enc('[{"name": …, "arguments": {…}, "id": …}]') </s>           v2: without the id
    [TOOL_RESULTS] enc('{"content": …, "call_id": …}') [/TOOL_RESULTS]          v3
    [TOOL_RESULTS] enc('[{"name": …, "content": …}]') [/TOOL_RESULTS]           v2

v7 is v3, but the system text is a turn of its own, [SYSTEM_PROMPT] enc(text) [/SYSTEM_PROMPT], and
a result is [TOOL_RESULTS] enc(call_id) [TOOL_CONTENT] enc(content) [/TOOL_RESULTS].

Source: mistral-common, tokens/tokenizers/instruct.py and protocol/instruct/normalize.py.
"""

import json
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any, Literal

from localmix.errors import TemplateError
from localmix.text.conversation import (
    Message,
    ToolCall,
    merge_turns,
    parse_json,
    system_text,
)
from localmix.text.tokenizer import Tokenizer

Version = Literal[1, 2, 3, 7]
Turn = Literal["first", "last"]


def version_of(tokenizer: Tokenizer) -> Version:
    """Tell the format from the control tokens that the vocabulary has.

    The vocabularies of 32,768 pieces differ from id 10 on: v2 has no names there, v3 has [IMG],
    [PREFIX], [MIDDLE] and [SUFFIX], v7 also [SYSTEM_PROMPT] and [TOOL_CONTENT] (as read from the
    files in mistral-common).
    """
    if not has_control(tokenizer, "[INST]"):
        return 1
    if has_control(tokenizer, "[SYSTEM_PROMPT]") and has_control(tokenizer, "[TOOL_CONTENT]"):
        return 7
    return 3 if has_control(tokenizer, "[PREFIX]") or has_control(tokenizer, "[IMG]") else 2


def has_control(tokenizer: Tokenizer, piece: str) -> bool:
    """Say whether a piece is a control token of the vocabulary."""
    token = tokenizer.token_id(piece)
    return token is not None and tokenizer.is_control(token)


class MistralFormat:
    """Renders conversations in one version of the format.

    Args:
        system_turn: the user turn that the system text is put in; None is the version's own choice.
    """

    def __init__(
        self, version: Version, tokenizer: Tokenizer, system_turn: Turn | None = None
    ) -> None:
        self.name = f"mistral-v{version}"
        self._version = version
        self._tokenizer = tokenizer
        self._system_turn: Turn = system_turn or ("first" if version == 1 else "last")

    def render(self, messages: Sequence[Message], tools: Sequence[dict[str, Any]]) -> list[int]:
        """Return the ids of the whole prompt, from the begin token on.

        Raises:
            TemplateError: the version has no place for these tools or tool calls.
        """
        turns = self._turns(messages)
        self._check(turns, tools)
        last_user = max((i for i, turn in enumerate(turns) if turn.role == "user"), default=-1)
        ids = [self._bos()]
        for i, turn in enumerate(turns):
            if self._version == 2 and i < last_user and (turn.tool_calls or turn.role == "tool"):
                continue  # v2 forgets old calls and their results
            if i == last_user and tools:
                ids += self._between(
                    "[AVAILABLE_TOOLS]", _dump(_tools(tools)), "[/AVAILABLE_TOOLS]"
                )
            ids += self._turn(turn)
        return ids

    def _turns(self, messages: Sequence[Message]) -> list[Message]:
        """Merge neighbours of one role; before v7 also put the system text in its user turn."""
        turns = merge_turns(messages)
        if self._version == 7:
            return turns
        system = system_text(messages)
        turns = [turn for turn in turns if turn.role != "system"]
        if not turns or turns[0].role != "user":
            turns.insert(0, Message("user", ""))
        users = [i for i, turn in enumerate(turns) if turn.role == "user"]
        i = users[0] if self._system_turn == "first" else users[-1]
        if system:
            turns[i] = replace(turns[i], text=f"{system}\n\n{turns[i].text}")
        return turns

    def _check(self, turns: Sequence[Message], tools: Sequence[dict[str, Any]]) -> None:
        uses_tools = tools or any(turn.tool_calls or turn.role == "tool" for turn in turns)
        if self._version == 1 and uses_tools:
            raise TemplateError(
                "the chat format mistral-v1 has no place for tools",
                "take a model that was trained with tools, such as Mistral 7B Instruct v0.3",
            )
        if self._version < 7 and any(turn.tool_calls and turn.text for turn in turns):
            raise TemplateError(
                f"the chat format {self.name} cannot say text and tool calls in one assistant turn",
                "leave the content of the message that calls tools empty",
            )
        if self._version == 2 and any(a.role == b.role == "tool" for a, b in pairwise(turns)):
            raise TemplateError(
                "the chat format mistral-v2 takes one tool result after each call",
                "call one tool at a time",
            )

    def _turn(self, turn: Message) -> list[int]:
        if turn.role == "user":
            return self._user(turn.text)
        if turn.role == "assistant":
            return self._assistant(turn)
        if turn.role == "tool":
            return self._tool_result(turn)
        return self._between("[SYSTEM_PROMPT]", turn.text, "[/SYSTEM_PROMPT]")

    def _user(self, text: str) -> list[int]:
        if self._version == 1:
            return self._enc(f"[INST] {text} [/INST]")
        return self._between("[INST]", text, "[/INST]")

    def _assistant(self, turn: Message) -> list[int]:
        ids: list[int] = []
        if turn.text:
            ids += self._enc(turn.text if self._version == 1 else turn.text.rstrip(" "))
        if turn.tool_calls:
            calls = [self._call(call) for call in turn.tool_calls]
            ids += [self._control("[TOOL_CALLS]"), *self._enc(_dump(calls))]
        return ids if turn.is_prefix else [*ids, self._eos()]

    def _call(self, call: ToolCall) -> dict[str, Any]:
        said = {"name": call.name, "arguments": call.arguments}
        # "null" is what mistral-common writes for a call that has no id
        has_id = self._version > 2 and call.id and call.id != "null"
        return {**said, "id": call.id} if has_id else said

    def _tool_result(self, turn: Message) -> list[int]:
        if self._version == 2:
            result: Any = [{"name": turn.name, "content": _result(turn.text)}]
        elif turn.call_id is None:
            raise TemplateError(
                "a tool message does not say which call it answers",
                "give it the tool_call_id of the assistant's call",
            )
        elif self._version == 7:
            content = [self._control("[TOOL_CONTENT]"), *self._enc(turn.text)]
            begin, end = self._control("[TOOL_RESULTS]"), self._control("[/TOOL_RESULTS]")
            return [begin, *self._enc(turn.call_id), *content, end]
        else:
            result = {"content": _result(turn.text), "call_id": turn.call_id}
        return self._between("[TOOL_RESULTS]", _dump(result), "[/TOOL_RESULTS]")

    def _between(self, begin: str, text: str, end: str) -> list[int]:
        return [self._control(begin), *self._enc(text), self._control(end)]

    def _enc(self, text: str) -> list[int]:
        return self._tokenizer.encode(text, add_bos=False)

    def _control(self, piece: str) -> int:
        token = self._tokenizer.token_id(piece)
        if token is None or not self._tokenizer.is_control(token):
            raise TemplateError(
                f"the model's vocabulary has no token {piece}", "leave out the tools"
            )
        return token

    def _bos(self) -> int:
        return _required(self._tokenizer.bos_id, "begin")

    def _eos(self) -> int:
        return _required(self._tokenizer.eos_id, "end")


def _required(token: int | None, what: str) -> int:
    if token is None:
        raise TemplateError(
            f"the model's vocabulary has no {what} token", "give the prompt with --raw"
        )
    return token


def _dump(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)


def _result(text: str) -> Any:
    """Return what a tool said as data where it is JSON; nothing said is an empty dictionary."""
    return parse_json(text) if text else {}


def _tools(tools: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the tools with the keys that mistral-common writes, in its order, and no others."""
    functions = (tool["function"] for tool in tools)
    return [
        {
            "type": "function",
            "function": {
                "name": function["name"],
                "description": function.get("description") or "",
                "parameters": function.get("parameters") or {},
            },
        }
        for function in functions
    ]
