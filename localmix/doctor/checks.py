"""What a finding is, and how one looks without ever failing.

A finding's `text` and `hint` name nothing that is a person's own: no path, no model, no host. What
does stands in `details`, which a report for others leaves out.
"""

from __future__ import annotations

import errno
import queue
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Literal, TypeVar

from localmix.errors import LocalmixError

State = Literal["good", "note", "warn", "bad"]
"""good   as it should be
note   worth knowing, and nothing is wrong
warn   works, but not as it could
bad    something will not work"""

STATES: tuple[State, ...] = ("good", "note", "warn", "bad")

Fix = Callable[[], str]
"""Does what is safe -> a sentence that says what was done; may raise OSError."""

T = TypeVar("T")


@dataclass(frozen=True)
class Finding:
    """What one look found.

    Attributes:
        name: of what was looked at.
        state: see `State`.
        text: what there is, or what is wrong.
        hint: what to do next, often a command; may be empty.
        fix: what `--fix` does about it; None when that is for a person.
        details: what is concerned: paths, names of models, messages. Never leaves this machine.
    """

    name: str
    state: State
    text: str
    hint: str = ""
    fix: Fix | None = field(default=None, compare=False, repr=False)
    details: tuple[str, ...] = ()


@dataclass(frozen=True)
class Group:
    """Findings that belong together."""

    name: str
    findings: tuple[Finding, ...]


Look = Callable[[], Iterable[Finding]]


def looked(looks: Iterable[tuple[str, Look]]) -> tuple[Finding, ...]:
    """Take one look after the other; one that fails becomes a finding.

    Args:
        looks: what is looked at, and how.
    """
    found: list[Finding] = []
    for name, look in looks:
        try:
            found.extend(look())
        except LocalmixError as error:
            found.append(refused(name, error))
        except Exception as error:  # whatever is broken here, the rest is to be seen
            found.append(_unchecked(name, error))
    return tuple(found)


def refused(name: str, error: LocalmixError) -> Finding:
    """Make a finding of one of our errors: its message may name anything, so it is a detail."""
    details = tuple(text for text in (error.message, f"try: {error.hint}") if text != "try: ")
    return Finding(name, "bad", "cannot be used as it is", details=details)


def in_time(call: Callable[[], T], limit_s: float) -> T:
    """Call, and wait for the answer so long; what takes longer is left behind.

    A thread, since nothing else ends a look-up of a host's name, or a lock that is held.

    Raises:
        TimeoutError: it took longer; whatever `call` raises comes out too.
    """
    done: queue.SimpleQueue[tuple[T | None, BaseException | None]] = queue.SimpleQueue()

    def work() -> None:
        try:
            done.put((call(), None))
        except BaseException as error:
            done.put((None, error))

    threading.Thread(target=work, daemon=True).start()
    try:
        value, error = done.get(timeout=limit_s)
    except queue.Empty:
        raise TimeoutError(f"no answer within {limit_s:g} s") from None
    if error is not None:
        raise error
    return value  # type: ignore[return-value]


def reason(error: BaseException) -> str:
    """Say what went wrong without a path, an address or a name."""
    if isinstance(error, OSError) and error.errno:
        return f"{type(error).__name__} ({errno.errorcode.get(error.errno, error.errno)})"
    return type(error).__name__


def _unchecked(name: str, error: Exception) -> Finding:
    details = (str(error),) if str(error) else ()
    return Finding(name, "warn", f"could not be checked: {reason(error)}", details=details)


def many(n: int, one: str, more: str = "") -> str:
    """Write a number of things: `1 file`, `3 files`."""
    return f"{n} {one if n == 1 else more or one + 's'}"
