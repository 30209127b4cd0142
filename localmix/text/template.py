"""A chat format that is the file's own template: render, cut at the special tokens, encode."""

import json
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

from localmix.errors import TemplateError
from localmix.text.conversation import Message, fold_system
from localmix.text.detection import Probed, probe
from localmix.text.sandbox.template import ChatTemplate, Clock
from localmix.text.shield import Shield, choose_gap, encode_parts, special_pieces
from localmix.text.tokenizer import Tokenizer


class TemplateFormat:
    """Renders conversations with the templates of a file.

    Args:
        sources: templates by name; "tool_use" is taken when there are tools, "default" else.
        clock: gives the time, for templates that write a date.

    Raises:
        TemplateError: a source is no template.
    """

    name = "template"

    def __init__(self, sources: Mapping[str, str], tokenizer: Tokenizer, clock: Clock) -> None:
        self._tokenizer = tokenizer
        self._texts = _special_texts(tokenizer)
        default = sources.get("default") or next(iter(sources.values()))
        self._default = ChatTemplate(default, self._texts, clock)
        with_tools = sources.get("tool_use")
        self._with_tools = (
            ChatTemplate(with_tools, self._texts, clock) if with_tools else self._default
        )

    @cached_property
    def probed(self) -> Probed:
        """What the default template does with probe messages."""
        bos, eos = (self._texts.get(key, "") for key in ("bos_token", "eos_token"))
        return probe(lambda messages: self._default.render(messages, ()), bos, eos)

    @cached_property
    def _shield(self) -> Shield:
        return Shield(special_pieces(self._tokenizer.vocabulary))

    def render(self, messages: Sequence[Message], tools: Sequence[dict[str, Any]]) -> list[int]:
        """Return the ids of the whole prompt.

        Raises:
            TemplateError: the template has no place for tools, refuses the messages, or works too
                much.
        """
        if messages[-1].is_prefix:
            raise TemplateError(
                "the model's own chat template cannot go on with an answer that was begun",
                "leave out prefix, or give the whole prompt with --raw",
            )
        template = self._with_tools if tools else self._default
        if tools and not template.knows_tools:
            raise TemplateError(
                "the model's chat template has no place for tools",
                "take a model that was trained with tools, such as Mistral 7B Instruct v0.3",
            )
        if not self.probed.takes_system and any(m.role == "system" for m in messages):
            messages = fold_system(messages)
        data = [as_template_data(message) for message in messages]
        gap = choose_gap([template.source, json.dumps([data, tools], ensure_ascii=False)])
        marked = [
            {**self._shield.mark(one, gap), "role": message.role}
            for one, message in zip(data, messages, strict=True)
        ]
        text = template.render(marked, self._shield.mark(list(tools), gap))
        return encode_parts(self._shield.split(text, gap), self._tokenizer)


def as_template_data(message: Message) -> dict[str, Any]:
    """Return a message as templates know it: OpenAI's dictionary, with arguments as data."""
    data: dict[str, Any] = {**message.extra, "role": message.role, "content": message.text}
    if message.tool_calls:
        data["tool_calls"] = [
            {
                **({} if call.id is None else {"id": call.id}),
                "type": "function",
                "function": {"name": call.name, "arguments": call.arguments},
            }
            for call in message.tool_calls
        ]
    if message.name is not None:
        data["name"] = message.name
    if message.call_id is not None:
        data["tool_call_id"] = message.call_id
    return data


def _special_texts(tokenizer: Tokenizer) -> dict[str, str]:
    """Return the special tokens' texts under the names that templates use."""
    vocabulary = tokenizer.vocabulary
    ids = {
        "bos_token": vocabulary.bos_id,
        "eos_token": vocabulary.eos_id,
        "unk_token": vocabulary.unk_id,
        "pad_token": vocabulary.pad_id,
    }
    return {name: vocabulary.pieces[i] for name, i in ids.items() if i is not None}
