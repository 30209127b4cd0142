"""Pages for a browser as files: where one may lie, and what is said when it may not."""

from __future__ import annotations

from pathlib import Path

from localmix.errors import LocalmixError


def check_place(path: Path, example: str) -> None:
    """Raise a LocalmixError for a page that has no place, before anything is computed.

    Args:
        path: of the page, as it was given.
        example: a name of such a page, for the hint.
    """
    if path.is_dir():
        raise _no_page(path, "that is a folder", example)
    if not path.parent.is_dir():
        raise _no_page(path, "there is no such folder", example)


def write_page(path: Path, text: str, example: str) -> None:
    """Write a page.

    Raises:
        LocalmixError: it cannot be written.
    """
    try:
        path.write_text(text, encoding="utf-8", errors="replace", newline="\n")
    except OSError as error:
        raise _no_page(path, str(error.strerror or error).lower(), example) from error


def _no_page(path: Path, reason: str, example: str) -> LocalmixError:
    return LocalmixError(
        f"the page cannot be written to {path}: {reason}",
        f"give --html a file in a folder of yours, such as {example}",
    )
