"""How options of commands are described and checked: small pieces that all commands share."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable
from typing import Annotated, Any, TypeVar

import typer

from localmix.checks import size
from localmix.cli.errors import WrongUsage
from localmix.errors import LocalmixError

Fields = TypeVar("Fields")


def option(*names: str, metavar: str, text: str, group: str) -> Any:
    """Describe an option that takes a value."""
    return typer.Option(*names, metavar=metavar, help=text, rich_help_panel=group)


def flag(*names: str, text: str, group: str) -> Any:
    """Describe an option that is there or not."""
    return typer.Option(*names, help=text, rich_help_panel=group)


Json = Annotated[bool, flag("--json", text="JSON instead of text.", group="Options")]

SAID = "said"
"""The field of a dataclass of options that `takes` fills."""


def takes(fields: type[Fields]) -> Callable[[Callable[[Fields], int | None]], Callable[..., Any]]:
    """Give a command the fields of a dataclass as its options: it is called with one instance.

    A field `said` is no option: it gets the names of those that stood on the command line.
    """
    parameters = dict(inspect.signature(fields, eval_str=True).parameters)
    wants_said = parameters.pop(SAID, None) is not None
    context = inspect.Parameter(
        "context", inspect.Parameter.POSITIONAL_OR_KEYWORD, annotation=typer.Context
    )
    signature = inspect.Signature([context, *parameters.values()], return_annotation=None)

    def decorate(command: Callable[[Fields], int | None]) -> Callable[..., Any]:
        def call(context: typer.Context, **values: Any) -> int | None:
            options = fields(**values)
            if wants_said:
                options = dataclasses.replace(options, said=_said(context, values))  # type: ignore[type-var]
            return command(options)

        call.__signature__ = signature  # type: ignore[attr-defined]
        call.__annotations__ = {name: p.annotation for name, p in signature.parameters.items()}
        call.__name__, call.__doc__ = command.__name__, command.__doc__
        return call

    return decorate


def _said(context: typer.Context, values: dict[str, Any]) -> frozenset[str]:
    """Name the options that stood on the command line, whatever their values."""
    sources = {name: context.get_parameter_source(name) for name in values}
    return frozenset(
        name for name, source in sources.items() if source and source.name == "COMMANDLINE"
    )


def within(name: str, value: float | None, low: float, high: float) -> None:
    """Raise WrongUsage unless the value is a number from low to high; None was not said."""
    if value is None or low <= value <= high:  # NaN is within nothing
        return
    bounds = f"at least {low}" if high >= 2**31 - 1 else f"from {low} to {high}"
    raise WrongUsage(f"{name} must be {bounds}, not {value}")


def counts(name: str, text: str, most: int) -> list[int]:
    """Read a whole number from 0 to `most`, or several: `128,512`; each is kept once.

    Raises:
        WrongUsage: it is something else.
    """
    numbers = []
    for word in (part.strip() for part in text.split(",")):
        # The length is bounded: Python refuses to read numbers of thousands of digits.
        is_number = word.isascii() and word.isdecimal() and len(word) <= len(str(most))
        if not is_number or int(word) > most:
            raise WrongUsage(
                f"{name} must be whole numbers from 0 to {most}, not {text!r}", f"{name} 128,512"
            )
        numbers.append(int(word))
    return list(dict.fromkeys(numbers))


def one_of(name: str, value: str | None, choices: tuple[str, ...]) -> None:
    """Raise WrongUsage unless the value is one of the choices; None was not said."""
    if value is not None and value not in choices:
        raise WrongUsage(f"{name} must be one of {', '.join(choices)}, not {value!r}")


def sized(name: str, text: str | None) -> None:
    """Raise WrongUsage unless the value is a size such as 6GB; None was not said."""
    if text is None:
        return
    try:
        size(name, text)
    except LocalmixError as error:
        raise WrongUsage(error.message, f"{name} 6GB") from error


def window(text: str | None) -> str | int | None:
    """Read --sliding-window: auto, off, or a number of positions."""
    if text in (None, "auto", "off"):
        return text
    assert text is not None
    if text.isascii() and text.isdecimal() and len(text) <= 9 and int(text) >= 1:
        return int(text)
    raise WrongUsage(f"--sliding-window must be auto, off or a number from 1, not {text!r}")
