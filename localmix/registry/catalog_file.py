"""Reads `models.toml`, the catalog that people edit, and says what is wrong with it.

There are two of them: the one that comes with localmix, and a person's own in LOCALMIX_HOME, which
goes over it. The lines at the top of the first describe an entry. A mistake is a `LocalmixError`
that names the file and the entry: a catalog is never half read.
"""

import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeGuard

from localmix.errors import LocalmixError
from localmix.registry.catalog import (
    BENCHMARKS,
    CHAT_FORMATS,
    Catalog,
    CatalogEntry,
    Quantization,
    Score,
)
from localmix.registry.file_names import DEFAULT_QUANTIZATION, split_quantization
from localmix.registry.names import is_alias, is_repo, is_safe_file

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

FILE_NAME = "models.toml"

_TEXTS = (
    *("file", "chat", "licence", "description", "notes", "default", "relative"),
    *("strengths", "strengths_source", "perplexity_source"),
)
_NUMBERS = ("parameters", "active", "context", "window", "kv_bytes")
_FIELDS = {"name", "aliases", "repo", "quantizations", *_TEXTS, *_NUMBERS}
_FIELDS |= {"scores", "scores_source"}
_KINDS = {str: "text", int: "whole number", list: "list", dict: "table"}


def load_catalog(path: Path | None = None, *, home: Path | None = None) -> Catalog:
    """Read the catalog, and a person's own over it.

    Args:
        path: another file than the one that comes with localmix.
        home: LOCALMIX_HOME; a `models.toml` there goes over the other, and may be missing.

    Raises:
        LocalmixError: a file cannot be read, or an entry is wrong; the message names both.
    """
    packaged = _read(path or catalog_path())
    return Catalog(packaged if home is None else _overlaid(packaged, home / FILE_NAME))


def catalog_path() -> Path:
    """Give the place of `models.toml`: beside this module in a wheel, at the root of a checkout."""
    packaged = Path(__file__).with_name(FILE_NAME)
    return packaged if packaged.exists() else Path(__file__).parents[2] / FILE_NAME


def _overlaid(packaged: tuple[CatalogEntry, ...], path: Path) -> tuple[CatalogEntry, ...]:
    """Put a person's own entries over the others; whatever names they use are theirs.

    An entry of the same name is replaced, and keeps its aliases if its successor names none. One
    whose name became someone's alias goes by its next alias.
    """
    own = _read(path, may_be_missing=True)
    by_name = {entry.name: entry for entry in packaged}
    taken = {name for entry in own for name in entry.names}
    merged = []
    for entry in own:
        old = by_name.pop(entry.name, None)
        if entry.is_embedded and (old is None or not old.is_embedded):
            raise _unreadable(path, f"{entry.name} names no repository")
        if old is not None and not entry.aliases:
            entry = replace(entry, aliases=_left(old.aliases, taken))
        merged.append(entry)
    for entry in by_name.values():
        names = _left(entry.names, taken)
        if names:
            merged.append(replace(entry, name=names[0], aliases=names[1:]))
    return tuple(merged)


def _left(names: tuple[str, ...], taken: set[str]) -> tuple[str, ...]:
    return tuple(name for name in names if name not in taken)


def _read(path: Path, *, may_be_missing: bool = False) -> tuple[CatalogEntry, ...]:
    try:
        # Some editors begin a file with a byte order mark, which TOML does not know.
        document = tomllib.loads(path.read_text(encoding="utf-8-sig"))
        tables = document.get("model", [])
        if not isinstance(tables, list) or set(document) - {"model"}:
            raise ValueError("it holds something else than [[model]] entries")
        entries = tuple(_parse_entry(table, i) for i, table in enumerate(tables, 1))
        _check_names(entries)
    except (OSError, ValueError, RecursionError) as exc:  # a TOMLDecodeError is a ValueError
        if may_be_missing and isinstance(exc, (FileNotFoundError, NotADirectoryError)):
            return ()
        raise _unreadable(path, str(exc)) from exc
    return entries


def _unreadable(path: Path, why: str) -> LocalmixError:
    return LocalmixError(
        f"the catalog {path} cannot be read: {why}",
        f"the lines at the top of {catalog_path()} say how an entry is written",
    )


