"""What a person has said about models, in small JSON files.

    LOCALMIX_HOME/
    ├── names/my-mistral.json    a name that `import` or `cp` gave to a file, wherever it lies
    ├── hidden.json              files of other programs that `rm` took off the list
    ├── used.json                when a file was last run
    ├── twins.json              files of the Hub that are here already under another name
    └── hashes.json              SHA-256 of files that nobody else has stated one for

A record that is damaged is passed over: no model is lost with it.
"""

import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from localmix.errors import LocalmixError
from localmix.json_file import write_json
from localmix.registry.names import AliasName, is_alias, parse_name
from localmix.registry.stored import Origin, StoredModel, file_size, newest_time

_KINDS = {"hidden.json": list, "used.json": dict, "twins.json": dict, "hashes.json": dict}


@dataclass(frozen=True)
class NamedFile:
    """A name that a person gave.

    Attributes:
        name: as it was typed.
        paths: all files of the model, absolute, in the order of the shards.
        origin: "imported" or "copied".
        sha256: of each file; empty when nobody knows.
    """

    name: str
    paths: tuple[str, ...]
    origin: Origin
    sha256: tuple[str, ...] = ()

    def stored(self) -> StoredModel:
        """Look how much of it is on this disk."""
        paths = tuple(Path(path) for path in self.paths)
        sizes = [file_size(path) for path in paths]
        return StoredModel(
            self.name,
            self.origin,
            paths,
            sum(size or 0 for size in sizes),
            newest_time(paths),
            complete=all(sizes),
            sha256=self.sha256,
        )


@dataclass(frozen=True)
class Records:
    """The records under one home folder.

    Attributes:
        home: LOCALMIX_HOME.
    """

    home: Path

    def named(self) -> list[NamedFile]:
        """List every name that was given, by name; a damaged record is passed over."""
        found = list(self._read_named())
        return sorted(found, key=lambda named: named.name.lower())

    def find(self, name: str) -> NamedFile | None:
        """Find a name; case does not matter, and `:latest` may be left away."""
        wanted = self._path(name)
        return next((named for named in self.named() if self._path(named.name) == wanted), None)

    def add(self, named: NamedFile) -> None:
        """Write a name down, in place of an older one. Modifies: LOCALMIX_HOME."""
        write_json(self._path(named.name), asdict(named))

    def remove(self, name: str) -> None:
        """Forget a name. Modifies: LOCALMIX_HOME."""
        self._path(name).unlink(missing_ok=True)

    def hidden(self) -> set[str]:
        """Give the paths that are not to be listed."""
        known = _read(self.home / "hidden.json")
        return {str(path) for path in known} if isinstance(known, list) else set()

    def hide(self, path: Path, is_hidden: bool = True) -> None:
        """Take a file off the list, or put it back. Modifies: LOCALMIX_HOME."""
        before = self.hidden()
        after = before | {str(path)} if is_hidden else before - {str(path)}
        if after != before:
            write_json(self.home / "hidden.json", sorted(after))

    def last_used(self) -> dict[str, datetime]:
        """Say when files were last run, by path."""
        known = _read(self.home / "used.json")
        times = {}
        for path, text in known.items() if isinstance(known, dict) else ():
            with suppress(ValueError, TypeError):
                time = datetime.fromisoformat(text)
                times[str(path)] = time if time.tzinfo else time.replace(tzinfo=timezone.utc)
        return times

    def note_use(self, path: Path, now: datetime | None = None) -> None:
        """Write down that a file is run; a home that cannot be written is nobody's loss.

        Modifies: LOCALMIX_HOME.
        """
        now = now or datetime.now(timezone.utc)
        with suppress(OSError):
            used = {**self.last_used(), os.path.abspath(path): now}  # noqa: PTH100 (links stay)
            texts = {p: t.isoformat(timespec="seconds") for p, t in used.items()}
            write_json(self.home / "used.json", texts)

    def twins(self) -> dict[str, str]:
        """Say which model has the contents of a file of the Hub: `OWNER/REPO/FILE` → its name."""
        known = _read(self.home / "twins.json")
        return {str(k): str(v) for k, v in known.items()} if isinstance(known, dict) else {}

    def note_twin(self, repo_file: str, name: str) -> None:
        """Write down that a file of the Hub is here under a name. Modifies: LOCALMIX_HOME."""
        if self.twins().get(repo_file) != name:
            write_json(self.home / "twins.json", {**self.twins(), repo_file: name})

    def hashes(self) -> dict[str, str]:
        """Give the SHA-256 that files had when they were first verified, by path."""
        known = _read(self.home / "hashes.json")
        return {str(k): str(v) for k, v in known.items()} if isinstance(known, dict) else {}

    def note_hashes(self, sha256: Mapping[str, str]) -> None:
        """Write down the SHA-256 of files, by path. Modifies: LOCALMIX_HOME."""
        write_json(self.home / "hashes.json", {**self.hashes(), **sha256})

    def forget_hashes(self, paths: Iterable[str]) -> None:
        """Forget the SHA-256 of files, by path. Modifies: LOCALMIX_HOME."""
        before, gone = self.hashes(), set(paths)
        if gone & set(before):
            kept = {path: text for path, text in before.items() if path not in gone}
            write_json(self.home / "hashes.json", kept)

    def damaged(self) -> list[Path]:
        """List the records that are here and cannot be read."""
        kept = ((self.home / name, kind) for name, kind in _KINDS.items())
        wrong = [path for path, kind in kept if path.exists() and type(_read(path)) is not kind]
        sound = {self._path(named.name) for named in self.named()}
        return wrong + [p for p in sorted((self.home / "names").glob("*.json")) if p not in sound]

    def _read_named(self) -> Iterator[NamedFile]:
        for path in sorted((self.home / "names").glob("*.json")):
            record = _read(path)
            with suppress(KeyError, TypeError):
                name = str(record["name"])
                paths = tuple(str(each) for each in record["paths"])
                sha256 = tuple(str(each) for each in record["sha256"])
                origin: Origin = "copied" if record["origin"] == "copied" else "imported"
                # One that was edited by hand must not lead to another file of the folder, or out.
                is_sound = is_alias(name) and self._path(name) == path
                is_sound &= all(os.path.isabs(each) for each in paths)  # noqa: PTH117 (texts)
                if is_sound and paths and len(sha256) in (0, len(paths)):
                    yield NamedFile(name, paths, origin, sha256)

    def _path(self, name: str) -> Path:
        # Windows knows no colon in file names, and neither case.
        stem = name.lower().removesuffix(":latest").replace(":", "=")
        return self.home / "names" / f"{stem}.json"


def checked_name(text: str) -> str:
    """Give a name that may be given to a file.

    Raises:
        LocalmixError: it has letters that no name has, or looks like a path or a repository.
    """
    try:
        name = parse_name(text)
    except LocalmixError:
        name = None
    if not isinstance(name, AliasName) or len(text) > 100:
        raise LocalmixError(
            f"{text!r} can be no name: letters, digits, '.', '_', '-' and one ':' are allowed",
            "a name such as my-mistral or my-mistral:q4",
        )
    return name.text


def name_from(stem: str) -> str:
    """Make a name of a file's name without its suffix."""
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", stem).strip(".-_")[:100]
    return re.sub(r"\.(gguf)$", r"-\1", name, flags=re.IGNORECASE) or "model"


def _read(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
