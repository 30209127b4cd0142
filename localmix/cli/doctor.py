"""`localmix doctor`: what this machine has, and what is wrong with it."""

from __future__ import annotations

import os
from dataclasses import fields
from typing import TYPE_CHECKING, Annotated, Any, TextIO

from localmix.cli.arguments import Json, flag
from localmix.cli.errors import DONE, FAILED, WrongUsage
from localmix.cli.options import SETTABLE, RunOptions, kept_settings
from localmix.cli.terminal import StatusLine, Streams, console, one_line, write_json

if TYPE_CHECKING:
    from collections.abc import Sequence

    from localmix.doctor.checks import Group
    from localmix.doctor.examine import Ask
    from localmix.doctor.private import Private
    from localmix.doctor.settings_in_force import Setting

EXAMPLES = """
localmix doctor
localmix doctor --fix
localmix doctor --report
"""

_MARKS = {"good": "✓", "note": "·", "warn": "!", "bad": "✗"}
_ASCII_MARKS = {"good": "+", "note": "-", "warn": "!", "bad": "x"}
_STYLES = {"good": "good", "note": "muted", "warn": "warn", "bad": "bad"}

_SHOWN_DETAILS = 8


def doctor(
    fix: Annotated[
        bool, flag("--fix", text="Mend what is safe to mend; no model is touched.", group="Options")
    ] = False,
    report: Annotated[
        bool, flag("--report", text="Text for an issue, without secrets.", group="Options")
    ] = False,
    offline: Annotated[
        bool, flag("--offline", text="Do not ask the Hub.", group="Options")
    ] = False,
    check_token: Annotated[
        bool,
        flag("--check-token", text="Ask the Hub whether HF_TOKEN is valid.", group="Options"),
    ] = False,
    json: Json = False,
) -> int:
    """Look what this machine has, and what is wrong.

    Nothing is changed without --fix. The exit code is 1 if something is bad.
    """
    if json and report:
        raise WrongUsage("--json and --report are two forms of the same", "one of them")
    if offline and check_token:
        raise WrongUsage("--check-token asks the Hub, and --offline does not", "one of them")
    from localmix.doctor.examine import counts, examine, local, mend
    from localmix.doctor.private import Private
    from localmix.doctor.report import as_data, as_markdown

    streams = Streams.standard()
    ask, private = _ask(offline, check_token), Private.here(os.environ)
    status = StatusLine(streams.stderr)
    status.show("looking at this machine")
    groups = examine(ask)
    done = mend(groups) if fix else []
    if done:
        groups = (*local(ask), groups[-1])
    status.clear()
    settings = _settings(ask)
    if json:
        data = as_data(groups, settings, private)
        write_json({**data, "fixed": done} if fix else data, streams.stdout)
    elif report:
        streams.stdout.write(as_markdown(groups, settings, private))
    else:
        _draw(groups, settings, private, streams.stdout)
    if fix and not json:
        _say(done or ["there is nothing to mend"], streams.stderr)
    return FAILED if counts(groups)["bad"] else DONE


def _ask(offline: bool, check_token: bool) -> Ask:
    from localmix.doctor.examine import Ask

    defaults = {each.name: each.default for each in fields(RunOptions)}
    options = {name: defaults[name] for name in SETTABLE}
    return Ask(os.environ, kept_settings, options, offline, check_token)


def _settings(ask: Ask) -> list[Setting]:
    from localmix.doctor.settings_in_force import in_force

    return in_force(ask.environ, ask.home, ask.read_config, ask.options)


def _draw(
    groups: Sequence[Group], settings: Sequence[Setting], private: Private, stdout: TextIO
) -> None:
    """Draw each group with its marks, then the settings, then the sum."""
    marks = _MARKS if _can_say("".join(_MARKS.values()), stdout) else _ASCII_MARKS
    page = console(stdout)

    def line(text: str, style: str | None = None, end: str = "\n") -> None:
        page.print(one_line(private.without_secrets(text)), style=style, markup=False, end=end)

    width = max(len(finding.name) for group in groups for finding in group.findings)
    gap = " " * (4 + width + 2)
    for group in groups:
        line(group.name, "title")
        for finding in group.findings:
            page.print("  ", end="")
            line(marks[finding.state], _STYLES[finding.state], end=" ")
            page.print(f"{finding.name:<{width}}", style="muted", markup=False, end="  ")
            line(finding.text)
            if finding.state == "good":
                continue
            shown, n_more = finding.details[:_SHOWN_DETAILS], len(finding.details) - _SHOWN_DETAILS
            for detail in (*shown, *([f"and {n_more} more"] if n_more > 0 else [])):
                page.print(gap, end="")
                line(detail, "muted")
            if finding.hint:
                page.print(f"{gap}[muted]try:[/muted]", end=" ")
                line(finding.hint)
        if group.name == "settings":
            _draw_settings(settings, private, page)
    _draw_sum(groups, page)


def _draw_settings(settings: Sequence[Setting], private: Private, page: Any) -> None:
    """Draw the settings; options of `run` only where they are no longer at their defaults."""
    shown = [s for s in settings if s.name.isupper() or s.source != "default"]
    names = max(len(each.name) for each in shown)
    values = [one_line(private.without_secrets(each.value)) for each in shown]
    width = min(50, max(map(len, values)))
    for each, value in zip(shown, values, strict=True):
        page.print(f"    {each.name:<{names}}  ", style="muted", markup=False, end="")
        page.print(f"{value:<{width}}  ", markup=False, end="")
        page.print(each.source, style="muted" if each.source == "default" else None)


def _draw_sum(groups: Sequence[Group], page: Any) -> None:
    """Say how it stands, and what to type next."""
    from localmix.doctor.examine import counts, n_fixable

    found, n = counts(groups), n_fixable(groups)
    wrong = [f"{found[state]} {state}" for state in ("bad", "warn") if found[state]]
    if wrong:
        style = "bad" if found["bad"] else "warn"
        text = f"{', '.join(wrong)}; {found['good']} good"
    else:
        style, text = "good", "nothing is wrong here"
    page.print()
    page.print(text, style=style, end="")
    if n:
        page.print(f". To mend {n} of what stands here: localmix doctor --fix", markup=False)
    elif wrong:
        page.print(". For an issue: localmix doctor --report", markup=False)
    else:
        page.print('. Next: localmix run tiny "Tell me a story"', markup=False)


def _say(done: Sequence[str], stderr: TextIO) -> None:
    page = console(stderr)
    for text in done:
        page.print(one_line(text), markup=False)


def _can_say(text: str, stream: TextIO) -> bool:
    """Say whether a stream's encoding has these letters."""
    try:
        text.encode(getattr(stream, "encoding", None) or "utf-8")
    except (UnicodeError, LookupError):
        return False
    return True
