"""`localmix history`: conversations that were saved."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from localmix import settings
from localmix.cli.arguments import Json, flag, option
from localmix.cli.errors import WrongUsage
from localmix.cli.help import Command, Group
from localmix.cli.terminal import (
    Streams,
    confirm,
    console,
    printable,
    write_json,
    write_table,
)

if TYPE_CHECKING:
    from localmix.conversation.history import Conversation, History

EXAMPLES = """
localmix history list
localmix history show 12
localmix history search fox story
localmix history export 12 > fox.md
localmix run mistral --resume 12
"""

_Id = Annotated[int, typer.Argument(metavar="ID", help="A number that list shows.")]
_Limit = Annotated[
    int, option("--limit", "-n", metavar="N", text="How many at most.", group="Options")
]


def app() -> typer.Typer:
    """Make the group of commands."""
    group = typer.Typer(cls=Group, rich_markup_mode=None, add_completion=False, epilog=EXAMPLES)
    group.callback(invoke_without_command=True)(_root)
    for name, function, examples in (
        ("list", list_conversations, "localmix history list\nlocalmix history list --json"),
        ("show", show, "localmix history show 12"),
        ("search", search, "localmix history search fox story"),
        (
            "export",
            export,
            "localmix history export 12 > talk.md\nlocalmix history export 12 --json",
        ),
        ("rm", rm, "localmix history rm 12 13\nlocalmix history rm --all"),
    ):
        group.command(name, cls=Command, epilog=examples)(function)
    return group


def _root(context: typer.Context) -> None:
    """List, show, search, export and delete saved conversations.

    They lie in one SQLite file in LOCALMIX_HOME and go nowhere else. `run --no-history` saves none.
    """
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())
        raise typer.Exit


def list_conversations(limit: _Limit = 20, json: Json = False) -> None:
    """List the latest conversations."""
    _write_list(_history().latest(_checked(limit)), json, "no conversation is saved yet")


def search(
    words: Annotated[list[str], typer.Argument(metavar="WORDS...", help="What was said.")],
    limit: _Limit = 20,
    json: Json = False,
) -> None:
    """Find conversations in which all words were said."""
    text = " ".join(words)
    found = _history().search(text, _checked(limit))
    _write_list(found, json, f"no conversation holds {text}")


def show(number: _Id, json: Json = False) -> None:
    """Show a conversation."""
    streams = Streams.standard()
    conversation = _history().get(number)
    if json:
        write_json(_record(conversation), streams.stdout)
        return
    page = console(streams.stdout)
    page.print(
        f"{conversation.model} · {_local(conversation.created)}", style="muted", markup=False
    )
    for entry in conversation.entries:
        page.print(f"\n{entry.role}", style="title")
        page.print(printable(entry.content), markup=False)


def export(number: _Id, json: Json = False) -> None:
    """Write a conversation to stdout, as Markdown or JSON."""
    streams = Streams.standard()
    conversation = _history().get(number)
    if json:
        write_json(_record(conversation), streams.stdout)
        return
    title = conversation.title or f"Conversation {conversation.id}"
    parts = [f"# {title}", f"{conversation.model}, {conversation.created}"]
    parts += [f"## {entry.role}\n\n{entry.content}" for entry in conversation.entries]
    text = "\n\n".join(parts) + "\n"
    streams.stdout.write(printable(text) if streams.stdout.isatty() else text)


def rm(
    numbers: Annotated[
        list[int] | None, typer.Argument(metavar="[ID...]", help="Numbers that list shows.")
    ] = None,
    everything: Annotated[bool, flag("--all", text="All of them.", group="Options")] = False,
    yes: Annotated[bool, flag("--yes", "-y", text="Do not ask.", group="Options")] = False,
) -> None:
    """Delete saved conversations."""
    if bool(numbers) == everything:
        raise WrongUsage("rm takes numbers, or --all", "localmix history list")
    streams, history = Streams.standard(), _history()
    page = console(streams.stderr)
    if everything:
        asks = streams.person_is_there and not yes
        if asks and not confirm("Delete all conversations?", streams, default=False):
            return
        page.print(f"{history.clear()} deleted")
        return
    for number in numbers or ():
        history.get(number)  # one that is not there is said before any other goes
    for number in dict.fromkeys(numbers or ()):
        history.remove(number)
        page.print(f"{number} deleted")


def rows(conversations: list[Conversation]) -> list[tuple[str, str, str, str, str]]:
    """Give the table of some conversations."""
    return [
        (str(each.id), _local(each.updated), each.model, str(each.n_messages), each.title)
        for each in conversations
    ]


HEADER = ("id", "when", "model", "messages", "title")


def _write_list(found: list[Conversation], json: bool, nothing: str) -> None:
    streams = Streams.standard()
    if json:
        write_json([_record(each, with_messages=False) for each in found], streams.stdout)
    elif found:
        write_table(rows(found), streams.stdout, header=HEADER, right=(0, 3))
    else:
        console(streams.stderr).print(nothing, style="muted", markup=False)


def _record(conversation: Conversation, with_messages: bool = True) -> dict[str, Any]:
    record: dict[str, Any] = {
        "id": conversation.id,
        "model": conversation.model,
        "title": conversation.title,
        "created": conversation.created,
        "updated": conversation.updated,
    }
    if not with_messages:
        return {**record, "n_messages": conversation.n_messages}
    messages = [
        {"role": entry.role, "content": entry.content}
        | ({"figures": entry.figures} if entry.figures else {})
        for entry in conversation.entries
    ]
    return {**record, "settings": conversation.settings, "messages": messages}


def _history() -> History:
    from localmix.conversation.history import History

    return History(settings.home())


def _local(time: str) -> str:
    """A time as the person's clock has it."""
    from datetime import datetime

    try:
        return f"{datetime.fromisoformat(time).astimezone():%Y-%m-%d %H:%M}"
    except (ValueError, OverflowError):  # another program wrote it
        return time


def _checked(limit: int) -> int:
    if not 1 <= limit <= 10_000:
        raise WrongUsage(f"--limit must be from 1 to 10000, not {limit}")
    return limit
