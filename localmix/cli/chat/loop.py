'''The chat: what opens when `run` gets no prompt and a person sits at the terminal.

An empty line does nothing, `"""` opens and closes a message of several lines, `@file` puts a file
into it, Ctrl-C stops an answer and keeps what there is of it, Ctrl-D or /bye leaves. The model
loads while the first message is typed. Commands are in `commands.py`.
'''

from __future__ import annotations

import re

from localmix import settings
from localmix.cli.chat.commands import complete, run_command
from localmix.cli.chat.editor import ReadLine, line_editor
from localmix.cli.chat.talk import Talk
from localmix.errors import ContextFull, LocalmixError

PROMPT, CONTINUATION, FENCE = ">>> ", "... ", '"""'
GREETING = "Ask anything. /help lists commands, Ctrl-D leaves."


class Chat:
    """Reads lines, and has them answered or done."""

    def __init__(self, talk: Talk, read_line: ReadLine | None = None) -> None:
        self._talk = talk
        if read_line is None:
            history = None if talk.options.no_history else settings.home() / "typed_lines"
            read_line = line_editor(talk.streams, history, complete, self._is_over)
        self._read_line = read_line

    def loop(self) -> None:
        """Read and answer until the person leaves."""
        talk = self._talk
        talk.say(GREETING)
        talk.resume()
        if talk.loading.is_over_within(0.2):
            talk.greet()  # before anybody types; else with the first answer
        while True:
            try:
                draft, talk.draft = talk.draft, ""
                line = self._read_line(PROMPT, draft)
                is_quoted = line.lstrip().startswith(FENCE)
                text = self._read_quoted(line) if is_quoted else line.strip()
            except EOFError:
                if talk.loading.has_failed:
                    talk.greet()  # raises what went wrong
                return
            except KeyboardInterrupt:
                talk.say("Ctrl-D or /bye leaves.")
                continue
            try:
                if _is_command(text) and not is_quoted:
                    run_command(talk, text)
                elif text.strip():
                    talk.turn(text)
            except EOFError:
                return  # /bye
            except KeyboardInterrupt:
                talk.say("stopped")
            except ContextFull as error:
                hint = error.hint.replace("--on-overflow", "/set on_overflow")
                error.hint = f"/clear, or {hint.replace('--ctx', '/set ctx')}"
                talk.report(error)
            except LocalmixError as error:
                if talk.loading.has_failed:
                    raise  # no chat without a model
                talk.report(error)
            except BrokenPipeError:
                raise  # nobody reads any more
            except (OSError, MemoryError) as error:
                talk.report(error)

    def _is_over(self) -> bool | None:
        """Whether there never will be a model; None when there is one."""
        loading = self._talk.loading
        if not loading.is_over_within(0):
            return False
        return loading.has_failed or None

    def _read_quoted(self, line: str) -> str:
        """Read on from a line that opens a fence to the line that closes it."""
        line = line.lstrip()[len(FENCE) :]
        lines = []
        while not line.rstrip().endswith(FENCE):
            lines.append(line)
            line = self._read_line(CONTINUATION, "")
        lines.append(line.rstrip()[: -len(FENCE)])
        return "\n".join(lines).strip("\n")


def _is_command(text: str) -> bool:
    """Say whether a line is a command, not `/home/me/notes.txt what is this?` or `/* a comment`."""
    return re.match(r"/[\w?-]*(\s|$)", text) is not None
