"""Files that another program holds: Windows neither deletes nor replaces them, other systems do."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from localmix.errors import LocalmixError


@contextmanager
def told_if_in_use(path: Path) -> Iterator[None]:
    """Delete or replace a file inside of this.

    Raises:
        LocalmixError: on Windows, where this says more than "access is denied": a program has the
            file open, as `localmix run` has its model as long as it runs.
    """
    try:
        yield
    except PermissionError as exc:
        if sys.platform != "win32":
            raise
        raise LocalmixError(
            f"{path} is in use, or may not be changed",
            "leave the programs that use it, such as localmix run, then the same command again",
        ) from exc
