"""`localmix run`: one answer on stdout, or a chat.

The way of a token starts here: prompt → `answer.py` → `engine` → pieces on stdout.
"""

from __future__ import annotations

import os
from typing import TextIO

from localmix.cli.answer import Answering, messages_of, open_model, stats_record
from localmix.cli.errors import WrongUsage
from localmix.cli.options import RunOptions, takes
from localmix.cli.terminal import Streams, write_json

EXAMPLES = """
localmix run tiny "Tell me a story about a fox"
localmix run mistral --system "You are terse." --temperature 0 "Why is the sky blue?"
git diff | localmix run mistral "Write a commit message for this change:"
localmix run ./model.gguf --raw "def fibonacci(n):" --stop "def " -n 120
localmix run tiny
"""


@takes(RunOptions)
def run(options: RunOptions) -> None:
    """Answer a prompt, or open a chat.

    The answer streams to stdout. With PROMPT and piped text the prompt comes first, then an empty
    line, then the text. Without either a chat opens: /help lists its commands, Ctrl-D leaves it.
    """
    options.check()
    streams = Streams.standard()
    prompt = read_prompt(options.prompt, streams.stdin)
    _check_together(options, prompt)
    with open_model(options, streams) as model:
        if prompt is None:
            from localmix.cli.chat import Chat

            Chat(model, options, streams).loop()
            return
        user = {"role": "user", "content": prompt}
        answering = Answering(
            model, prompt if options.raw else [*messages_of(options), user], options, streams
        )
        if options.json:
            answering.drain()
            generation = answering.generation
            record = {
                "text": generation.text,
                "tokens": list(generation.tokens),
                "finish_reason": generation.finish_reason,
                "stats": stats_record(generation.stats),
            }
            write_json(record, streams.stdout)
        else:
            answering.stream()
        answering.remark()


def read_prompt(argument: str | None, stdin: TextIO) -> str | None:
    """Join the PROMPT and the piped text; None when neither can come, which means a chat.

    Raises:
        WrongUsage: there is a prompt, but nothing in it.
    """
    text = given_text(argument, stdin)
    if text == "":
        raise WrongUsage("the prompt is empty", 'localmix run tiny "Tell me a story"')
    return text


def given_text(argument: str | None, stdin: TextIO) -> str | None:
    """Join an argument and the piped text; "" when both are blank, None when neither can come."""
    piped = None if stdin.isatty() else _read_all(stdin)
    typed = None if argument is None else _sound(argument)
    if typed is None and piped is None:
        return None
    return "\n\n".join(part for part in (typed, piped) if part and part.strip())


def _read_all(stdin: TextIO) -> str:
    """Read piped text as UTF-8, whatever the locale; its last newline is not part of the text."""
    buffer = getattr(stdin, "buffer", None)
    text = buffer.read().decode("utf-8", "replace") if buffer is not None else stdin.read()
    return text.removesuffix("\n").removesuffix("\r")


def _sound(argument: str) -> str:
    """An argument as valid Unicode, whatever the locale: UTF-8 if its bytes are that."""
    try:
        return os.fsencode(argument).decode("utf-8")
    except UnicodeError:
        return "".join("\ufffd" if "\ud800" <= c <= "\udfff" else c for c in argument)


def _check_together(options: RunOptions, prompt: str | None) -> None:
    """Raise WrongUsage for options that contradict each other."""
    if prompt is None and (options.json or options.raw):
        name = "--json" if options.json else "--raw"
        raise WrongUsage(f"{name} needs a PROMPT", f'localmix run {options.model} {name} "Hello"')
    if options.raw and (options.system or options.safe_prompt):
        name = "--system" if options.system else "--safe-prompt"
        raise WrongUsage(
            f"--raw takes PROMPT as it is, so {name} has no place", f"leave away --raw or {name}"
        )
