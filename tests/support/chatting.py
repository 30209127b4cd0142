"""A chat whose lines are typed by a list."""

import io
from dataclasses import dataclass

from support.streams import Terminal

EOF, CTRL_C = EOFError(), KeyboardInterrupt()


class Keyboard:
    """Gives typed lines one after the other; remembers prompts, and what stood in the line."""

    def __init__(self, *lines):
        self.lines = list(lines)
        self.prompts, self.drafts = [], []

    def __call__(self, prompt, default):
        self.prompts.append(prompt)
        self.drafts.append(default)
        line = self.lines.pop(0) if self.lines else EOF
        if isinstance(line, BaseException):
            raise line
        if callable(line):
            line = line()
        return default if line is None else line


@dataclass
class Held:
    """What a chat left behind."""

    out: str
    err: str
    talk: object
    keyboard: Keyboard

    @property
    def said(self):
        """Everything on stderr but the greeting."""
        return self.err.removeprefix(GREETING)


GREETING = "Ask anything. /help lists commands, Ctrl-D leaves.\n"


def hold_chat(model, lines, *, terminal=False, saves=False, turns=None, **options):
    """Hold a chat with a model that is there at once.

    Args:
        model: who answers.
        lines: what is typed: texts, exceptions, functions that give a text, or None for the draft.
        terminal: the streams are a terminal's.
        saves: the conversation is written down in LOCALMIX_HOME.
        turns: those of an earlier conversation.
        options: fields of `RunOptions`.
    """
    from localmix import settings
    from localmix.cli.chat.loop import Chat
    from localmix.cli.chat.saved import Saved
    from localmix.cli.chat.talk import Talk
    from localmix.cli.loading import Loading
    from localmix.cli.options import RunOptions
    from localmix.cli.terminal import Streams
    from localmix.conversation.turns import Turns

    stream = Terminal if terminal else io.StringIO
    streams = Streams(stream(), stream(), stream())
    run_options = RunOptions("m", no_history=not saves, **options)
    loading = Loading(lambda on_compile: model)
    saved = None
    if saves:
        failures = []
        saved = Saved(settings.home(), "m", run_options.sampling_settings(), failures.append)
        saved.failures = failures
    turns = turns or Turns(run_options.system or "")
    talk = Talk(loading, run_options, streams, turns, saved)
    keyboard = Keyboard(*lines)
    assert loading.is_over_within(30)
    Chat(talk, keyboard).loop()
    return Held(streams.stdout.getvalue(), streams.stderr.getvalue(), talk, keyboard)
