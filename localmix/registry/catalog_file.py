"""Reads `models.toml`, the catalog that people edit, and says what is wrong with it.

The lines at the top of that file describe an entry. A mistake in it is a `LocalmixError` that names
the entry: a catalog is never half read.
"""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from localmix.errors import LocalmixError
from localmix.registry.catalog import Catalog, CatalogEntry, Quantization
from localmix.registry.file_names import DEFAULT_QUANTIZATION
from localmix.registry.names import is_repo

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

_FIELDS = {
    "name", "aliases", "repo", "file", "parameters", "licence", "description", "default",
    "quantizations",
}  # fmt: skip


def load_catalog(path: Path | None = None) -> Catalog:
    """Read the catalog.

    Args:
        path: another file than the one that comes with localmix.

    Raises:
        LocalmixError: the file cannot be read, or an entry is wrong; the message names it.
    """
    path = path or catalog_path()
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
        tables = document.get("model", [])
        if not isinstance(tables, list) or set(document) - {"model"}:
            raise ValueError("it holds something else than [[model]] entries")
        entries = tuple(_parse_entry(table) for table in tables)
        _check_names(entries)
    except (OSError, ValueError) as exc:  # TOMLDecodeError and UnicodeDecodeError are ValueErrors
        raise LocalmixError(
            f"the catalog {path} cannot be read: {exc}",
            "the lines at the top of models.toml say how an entry is written",
        ) from exc
    return Catalog(entries)


def catalog_path() -> Path:
    """Give the place of `models.toml`: beside this module in a wheel, at the root of a checkout."""
    packaged = Path(__file__).with_name("models.toml")
    return packaged if packaged.exists() else Path(__file__).parents[2] / "models.toml"


def _parse_entry(table: Any) -> CatalogEntry:
    """Check one [[model]] table; raises ValueError that names the entry."""
    if not isinstance(table, dict) or not isinstance(table.get("name"), str):
        raise ValueError("an entry has no name")
    name: str = table["name"]
    unknown = set(table) - _FIELDS
    if unknown:
        raise ValueError(f"{name} has a field {sorted(unknown)[0]!r}, which does not exist")
    quantizations = {
        key.upper(): _parse_quantization(name, key, value, table.get("repo", ""))
        for key, value in _typed(table, "quantizations", dict, {}).items()
    }
    default = _typed(table, "default", str, DEFAULT_QUANTIZATION if quantizations else "").upper()
    if quantizations and default not in quantizations:
        raise ValueError(f"{name} has no quantization {default}, which is its default")
    if not quantizations and "repo" in table:
        raise ValueError(f"{name} names a repository but no quantization")
    aliases = _typed(table, "aliases", list, [])
    return CatalogEntry(
        name=name.lower(),
        aliases=tuple(str(alias).lower() for alias in aliases),
        quantizations=quantizations,
        default=default,
        file=_typed(table, "file", str, ""),
        parameters=_typed(table, "parameters", int, 0),
        licence=_typed(table, "licence", str, ""),
        description=_typed(table, "description", str, ""),
    )


def _parse_quantization(name: str, key: str, value: object, repo: object) -> Quantization:
    """Check one line of [model.quantizations]: a size, or a table of size_gb and repo."""
    size_gb = value
    if isinstance(value, dict) and set(value) <= {"size_gb", "repo"}:
        size_gb, repo = value.get("size_gb"), value.get("repo", repo)
    # bool is an int to Python, and not to us
    if not isinstance(size_gb, (int, float)) or isinstance(size_gb, bool) or not size_gb > 0:
        raise ValueError(f"{name} gives no size in GB for {key}")
    if not isinstance(repo, str) or not is_repo(repo):
        raise ValueError(f"{name} gives no repository OWNER/REPO for {key}")
    return Quantization(key.upper(), float(size_gb), repo)


def _typed(table: Mapping[str, Any], key: str, kind: type, default: Any) -> Any:
    value = table.get(key, default)
    if not isinstance(value, kind):
        raise ValueError(f"{table['name']} has a {key} that is no {kind.__name__}")
    return value


def _check_names(entries: tuple[CatalogEntry, ...]) -> None:
    seen: set[str] = set()
    for name in (name for entry in entries for name in entry.names):
        if name in seen:
            raise ValueError(f"the name {name} stands there twice")
        seen.add(name)
