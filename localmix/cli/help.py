"""How help looks: usage, a paragraph, examples, then options in groups. Plain, searchable text.

Typer's own pages need rich (a third of their time) and frames around every group; Click's know no
groups. These two classes are given to Typer as the classes of its commands.
"""

from __future__ import annotations

from typing import Any

from typer.core import TyperCommand, TyperGroup


class Command(TyperCommand):
    """A command: its epilog holds examples, its options stand in groups (`rich_help_panel`)."""

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        """Name the arguments of the usage line; releases of Typer differ in brackets."""
        arguments = [p for p in self.get_params(ctx) if p.param_type_name == "argument"]
        return ["[OPTIONS]", *(str(argument.metavar) for argument in arguments)]

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Write the page into Click's formatter."""
        self.format_usage(ctx, formatter)
        self.format_help_text(ctx, formatter)
        _write_examples(self.epilog, formatter)
        groups: dict[str, list[tuple[str, str]]] = {}
        for parameter in self.get_params(ctx):
            is_option = parameter.param_type_name == "option"
            group = getattr(parameter, "rich_help_panel", None)
            heading = group or ("Options" if is_option else "Arguments")
            groups.setdefault(heading, []).append(_row(parameter))
        for heading in sorted(groups, key=lambda heading: heading == "Options"):
            with formatter.section(heading):
                formatter.write_dl(groups[heading])


class Group(TyperGroup):
    """The page of `localmix --help`: commands first, each with its one line."""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Write the page into Click's formatter."""
        self.format_usage(ctx, formatter)
        self.format_help_text(ctx, formatter)
        _write_examples(self.epilog, formatter)
        self.format_commands(ctx, formatter)
        with formatter.section("Options"):
            formatter.write_dl([_row(parameter) for parameter in self.get_params(ctx)])


def _row(parameter: Any) -> tuple[str, str]:
    """One parameter's line: `-n, --max-tokens N`, what it means, and its default."""
    text = parameter.help or ""
    if parameter.param_type_name == "argument":
        return str(parameter.metavar).strip("[]"), text
    names = ", ".join(sorted(parameter.opts, key=len))
    if parameter.is_flag:
        return names, text
    default = f"  [default: {parameter.default}]" if parameter.default is not None else ""
    return f"{names} {parameter.metavar}", text + default


def _write_examples(epilog: str | None, formatter: Any) -> None:
    """Write the examples line by line: a command that has been wrapped cannot be copied."""
    if not epilog:
        return
    with formatter.section("Examples"):
        for line in epilog.strip().splitlines():
            formatter.write(f"{'':>{formatter.current_indent}}{line.strip()}\n")
