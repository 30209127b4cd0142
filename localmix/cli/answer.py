"""From a prompt to text on stdout: the part that `run` and the chat share.

`Answering` is one answer being made: prompt ids → the engine's pieces → the terminal or a pipe,
each piece flushed as it comes. Figures are data until `figures` or `stats_record` writes them.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from itertools import groupby
from typing import TYPE_CHECKING, Any

from localmix import settings, units
from localmix.cli.figures import figures, reading_speed
from localmix.cli.loading import Loading
from localmix.cli.markdown import Markdown
from localmix.cli.options import SETTABLE, RunOptions
from localmix.cli.progress import load_model
from localmix.cli.terminal import StatusLine, Streams, console, printable

if TYPE_CHECKING:
    from localmix.cli.guard import Guard
    from localmix.conversation.turns import Fitted, Turns
    from localmix.engine import Generation, Model

Message = dict[str, Any]


BASE_MODEL = "This is a base model: it goes on with your text, it does not chat (as with --raw)."


def open_model(options: RunOptions, streams: Streams) -> Model:
    """Load the model; when it is missing and a person is there, offer to download it first."""
    from localmix.errors import NotPulled

    try:
        model = load_model(options.model, streams.stderr, **options.load_settings())
    except NotPulled:
        if not _offered(options, streams):
            raise
        model = load_model(options.model, streams.stderr, **options.load_settings())
    _note_use(model)
    say_context(model, streams)
    return model


def begin_loading(options: RunOptions, streams: Streams) -> Loading:
    """Begin to load the model behind the prompt of a chat; one that is missing is offered first."""
    import localmix
    from localmix.errors import LocalmixError, NotPulled
    from localmix.registry.resolve import resolve

    try:
        resolve(options.model, settings.home())
    except NotPulled:
        if not _offered(options, streams):
            raise
    except LocalmixError:
        pass  # loading says the same
    chosen = {"n_ctx": "auto", **options.load_settings()}

    def load(on_compile: Callable[[int, int], None]) -> Model:
        model = localmix.load(options.model, on_compile=on_compile, **chosen)
        _note_use(model)
        return model

    return Loading(load)


def _offered(options: RunOptions, streams: Streams) -> bool:
    """Offer to download a model that is missing -> whether it is here now."""
    from localmix.cli.pull import offer

    return streams.person_is_there and offer(options.model, streams)


def _note_use(model: Model) -> None:
    """Note that the model is used."""
    from localmix.registry.disk.records import Records

    Records(settings.home()).note_use(model.path)


def say_context(model: Model, streams: Streams) -> None:
    """Say what is odd about a model's context."""
    if model.n_ctx > model.config.context_length:
        console(streams.stderr).print(
            f"[warn]note:[/warn] the model was trained for {model.config.context_length} tokens; "
            f"beyond them, up to {model.n_ctx}, its answers may be of no use"
        )


def prompt_ids(model: Model, prompt: str | Sequence[Message], options: RunOptions) -> list[int]:
    """Turn text to continue, or the messages of a chat, into the ids that the model reads."""
    if isinstance(prompt, str):
        return model.tokenize(prompt, parse_special=True)
    return model.render_chat(list(prompt), safe_prompt=options.safe_prompt)


def fitting_ids(model: Model, turns: Turns, options: RunOptions) -> Fitted:
    """Make the prompt of a conversation, without turns that have no room if they may go."""
    from localmix.conversation.turns import fit

    def render(messages: Sequence[Message]) -> list[int]:
        return prompt_ids(model, messages, options)

    return fit(turns, render, model.n_ctx, options.on_overflow)


def dropped_note(n_turns: int) -> str:
    """What is to be said of turns that have no room."""
    turns = "turn" if n_turns == 1 else f"{n_turns} turns"
    return f"the context is full: the model does not see the oldest {turns} any more"


