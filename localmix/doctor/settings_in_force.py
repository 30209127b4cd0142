"""Every setting, its value, and where it comes from. A token is never shown."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from localmix import settings
from localmix.doctor.checks import Finding, Look, many, refused
from localmix.errors import LocalmixError

Source = Literal["default", "environment", "config.toml"]

Environ = Mapping[str, str]

ReadConfig = Callable[[Path], Mapping[str, Mapping[str, Any]]]
"""Reads every table of config.toml of a home, and checks its values."""

_OWN_WORDS = ("system", "stop")
"""Texts that a person wrote."""


@dataclass(frozen=True)
class Setting:
    """One setting in force.

    Attributes:
        name: of the variable, or of the option of `run`.
        value: as text.
        source: where it comes from.
        told: the value for others; differs where it is a person's own.
    """

    name: str
    value: str
    source: Source
    told: str


_VARIABLES: tuple[tuple[str, tuple[str, ...], Callable[[Environ], Any]], ...] = (
    ("LOCALMIX_HOME", (), settings.home),
    ("LOCALMIX_CACHE", (), settings.cache_folder),
    (
        "LOCALMIX_THREADS",
        (),
        lambda environ: settings.n_threads(environ) or "as tuned, else one per fast core",
    ),
    ("LOCALMIX_ISA", (), lambda environ: settings.isa(environ) or "the best of this machine"),
    ("HF_ENDPOINT", (), settings.hub_endpoint),
    ("HF_TOKEN", (), lambda environ: "set" if settings.hub_token(environ) else "not set"),
    ("HF_HUB_OFFLINE", (), lambda environ: "yes" if settings.hub_offline(environ) else "no"),
    (
        "HF_HUB_CACHE",
        ("HUGGINGFACE_HUB_CACHE", "HF_HOME", "XDG_CACHE_HOME"),
        settings.hugging_face_cache,
    ),
    ("OLLAMA_MODELS", (), lambda environ: settings.ollama_folders(environ)[0]),
)
"""Name, other variables that say the same, and who reads it."""

_DEFAULT_ENDPOINT = settings.hub_endpoint({})


def looks(environ: Environ) -> list[tuple[str, Look]]:
    """Give what there is to look at: the variables, each read as the rest of localmix does."""
    return [("variables", lambda: variables(environ))]


def variables(environ: Environ) -> Iterator[Finding]:
    """Look for variables that nobody can read."""
    n_set, wrong = 0, 0
    for name, others, read in _VARIABLES:
        n_set += any(environ.get(each, "").strip() for each in (name, *others))
        try:
            read(environ)
        except LocalmixError as error:
            wrong += 1
            yield refused(name, error)
    if not wrong:
        text = f"{many(n_set, 'variable')} set, all understood" if n_set else "none is set"
        yield Finding("variables", "good", text)


def in_force(
    environ: Environ, home: Path, read_config: ReadConfig, options: Mapping[str, Any]
) -> list[Setting]:
    """List the settings that can be read.

    Args:
        environ: the environment.
        home: LOCALMIX_HOME.
        read_config: see `ReadConfig`.
        options: of `run`, which config.toml may set, with their defaults.
    """
    found = []
    for name, others, read in _VARIABLES:
        is_set = any(environ.get(each, "").strip() for each in (name, *others))
        try:
            value = str(read(environ))
        except LocalmixError:
            continue  # a finding tells of it
        told = value
        if name == "HF_ENDPOINT" and value != _DEFAULT_ENDPOINT:
            told = "another address than the default"
        found.append(Setting(name, value, "environment" if is_set else "default", told))
    try:
        kept = read_config(home).get("defaults", {})
    except Exception:  # a finding tells of this too
        kept = {}
    for name, default in options.items():
        value = _text(kept.get(name, default))
        told = f"{len(value)} letters" if name in _OWN_WORDS and name in kept else value
        found.append(Setting(name, value, "config.toml" if name in kept else "default", told))
    return found


def _text(value: Any) -> str:
    """Write a value as config.toml would, or say that nobody has chosen one."""
    if value is None or value == []:
        return "not set"
    if isinstance(value, bool):
        return "true" if value else "false"
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
