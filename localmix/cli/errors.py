"""Turns whatever goes wrong into one line, what to type next, and an exit code.

    0    done; also when the reader of a pipe has left, as `head` does
    1    an error that localmix or the system raised
    2    wrong usage
    130  Ctrl-C

On stderr an error is `error: …` and, on the next line, `try: …`. A traceback is shown with
`--debug` only. This is the one place that knows exit codes; everything below raises the types of
`localmix.errors`.
"""

from __future__ import annotations

import errno
import os
import sys
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TextIO

import typer

from localmix.cli.terminal import Streams, as_typed, console, one_line
from localmix.errors import LocalmixError

# Newer releases of Typer carry their own copy of Click: reach its class by a name both have.
CLICK_USAGE_ERROR: type[Exception] = typer.BadParameter.__mro__[1]

DONE, FAILED, WRONG_USAGE, INTERRUPTED = 0, 1, 2, 130


class WrongUsage(LocalmixError):
    """The command line makes no sense; its hint says what would."""


@dataclass(frozen=True)
class Report:
    """What a person reads of an error, and the code the process ends with."""

    message: str
    hint: str
    code: int


def guard(
    work: Callable[[], int | None], streams: Streams, arguments: Sequence[str], debug: bool
) -> int:
    """Do the work and return an exit code, whatever happens.

    Args:
        work: a command; returns its exit code or None.
        streams: where errors are written.
        arguments: what the person typed, to name it in hints.
        debug: show the traceback too.
    """
    try:
        code = work()
        streams.stdout.flush()
    except typer.Exit as leave:
        return _flushed(streams.stdout, int(leave.exit_code))
    except KeyboardInterrupt:
        if streams.stderr.isatty():
            streams.stderr.write("\n")
        return INTERRUPTED
    except BrokenPipeError:
        _abandon(streams.stdout)
        return DONE
    except Exception as error:
        if isinstance(error, OSError):
            is_broken = _abandon_if_broken(streams.stdout)
            # Windows has no broken pipes: what is written to one that nobody reads is "invalid".
            if is_broken and sys.platform == "win32" and error.errno == errno.EINVAL:
                return DONE
        if debug:
            streams.stderr.write(traceback.format_exc())
        report = explain(error, arguments)
        write_report(report, streams.stderr)
        return report.code
    return code or DONE


def explain(error: BaseException, arguments: Sequence[str] = ()) -> Report:
    """Say what an error means to a person, in one sentence and one next step."""
    helpful = " ".join(["localmix", *_command_name(arguments), "--help"])
    if isinstance(error, LocalmixError):
        code = WRONG_USAGE if isinstance(error, WrongUsage) else FAILED
        return Report(one_line(error.message), one_line(error.hint) or helpful, code)
    if isinstance(error, CLICK_USAGE_ERROR):
        return Report(_usage_message(error), _usage_hint(error, arguments) or helpful, WRONG_USAGE)
    if isinstance(error, MemoryError):
        return Report("the machine has no memory left for this", "a smaller model or --ctx", FAILED)
    if isinstance(error, OSError):
        return Report(_system_message(error), _system_hint(error) or helpful, FAILED)
    command = as_typed(["localmix", "--debug", *arguments])
    what = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    return Report(f"internal error: {one_line(what)}", one_line(command), FAILED)


def write_report(report: Report, stderr: TextIO) -> None:
    """Write `error: …` and `try: …`; a closed stderr is nobody's loss."""
    try:
        page = console(stderr)
        page.print("[bad]error:[/bad]", end=" ")
        page.print(report.message, markup=False)
        page.print("[muted]try:[/muted]", end=" ")
        page.print(report.hint, markup=False)
    except OSError:
        return


def _command_name(arguments: Sequence[str]) -> list[str]:
    """The command among the arguments: the first word that is no option."""
    words = [argument for argument in arguments if not argument.startswith("-")]
    return words[:1] if words and words[0].isalpha() and words[0].isascii() else []


def _usage_message(error: Any) -> str:
    """Click's sentence in our manner: starting small, no period at the end."""
    message = one_line(str(error.format_message())).strip().rstrip(".")
    return message[:1].lower() + message[1:] if message else "this makes no sense"


def _usage_hint(error: Any, arguments: Sequence[str]) -> str:
    if "unexpected extra argument" in str(error.format_message()):
        if arguments[:1] == ["run"]:
            return 'put the prompt in quotes: localmix run MODEL "all of the prompt"'
        if arguments[:1] == ["experts"]:
            return 'put the text in quotes: localmix experts MODEL "all of the text"'
    if "No such command" in str(error.format_message()):
        return "localmix --help"
    return ""


def _system_message(error: OSError) -> str:
    reason = error.strerror or str(error) or type(error).__name__
    reason = reason[:1].lower() + reason[1:]
    return one_line(f"{reason}: {error.filename}" if error.filename else reason)


def _system_hint(error: OSError) -> str:
    return {
        errno.ENOSPC: "free some room on the disk, then the same command again",
        errno.EACCES: "look at the permissions of that file or folder",
        errno.EROFS: "set LOCALMIX_HOME to a folder that can be written",
        errno.ENOENT: "look whether the path is written rightly",
    }.get(error.errno or 0, "")


def _flushed(stdout: TextIO, code: int) -> int:
    try:
        stdout.flush()
    except OSError:
        _abandon(stdout)
    return code


def _abandon_if_broken(stdout: TextIO) -> bool:
    try:
        stdout.flush()
    except OSError:
        _abandon(stdout)
        return True
    return False


def _abandon(stdout: TextIO) -> None:
    """Point stdout's descriptor at nothing, so that Python's own flush at exit stays quiet too."""
    try:
        descriptor = stdout.fileno()
    except (OSError, ValueError):
        return
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, descriptor)
    os.close(nowhere)
