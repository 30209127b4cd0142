"""Commands of the chat: each is a function here, and one row of `COMMANDS`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import typer

from localmix import settings, units
from localmix.cli.answer import settings_rows
from localmix.cli.chat.talk import Talk, short
from localmix.cli.figures import figures, reading_speed
from localmix.cli.options import SETTABLE, parse_setting
from localmix.cli.terminal import console, printable, write_fields, write_table
from localmix.errors import LocalmixError
from localmix.settings import EXECUTORS, KV_TYPES, OVERFLOWS, WEIGHTS_MODES

Do = Callable[[Talk, str], None]


@dataclass(frozen=True)
class ChatCommand:
    """One command.

    Attributes:
        takes: what follows its name, for people.
        does: what it does, in a few words.
        do: called with the conversation and the text behind the name.
    """

    takes: str
    does: str
    do: Do


def run_command(talk: Talk, line: str) -> None:
    """Do what a line that starts with a slash says; raises EOFError to leave the chat."""
    name, *rest = line.split(maxsplit=1)
    name = _ALSO.get(name.lower(), name.lower())
    command = COMMANDS.get(name)
    if command is None:
        close = get_close_matches(name, COMMANDS, n=1)
        meant = f"; did you mean {close[0]}?" if close else "; /help lists them"
        talk.say(f"{name} is no command{meant}")
    elif rest and not command.takes:
        talk.say(f"{name} takes nothing more")
    else:
        command.do(talk, "".join(rest).strip())


def complete(text: str) -> Sequence[str]:
    """Give what could stand in place of the last word: commands, settings, files, models."""
    words = text.split(" ")
    last = words[-1]
    if len(words) == 1 and last.startswith("/"):
        return [name for name in COMMANDS if name.startswith(last)]
    if words[0] == "/set" and len(words) == 2:
        return [name for name in _CHANGEABLE if name.startswith(last)]
    if words[0] == "/set" and len(words) == 3:
        return [value for value in _values(words[1]) if value.startswith(last)]
    if words[0] == "/model" and len(words) == 2:
        return [name for name in _models() if name.startswith(last)]
    if last.startswith("@"):
        found = _files(last[1:].removeprefix('"'))
        return [f'@"{path}"' if " " in path else f"@{path}" for path in found]
    return []


def _help(talk: Talk, rest: str) -> None:
    rows = [(f"{name} {command.takes}", command.does) for name, command in COMMANDS.items()]
    rows += [
        ("@file", "puts the text of a file into the message"),
        ('"""', "opens and closes a message of several lines"),
        ("Ctrl-C", "stops an answer, and keeps what there is of it"),
        ("Ctrl-D", "leaves"),
    ]
    page = console(talk.streams.stderr)
    for what, does in rows:
        page.print(f"{what:<19}", end="", markup=False)
        page.print(does, style="muted", markup=False)


def _clear(talk: Talk, rest: str) -> None:
    talk.turns.clear()
    if talk.saved is not None:
        talk.saved.begin_anew()
    talk.say("The conversation is forgotten; a new one begins.")


def _undo(talk: Talk, rest: str) -> None:
    question = talk.turns.undo()
    if question is None:
        talk.say("There is nothing to take back.")
        return
    if talk.saved is not None:
        talk.saved.write(talk.turns, None)
    talk.say(f"Taken back: {short(question)}")


def _retry(talk: Talk, rest: str) -> None:
    talk.retry()


def _edit(talk: Talk, rest: str) -> None:
    talk.edit()


def _system(talk: Talk, rest: str) -> None:
    if not rest:
        talk.say(talk.turns.system or "There is no system message.")
        return
    talk.turns.system = "" if rest in ("off", "none") else rest
    changed = "changed" if talk.turns.system else "off"
    talk.say(f"The system message is {changed}; what was said stays.")


def _set(talk: Talk, rest: str) -> None:
    if not rest:
        rows = [(name, _said(getattr(talk.options, name))) for name in _CHANGEABLE]
        write_fields(rows, talk.streams.stderr)
        return
    name, _, value = rest.partition(" ")
    name, value = name.lstrip("-").replace("-", "_"), value.strip()
    if name not in _CHANGEABLE:
        raise LocalmixError(
            f"/set takes a name and a value; names are {', '.join(_CHANGEABLE)}",
            "/set temperature 0.2",
        )
    if not value:
        talk.say(f"{name} is {_said(getattr(talk.options, name))}")
        return
    if name == "system":
        _system(talk, value)
        return
    talk.set(**{name: parse_setting(name, value)})
    talk.say(f"{name} is {_said(getattr(talk.options, name))}")


def _show(talk: Talk, rest: str) -> None:
    write_fields(settings_rows(talk.model, talk.options, talk.turns), talk.streams.stderr)


def _save(talk: Talk, rest: str) -> None:
    if talk.saved is None:
        raise LocalmixError("nothing is saved with --no-history", "start without it")
    if not talk.turns.messages:
        talk.say("There is nothing to save yet.")
        return
    if rest not in ("", "cache"):
        raise LocalmixError("/save takes nothing, or cache", "/save cache")
    talk.saved.write(talk.turns, None)
    if not talk.saved.id:
        raise LocalmixError(
            "the conversation cannot be saved", "look whether LOCALMIX_HOME can be written"
        )
    if rest == "cache":
        n_bytes = talk.saved.keep_cache(talk.model)
        talk.say(f"Saved with its cache, {units.size(n_bytes)}.")
    talk.say(
        f"Conversation {talk.saved.id}: localmix run {talk.options.model} --resume {talk.saved.id}"
    )


