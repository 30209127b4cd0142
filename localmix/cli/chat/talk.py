"""A conversation in a terminal: a question goes to the model, its answer to the screen.

`loop.py` reads what is typed; `commands.py` changes what stands here.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import takewhile
from pathlib import Path
from typing import TYPE_CHECKING

from localmix.cli.answer import (
    BASE_MODEL,
    Answering,
    begin_loading,
    dropped_note,
    fitting_ids,
    prompt_ids,
    say_context,
)
from localmix.cli.errors import explain, write_report
from localmix.cli.figures import footer, meter_note
from localmix.cli.guard import Guard
from localmix.cli.options import RunOptions
from localmix.cli.terminal import Streams, console, printable
from localmix.conversation.attachments import attach
from localmix.conversation.turns import Turns

if TYPE_CHECKING:
    from localmix.cli.chat.saved import Saved
    from localmix.cli.loading import Loading
    from localmix.engine import Model, Stats

READ_AGAIN_TOKENS = 64
"""So many tokens that are read a second time are spoken of."""


@dataclass(frozen=True)
class Last:
    """The last answer's figures, the ids that it was made from, and its own."""

    stats: Stats
    ids: list[int]
    answer_ids: list[int]


class Talk:
    """A conversation.

    Attributes:
        turns: what was said so far.
        options: settings in force; /set changes them.
        streams: where it is held.
        saved: where it is written down; None with --no-history.
        last: figures of the last answer; None before the first one.
        draft: what the next line begins with.
    """

    def __init__(
        self,
        loading: Loading,
        options: RunOptions,
        streams: Streams,
        turns: Turns,
        saved: Saved | None = None,
    ) -> None:
        self.turns, self.options, self.streams, self.saved = turns, options, streams, saved
        self.last: Last | None = None
        self.draft = ""
        self.loading = loading
        self._is_greeted = False
        self._typed: dict[str, str] = {}  # messages with their files -> as they were typed

    @property
    def model(self) -> Model:
        """The model; waits until it is loaded."""
        return self.loading.model(self.streams.stderr)

    def resume(self) -> None:
        """Remind of a conversation that was taken up."""
        answer = self.turns.last_answer
        if answer is not None:
            self.say(f"It goes on after {len(self.turns.messages)} messages, the last of them:")
            self.say(f"… {short(answer)}")

    def greet(self) -> None:
        """Say what is to be known of the model, once."""
        model = self.model
        if self._is_greeted:
            return
        self._is_greeted = True
        say_context(model, self.streams)
        if self.saved is not None and self.saved.id and self.last is None:
            self.saved.take_cache(model)  # of a conversation that was taken up
        if model.is_base and not self.options.raw:
            self.say(BASE_MODEL)

    def turn(self, text: str) -> None:
        """Answer one message with its files; one that gets no answer is forgotten."""
        attached = attach(text, Path())
        for path in attached.paths:
            self.say(f"with {path}")
        self._typed[attached.text] = text
        self._answer(attached.text)

    def retry(self) -> None:
        """Answer the last message again; the old answer stays if there is no new one."""
        before = list(self.turns.messages)
        question = self.turns.undo()
        if question is None:
            self.say("Nothing was asked yet.")
            return
        try:
            self._answer(question)
        finally:
            if len(self.turns.messages) < len(before):
                self.turns.messages[:] = before

    def edit(self) -> None:
        """Take the last message back into the line."""
        question = self.turns.undo()
        if question is None:
            self.say("Nothing was asked yet.")
        else:
            self.draft = self._typed.get(question, question)

    def reload(self, options: RunOptions) -> None:
        """Go on with another model, or the same one loaded otherwise.

        The old one stays if that fails.
        """
        loading = begin_loading(options, self.streams)
        try:
            loading.model(self.streams.stderr)
        except BaseException:
            loading.close()
            raise
        self.loading.close()
        self.loading, self.options, self.last = loading, options, None
        self._is_greeted = False
        self.greet()

    def set(self, **changes: object) -> None:
        """Change settings; raises WrongUsage for a value that makes no sense."""
        options = replace(self.options, **changes)  # type: ignore[arg-type]
        options.check()
        if options.load_settings() != self.options.load_settings():
            self.reload(options)
        self.options = options

    def say(self, text: str) -> None:
        """Say something that is no answer."""
        console(self.streams.stderr).print(printable(text), style="muted", markup=False)

    def note(self, text: str) -> None:
        """Say something that one should know."""
        page = console(self.streams.stderr)
        page.print("[warn]note:[/warn]", end=" ")
        page.print(text, markup=False)

    def report(self, error: Exception) -> None:
        """Say what went wrong, and stay."""
        write_report(explain(error, ["run"]), self.streams.stderr)

    def _answer(self, question: str) -> None:
        self.greet()
        model, before = self.model, self.last
        guard = Guard(model) if self.options.moderate else None
        if guard is not None:
            guard.check(question, "prompt")
        self.turns.ask(question)
        try:
            ids = self._prompt(model, question)
            is_answer = not (self.options.raw or model.is_base)
            answering = Answering(
                model, ids, self.options, self.streams, is_answer=is_answer, guard=guard
            )
            try:
                answering.stream()
            except KeyboardInterrupt:
                if guard is None:  # nobody has seen what is not judged yet
                    self._keep(answering, ids)
                raise
            self._keep(answering, ids)
            answering.remark()
            self._sum_up(model, before)
        finally:
            if self.turns.last_answer is None:
                self.turns.answer("")

    def _keep(self, answering: Answering, ids: list[int]) -> None:
        """Make an answer, or what there is of it, part of the conversation."""
        generation = answering.generation
        answer = generation.text.strip()
        self.last = Last(generation.stats, ids, list(generation.tokens))
        self.turns.answer(answer)
        if answer and self.saved is not None:
            self.saved.write(self.turns, generation.stats)

    def _prompt(self, model: Model, text: str) -> list[int]:
        if self.options.raw or model.is_base:
            return prompt_ids(model, text, self.options)
        fitted = fitting_ids(model, self.turns, self.options)
        if fitted.n_dropped:
            self.note(dropped_note(fitted.n_dropped))
        return fitted.ids

    def _sum_up(self, model: Model, before: Last | None) -> None:
        """Write the footer, and say what a person may wonder about."""
        assert self.last is not None, "there was an answer"
        stats, stderr = self.last.stats, self.streams.stderr
        if not self.options.verbose and stderr.isatty():
            self.say(footer(stats, model.n_ctx))
        if not stats.generated_tokens:
            self.say("The model said nothing, so the question does not count.")
        if before is not None and not self.options.moderate:  # the guard takes the cache
            held = [*before.ids, *before.answer_ids]
            pairs = zip(held, self.last.ids, strict=False)
            n_same = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))
            if n_same - stats.kept_tokens >= READ_AGAIN_TOKENS:
                self.note(
                    f"the conversation was read again, {stats.prompt_tokens} tokens: "
                    "its beginning had left the cache"
                )
        note = meter_note(stats, model.n_ctx, self.options.on_overflow)
        if note:
            self.note(note)


def short(text: str) -> str:
    """A text as the beginning of one line."""
    line = " ".join(text.split())
    return line if len(line) <= 70 else line[:69] + "…"
