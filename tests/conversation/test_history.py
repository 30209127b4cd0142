"""Saved conversations: what is written comes back, from any state that a file can be in."""

import json
import multiprocessing
import os
import sqlite3
import stat
import sys
from datetime import datetime, timedelta, timezone

import pytest

from localmix.conversation import history as module
from localmix.conversation.history import TITLE_LETTERS, Conversation, Entry, History
from localmix.errors import LocalmixError

NOON = datetime(2025, 1, 2, 12, tzinfo=timezone.utc)
TALK = (Entry("user", "A fox?"), Entry("assistant", "Red.", {"generated_tokens": 3}))


@pytest.fixture
def history(tmp_path):
    return History(tmp_path / "home")


def talk(*texts, **fields):
    """A conversation of questions and answers in turn."""
    roles = ("user", "assistant")
    entries = tuple(Entry(roles[i % 2], text) for i, text in enumerate(texts))
    return Conversation(0, "m", entries=entries, **fields)


def times(history):
    db = sqlite3.connect(history.path)
    try:
        return [row[0] for row in db.execute("SELECT created FROM messages ORDER BY position")]
    finally:
        db.close()


def refused(work, *arguments):
    with pytest.raises(LocalmixError) as error:
        work(*arguments)
    assert error.value.hint
    return error.value.message


# ---- what is written comes back ----------------------------------------------------------------


def test_what_was_saved_comes_back(history):
    saved = Conversation(0, "mistral", settings={"temperature": 0.2, "stop": ["#"]}, entries=TALK)
    number = history.save(saved, NOON)
    found = history.get(number)
    assert found.entries == TALK
    assert (found.model, found.settings) == ("mistral", saved.settings)
    assert (found.title, found.n_messages) == ("A fox?", 2)
    assert found.created == found.updated == "2025-01-02T12:00:00.000+00:00"
    assert history.last() == found


def test_opening_and_reading_write_nothing(history):
    assert (history.latest(), history.search("fox"), history.clear()) == ([], [], 0)
    assert "no conversation is saved" in refused(history.last)
    assert "no conversation 1" in refused(history.get, 1)
    assert not history.path.parent.exists()


def test_saving_again_replaces_and_keeps_number_and_birth(history):
    number = history.save(talk("a", "b"), NOON)
    longer = Conversation(number, "other", entries=talk("a", "b", "c", "d").entries)
    assert history.save(longer, NOON + timedelta(hours=1)) == number
    found = history.get(number)
    assert [e.content for e in found.entries] == ["a", "b", "c", "d"]
    assert found.model == "other"
    assert (found.created[11:16], found.updated[11:16]) == ("12:00", "13:00")
    assert [time[11:16] for time in times(history)] == ["12:00", "12:00", "13:00", "13:00"]


def test_what_takes_the_place_of_an_undone_message_is_new(history):
    number = history.save(talk("a", "b", "c", "d"), NOON)
    changed = Conversation(number, "m", entries=talk("a", "b", "x", "y").entries)
    history.save(changed, NOON + timedelta(hours=1))
    assert [time[11:16] for time in times(history)] == ["12:00", "12:00", "13:00", "13:00"]


def test_a_system_message_that_comes_later_moves_no_times(history):
    number = history.save(talk("a", "b"), NOON)
    entries = (Entry("system", "s"), *talk("a", "b").entries)
    history.save(Conversation(number, "m", entries=entries), NOON + timedelta(hours=1))
    assert [time[11:16] for time in times(history)] == ["13:00", "12:00", "12:00"]


def test_the_same_words_twice_keep_the_times_they_were_said_at(history):
    number = history.save(talk("yes", "ok"), NOON)
    both = Conversation(number, "m", entries=talk("yes", "ok", "yes", "ok").entries)
    history.save(both, NOON + timedelta(hours=1))
    assert [time[11:16] for time in times(history)] == ["12:00", "12:00", "13:00", "13:00"]


def test_a_thousand_messages_come_back_in_order(history):
    texts = [f"message {i}" for i in range(1000)]
    number = history.save(talk(*texts))
    number = history.save(Conversation(number, "m", entries=history.get(number).entries))
    found = history.get(number)
    assert [e.content for e in found.entries] == texts
    assert (found.n_messages, len(history.latest())) == (1000, 1)


@pytest.mark.parametrize(
    "text", ["", "日本語 🦊 é", "a\0b", "'; DROP TABLE messages; --", "a\r\nb\u2028c", "\ufeffx"]
)
def test_any_text_comes_back(history, text):
    number = history.save(talk(text, text))
    assert [e.content for e in history.get(number).entries] == [text, text]


def test_lone_surrogates_become_the_replacement_character(history):
    number = history.save(talk("a\ud800b", "c", settings={"stop": ["\udcff"]}))
    found = history.get(number)
    assert (found.entries[0].content, found.title) == ("a\ufffdb", "a\ufffdb")
    assert history.search("\ud800b") == history.latest()


