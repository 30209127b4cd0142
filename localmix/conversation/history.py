"""Conversations that were held, in one SQLite file: LOCALMIX_HOME/history.db.

    conversations   id, model, title, settings (JSON), created, updated
    messages        conversation, position, role, content, figures (JSON), created

Times are ISO 8601 in UTC. The file can be read with any SQLite tool; it is written in whole
transactions, so a crash leaves what was there before. Only its owner can read it, what is deleted
is overwritten, and nothing of it leaves this machine.
"""

import json
import re
import sqlite3
from collections import defaultdict, deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from localmix.errors import LocalmixError

VERSION = 1
TITLE_LETTERS = 60

PATIENCE_S = 10.0
"""How long another process may keep the file."""

_MOST_ID = 2**63 - 1

_SCHEMA = """
CREATE TABLE IF NOT EXISTS conversations (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    model TEXT NOT NULL,
    title TEXT NOT NULL,
    settings TEXT NOT NULL,
    created TEXT NOT NULL,
    updated TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS messages (
    conversation INTEGER NOT NULL REFERENCES conversations(id) ON DELETE CASCADE,
    position INTEGER NOT NULL,
    role TEXT NOT NULL,
    content TEXT NOT NULL,
    figures TEXT,
    created TEXT NOT NULL,
    PRIMARY KEY (conversation, position)
);
CREATE INDEX IF NOT EXISTS conversations_updated ON conversations(updated);
"""


@dataclass(frozen=True)
class Entry:
    """One message as it was said.

    Attributes:
        role: "system", "user" or "assistant".
        figures: of an answer: tokens and speeds, as `run --json` has them.
    """

    role: str
    content: str
    figures: dict[str, Any] | None = None


@dataclass(frozen=True)
class Conversation:
    """One saved conversation.

    Attributes:
        id: its number; 0 while it is not saved.
        model: the name that it was held with.
        title: the beginning of its first question.
        settings: what was said on the command line about sampling and context.
        entries: all messages in order; empty in a list of conversations.
        n_messages: how many there are.
    """

    id: int
    model: str
    title: str = ""
    settings: dict[str, Any] = field(default_factory=dict)
    created: str = ""
    updated: str = ""
    entries: tuple[Entry, ...] = ()
    n_messages: int = 0


