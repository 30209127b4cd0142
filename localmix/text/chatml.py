"""ChatML, for files whose vocabulary has `<|im_start|>` but that carry no template.

    <|im_start|>user
    Hi<|im_end|>
    <|im_start|>assistant

`<|im_start|>` and `<|im_end|>` are single tokens; what stands between them is text. A begin token
stands before it all where the vocabulary asks for one. Source: OpenAI's chatml.md.
"""

from collections.abc import Sequence
from typing import Any

from localmix.errors import TemplateError
from localmix.text.conversation import Message
from localmix.text.llama2 import refuse_tools
from localmix.text.shield import encode_parts
from localmix.text.tokenizer import Tokenizer


class ChatMLFormat:
    """Renders conversations in ChatML."""

    name = "chatml"

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer

    def render(self, messages: Sequence[Message], tools: Sequence[dict[str, Any]]) -> list[int]:
        """Return the ids of the whole prompt, up to the line `<|im_start|>assistant`.

        Raises:
            TemplateError: there are tools, for which plain ChatML has no place, or no `<|im_end|>`.
        """
        refuse_tools(self.name, messages, tools)
        start, end = self._marker("<|im_start|>"), self._marker("<|im_end|>")
        parts: list[str | int] = []
        for message in messages:
            parts += [start, f"{message.role}\n{message.text}"]
            parts += [] if message.is_prefix else [end, "\n"]
        if not messages[-1].is_prefix:
            parts += [start, "assistant\n"]
        return encode_parts(parts, self._tokenizer)

    def _marker(self, piece: str) -> int:
        token = self._tokenizer.token_id(piece)
        if token is None:
            raise TemplateError(
                f"the model's vocabulary has no token {piece}", "give the prompt with --raw"
            )
        return token
