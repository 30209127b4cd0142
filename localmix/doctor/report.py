"""What was found as data, and as one Markdown block that can be put into an issue."""

from __future__ import annotations

import platform
from collections.abc import Iterable, Sequence
from typing import Any

from localmix import __version__
from localmix.doctor.checks import Group
from localmix.doctor.examine import counts
from localmix.doctor.private import Private
from localmix.doctor.settings_in_force import Setting
from localmix.doctor.software import versions


def as_data(groups: Sequence[Group], settings: Iterable[Setting], private: Private) -> Any:
    """Give all of it as JSON has it; paths and names stay, since it stays here too."""
    hide = private.without_secrets
    found = counts(groups)
    return {
        "localmix": __version__,
        "ok": found["bad"] == 0,
        "counts": found,
        "versions": versions(),
        "groups": [
            {
                "name": group.name,
                "findings": [
                    {
                        "name": finding.name,
                        "state": finding.state,
                        "text": hide(finding.text),
                        "hint": hide(finding.hint),
                        "details": [hide(detail) for detail in finding.details],
                        "can_fix": finding.fix is not None,
                    }
                    for finding in group.findings
                ],
            }
            for group in groups
        ],
        "settings": [
            {"name": each.name, "value": hide(each.value), "source": each.source}
            for each in settings
        ],
    }


def as_markdown(groups: Sequence[Group], settings: Iterable[Setting], private: Private) -> str:
    """Give all of it for others: without details, secrets, and names of people and machines."""
    packages = [(name, version or "not installed") for name, version in versions().items()]
    changed = [(s.name, f"{s.told} ({s.source})") for s in settings if s.source != "default"]
    sections = [("versions", [*packages, ("system", platform.platform())])]
    for group in groups:
        rows = [(f"{finding.state}  {finding.name}", finding.text) for finding in group.findings]
        sections.append((group.name, rows))
    sections.append(("settings in force", changed or [("all", "at their defaults")]))
    blocks = []
    for title, rows in sections:
        width = max((len(name) for name, _ in rows), default=0)
        lines = [f"  {name:<{width}}  {_line(private.for_others(text))}" for name, text in rows]
        blocks.append("\n".join([title, *lines]))
    return "```text\n" + "\n\n".join(blocks) + "\n```\n"


def _line(text: str) -> str:
    """Keep a text on one line, and the block around it whole."""
    return " ".join(text.split()).replace("`", "'")
