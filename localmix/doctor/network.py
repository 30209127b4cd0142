"""Is the Hub there, and what stands in between? Being offline is no error: models run then too."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from localmix import units
from localmix.doctor.checks import Finding, Look, in_time
from localmix.errors import LocalmixError
from localmix.registry.download.patience import Patience, Trouble
from localmix.registry.hub import Hub

LIMIT_S = 4.0
"""For all questions together; the look-up of a name alone may take a system a minute."""

_PATIENCE = Patience(tries=1, stall_s=3.5, connect_s=3.5)
_PROXIES = ("HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY", "NO_PROXY")


def looks(
    environ: Mapping[str, str], offline: bool = False, ask_token: bool = False
) -> list[tuple[str, Look]]:
    """Give what there is to look at.

    Args:
        environ: the environment.
        offline: ask nobody.
        ask_token: ask the Hub whether the token is valid.
    """
    until_s = time.monotonic() + LIMIT_S

    def left_s() -> float:
        return max(0.1, until_s - time.monotonic())

    return [
        ("proxies", lambda: proxies(environ)),
        ("certificates", lambda: certificates(environ)),
        ("token", lambda: token(environ, ask_token and not offline, left_s)),
        ("Hub", lambda: hub(environ, offline, left_s)),
    ]


def proxies(environ: Mapping[str, str]) -> Iterator[Finding]:
    """Name the variables of proxies that are set; what stands in them is nobody's business."""
    found = [name for name in environ if name.upper() in _PROXIES and environ[name].strip()]
    if found:
        yield Finding("proxies", "note", f"{', '.join(sorted(found))} set")


def certificates(environ: Mapping[str, str]) -> Iterator[Finding]:
    """Look whether there is a file where SSL_CERT_FILE says."""
    path = environ.get("SSL_CERT_FILE", "")
    if not path:
        return
    if Path(path).is_file():
        yield Finding("certificates", "note", "those of SSL_CERT_FILE", details=(path,))
    else:
        text = "SSL_CERT_FILE names no file, so no server can be trusted"
        hint = "unset SSL_CERT_FILE, or name a file of certificates"
        yield Finding("certificates", "bad", text, hint, details=(path,))


def token(environ: Mapping[str, str], ask: bool, left_s: Callable[[], float]) -> Iterator[Finding]:
    """Say whether a token is set and, when that is asked, whether the Hub knows it."""
    if (asked := _hub(environ)) is None:
        return  # the settings tell why
    if asked.token is None:
        text = "none in HF_TOKEN; gated models need one, or a saved login"
        yield Finding("token", "note", text)
        return
    if not ask:
        text = "HF_TOKEN is set; --check-token asks the Hub whether it is valid"
        yield Finding("token", "good", text)
        return
    if asked.offline:
        yield Finding("token", "note", "HF_TOKEN is set, and not asked about: HF_HUB_OFFLINE")
        return
    try:
        valid = in_time(asked.accepts_token, left_s())
    except (Trouble, TimeoutError) as error:
        text = "HF_TOKEN is set; the Hub could not be asked about it"
        yield Finding("token", "note", text, details=(str(error),))
        return
    if valid:
        yield Finding("token", "good", "HF_TOKEN is set, and the Hub knows it")
    else:
        hint = "copy a token from the settings of your account, or unset HF_TOKEN"
        yield Finding("token", "bad", "HF_TOKEN is set, and the Hub refuses it", hint)


def hub(
    environ: Mapping[str, str], offline: bool, left_s: Callable[[], float]
) -> Iterator[Finding]:
    """Ask whether the Hub is there."""
    if (asked := _hub(environ)) is None:
        yield Finding("Hub", "note", "not asked: a setting of it is wrong")
        return
    if asked.offline or offline:
        why = "HF_HUB_OFFLINE is set" if asked.offline else "--offline"
        yield Finding("Hub", "note", f"not asked: {why}")
        return
    start_s = time.perf_counter()
    hint = "models that are here run without it: localmix list"
    try:
        sounds_right = in_time(asked.reach, left_s())
    except Trouble as error:
        yield Finding("Hub", "note", "cannot be reached", hint, None, (error.message,))
        return
    except TimeoutError:
        text = f"cannot be reached: no answer in {LIMIT_S:g} s"
        yield Finding("Hub", "note", text, hint)
        return
    if sounds_right:
        text = f"answers in {units.seconds(time.perf_counter() - start_s)}"
        yield Finding("Hub", "good", text, details=(asked.endpoint,))
    else:
        text = "somebody answers who is no Hub: the login page of a network, or a wrong HF_ENDPOINT"
        hint = "sign in to the network, or look at HF_ENDPOINT and HTTPS_PROXY"
        yield Finding("Hub", "warn", text, hint, None, (asked.endpoint,))


def _hub(environ: Mapping[str, str]) -> Hub | None:
    """Give the Hub that the environment names; None when that makes no sense."""
    try:
        return replace(Hub.from_environ(environ), patience=_PATIENCE)
    except LocalmixError:
        return None
