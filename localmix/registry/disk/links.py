"""Links that would lead a write out of the store: somebody else's files are not ours to change."""

from pathlib import Path

from localmix.errors import LocalmixError


def refuse_links(path: Path, folder: Path) -> None:
    """Check a path before something is written there.

    Args:
        path: below `folder`; it need not exist.
        folder: what it must not leave; this itself may be a link.

    Raises:
        LocalmixError: the path is a link, or one on the way to it leads out of the folder.
    """
    try:
        outside = not path.resolve().is_relative_to(folder.resolve())
    except (OSError, RuntimeError):  # links in a circle
        outside = True
    if outside or path.is_symlink():
        raise LocalmixError(
            f"{path} is a link that leads elsewhere, or stands behind one",
            "put a plain folder or file there, or set LOCALMIX_HOME to another folder",
        )