def _load(talk: Talk, rest: str) -> None:
    if talk.saved is None:
        raise LocalmixError("nothing is saved with --no-history", "start without it")
    if not rest.isdecimal() or len(rest) > 18:
        raise LocalmixError("/load takes the number of a conversation", "/history lists them")
    talk.turns = talk.saved.resume(int(rest))
    n = talk.saved.take_cache(talk.model)
    cached = f", {n} tokens of it from its cache" if n else ""
    talk.say(f"Conversation {rest}, {len(talk.turns.messages)} messages{cached}.")
    answer = talk.turns.last_answer
    if answer is not None:
        talk.say(f"… {short(answer)}")


def _history(talk: Talk, rest: str) -> None:
    from localmix.cli.history import HEADER, rows
    from localmix.conversation.history import History

    history = History(settings.home())
    found = history.search(rest) if rest else history.latest()
    if not found:
        talk.say(f"No conversation has {rest}." if rest else "No conversation is saved.")
        return
    write_table(rows(found), talk.streams.stderr, header=HEADER, right=(0, 3))


def _tokens(talk: Talk, rest: str) -> None:
    model = talk.model
    if rest:
        ids = model.tokenize(rest, add_bos=False)
        pieces = " ".join(f"[{printable(model.prompt_text([token]))}]" for token in ids)
        talk.say(f"{len(ids)} tokens: {pieces}")
        return
    if not talk.turns.messages:
        talk.say(f"Nothing was said yet; the context holds {model.n_ctx} tokens.")
        return
    if talk.options.raw or model.is_base:
        talk.say("This model goes on with one text at a time: /stats says how long it was.")
        return
    n_tokens = len(model.render_chat(talk.turns.all, safe_prompt=talk.options.safe_prompt))
    talk.say(f"ctx {n_tokens}/{model.n_ctx}: the conversation has {n_tokens} tokens.")


def _stats(talk: Talk, rest: str) -> None:
    if talk.last is None:
        talk.say("There was no answer yet.")
    else:
        talk.say(figures(talk.last.stats, reading_speed(talk.model, talk.last.stats)))


def _experts(talk: Talk, rest: str) -> None:
    from localmix.cli.experts import draw_ids

    model = talk.model
    if not model.config.n_experts:
        raise LocalmixError("this model has no experts", "a Mixtral has: /model tiny")
    if talk.last is None:
        talk.say("There was no answer yet.")
        return
    draw_ids(model, talk.options.model, talk.last.ids, talk.streams)


def _model(talk: Talk, rest: str) -> None:
    if not rest:
        others = ", ".join(name for name in _models() if name != talk.options.model)
        talk.say(f"{talk.options.model}; others here: {others or 'none'}")
        return
    try:
        talk.reload(replace(talk.options, model=rest))
    except typer.Exit:
        return  # it is not here, and was not wanted after all
    if talk.saved is not None:
        talk.saved.model = rest
    talk.say(f"{rest} goes on from here.")


def _bye(talk: Talk, rest: str) -> None:
    raise EOFError


COMMANDS = {
    "/help": ChatCommand("", "this list", _help),
    "/clear": ChatCommand("", "forget the conversation, begin another", _clear),
    "/undo": ChatCommand("", "take the last question and its answer back", _undo),
    "/retry": ChatCommand("", "answer the last question again", _retry),
    "/edit": ChatCommand("", "take the last question back into the line", _edit),
    "/system": ChatCommand("[TEXT|off]", "show or change what the model should be", _system),
    "/set": ChatCommand("[NAME VALUE]", "show or change options: /set temperature 0.2", _set),
    "/show": ChatCommand("", "the model, and the settings in force", _show),
    "/save": ChatCommand("[cache]", "save now; with its cache resuming is instant", _save),
    "/load": ChatCommand("ID", "go on with a saved conversation", _load),
    "/history": ChatCommand("[WORDS]", "saved conversations", _history),
    "/tokens": ChatCommand("[TEXT]", "how full the context is, or a text in tokens", _tokens),
    "/stats": ChatCommand("", "figures of the last answer", _stats),
    "/experts": ChatCommand("", "which experts the tokens of the last prompt visit", _experts),
    "/model": ChatCommand("[NAME]", "show or change the model", _model),
    "/bye": ChatCommand("", "leave (so does Ctrl-D)", _bye),
}

_ALSO = {"/exit": "/bye", "/quit": "/bye", "/?": "/help"}
"""What other programs say."""

_CHANGEABLE = [name for name in SETTABLE if name != "no_history"]
"""What can change while a chat goes on."""


def _values(name: str) -> Sequence[str]:
    """Values of a setting, if they are words."""
    if SETTABLE.get(name) is bool:
        return ("on", "off")
    words = {
        "on_overflow": OVERFLOWS,
        "kv": KV_TYPES,
        "weights": WEIGHTS_MODES,
        "executor": EXECUTORS,
    }
    return words.get(name, ())


def _said(value: Any) -> str:
    """A setting, for people."""
    if value is None:
        return "not set"
    if isinstance(value, bool):
        return "on" if value else "off"
    return ", ".join(value) if isinstance(value, list) else str(value)


def _models() -> list[str]:
    from localmix.registry.disk.inventory import Inventory

    return [model.name for model in Inventory(settings.home()).list() if model.complete]


def _files(begin: str) -> list[str]:
    """Files and folders whose path begins so."""
    folder, _, stem = begin.rpartition("/")
    base = Path(folder).expanduser() if folder else Path("/" if begin.startswith("/") else ".")
    try:
        found = sorted(p for p in base.iterdir() if p.name.startswith(stem))
        found = [p for p in found if stem or not p.name.startswith(".")]
    except OSError:
        return []
    prefix = f"{folder}/" if "/" in begin else ""
    return [f"{prefix}{p.name}{'/' if p.is_dir() else ''}" for p in found[:50]]