def test_a_title_is_the_beginning_of_the_first_question(history):
    def title(*entries):
        return history.get(history.save(Conversation(0, "m", entries=entries))).title

    assert title(Entry("system", "s"), Entry("user", " a\n\n b ")) == "a b"
    assert title(Entry("assistant", "b")) == ""
    long = title(Entry("user", "word " * 40))
    assert len(long) <= TITLE_LETTERS
    assert long.endswith("…")
    exact = "x" * TITLE_LETTERS
    assert title(Entry("user", exact)) == exact


# ---- lists and searches ------------------------------------------------------------------------


def test_the_latest_come_first_and_as_many_as_asked_for(history):
    for i in range(5):
        history.save(talk(str(i)), NOON + timedelta(minutes=i))
    first = history.latest()[-1]
    history.save(Conversation(first.id, "m", entries=talk("0", "again").entries))
    assert [each.title for each in history.latest(3)] == ["0", "4", "3"]
    assert history.last().id == first.id
    assert all(each.entries == () for each in history.latest())


def test_of_conversations_of_one_moment_the_later_number_comes_first(history):
    numbers = [history.save(talk("a"), NOON) for _ in range(3)]
    assert [each.id for each in history.latest()] == numbers[::-1]
    assert history.last().id == numbers[-1]


@pytest.mark.parametrize(
    ("words", "titles"),
    [
        ("fox", ["The FOX ran"]),
        ("ran fox", ["The FOX ran"]),
        ("fox sat", []),
        ("100%", ["100% sure"]),
        ("%", ["100% sure"]),
        ("_", ["snake_case"]),
        ("\\", ["back\\slash"]),
        ("'", ["it's \"quoted\""]),
        ('"quoted"', ["it's \"quoted\""]),
        ("ÜBER", ["über straße"]),
        ("STRASSE", ["über straße"]),
        ("after", ["nul\0after"]),
        ("*", []),
    ],
)  # fmt: skip
def test_a_search_takes_every_letter_as_it_is_in_any_case(history, words, titles):
    for text in ("The FOX ran", "100% sure", "snake_case", "back\\slash", "it's \"quoted\"",
                 "über straße", "nul\0after"):  # fmt: skip
        history.save(talk(text))
    assert [each.title for each in history.search(words)] == titles


def test_all_words_stand_in_one_message(history):
    history.save(talk("a fox", "that sat"))
    assert history.search("fox sat") == []
    assert len(history.search("that sat")) == 1


def test_a_search_without_words_finds_all_and_a_long_one_is_none_too_long(history):
    history.save(talk("word " * 2000))
    assert len(history.search("  ")) == 1
    assert len(history.search("word " * 2000)) == 1
    assert history.search("w" * 100_000) == []
    assert len(history.search("word", limit=1)) == 1


# ---- deleting ----------------------------------------------------------------------------------


def test_what_is_removed_is_gone_from_the_file_too(history):
    number = history.save(talk("very-secret-words " * 500))
    other = history.save(talk("kept"))
    history.cache_path(number).parent.mkdir()
    for each in (number, other):
        history.cache_path(each).write_bytes(b"x")
    history.remove(number)
    assert f"no conversation {number}" in refused(history.get, number)
    assert f"no conversation {number}" in refused(history.remove, number)
    assert b"very-secret-words" not in history.path.read_bytes()
    assert not history.cache_path(number).exists()
    assert history.cache_path(other).exists()


def test_a_number_is_not_given_twice(history):
    number = history.save(talk("a"))
    history.remove(number)
    assert history.save(talk("b")) > number
    assert history.save(Conversation(number, "m", entries=TALK)) > number + 1


def test_clear_removes_all_with_their_caches(history):
    numbers = [history.save(talk("a")) for _ in range(3)]
    history.cache_path(numbers[0]).parent.mkdir()
    history.cache_path(numbers[0]).write_bytes(b"x")
    assert history.clear() == 3
    assert history.latest() == []
    assert list(history.cache_path(0).parent.iterdir()) == []


@pytest.mark.parametrize("number", [0, -1, 2, 2**63, 10**30])
def test_a_number_that_was_never_given_is_none(history, number):
    history.save(talk("a"))
    for work in (history.get, history.remove):
        assert f"there is no conversation {number}" in refused(work, number)


# ---- files that are something else --------------------------------------------------------------


def every_use(history):
    return [
        lambda: history.save(talk("a")),
        history.latest,
        lambda: history.search("a"),
        lambda: history.get(1),
        history.last,
        lambda: history.remove(1),
        history.clear,
    ]


def test_a_damaged_file_is_said_and_left_as_it_is(history):
    history.path.parent.mkdir()
    history.path.write_bytes(b"no database at all" * 1000)
    before = history.path.read_bytes()
    for use in every_use(history):
        assert str(history.path) in refused(use)
    assert history.path.read_bytes() == before