class Answering:
    """One answer: start it, stream it, and look at what it cost.

    Attributes:
        generation: the engine's iterator, with tokens, text, finish_reason and stats.
    """

    def __init__(
        self,
        model: Model,
        ids: list[int],
        options: RunOptions,
        streams: Streams,
        *,
        is_answer: bool = True,
        guard: Guard | None = None,
    ) -> None:
        """Start an answer to the ids of a prompt.

        Args:
            model: who answers.
            ids: the whole prompt.
            options: of `run`.
            streams: where it goes.
            is_answer: the text begins anew instead of going on with the prompt's.
            guard: judges the whole answer before it is shown.
        """
        if options.show_prompt:
            _show_prompt(model, ids, streams)
        self._model, self._options, self._streams, self._guard = model, options, streams, guard
        self._status = StatusLine(streams.stderr)
        self._reading = Reading()
        self.generation: Generation = model.generate(
            ids,
            max_tokens=options.max_tokens,
            is_answer=is_answer,
            on_prefill=self._on_prefill,
            **options.sampling_settings(),
        )

    def drain(self) -> None:
        """Make the whole answer without showing it."""
        try:
            for _ in self.generation:
                self._status.clear()
        finally:
            self._status.clear()
        if self._guard is not None:
            self._guard.check(self.generation.text, "answer")

    def stream(self) -> None:
        """Write the answer as it comes, and end it with a newline."""
        if self._guard is not None:
            self.drain()
            pieces: Iterator[str] = iter([self.generation.text])
        else:
            pieces = (piece.text for piece in self.generation)
        stdout = self._streams.stdout
        on_terminal = stdout.isatty()
        markdown = Markdown() if on_terminal and _has_styles() else None
        last = ""
        try:
            for piece in pieces:
                self._status.clear()
                # A pipe gets the text as it is; a terminal must not be steered by a model.
                text = printable(piece) if on_terminal else piece
                if text:
                    last = text[-1]  # before writing: Ctrl-C can come in between
                    stdout.write(markdown.push(text) if markdown else text)
                    stdout.flush()
            last = last or " "  # an empty answer is an empty line
        finally:
            self._status.clear()
            stdout.write(markdown.flush() if markdown else "")
            if last not in ("", "\n"):
                stdout.write("\n")
            stdout.flush()

    def remark(self) -> None:
        """Say on stderr what the context cost, and the figures if asked for."""
        options, generation, stderr = self._options, self.generation, self._streams.stderr
        n_dropped = generation.stats.dropped_tokens
        if n_dropped:
            console(stderr).print(
                f"[warn]note:[/warn] the context of {self._model.n_ctx} tokens was full: the oldest"
                f" {n_dropped} of them were dropped"
            )
        if generation.finish_reason == "length" and len(generation.tokens) != options.max_tokens:
            page = console(stderr)
            page.print(
                f"[warn]note:[/warn] the answer stops here: the context of {self._model.n_ctx} "
                "tokens is full (--ctx N gives more)"
            )
        if options.verbose:
            line = figures(generation.stats, reading_speed(self._model, generation.stats))
            console(stderr).print(line, style="muted", markup=False)

    def _on_prefill(self, n_done: int, n_total: int) -> None:
        self._status.show(self._reading.line(n_done, n_total))


class Reading:
    """How far a prompt was read, how fast, and how long the rest will take."""

    def __init__(self, clock: Callable[[], float] = time.perf_counter) -> None:
        self._clock = clock
        self._start_s: float | None = None
        self._n_before = 0

    def line(self, n_done: int, n_total: int) -> str:
        """Say it in a line; the first call begins to count."""
        now_s = self._clock()
        if self._start_s is None:
            self._start_s, self._n_before = now_s, n_done
        parts = [f"reading the prompt: {n_done} of {n_total} tokens"]
        n_read, seconds = n_done - self._n_before, now_s - self._start_s
        if n_read > 0 and seconds > 0 and n_done < n_total:
            tok_s = n_read / seconds
            parts += [units.rate(tok_s), f"{units.seconds((n_total - n_done) / tok_s)} left"]
        return " · ".join(parts)


def settings_rows(model: Model, options: RunOptions, turns: Turns) -> list[tuple[str, str]]:
    """The model and the settings in force, for people."""
    config = model.config
    window = f"{config.sliding_window} tokens" if config.sliding_window else "none"
    experts = f"{config.n_experts_used} of {config.n_experts}" if config.n_experts else "none"
    rows = [
        ("model", options.model),
        ("file", str(model.path)),
        ("context", f"{model.n_ctx} tokens of {config.context_length}, window {window}"),
        ("experts", experts),
        ("chat format", "none, a base model" if model.is_base else model.chat_format.name),
        ("system", turns.system or "none"),
    ]
    shown = {name: getattr(options, name) for name in SETTABLE if name != "system"}
    said = [f"{name} {value}" for name, value in shown.items() if value not in (None, False)]
    return [*rows, ("settings", " · ".join(said))]


def _has_styles() -> bool:
    """Say whether a terminal can and may show more than plain text."""
    environ = os.environ
    return not environ.get("NO_COLOR") and environ.get("TERM") not in ("dumb", "unknown")


def _show_prompt(model: Model, ids: list[int], streams: Streams) -> None:
    """Write what the model reads; control tokens stand out where there are colours."""
    page = console(streams.stderr)
    page.print(f"the prompt, {len(ids)} tokens:", style="muted", markup=False)
    for is_control, run in groupby(ids, model.tokenizer.is_control):
        text = printable(model.prompt_text(list(run)))
        page.print(text, style="magenta" if is_control else None, markup=False, end="")
    page.print()
