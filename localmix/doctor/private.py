"""What must never be shown, and what is not told to others.

`without_secrets` is for everything that is written: tokens, and names and passwords in addresses.
`for_others` is for a report besides: the home folder becomes `~`, and the names of the person and
of the machine disappear. Names of models, conversations and files do not get that far: they stand
in a finding's details, which a report leaves out.
"""

from __future__ import annotations

import getpass
import os
import platform
import re
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import unquote

from localmix import settings

HIDDEN = "***"

_TOKENS = ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN")
_SAYS_NOTHING = {"root", "user", "home", "localhost", "runner", "linux", "darwin", "windows"}
"""Names that tell nobody who or where it is, and would make holes in a report."""
_IN_ADDRESS = re.compile(r"(://)[^\s'\"]*@")
_LIKE_A_TOKEN = re.compile(r"\bhf_[A-Za-z0-9]{6,}")


@dataclass(frozen=True)
class Private:
    """What is private on this machine.

    Attributes:
        secrets: texts that are hidden everywhere.
        homes: folders that become `~`.
        names: of the person and of the machine.
    """

    secrets: tuple[str, ...] = field(repr=False)
    homes: tuple[str, ...]
    names: tuple[str, ...]

    @classmethod
    def here(cls, environ: Mapping[str, str]) -> Private:
        """Look what is private here."""
        home = settings.user_home(environ)
        homes = {str(home), os.path.realpath(home)} - {"", os.sep}
        host = platform.node()
        names = {home.name, host, host.partition(".")[0], *_user(environ)}
        return cls(
            tuple(_longest_first(_secrets(environ))),
            tuple(_longest_first(homes)),
            tuple(
                _longest_first(n for n in names if len(n) > 1 and n.lower() not in _SAYS_NOTHING)
            ),
        )

    def without_secrets(self, text: str) -> str:
        """Hide tokens, and who stands in an address."""
        for secret in self.secrets:
            text = text.replace(secret, HIDDEN)
        return _LIKE_A_TOKEN.sub(HIDDEN, _IN_ADDRESS.sub(rf"\1{HIDDEN}@", text))

    def for_others(self, text: str) -> str:
        """Hide secrets, the home folder, and the names of the person and of the machine."""
        text = self.without_secrets(text)
        for home in self.homes:
            text = re.sub(rf"{re.escape(home)}(?![\w-])", "~", text, flags=re.IGNORECASE)
        for name in self.names:
            pattern = rf"(?<![A-Za-z0-9]){re.escape(name)}(?![A-Za-z0-9])"
            text = re.sub(pattern, HIDDEN, text, flags=re.IGNORECASE)
        return text


def _secrets(environ: Mapping[str, str]) -> set[str]:
    """Give tokens, and the passwords of addresses, as they stand there and as they are meant."""
    found = {environ.get(name, "").strip() for name in _TOKENS}
    for who in _in_addresses(environ):
        password = who.partition(":")[2]
        found |= {password, unquote(password)}
    return {text for text in found if len(text) >= 4}  # shorter ones stand only in an address


def _in_addresses(environ: Mapping[str, str]) -> set[str]:
    """Give what stands before the `@` of addresses: a name, a colon and a password."""
    return {who for value in environ.values() for who in re.findall(r"://([^\s'\"]*)@", value)}


def _user(environ: Mapping[str, str]) -> set[str]:
    names = {environ.get(name, "") for name in ("USER", "LOGNAME", "USERNAME")}
    names |= {who.partition(":")[0] for who in _in_addresses(environ)}
    with suppress(Exception):  # a user without an entry raises KeyError, or OSError from 3.13 on
        names.add(getpass.getuser())
    with suppress(Exception):
        names.add(Path.home().name)
    return names


def _longest_first(texts: Iterable[str]) -> list[str]:
    return sorted(texts, key=lambda text: (-len(text), text))
