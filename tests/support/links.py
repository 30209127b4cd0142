"""Links as other programs make them."""

import pytest


def link(path, target):
    """Make a link; skips the test where the system lets nobody make one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        path.symlink_to(target, target_is_directory=(path.parent / target).is_dir())
    except OSError as exc:  # Windows wants a privilege
        pytest.skip(f"no links here: {exc}")