def _parse_entry(table: Any, i_entry: int) -> CatalogEntry:
    """Check one [[model]] table; raises ValueError that names the entry."""
    if not isinstance(table, dict) or not isinstance(table.get("name"), str):
        raise ValueError(f"entry {i_entry} has no name")
    name: str = table["name"]
    unknown = set(table) - _FIELDS
    if unknown:
        raise ValueError(f"{name} has a field {sorted(unknown)[0]!r}, which does not exist")
    names = (name, *_typed(table, "aliases", list, []))
    for alias in names:
        if not isinstance(alias, str) or not is_alias(alias):
            raise ValueError(f"{name} has the name {alias!r}, which no model can have")
    quantizations = {
        key.upper(): _parse_quantization(table, key, value)
        for key, value in _typed(table, "quantizations", dict, {}).items()
    }
    texts = {key: _typed(table, key, str, "") for key in _TEXTS}
    if quantizations:
        texts["default"] = texts["default"].upper() or DEFAULT_QUANTIZATION
        if texts["default"] not in quantizations:
            raise ValueError(f"{name} has no quantization {texts['default']}, which is its default")
    elif "repo" in table:
        raise ValueError(f"{name} names a repository but no quantization")
    if texts["chat"] and texts["chat"] not in CHAT_FORMATS:
        raise ValueError(f"{name} has a chat that is none of {', '.join(CHAT_FORMATS)}")
    numbers = {key: _number(table, key) for key in _NUMBERS}
    if numbers["active"] > numbers["parameters"]:
        raise ValueError(f"{name} has more active weights than parameters")
    if texts["relative"] and not is_alias(texts["relative"]):
        raise ValueError(f"{name} has the relative {texts['relative']!r}, which no model can be")
    texts["relative"] = texts["relative"].lower()
    said = {
        "strengths_source": bool(texts["strengths"]),
        "perplexity_source": any(each.perplexity for each in quantizations.values()),
    }
    for source, is_needed in said.items():
        if is_needed and not texts[source].strip():
            raise ValueError(f"{name} has no {source}: what others found out needs its source")
    return CatalogEntry(
        name=name.lower(),
        aliases=tuple(alias.lower() for alias in names[1:]),
        quantizations=quantizations,
        scores=_parse_scores(table),
        parameters=numbers["parameters"],
        active=numbers["active"],
        context=numbers["context"],
        window=numbers["window"],
        kv_bytes=numbers["kv_bytes"],
        **texts,
    )


def _parse_scores(table: Mapping[str, Any]) -> dict[str, Score]:
    """Check [model.scores]: known benchmarks, each a number or a table of value and source."""
    name, scores = table["name"], {}
    usual_source = _typed(table, "scores_source", str, "")
    for key, value in _typed(table, "scores", dict, {}).items():
        if key not in BENCHMARKS:
            raise ValueError(
                f"{name} has a score {key!r}, which is none of {', '.join(BENCHMARKS)}"
            )
        source = usual_source
        if isinstance(value, dict):
            unknown = set(value) - {"value", "source"}
            if unknown:
                raise ValueError(f"{name} has a field {sorted(unknown)[0]!r} for {key}")
            source, value = value.get("source", source), value.get("value")
        most = BENCHMARKS[key][1]
        if not _is_number(value, most):
            raise ValueError(f"{name} has a {key} that is no number above 0 and up to {most}")
        if not isinstance(source, str) or not source.strip():
            raise ValueError(f"{name} has no source for {key}: a published result needs one")
        scores[key] = Score(float(value), source)
    return scores


def _parse_quantization(table: Mapping[str, Any], key: str, value: object) -> Quantization:
    """Check one line of [model.quantizations]: a size, or a table of size_gb, repo and file."""
    name, repo, file = table["name"], table.get("repo", ""), _typed(table, "file", str, "")
    if split_quantization(f"{name}-{key}") != (name, key.upper()):
        raise ValueError(f"{name} has a quantization {key}, which does not exist")
    if file and "{quant}" not in file:
        raise ValueError(f"{name} has a file without {{quant}} in its name")
    size_gb, perplexity = value, None
    if isinstance(value, dict):
        unknown = set(value) - {"size_gb", "repo", "file", "perplexity"}
        if unknown:
            raise ValueError(f"{name} has a field {sorted(unknown)[0]!r} for {key}")
        size_gb = value.get("size_gb")
        # Another repository has names of its own.
        file = value.get("file", "" if "repo" in value else file)
        repo = value.get("repo", repo)
        perplexity = value.get("perplexity")
    if not _is_number(size_gb, 1e6):
        raise ValueError(f"{name} gives no size in GB for {key}")
    if perplexity is not None and not _is_number(perplexity, 1e6):
        raise ValueError(f"{name} gives a perplexity for {key} that is no number above zero")
    if not isinstance(repo, str) or not is_repo(repo):
        raise ValueError(f"{name} gives no repository OWNER/REPO for {key}")
    if not isinstance(file, str) or (file and not _is_model_file(file)):
        raise ValueError(f"{name} gives no .gguf file of a repository for {key}")
    return Quantization(
        key.upper(),
        float(size_gb),
        repo,
        str(file).replace("{quant}", key.upper()),
        None if perplexity is None else float(perplexity),
    )


def _is_number(value: object, most: float) -> TypeGuard[float]:
    """Say whether it is a number above zero, at most `most`."""
    # bool is an int to Python, and not to us; inf and nan are numbers to TOML
    return isinstance(value, (int, float)) and not isinstance(value, bool) and 0 < value <= most


def _is_model_file(file: str) -> bool:
    return file.lower().endswith(".gguf") and is_safe_file(file)


def _typed(table: Mapping[str, Any], key: str, kind: type, default: Any) -> Any:
    value = table.get(key, default)
    if not isinstance(value, kind) or isinstance(value, bool):
        raise ValueError(f"{table['name']} has a {key} that is no {_KINDS[kind]}")
    return value


def _number(table: Mapping[str, Any], key: str) -> int:
    number: int = _typed(table, key, int, 0)
    if number < 0:
        raise ValueError(f"{table['name']} has a {key} below zero")
    return number


def _check_names(entries: tuple[CatalogEntry, ...]) -> None:
    seen: set[str] = set()
    for name in (name for entry in entries for name in entry.names):
        if name in seen:
            raise ValueError(f"the name {name} stands there twice")
        seen.add(name)
