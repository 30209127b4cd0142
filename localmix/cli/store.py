"""`localmix rm`, `cp`, `import`, `verify` and `prune`: order among the models on this machine."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from localmix import settings, units
from localmix.cli.arguments import flag, option
from localmix.cli.errors import FAILED, WrongUsage
from localmix.cli.terminal import (
    StatusLine,
    Streams,
    confirm,
    console,
    one_line,
    write_table,
)

if TYPE_CHECKING:
    from localmix.registry.disk.inventory import Inventory
    from localmix.registry.stored import StoredModel

RM_EXAMPLES = """
localmix rm mistral
localmix rm ollama/mistral:latest
"""

CP_EXAMPLES = """
localmix cp mistral my-mistral
"""

IMPORT_EXAMPLES = """
localmix import ~/Downloads/model-Q4_K_M.gguf
localmix import ./model.gguf --name my-model
localmix import ~/models
"""

VERIFY_EXAMPLES = """
localmix verify
localmix verify mistral
"""

PRUNE_EXAMPLES = """
localmix prune --dry-run
"""

_Names = Annotated[list[str], typer.Argument(metavar="NAME...", help="Names, as list shows them.")]


def rm(names: _Names) -> None:
    """Take models off the list, and delete those that localmix downloaded.

    Files of other programs, and those that were imported, are kept where they are.
    """
    from localmix.registry.disk.inventory import Inventory
    from localmix.registry.removal import remove

    page = console(Streams.standard().stderr)
    inventory = Inventory(settings.home())
    for name in names:
        done = remove(name, inventory)
        line = f"{done.name} is off the list"
        if done.freed_bytes or not done.kept:
            line += f", {units.size(done.freed_bytes)} freed"
        if done.kept:
            line += f"; {done.kept[0]} is kept: {done.reason}"
        page.print(one_line(line), markup=False)


def cp(
    source: Annotated[str, typer.Argument(metavar="NAME", help="A model that is here.")],
    name: Annotated[str, typer.Argument(metavar="NEW_NAME", help="Another name for it.")],
) -> None:
    """Give a model another name. Its file stays the only one."""
    from localmix.registry.disk.inventory import Inventory
    from localmix.registry.naming import copy_name

    page = console(Streams.standard().stderr)
    named = copy_name(source, name, Inventory(settings.home()))
    page.print(one_line(f"{named.name} is another name of {source}"), markup=False)


def import_models(
    paths: Annotated[
        list[Path], typer.Argument(metavar="PATH...", help=".gguf files, or folders of them.")
    ],
    name: Annotated[
        str,
        option("--name", metavar="NAME", text="What to type for it.", group="Options"),
    ] = "",
) -> None:
    """Take .gguf files into the list. They stay where they are, and nothing is copied."""
    from localmix.registry.disk.inventory import Inventory
    from localmix.registry.naming import import_path

    if name and len(paths) > 1:
        raise WrongUsage("--name is for one PATH", f"localmix import {paths[0]} --name {name}")
    page = console(Streams.standard().stderr)
    inventory = Inventory(settings.home())
    for path in paths:
        for named in import_path(path, inventory, name):
            line = f"{named.name} is on the list; its file stays at {named.paths[0]}"
            page.print(one_line(line), markup=False)


def verify(
    names: Annotated[
        list[str] | None, typer.Argument(metavar="[NAME...]", help="Which; without: all.")
    ] = None,
) -> None:
    """Check files against their SHA-256, as the Hub or another program states it.

    Where nobody states one, it is noted the first time and compared from then on.
    """
    from localmix.registry.disk.inventory import Inventory

    streams = Streams.standard()
    inventory = Inventory(settings.home())
    models = [_found(name, inventory) for name in names or ()]
    if not names:
        models = [m for m in inventory.list() if m.complete and m.origin != "embedded"]
    page = console(streams.stderr)
    if not models:
        page.print("no models here yet: localmix pull mistral", style="muted")
        return
    states = {}
    for model in models:
        states[model.name] = state = _checked(model, inventory, streams)
        console(streams.stdout).print(
            f"{state:<{_STATE_WIDTH}}  {one_line(model.name)}", markup=False
        )
    if "noted" in states.values():
        text = "noted: nobody states a SHA-256 for it; the one of today is compared from now on"
        page.print(text, style="muted")
    _refuse_wrong([name for name, state in states.items() if state in ("wrong", "missing")])


_STATES = ("wrong", "missing", "noted", "right")
"""What comes out for a file, what weighs most first."""

_STATE_WIDTH = max(map(len, _STATES))


def _checked(model: StoredModel, inventory: Inventory, streams: Streams) -> str:
    """Check all files of a model -> the worst that came out."""
    from localmix.registry.disk.verify import verify as check

    status = StatusLine(streams.stderr, delay_s=0.5)
    done_bytes: dict[Path, int] = {}

    def on_bytes(path: Path, n_bytes: int) -> None:
        done_bytes[path] = n_bytes
        done = units.size(sum(done_bytes.values()))
        status.show(f"checking {one_line(model.name)}: {done} of {units.size(model.size_bytes)}")

    try:
        found = {each.state for each in check(model, inventory.records, on_bytes)}
    finally:
        status.clear()
    return next(state for state in _STATES if state in found)


def _refuse_wrong(names: list[str]) -> None:
    """Raise for the models that are not what they were, if there are any."""
    from localmix.errors import ChecksumMismatch

    if names:
        more = f", and {len(names) - 1} more" if len(names) > 1 else ""
        raise ChecksumMismatch(
            f"not what it was: {names[0]}{more}",
            f"localmix rm {names[0]}, then download it again",
        )


def _found(name: str, inventory: Inventory) -> StoredModel:
    from localmix.gguf import GGUFFile
    from localmix.registry.resolve import find
    from localmix.registry.stored import StoredModel, newest_time

    model = find(name, inventory.home)
    if isinstance(model, StoredModel):
        return model
    with GGUFFile.open(model.path) as file:
        shards = tuple(shard.absolute() for shard in file.shards)
        size_bytes = file.size_bytes
    return StoredModel(str(model.path), "imported", shards, size_bytes, newest_time(shards), True)


def prune(
    dry_run: Annotated[
        bool, flag("--dry-run", text="Only say what would be deleted.", group="Options")
    ] = False,
    yes: Annotated[bool, flag("--yes", "-y", text="Do not ask.", group="Options")] = False,
) -> None:
    """Delete downloads that have not finished. Whole models stay."""
    from localmix.registry.disk.inventory import Inventory
    from localmix.registry.removal import prune as carry_out

    streams = Streams.standard()
    inventory = Inventory(settings.home())
    found = carry_out(inventory, is_dry_run=True)
    page = console(streams.stderr)
    if not found:
        page.print("no unfinished downloads here", style="muted")
        return
    rows = [(each.name, units.size(each.freed_bytes)) for each in found]
    write_table(rows, streams.stdout, header=("download", "size"), right=(1,))
    if dry_run:
        return
    total = units.size(sum(each.freed_bytes for each in found))
    asks = streams.person_is_there and not yes
    if asks and not confirm(f"Delete what has arrived, {total}?", streams, default=False):
        page.print("nothing was deleted", style="muted")
        raise typer.Exit(FAILED)
    done = carry_out(inventory)
    page.print(f"{units.size(sum(each.freed_bytes for each in done))} freed", markup=False)
