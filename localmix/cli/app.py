"""The table of commands, and `main`: the entry point of the `localmix` script."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence

import typer

from localmix import __version__
from localmix.cli.errors import guard
from localmix.cli.help import Command, Group
from localmix.cli.terminal import Streams

EXAMPLES = """
localmix run tiny "Tell me a story about a fox"
localmix run mistral
localmix pull mixtral --dry-run
"""


COMMANDS = {
    "run": ("run", "run", "EXAMPLES"),
    "pull": ("pull", "pull", "EXAMPLES"),
    "list": ("models", "list_models", "LIST_EXAMPLES"),
    "show": ("models", "show", "SHOW_EXAMPLES"),
    "rm": ("store", "rm", "RM_EXAMPLES"),
    "cp": ("store", "cp", "CP_EXAMPLES"),
    "import": ("store", "import_models", "IMPORT_EXAMPLES"),
    "verify": ("store", "verify", "VERIFY_EXAMPLES"),
    "prune": ("store", "prune", "PRUNE_EXAMPLES"),
    "search": ("hub", "search", "SEARCH_EXAMPLES"),
    "outdated": ("hub", "outdated", "OUTDATED_EXAMPLES"),
    "update": ("hub", "update", "UPDATE_EXAMPLES"),
    "fit": ("fit", "fit", "EXAMPLES"),
    "recommend": ("recommend", "recommend", "EXAMPLES"),
    "bench": ("bench", "bench", "EXAMPLES"),
    "tune": ("tune", "tune", "EXAMPLES"),
    "perplexity": ("perplexity", "perplexity", "EXAMPLES"),
    "experts": ("experts", "experts", "EXAMPLES"),
    "moderate": ("moderate", "moderate", "EXAMPLES"),
    "history": ("history", "app", "EXAMPLES"),
    "warmup": ("machine", "warmup", "WARMUP_EXAMPLES"),
    "doctor": ("doctor", "doctor", "EXAMPLES"),
    "ls": ("models", "list_models", "LIST_EXAMPLES"),
}
"""Name -> module of `cli/`, function, examples of its help. Only what is run is imported."""

HIDDEN = ("ls",)
"""Other names of commands."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code.

    Args:
        arguments: without the program's name; None: what the process was given.
    """
    typed = list(sys.argv[1:] if arguments is None else arguments)
    typed, debug = _take_debug(typed)
    command = typer.main.get_command(build(typed[0] if typed else None))

    def work() -> int | None:
        # `command.main` would handle errors its own way; ours are all handled in one place.
        with command.make_context("localmix", list(typed)) as context:
            code: int | None = command.invoke(context)
            return code

    return guard(work, Streams.standard(), typed, debug)


def build(only: str | None = None) -> typer.Typer:
    """Make the application: every command with its class of help and its examples.

    Args:
        only: the command that was typed; the modules of the others are not imported then. None, or
            a name that no command has: all of them, for the help and for what to say of mistakes.
    """
    app = typer.Typer(
        name="localmix",
        cls=Group,
        add_completion=False,
        rich_markup_mode=None,
        context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
        epilog=EXAMPLES,
    )
    app.callback(invoke_without_command=True)(_root)
    for name in [only] if only in COMMANDS else COMMANDS:
        module, function, examples = COMMANDS[name]
        place = importlib.import_module(f"localmix.cli.{module}")
        if name == "history":
            app.add_typer(place.app(), name=name)
            continue
        command = app.command(
            name, cls=Command, epilog=getattr(place, examples), hidden=name in HIDDEN
        )
        command(getattr(place, function))
    return app


def _root(
    context: typer.Context,
    version: bool = typer.Option(False, "--version", help="Show the version.", show_default=False),
    debug: bool = typer.Option(
        False, "--debug", help="Show tracebacks; works with every command.", show_default=False
    ),
) -> None:
    """Run quantized language models on a CPU.

    Answers go to stdout, progress and errors to stderr. `localmix COMMAND --help` explains a
    command with examples.
    """
    if version:
        typer.echo(f"localmix {__version__}")
        raise typer.Exit
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())
        raise typer.Exit


def _take_debug(arguments: list[str]) -> tuple[list[str], bool]:
    """Take --debug out, wherever it stands before `--`: it must work even if the rest is wrong."""
    end = arguments.index("--") if "--" in arguments else len(arguments)
    before = [argument for argument in arguments[:end] if argument != "--debug"]
    return before + arguments[end:], len(before) < end