def test_a_cut_file_is_said(history):
    history.save(talk(*["long " * 1000] * 20))
    with history.path.open("r+b") as file:
        file.truncate(5000)
    assert "cannot be used" in refused(history.get, 1)


def test_a_folder_in_its_place_is_said(history):
    history.path.mkdir(parents=True)
    for use in every_use(history):
        assert "cannot be used" in refused(use)


def test_a_file_in_place_of_the_home_is_said(history):
    history.path.parent.write_text("a file")
    assert "cannot be used" in refused(history.save, talk("a"))
    assert history.latest() == []


def test_a_newer_version_is_neither_read_nor_written(history):
    history.save(talk("a"))
    db = sqlite3.connect(history.path)
    db.execute(f"PRAGMA user_version = {module.VERSION + 1}")
    db.close()
    for use in every_use(history):
        assert "newer localmix" in refused(use)


def test_an_empty_file_is_a_history_of_nothing(history):
    history.path.parent.mkdir()
    history.path.touch()
    assert history.latest() == []
    assert history.get(history.save(talk("a"))).title == "a"


@pytest.mark.parametrize(
    ("table", "column"), [("conversations", "settings"), ("messages", "figures")]
)
def test_json_that_is_none_is_said(history, table, column):
    number = history.save(talk("a"))
    db = sqlite3.connect(history.path)
    with db:
        db.execute(f"UPDATE {table} SET {column} = '{{'")
    db.close()
    assert "cannot be used" in refused(history.get, number)


def test_tables_of_another_program_are_said(history):
    history.path.parent.mkdir()
    db = sqlite3.connect(history.path)
    db.execute("CREATE TABLE conversations (something)")
    db.close()
    assert "cannot be used" in refused(history.latest)


needs_permissions = pytest.mark.skipif(
    sys.platform == "win32" or not hasattr(os, "geteuid") or os.geteuid() == 0,
    reason="permissions bind neither root nor Windows",
)


@needs_permissions
def test_a_home_that_cannot_be_written_can_be_read(history):
    number = history.save(talk("a"))
    history.path.parent.chmod(0o500)
    history.path.chmod(0o400)
    try:
        assert history.get(number).title == "a"
        assert "cannot be used" in refused(history.save, talk("b"))
    finally:
        history.path.parent.chmod(0o700)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has other permissions")
def test_only_its_owner_reads_it(history):
    history.save(talk("a"))
    assert stat.S_IMODE(history.path.stat().st_mode) == 0o600


# ---- other processes ----------------------------------------------------------------------------


def test_a_file_that_another_process_keeps_is_said_after_a_while(history, monkeypatch):
    history.save(talk("a"))
    monkeypatch.setattr(module, "PATIENCE_S", 0.05)
    db = sqlite3.connect(history.path)
    db.execute("BEGIN EXCLUSIVE")
    try:
        assert "locked" in refused(history.save, talk("b"))
    finally:
        db.close()
    assert history.save(talk("b"))


def write_some(home, name, start):
    start.wait(30)
    history = History(home)
    for i in range(10):
        history.save(talk(f"{name} {i}", "answer"))


def test_two_processes_that_begin_and_write_at_once_both_succeed(history):
    context = multiprocessing.get_context("spawn")
    start = context.Barrier(2)
    workers = [
        context.Process(target=write_some, args=(history.path.parent, name, start))
        for name in ("one", "two")
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
    assert [worker.exitcode for worker in workers] == [0, 0]
    assert len(history.latest(100)) == 20


def test_tables_that_another_process_makes_first_are_used(history, monkeypatch):
    connect = sqlite3.connect

    class Overtaken(sqlite3.Connection):
        def execute(self, query, *values):
            if query != "PRAGMA user_version":
                return super().execute(query, *values)
            rows = super().execute(query).fetchall()
            monkeypatch.setattr(sqlite3, "connect", connect)
            History(history.path.parent).save(talk("first"))
            return Rows(rows)

    class Rows(list):
        def fetchone(self):
            return self[0]

    monkeypatch.setattr(sqlite3, "connect", lambda *a, **k: connect(*a, factory=Overtaken, **k))
    history.save(talk("second"))
    assert sorted(each.title for each in history.latest()) == ["first", "second"]


def test_any_tool_reads_the_file(history):
    history.save(Conversation(0, "m", settings={"seed": 1}, entries=TALK), NOON)
    db = sqlite3.connect(history.path)
    assert db.execute("SELECT role, content FROM messages ORDER BY position").fetchall() == [
        ("user", "A fox?"),
        ("assistant", "Red."),
    ]
    (figures,) = db.execute("SELECT figures FROM messages WHERE role = 'assistant'").fetchone()
    assert json.loads(figures) == {"generated_tokens": 3}
    db.close()
