"""`@file` in a message: the file's text is put behind it, so that the model can read it.

    Summarize @notes.txt and compare it with @"old notes.txt"

An `@` counts at the beginning of a word, if what follows is a file; `@anna`, `@app.get("/")` and
`@types/node` stay as they are. What is meant as a file and is none is an error, for nobody wants an
answer about a file that was not read: a name in quotes, one that begins like a path (`./`, `~/`) or
in a folder that is there, one that ends as texts do.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from localmix.errors import LocalmixError

MAX_BYTES = 4_000_000
"""More than any context holds."""

_MENTION = re.compile(r"""(?<![^\s("'\[{])@(?:"([^"\n]+)"|(\S+))""")
_BEHIND_A_NAME = ".,;:!?)]}>\"'’”"

_BEGINS_AS_PATH = re.compile(r"(?:\.{0,2}|~[^/\\]*|[A-Za-z]:)[/\\]")
_ENDS_AS_TEXT = re.compile(
    r"\.(?:txt|md|rst|tex|org|csv|tsv|json|jsonl|ya?ml|toml|ini|cfg|conf|env|log|html?|css|xml|svg"
    r"|py|ipynb|js|mjs|ts|jsx|tsx|sh|bat|ps1|c|h|cc|cpp|hpp|cs|go|rs|java|kt|rb|php|lua|sql|swift"
    r"|diff|patch|eml|srt|vtt|pdf|docx?|xlsx?|odt|rtf|png|jpe?g)$",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Attached:
    """A message with its files.

    Attributes:
        text: what the model reads.
        paths: the files that are in it.
    """

    text: str
    paths: tuple[Path, ...]


def attach(message: str, folder: Path) -> Attached:
    """Put the files that a message names behind it.

    Args:
        message: as it was typed.
        folder: where relative paths begin.

    Raises:
        LocalmixError: a file cannot be read, is too large, or is no text.
    """
    found: dict[Path, Path] = {}
    for quoted, plain in _MENTION.findall(message):
        path = _file(quoted or plain, folder, is_quoted=bool(quoted))
        if path is not None:
            found.setdefault(path.resolve(), path)
    paths = tuple(found.values())
    blocks = [f"{path.name}:\n{_fenced(_read(path))}" for path in paths]
    return Attached("\n\n".join([message, *blocks]), paths)


def _file(name: str, folder: Path, is_quoted: bool) -> Path | None:
    """Find the file of a mention; None when it is none."""
    bare = name.rstrip(_BEHIND_A_NAME)
    for candidate in (name,) if is_quoted else (name, bare, _first_part(name)):
        path = _path(candidate, folder)
        if path is not None and _tells(path.is_file):
            return path
    path = _path(bare, folder)
    is_meant = is_quoted or _BEGINS_AS_PATH.match(name) or _ENDS_AS_TEXT.search(bare)
    is_inside = "/" in bare and path is not None and _tells(path.parent.is_dir)
    if not is_meant and not is_inside:
        return None
    if path is not None and _tells(path.is_dir):
        raise LocalmixError(f"{bare} is a folder", "name the files in it that matter")
    raise LocalmixError(
        f"there is no file {name} to read", "look whether the path is written rightly"
    )


def _first_part(name: str) -> str:
    """A name without what hangs on to it: `notes.txt's`, `notes.txt:12`."""
    return re.split(r"[,;:\"'’”()]", name)[0].rstrip(_BEHIND_A_NAME)


def _path(name: str, folder: Path) -> Path | None:
    try:
        return folder / Path(name).expanduser() if name else None
    except (OSError, ValueError, RuntimeError):  # no such home
        return None


def _tells(ask: Callable[[], bool]) -> bool:
    try:
        return ask()
    except (OSError, ValueError):  # a name no system has, a folder that is closed
        return False


def _read(path: Path) -> str:
    try:
        with path.open("rb") as stream:
            raw = stream.read(MAX_BYTES + 1)
    except OSError as exc:
        raise LocalmixError(
            f"{path} cannot be read: {exc.strerror or exc}", "look at its permissions"
        ) from exc
    if len(raw) > MAX_BYTES:
        raise LocalmixError(f"{path} is larger than 4 MB", "give a part of it")
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as exc:
        raise LocalmixError(f"{path} is no text in UTF-8", "convert it to text first") from exc
    if "\0" in text:
        raise LocalmixError(f"{path} is no text", "convert it to text first")
    return text


def _fenced(text: str) -> str:
    """Put a fence around a text that is longer than any in it."""
    longest = max((len(run) for run in re.findall(r"`{3,}", text)), default=2)
    fence = "`" * (longest + 1)
    return f"{fence}\n{text.rstrip()}\n{fence}"
