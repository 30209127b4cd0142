'''The chat, line by line: what opens when `run` gets no prompt and a person sits at the terminal.

An empty line does nothing, `"""` opens and closes a message of several lines, Ctrl-C stops an
answer and keeps the chat, Ctrl-D or /bye leaves. The conversation is a list of messages; each turn
renders it whole.
'''

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import TYPE_CHECKING

from localmix.cli.answer import Answering, Message, messages_of
from localmix.cli.errors import explain, write_report
from localmix.cli.options import RunOptions
from localmix.cli.terminal import Streams, console
from localmix.errors import ContextFull, LocalmixError

if TYPE_CHECKING:
    from localmix.engine import Model

PROMPT, CONTINUATION, FENCE = ">>> ", "... ", '"""'

COMMANDS = {
    "/help": "this list",
    "/clear": "forget the conversation",
    "/bye": "leave (so does Ctrl-D)",
}


class Chat:
    """A conversation in a terminal.

    Attributes:
        messages: the conversation so far, the system message first if there is one.
    """

    def __init__(
        self,
        model: Model,
        options: RunOptions,
        streams: Streams,
        read_line: Callable[[str], str] | None = None,
    ) -> None:
        self._model = model
        self._options = options
        self._streams = streams
        self._read_line = read_line or line_reader(streams)
        self.messages: list[Message] = messages_of(options)

    def loop(self) -> None:
        """Read and answer until the person leaves."""
        self._say("Ask anything. /help lists commands, Ctrl-D leaves.")
        while True:
            try:
                line = self._read_line(PROMPT)
                is_quoted = line.lstrip().startswith(FENCE)
                text = self._read_quoted(line) if is_quoted else line.strip()
            except EOFError:
                self._streams.stderr.write("\n")
                return
            except KeyboardInterrupt:
                self._say("\nCtrl-D or /bye leaves.")
                continue
            if text == "/bye" and not is_quoted:
                return
            if text.startswith("/") and not is_quoted:
                self.command(text)
            elif text.strip():
                self.turn(text)

    def turn(self, text: str) -> None:
        """Answer one message; one that gets no answer is forgotten."""
        self.messages.append({"role": "user", "content": text})
        answer = ""
        try:
            answering = Answering(self._model, self.messages, self._options, self._streams)
            try:
                answering.stream()
                answering.remark()
            finally:
                answer = answering.generation.text.strip()
        except KeyboardInterrupt:
            self._say("stopped")
        except ContextFull as error:
            error.hint = f"/clear, or {error.hint}"
            write_report(explain(error, ["run"]), self._streams.stderr)
        except LocalmixError as error:
            write_report(explain(error, ["run"]), self._streams.stderr)
        if answer:
            self.messages.append({"role": "assistant", "content": answer})
        else:
            self.messages.pop()

    def command(self, line: str) -> None:
        """Do what a line that starts with a slash says."""
        if line.split()[0] == "/help":
            for name, meaning in COMMANDS.items():
                self._say(f"{name:<8} {meaning}")
            self._say(f"{FENCE:<8} opens and closes a message of several lines")
            self._say("Ctrl-C   stops an answer")
        elif line == "/clear":
            self.messages = messages_of(self._options)
            self._say("The conversation is forgotten.")
        else:
            self._say(f"{line.split()[0]} is no command; /help lists them")

    def _read_quoted(self, line: str) -> str:
        """Read on from a line that opens a fence to the line that closes it."""
        line = line.lstrip()[len(FENCE) :]
        lines = []
        while not line.rstrip().endswith(FENCE):
            lines.append(line)
            line = self._read_line(CONTINUATION)
        lines.append(line.rstrip()[: -len(FENCE)])
        return "\n".join(lines).strip("\n")

    def _say(self, text: str) -> None:
        console(self._streams.stderr).print(text, style="muted", markup=False)


def line_reader(streams: Streams) -> Callable[[str], str]:
    """Give a function that shows a prompt and reads a line, with line editing if there is any."""
    if streams.stdin.isatty() and streams.stdout.isatty():
        with contextlib.suppress(ImportError):
            import readline  # noqa: F401  importing it is what gives input() its editing
        return input

    def read_line(prompt: str) -> str:
        streams.stderr.write(prompt)
        streams.stderr.flush()
        line = streams.stdin.readline()
        if not line:
            raise EOFError
        return line.removesuffix("\n")

    return read_line