class History:
    """The saved conversations of one home folder. Opening it writes nothing.

    Attributes:
        path: the file.
    """

    def __init__(self, home: Path) -> None:
        self.path = home / "history.db"
        self._caches = home / "caches"

    def cache_path(self, number: int) -> Path:
        """Give the place of a conversation's keys and values; they are deleted with it."""
        return self._caches / f"{number}.cache"

    def save(self, conversation: Conversation, now: datetime | None = None) -> int:
        """Write a conversation, in place of what was saved under its number -> the number.

        Modifies: the file, which is made when it is missing.
        """
        entries = [replace(e, content=_sound(e.content)) for e in conversation.entries]
        said_at = _text(now)
        title = _sound(conversation.title) or _title(entries)
        row = (_sound(conversation.model), title, json.dumps(conversation.settings), said_at)
        with self._writing() as db:
            number = conversation.id
            changed = db.execute(
                "UPDATE conversations SET model = ?, title = ?, settings = ?, updated = ?"
                " WHERE id = ?",
                (*row, number),
            )
            if not changed.rowcount:
                made = db.execute(
                    "INSERT INTO conversations (model, title, settings, updated, created)"
                    " VALUES (?, ?, ?, ?, ?)",
                    (*row, said_at),
                )
                number = int(made.lastrowid or 0)
            _write_entries(db, number, entries, said_at)
        return number

    def latest(self, limit: int = 20) -> list[Conversation]:
        """List the latest conversations, the last one first, without their messages."""
        return self._rows("ORDER BY updated DESC, id DESC LIMIT ?", (limit,))

    def search(self, words: str, limit: int = 20) -> list[Conversation]:
        """Find conversations with a message that holds all words, in any case."""
        wanted = [_sound(word).casefold() for word in words.split()]

        def holds(content: str) -> bool:  # LIKE knows no case beyond ASCII
            folded = content.casefold()
            return all(word in folded for word in wanted)

        return self._rows(
            "WHERE id IN (SELECT conversation FROM messages WHERE holds(content))"
            " ORDER BY updated DESC, id DESC LIMIT ?",
            (limit,),
            holds,
        )

    def get(self, number: int) -> Conversation:
        """Read one conversation with its messages.

        Raises:
            LocalmixError: there is none of that number.
        """
        found = self._rows("WHERE id = ?", (number,)) if 0 < number <= _MOST_ID else []
        if not found:
            raise LocalmixError(
                f"there is no conversation {number}", "localmix history list shows those there are"
            )
        return self._with_entries(found[0])

    def last(self) -> Conversation:
        """Read the conversation that was held last.

        Raises:
            LocalmixError: nothing is saved yet.
        """
        found = self._rows("ORDER BY updated DESC, id DESC LIMIT 1", ())
        if not found:
            raise LocalmixError("no conversation is saved yet", "localmix run tiny")
        return self._with_entries(found[0])

    def remove(self, number: int) -> None:
        """Delete a conversation, and its cache. Modifies: the file.

        Raises:
            LocalmixError: there is none of that number.
        """
        self.get(number)
        with self._writing() as db:
            db.execute("DELETE FROM conversations WHERE id = ?", (number,))
            self.cache_path(number).unlink(missing_ok=True)

    def clear(self) -> int:
        """Delete all conversations, and their caches -> how many there were. Modifies: the file."""
        with self._explained():
            if not self.path.exists():
                return 0
        with self._writing() as db:
            n_deleted = int(db.execute("DELETE FROM conversations").rowcount)
            for path in self._caches.glob("*.cache"):
                path.unlink()
            return n_deleted

    def _with_entries(self, conversation: Conversation) -> Conversation:
        with self._reading() as db:
            rows = db.execute(
                "SELECT role, content, figures FROM messages WHERE conversation = ?"
                " ORDER BY position",
                (conversation.id,),
            )
            entries = tuple(
                Entry(role, content, json.loads(figures) if figures else None)
                for role, content, figures in rows
            )
        return replace(conversation, entries=entries)

    def _rows(
        self,
        rest: str,
        values: tuple[Any, ...],
        holds: Callable[[str], bool] | None = None,
    ) -> list[Conversation]:
        """Read conversations; `rest` of the query may ask `holds(text)`."""
        with self._explained():
            if not self.path.exists():
                return []
        with self._reading() as db:
            if holds is not None:
                db.create_function("holds", 1, holds)
            rows = db.execute(
                "SELECT id, model, title, settings, created, updated, (SELECT count(*) FROM"
                f" messages WHERE conversation = id) FROM conversations {rest}",
                values,
            )
            return [
                Conversation(
                    number, model, title, json.loads(settings), created, updated, n_messages=n
                )
                for number, model, title, settings, created, updated, n in rows
            ]

    @contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        with self._explained(), closing(self._connect()) as db:
            yield db

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        with self._explained():
            self.path.parent.mkdir(parents=True, exist_ok=True)
            if not self.path.exists():
                self.path.touch(mode=0o600)
            with closing(self._connect()) as db, db:
                yield db

    def _connect(self) -> sqlite3.Connection:
        db = sqlite3.connect(self.path, timeout=PATIENCE_S)
        try:
            db.execute("PRAGMA foreign_keys = ON")
            db.execute("PRAGMA secure_delete = ON")
            (version,) = db.execute("PRAGMA user_version").fetchone()
            if version > VERSION:
                raise LocalmixError(
                    f"{self.path} was written by a newer localmix", "update localmix"
                )
            if version == 0:  # for another process too, perhaps: the second one changes nothing
                with db:
                    db.executescript(
                        f"BEGIN IMMEDIATE; {_SCHEMA} PRAGMA user_version = {VERSION}; COMMIT;"
                    )
        except BaseException:
            db.close()
            raise
        return db

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, OSError, ValueError) as exc:
            raise LocalmixError(
                f"the saved conversations in {self.path} cannot be used: {exc}",
                "--no-history leaves them alone; move the file away to begin anew",
            ) from exc


def _write_entries(
    db: sqlite3.Connection, number: int, entries: Sequence[Entry], said_at: str
) -> None:
    """Write the messages of a conversation; those that were there before keep their times."""
    times: dict[tuple[str, str], deque[str]] = defaultdict(deque)
    before = "SELECT role, content, created FROM messages WHERE conversation = ? ORDER BY position"
    for role, content, created in db.execute(before, (number,)):
        times[role, content].append(created)
    db.execute("DELETE FROM messages WHERE conversation = ?", (number,))
    for position, entry in enumerate(entries):
        said = times[entry.role, entry.content]
        row = (
            entry.role,
            entry.content,
            None if entry.figures is None else json.dumps(entry.figures),
            said.popleft() if said else said_at,
        )
        db.execute("INSERT INTO messages VALUES (?, ?, ?, ?, ?, ?)", (number, position, *row))


def _text(now: datetime | None) -> str:
    return (now or datetime.now(timezone.utc)).isoformat(timespec="milliseconds")


def _title(entries: Sequence[Entry]) -> str:
    asked = next((entry.content for entry in entries if entry.role == "user"), "")
    line = " ".join(asked.split())
    return line if len(line) <= TITLE_LETTERS else line[: TITLE_LETTERS - 1].rstrip() + "…"


def _sound(text: str) -> str:
    """Text that is valid Unicode: lone surrogates, as of broken file names, become U+FFFD."""
    return re.sub("[\ud800-\udfff]", "\ufffd", text)
