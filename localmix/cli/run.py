"""`localmix run`: one answer on stdout, or a chat.

The way of a token starts here: prompt → `answer.py` → `engine` → pieces on stdout.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TextIO

from localmix import settings
from localmix.cli.answer import (
    BASE_MODEL,
    Answering,
    begin_loading,
    dropped_note,
    fitting_ids,
    open_model,
    prompt_ids,
)
from localmix.cli.arguments import takes, within
from localmix.cli.errors import WrongUsage
from localmix.cli.figures import footer, stats_record
from localmix.cli.given import given_text
from localmix.cli.guard import Guard
from localmix.cli.options import RunOptions
from localmix.cli.terminal import Streams, console, write_json
from localmix.errors import LocalmixError

if TYPE_CHECKING:
    from localmix.cli.chat.saved import Saved
    from localmix.conversation.turns import Turns
    from localmix.engine import Generation, Model

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
    options = options.with_settings(settings.home())
    options.check()
    streams = Streams.standard()
    prompt = read_prompt(options.prompt, streams.stdin)
    _check_together(options, prompt)
    saved, turns = _conversation(options, streams)
    if prompt is None:
        _chat(options, streams, saved, turns)
        return
    with open_model(options, streams) as model:
        _answer_once(model, prompt, turns, saved, options, streams)


def _answer_once(
    model: Model,
    prompt: str,
    turns: Turns,
    saved: Saved | None,
    options: RunOptions,
    streams: Streams,
) -> None:
    is_raw = options.raw or model.is_base
    guard = Guard(model) if options.moderate else None
    if guard is not None:
        guard.check(prompt, "prompt")
    if model.is_base and not options.raw:
        _say(BASE_MODEL, streams)
    if saved is not None and saved.id and not is_raw:
        saved.take_cache(model)
    turns.ask(prompt)
    ids = prompt_ids(model, prompt, options) if is_raw else _ids(model, turns, options, streams)
    answering = Answering(model, ids, options, streams, is_answer=not is_raw, guard=guard)
    if options.json:
        answering.drain()
        write_json(_record(answering.generation), streams.stdout)
    else:
        answering.stream()
    answering.remark()
    stats = answering.generation.stats
    on_terminal = streams.stdout.isatty() and streams.stderr.isatty()
    if on_terminal and not options.verbose and not options.json:
        _say(footer(stats, model.n_ctx), streams)
    turns.answer(answering.generation.text.strip())
    if saved is not None and not is_raw:
        saved.write(turns, stats)


def _ids(model: Model, turns: Turns, options: RunOptions, streams: Streams) -> list[int]:
    """Make the prompt of a conversation; says what of it has no room."""
    fitted = fitting_ids(model, turns, options)
    if fitted.n_dropped:
        _say(f"note: {dropped_note(fitted.n_dropped)}", streams)
    return fitted.ids


def _record(generation: Generation) -> dict[str, Any]:
    """The object of `run --json`."""
    return {
        "text": generation.text,
        "tokens": list(generation.tokens),
        "finish_reason": generation.finish_reason,
        "stats": stats_record(generation.stats),
    }


def _say(text: str, streams: Streams) -> None:
    console(streams.stderr).print(text, style="muted", markup=False)


def _chat(options: RunOptions, streams: Streams, saved: Saved | None, turns: Turns) -> None:
    """Open the chat; the model loads while the first line is typed."""
    from localmix.cli.chat.loop import Chat
    from localmix.cli.chat.talk import Talk

    loading = begin_loading(options, streams)
    try:
        talk = Talk(loading, options, streams, turns, saved)
        Chat(talk).loop()
    finally:
        loading.close()


def _conversation(options: RunOptions, streams: Streams) -> tuple[Saved | None, Turns]:
    """Begin a conversation, or take one up that was saved."""
    from localmix.cli.chat.saved import Saved
    from localmix.conversation.turns import Turns

    def on_failure(error: LocalmixError) -> None:
        page = console(streams.stderr)
        page.print("[warn]note:[/warn] this conversation is not saved:", end=" ")
        page.print(error.message, markup=False)

    wants_old = options.go_on or options.resume is not None
    if options.no_history and not wants_old:
        return None, Turns(options.system or "")
    saved = Saved(settings.home(), options.model, options.sampling_settings(), on_failure)
    turns = saved.resume(options.resume) if wants_old else Turns()
    # What is typed now goes before what was said then, and that before config.toml.
    if options.system and (not wants_old or "system" in options.said):
        turns.system = options.system
    return (None if options.no_history else saved), turns


def read_prompt(argument: str | None, stdin: TextIO) -> str | None:
    """Join the PROMPT and the piped text; None when neither can come, which means a chat.

    Raises:
        WrongUsage: there is a prompt, but nothing in it.
    """
    text = given_text(argument, stdin)
    if text == "":
        raise WrongUsage("the prompt is empty", 'localmix run tiny "Tell me a story"')
    return text


def _check_together(options: RunOptions, prompt: str | None) -> None:
    """Raise WrongUsage for options that contradict each other."""
    within("--resume", options.resume, 1, 2**63 - 1)
    if options.go_on and options.resume is not None:
        raise WrongUsage("--continue is for the last conversation", "--resume ID alone")
    if options.raw and (options.go_on or options.resume is not None):
        raise WrongUsage("--raw takes PROMPT as it is, without a conversation", "leave away --raw")
    if prompt is None and (options.json or options.raw):
        name = "--json" if options.json else "--raw"
        raise WrongUsage(f"{name} needs a PROMPT", f'localmix run {options.model} {name} "Hello"')
    if options.raw and (options.system or options.safe_prompt):
        name = "--system" if options.system else "--safe-prompt"
        raise WrongUsage(
            f"--raw takes PROMPT as it is, so {name} has no place", f"leave away --raw or {name}"
        )
