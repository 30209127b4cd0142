"""The table of commands, and `main`: the entry point of the `localmix` script."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import typer

from localmix import __version__
from localmix.cli import (
    bench,
    doctor,
    experts,
    fit,
    history,
    hub,
    machine,
    models,
    moderate,
    perplexity,
    pull,
    recommend,
    run,
    store,
    tune,
)
from localmix.cli.errors import guard
from localmix.cli.help import Command, Group
from localmix.cli.terminal import Streams

EXAMPLES = """
localmix run tiny "Tell me a story about a fox"
localmix run mistral
localmix pull mixtral --dry-run
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code.

    Args:
        arguments: without the program's name; None: what the process was given.
    """
    typed = list(sys.argv[1:] if arguments is None else arguments)
    typed, debug = _take_debug(typed)
    command = typer.main.get_command(build())

    def work() -> int | None:
        # `command.main` would handle errors its own way; ours are all handled in one place.
        with command.make_context("localmix", list(typed)) as context:
            code: int | None = command.invoke(context)
            return code

    return guard(work, Streams.standard(), typed, debug)


def build() -> typer.Typer:
    """Make the application: every command with its class of help and its examples."""
    app = typer.Typer(
        name="localmix",
        cls=Group,
        add_completion=False,
        rich_markup_mode=None,
        context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
        epilog=EXAMPLES,
    )
    app.callback(invoke_without_command=True)(_root)
    table = (
        ("run", run.run, run.EXAMPLES),
        ("pull", pull.pull, pull.EXAMPLES),
        ("list", models.list_models, models.LIST_EXAMPLES),
        ("show", models.show, models.SHOW_EXAMPLES),
        ("rm", store.rm, store.RM_EXAMPLES),
        ("cp", store.cp, store.CP_EXAMPLES),
        ("import", store.import_models, store.IMPORT_EXAMPLES),
        ("verify", store.verify, store.VERIFY_EXAMPLES),
        ("prune", store.prune, store.PRUNE_EXAMPLES),
        ("search", hub.search, hub.SEARCH_EXAMPLES),
        ("outdated", hub.outdated, hub.OUTDATED_EXAMPLES),
        ("update", hub.update, hub.UPDATE_EXAMPLES),
        ("recommend", recommend.recommend, recommend.EXAMPLES),
        ("moderate", moderate.moderate, moderate.EXAMPLES),
        ("experts", experts.experts, experts.EXAMPLES),
        ("fit", fit.fit, fit.EXAMPLES),
        ("bench", bench.bench, bench.EXAMPLES),
        ("tune", tune.tune, tune.EXAMPLES),
        ("perplexity", perplexity.perplexity, perplexity.EXAMPLES),
        ("warmup", machine.warmup, machine.WARMUP_EXAMPLES),
        ("doctor", doctor.doctor, doctor.EXAMPLES),
    )
    for name, function, examples in table:
        app.command(name, cls=Command, epilog=examples)(function)
    app.add_typer(history.app(), name="history")
    app.command("ls", cls=Command, epilog=models.LIST_EXAMPLES, hidden=True)(models.list_models)
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
