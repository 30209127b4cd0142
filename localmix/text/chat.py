"""Chat prompts: from messages to the ids that a model was trained to answer.

Which format a file's model was trained with is told, in this order, by

1. its own template (`tokenizer.chat_template`): if it behaves like one of Mistral's formats,
   `mistral.py` writes that format token for token, else the template itself is run;
2. its vocabulary: `<|im_start|>` is ChatML, a control token `[INST]` is Mistral's v2 or later;
3. its name: Llama 2;
4. its kind: any other SentencePiece vocabulary is taken for an early Mistral's (format v1).

What a message says never becomes a control token, in any format.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, Protocol

from localmix.errors import TemplateError
from localmix.gguf.metadata import Metadata
from localmix.text.chatml import ChatMLFormat
from localmix.text.conversation import Message, read_messages, read_tools, with_system
from localmix.text.llama2 import Llama2Format
from localmix.text.mistral import MistralFormat, Version, has_control, version_of
from localmix.text.tokenizer import Tokenizer

# Source: Mistral's documentation of `safe_prompt` ("Guardrailing"), docs.mistral.ai.
SAFE_PROMPT = (
    "Always assist with care, respect, and truth. Respond with utmost utility yet securely. "
    "Avoid harmful, unethical, prejudiced, or negative content. "
    "Ensure replies promote fairness and positivity."
)

_LLAMA_2 = re.compile(r"llama[-_ ]?v?2(?!\d)", re.IGNORECASE)
_CHATS = re.compile(
    r"instruct|chat|assistant|hermes|zephyr|dolphin|vicuna|alpaca|llama[-_ ]?v?2|\bit\b",
    re.IGNORECASE,
)
"""In the names of files that were tuned to chat; those of Llama 2 say LLaMA v2, base or not."""

_TEMPLATE_KEY = "tokenizer.chat_template"

Clock = Callable[[], datetime]


class Format(Protocol):
    """One way to write messages as ids."""

    @property
    def name(self) -> str: ...  # noqa: D102
    def render(  # noqa: D102
        self, messages: Sequence[Message], tools: Sequence[dict[str, Any]], /
    ) -> list[int]: ...


class ChatFormat:
    """The chat format of a model.

    Attributes:
        name: "mistral-v1", "mistral-v2", "mistral-v3", "mistral-v7", "llama-2", "chatml", or
            "template" for any other that the file's template describes.
    """

    def __init__(self, format: Format) -> None:
        self._format = format
        self.name = format.name

    @classmethod
    def from_metadata(
        cls, metadata: Metadata, tokenizer: Tokenizer, *, clock: Clock = datetime.now
    ) -> "ChatFormat":
        """Find the format of a file.

        Args:
            metadata: the keys of the file.
            tokenizer: the file's tokenizer.
            clock: gives the time, for templates that write today's date.

        Raises:
            TemplateError: the file does not tell its format, or its template cannot be read.
            InvalidGGUF: a key has the wrong type.
        """
        sources = _templates(metadata)
        if sources:
            return cls(_from_templates(sources, tokenizer, clock))
        return cls(_from_vocabulary(metadata, tokenizer))

    def render(
        self,
        messages: Sequence[Mapping[str, Any]],
        tools: Sequence[Mapping[str, Any]] | None = None,
        *,
        safe_prompt: bool = False,
    ) -> list[int]:
        """Return the ids of a prompt that the model answers next, the begin token among them.

        Args:
            messages: OpenAI's dictionaries with role, content, tool_calls, tool_call_id, name;
                "prefix": True on a last assistant message lets the model go on with it.
            tools: OpenAI's list of {"type": "function", "function": {…}}.
            safe_prompt: begin the system text with Mistral's own request to stay harmless.

        Raises:
            TemplateError: the messages are malformed, or the format cannot say them.
        """
        checked = read_messages(messages)
        if safe_prompt:
            checked = with_system(checked, SAFE_PROMPT)
        return self._format.render(checked, read_tools(tools))


def looks_like_base(metadata: Metadata, tokenizer: Tokenizer) -> bool:
    """Say whether nothing in a file speaks of a chat: no template, no marker, no such name."""
    names = [metadata.text(f"general.{key}", "") for key in ("name", "basename", "finetune")]
    return (
        not _templates(metadata)
        and not has_control(tokenizer, "[INST]")
        and tokenizer.token_id("<|im_start|>") is None
        and not any(_CHATS.search(name) for name in names)
    )


def _templates(metadata: Metadata) -> dict[str, str]:
    """Return the file's templates by name; the unnamed one is called "default".

    Source of the keys: gguf's `add_chat_template` (gguf-py, gguf_writer.py).
    """
    sources: dict[str, str] = {}
    for name in ("default", "tool_use"):
        if f"{_TEMPLATE_KEY}.{name}" in metadata:
            sources[name] = metadata.text(f"{_TEMPLATE_KEY}.{name}")
    if _TEMPLATE_KEY in metadata:
        sources["default"] = metadata.text(_TEMPLATE_KEY)
    return {name: source for name, source in sources.items() if source.strip()}


def _from_templates(sources: Mapping[str, str], tokenizer: Tokenizer, clock: Clock) -> Format:
    # Imported here: jinja2 takes a while, and files without a template do without it.
    from localmix.text.template import TemplateFormat

    template = TemplateFormat(sources, tokenizer, clock)
    probed = template.probed
    if not probed.is_mistral:
        return template
    place = probed.system_place
    version = version_of(tokenizer)
    if place == "own":
        return MistralFormat(7, tokenizer) if version == 7 else template
    if version == 1 and not tokenizer.vocabulary.add_space_prefix:
        return template  # [INST] as text, but no vocabulary that Mistral ever used with it
    before_7: Version = 3 if version == 7 else version
    return MistralFormat(before_7, tokenizer, place)


def _from_vocabulary(metadata: Metadata, tokenizer: Tokenizer) -> Format:
    if tokenizer.token_id("<|im_start|>") is not None:
        return ChatMLFormat(tokenizer)
    if has_control(tokenizer, "[INST]"):
        return MistralFormat(version_of(tokenizer), tokenizer)
    names = [metadata.text(f"general.{key}", "") for key in ("name", "basename")]
    if any(_LLAMA_2.search(name) for name in names):
        return Llama2Format(tokenizer)
    if tokenizer.vocabulary.kind == "llama":
        return MistralFormat(1, tokenizer)
    raise TemplateError(
        "the model file has no chat template and its vocabulary does not tell the chat format",
        "continue a prompt without a chat format: localmix run MODEL --raw PROMPT",
    )
