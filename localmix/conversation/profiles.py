"""Settings that a person keeps, in LOCALMIX_HOME/config.toml.

    [defaults]                     of every run
    temperature = 0.7

    [models."mistral"]             of one model, under the name that is typed
    ctx = 16384
    system = "You are terse."

    [profiles.code]                asked for with --profile code
    temperature = 0.2

Keys are options of `run` without their dashes. What is said on the command line goes before a
profile, a profile before the model's settings, those before the defaults.
"""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from localmix.errors import LocalmixError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

_TABLES = ("defaults", "models", "profiles")


def config_path(home: Path) -> Path:
    """Give the place of the settings; the file may be missing."""
    return home / "config.toml"


def settings_for(
    home: Path, model: str, profile: str | None, known: Mapping[str, type]
) -> dict[str, Any]:
    """Read the settings of a run.

    Args:
        home: LOCALMIX_HOME.
        model: the name that was typed.
        profile: the one that was asked for, if any.
        known: what can be set, and of which type: str, int, float, bool or list (of texts).

    Raises:
        LocalmixError: the file is no TOML, has a key that does not exist, or a value of another
            type; or there is no such profile.
    """
    path = config_path(home)
    tables = _read(path)
    profiles = _table(path, tables, "profiles")
    if profile is not None and profile not in profiles:
        there = ", ".join(profiles) or "none"
        raise LocalmixError(
            f"there is no profile {profile} in {path}; those that exist: {there}",
            f"write a table [profiles.{profile}] into it",
        )
    of_model = {name.lower(): table for name, table in _table(path, tables, "models").items()}
    layers = {
        "defaults": _table(path, tables, "defaults"),
        f'models."{model}"': of_model.get(model.lower(), {}),
        f"profiles.{profile}": profiles.get(profile, {}) if profile is not None else {},
    }
    merged: dict[str, Any] = {}
    for name, layer in layers.items():
        merged |= _checked(path, name, layer, known)
    return merged


def all_settings(home: Path, known: Mapping[str, type]) -> dict[str, dict[str, Any]]:
    """Read every table of the settings, by its name as it stands in the file: none is half right.

    Args:
        home: LOCALMIX_HOME.
        known: as for `settings_for`.

    Raises:
        LocalmixError: the file is no TOML, has a key that does not exist, or a value of another
            type.
    """
    path = config_path(home)
    tables = _read(path)
    layers = {"defaults": _table(path, tables, "defaults")}
    layers |= {f'models."{k}"': table for k, table in _table(path, tables, "models").items()}
    layers |= {f"profiles.{k}": table for k, table in _table(path, tables, "profiles").items()}
    return {name: _checked(path, name, layer, known) for name, layer in layers.items()}


def _read(path: Path) -> dict[str, Any]:
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except (OSError, ValueError) as exc:  # TOMLDecodeError and UnicodeDecodeError are ValueErrors
        raise LocalmixError(f"{path} cannot be read: {exc}", "mend it, or move it away") from exc
    for name in tables:
        if name not in _TABLES:
            raise LocalmixError(
                f"{path} has a table or key {name!r}, which does not exist",
                f"use one of: {', '.join(_TABLES)}",
            )
    return tables


def _table(path: Path, tables: Mapping[str, Any], name: str) -> dict[str, Any]:
    table = tables.get(name, {})
    if not isinstance(table, dict):
        raise LocalmixError(f"{name} of {path} is no table", f"write [{name}]")
    for key, value in table.items() if name != "defaults" else ():
        if not isinstance(value, dict):
            raise LocalmixError(
                f"{key} in [{name}] of {path} is no table", f'write [{name}."NAME"] above it'
            )
    return table


def _checked(
    path: Path, table: str, layer: Mapping[str, Any], known: Mapping[str, type]
) -> dict[str, Any]:
    checked = {}
    for key, value in layer.items():
        name = key.replace("-", "_")
        kind = known.get(name)
        if kind is None:
            raise LocalmixError(
                f"[{table}] of {path} has a key {key!r}, which is no option of run",
                "localmix run --help lists them",
            )
        if kind is float and isinstance(value, int) and not isinstance(value, bool):
            value = float(value)
        if kind is str and isinstance(value, int) and not isinstance(value, bool):
            value = str(value)  # `sliding_window = 4096`
        is_wrong = not isinstance(value, kind) or (kind is int and isinstance(value, bool))
        if is_wrong or (kind is list and not all(isinstance(text, str) for text in value)):
            raise LocalmixError(
                f"{key} in [{table}] of {path} is {value!r}, which is no {_KINDS[kind]}",
                "localmix run --help says what each option takes",
            )
        checked[name] = value
    return checked


_KINDS = {
    str: "text",
    int: "whole number",
    float: "number",
    bool: "true or false",
    list: "list of texts",
}
