r"""The chat format of Llama 2, for its files that carry no template.

    <s> enc("[INST] <<SYS>>\nBe kind\n<</SYS>>\n\nHi [/INST] Hello ") </s>
    <s> enc("[INST] Bye [/INST]")

Unlike Mistral's, every pair of turns begins with `<s>`, and question and answer are one text for
the tokenizer.
Source: Meta's llama repository, `chat_completion` in llama/generation.py.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from localmix.errors import TemplateError
from localmix.text.conversation import Message, merge_turns, system_text
from localmix.text.tokenizer import Tokenizer


class Llama2Format:
    """Renders conversations as Llama 2 was trained with them."""

    name = "llama-2"

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer

    def render(self, messages: Sequence[Message], tools: Sequence[dict[str, Any]]) -> list[int]:
        """Return the ids of the whole prompt.

        Raises:
            TemplateError: there are tools, for which the format has no place.
        """
        refuse_tools(self.name, messages, tools)
        ids: list[int] = []
        for question, answer in _pairs(messages):
            ids += [] if self._tokenizer.bos_id is None else [self._tokenizer.bos_id]
            text = f"[INST] {question.strip()} [/INST]"
            if answer is None:
                ids += self._enc(text)
            elif answer.is_prefix:
                ids += self._enc(f"{text} {answer.text.strip()}")
            else:
                end = [] if self._tokenizer.eos_id is None else [self._tokenizer.eos_id]
                ids += [*self._enc(f"{text} {answer.text.strip()} "), *end]
        return ids

    def _enc(self, text: str) -> list[int]:
        return self._tokenizer.encode(text, add_bos=False)


def refuse_tools(name: str, messages: Sequence[Message], tools: Sequence[dict[str, Any]]) -> None:
    """Refuse tools, calls and results, for which the format `name` has no place.

    Raises:
        TemplateError: there are some.
    """
    if tools or any(message.tool_calls or message.role == "tool" for message in messages):
        raise TemplateError(
            f"the chat format {name} has no place for tools",
            "take a model that was trained with tools, such as Mistral 7B Instruct v0.3",
        )


def _pairs(messages: Sequence[Message]) -> list[tuple[str, Message | None]]:
    """Return (question, answer) for each pair of turns, the system text in the first question."""
    system = system_text(messages)
    turns = merge_turns(message for message in messages if message.role != "system")
    if not turns or turns[0].role != "user":
        turns.insert(0, Message("user", ""))
    if system:
        turns[0] = replace(turns[0], text=f"<<SYS>>\n{system}\n<</SYS>>\n\n{turns[0].text}")
    answers = [*turns[1::2], None] if len(turns) % 2 else turns[1::2]
    return [(turn.text, answer) for turn, answer in zip(turns[::2], answers, strict=True)]
