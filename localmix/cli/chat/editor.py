"""The line that a person types into: history, search, completion, several lines.

prompt_toolkit draws it; nothing else here imports that. Arrow keys and Ctrl-R reach lines of
earlier chats, Tab completes commands and files, a paste keeps its line breaks. On a terminal that
cannot do such things, and in a pipe, lines are read as they come.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from localmix.cli.terminal import Streams

if TYPE_CHECKING:
    from prompt_toolkit import PromptSession
    from prompt_toolkit.application import Application
    from prompt_toolkit.layout import Layout

ReadLine = Callable[[str, str], str]
"""Shows a prompt, with a text already in the line, and gives what was typed.

Raises EOFError at the end of the input, KeyboardInterrupt for Ctrl-C.
"""

Complete = Callable[[str], Sequence[str]]
"""From the text before the cursor: the words that could stand in place of the last one."""

IsOver = Callable[[], bool | None]
"""Whether there is no use in typing on: True, not yet, or None for never."""

_LOOK_EVERY_S = 0.1


def line_editor(
    streams: Streams, history: Path | None, complete: Complete, is_over: IsOver = lambda: None
) -> ReadLine:
    """Give the best way to read lines here.

    Args:
        streams: of the process.
        history: a file of typed lines; None keeps none.
        complete: for Tab.
        is_over: asked while a person types; if so, the line ends as with Ctrl-D.
    """
    is_terminal = streams.stdin.isatty() and streams.stdout.isatty()
    if is_terminal and os.environ.get("TERM", "") not in ("dumb", "unknown"):
        return _drawn(history, complete, is_over)
    return _plain(streams)


def _plain(streams: Streams) -> ReadLine:
    def read_line(prompt: str, default: str) -> str:
        # Without editing a text cannot be put into the line: it is shown, to be typed again.
        streams.stderr.write(f"{default}\n{prompt}" if default else prompt)
        streams.stderr.flush()
        line = streams.stdin.readline()
        if not line:
            streams.stderr.write("\n")  # the prompt's line ends there
            raise EOFError
        return line.removesuffix("\n")

    return read_line


def _drawn(history: Path | None, complete: Complete, is_over: IsOver) -> ReadLine:
    from prompt_toolkit.formatted_text import FormattedText

    session = _session(history, complete)
    _keep_drawn(session)

    async def watch() -> None:
        while (over := is_over()) is not None:
            if over and not session.app.is_done:
                session.app.exit(exception=EOFError)
                return
            await asyncio.sleep(_LOOK_EVERY_S)

    def begin() -> None:
        session.app.create_background_task(watch())

    def read_line(prompt: str, default: str) -> str:
        # A style, or the space at its end would be a movement of the cursor, which scripts that
        # wait for the prompt do not see.
        message = FormattedText([("fg:ansidefault", prompt)])
        return str(session.prompt(message, default=default, pre_run=begin))

    return read_line


def _keep_drawn(session: PromptSession[str]) -> None:
    """Leave a line as it stands when it is done.

    prompt_toolkit would draw it anew, prompt and all: a script would take that for the next prompt.
    """
    renderer = session.app.renderer
    draw = renderer.render

    def render(app: Application[Any], layout: Layout, is_done: bool = False) -> None:
        app.exit_style = ""  # a line that is left would be drawn anew in other colours
        if is_done:
            session.default_buffer.cursor_position = len(session.default_buffer.text)
        draw(app, layout)
        if is_done:
            renderer.output.write_raw("\r\n")
            renderer.output.erase_down()
            renderer.reset()
            renderer.output.flush()

    renderer.render = render  # type: ignore[method-assign]
    for window in session.app.layout.find_all_windows():
        if getattr(window.content, "buffer", None) is session.default_buffer:
            # The class of a last line, which looks like any other: a line that grows is drawn anew.
            window._apply_style = lambda *_: None  # type: ignore[method-assign]


def _session(history: Path | None, complete: Complete) -> PromptSession[str]:
    from prompt_toolkit import PromptSession
    from prompt_toolkit.completion import CompleteEvent, Completer, Completion
    from prompt_toolkit.document import Document
    from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent
    from prompt_toolkit.output import create_output

    class Words(Completer):
        def get_completions(self, document: Document, event: CompleteEvent) -> Iterable[Completion]:
            text = document.text_before_cursor
            last = text[max(text.rfind(" "), text.rfind("\n")) + 1 :]
            for word in complete(text):
                yield Completion(word, start_position=-len(last))

    words, keys = Words(), KeyBindings()

    @keys.add("tab")
    def _(event: KeyPressEvent) -> None:
        # Its own Tab looks in the background: Enter right behind it would come too early.
        buffer = event.current_buffer
        found = list(words.get_completions(buffer.document, CompleteEvent()))
        if len(found) == 1:
            buffer.apply_completion(found[0])
        elif buffer.complete_state:
            buffer.complete_next()
        else:
            buffer.start_completion(insert_common_part=True)

    output = create_output()
    # It would ask the terminal where the cursor is, and wait seconds for one that does not answer.
    output.enable_cpr = False  # type: ignore[attr-defined]
    return PromptSession(
        history=_history(history),
        completer=words,
        key_bindings=keys,
        complete_while_typing=False,
        output=output,
        enable_history_search=False,
    )


def _history(path: Path | None) -> Any:
    """Lines of earlier chats; a file that cannot be written is no reason not to chat."""
    from prompt_toolkit.history import FileHistory, InMemoryHistory

    if path is None:
        return InMemoryHistory()
    folder = path.parent

    class Lines(FileHistory):
        def load_history_strings(self) -> Iterable[str]:
            try:
                return list(super().load_history_strings())
            except OSError:
                return []

        def store_string(self, string: str) -> None:
            try:
                folder.mkdir(parents=True, exist_ok=True)
                super().store_string(string)
            except OSError:
                return

    return Lines(str(path))
