"""Small files: sound, damaged, readable by others, or left by a crash."""

import os
import sqlite3
import stat
from contextlib import closing
from pathlib import Path

import pytest
from support import stored
from support.findings import one
from support.links import link

from localmix.cli.options import kept_settings
from localmix.conversation.history import Conversation, Entry, History
from localmix.doctor import records
from localmix.doctor.checks import looked
from localmix.json_file import write_json
from localmix.registry.disk.records import NamedFile, Records
from localmix.registry.disk.store import Store

POSIX = pytest.mark.skipif(os.name == "nt", reason="bits of POSIX")


def all_of(home, cache, clock=None):
    clocks = {"clock": clock} if clock else {}
    return {f.name: f for f in looked(records.looks(home, cache, kept_settings, **clocks))}


@pytest.fixture
def saved(home):
    """A history of one conversation."""
    history = History(home)
    history.save(Conversation(0, "secret-model", entries=(Entry("user", "my secret"),)))
    return history


def test_a_new_home_has_nothing_wrong(home, cache):
    found = all_of(home, cache)
    assert {name: f.state for name, f in found.items()} == {"config.toml": "good"}
    assert found["config.toml"].text == "none: everything is at its default"


@pytest.mark.parametrize("name", ["hidden.json", "used.json", "twins.json", "hashes.json"])
@pytest.mark.parametrize("text", ["{cut", "7", "null", "\xff", "[" * 100_000])
def test_a_damaged_record_is_a_warning(home, name, text):
    (home / name).write_text(text, encoding="latin-1")
    found = one(records.records(home))
    assert (found.state, found.text) == (
        "warn",
        "1 file that cannot be read: passed over",
    )
    assert found.details == (str(home / name),)


def test_sound_records_are_silent(home):
    kept = Records(home)
    kept.hide(Path("/x"))
    kept.note_use(Path("/x"))
    kept.note_twin("o/r/f", "n")
    kept.note_hashes({"/x": "0"})
    kept.add(NamedFile("Mine:q4", (str(home / "x"),), "imported"))
    assert list(records.records(home)) == []


@pytest.mark.parametrize("text", ["{cut", '{"name": "../x"}', '{"name": "other"}'])
def test_a_damaged_name_is_a_warning(home, text):
    (home / "names").mkdir()
    (home / "names" / "mine.json").write_text(text)
    assert one(records.records(home)).details == (str(home / "names" / "mine.json"),)


def test_config_is_counted(home, cache):
    (home / "config.toml").write_text(
        '[defaults]\ntemperature = 0\n[models."m"]\nctx = 7\n[profiles.code]\nseed = 1\n'
    )
    found = all_of(home, cache)["config.toml"]
    assert (found.state, found.text) == ("good", "1 default, 1 model, 1 profile")


@pytest.mark.parametrize(
    "text",
    [
        "[defaults",
        "[other]",
        "defaults = 7",
        "[defaults]\ntemprature = 1",
        "[defaults]\ntemperature = true",
        "[defaults]\ntemperature = -1",
        '[models."m"]\nkv = "f64"',
        "[models]\nm = 1",
        "[profiles.code]\nctx = 0",
        "[profiles.code]\nctx = 1.5",
    ],
)
def test_a_wrong_config_is_bad_in_whatever_table(home, cache, text):
    (home / "config.toml").write_text(text)
    found = all_of(home, cache)["config.toml"]
    assert (found.state, found.text) == ("bad", "cannot be used as it is")
    assert "config.toml" in found.details[0]


def test_a_persons_catalog_is_read(home, cache):
    own = home / "models.toml"
    own.write_text('[[model]]\nname = "my:1b"\nrepo = "o/r"\nquantizations = {Q4_K_M = 0.7}\n')
    kind = all_of(home, cache)["models.toml"]
    assert kind.state == "good", kind.details
    own.write_text("[[model]]\n")
    assert all_of(home, cache)["models.toml"].state == "bad"


def test_conversations_are_counted_and_never_named(home, cache, saved):
    found = all_of(home, cache)
    assert found["history"].text == "1 conversation saved"
    assert "secret" not in repr(found)


def test_a_damaged_history_is_bad(home, cache):
    (home / "history.db").write_bytes(b"no database" * 1000)
    (home / "history.db").chmod(0o600)
    assert all_of(home, cache)["history"].state == "bad"


def test_a_history_that_another_program_writes_is_not_waited_for(saved, monkeypatch):
    monkeypatch.setattr(records, "HISTORY_LIMIT_S", 0.05)
    monkeypatch.setattr("localmix.conversation.history.PATIENCE_S", 0.5)
    with closing(sqlite3.connect(saved.path)) as other:
        other.execute("BEGIN EXCLUSIVE")
        found = one(records.history(saved.path.parent))
        assert (found.state, found.text) == ("note", "another program is writing it")


@POSIX
def test_permissions_are_tightened(home, saved):
    caches = saved.cache_path(0).parent
    caches.mkdir()
    saved.path.chmod(0o600)
    caches.chmod(0o700)
    assert one(records.permissions(home)).state == "good"
    saved.path.chmod(0o644)
    caches.chmod(0o755)
    found = one(records.permissions(home))
    assert (found.state, found.details) == ("warn", (f"{saved.path}: 644", f"{caches}: 755"))
    assert found.fix() == "only you may read history.db and caches now"
    assert one(records.permissions(home)).state == "good"
    assert stat.S_IMODE(saved.path.stat().st_mode) == 0o600
    assert stat.S_IMODE(caches.stat().st_mode) == 0o700


def drafts_of(home, cache):
    """A draft in each place where something is written, as a crash would leave it."""
    staging = stored.begin(Store(home), stored.manifest_of())
    places = [
        home / ".new-ab12cd_9",
        home / "names" / ".new-abcdefgh",
        home / "caches" / ".7.cache.4711",
        staging / ".new-zzzzzzzz",
        cache / ".new-00000000",
        cache / "kernels" / "avx2-0123456789abcdef" / "matmul_q4_0.o.4711",
    ]
    for path in places:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("half")
    return places


def kept_by(home, cache):
    """What looks a little like a draft, and is none."""
    places = [
        home / ".new-model.gguf",
        home / "notes.new-abcdefgh",
        home / "caches" / "7.cache",
        home / "models" / "own" / "Model" / "a.gguf",
        cache / "kernels" / "avx2-0123456789abcdef" / "matmul_q4_0.o",
        home / "somewhere" / ".new-abcdefgh",
    ]
    for path in places:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("whole")
    return places


def test_what_a_crash_left_is_removed_and_nothing_else(home, cache, later):
    drafts, kept = drafts_of(home, cache), kept_by(home, cache)
    link(home / ".new-linklink", kept[3])
    (home / ".new-folderrr").mkdir()
    before = stored.files_in(home)
    found = one(records.leftovers(home, cache, later))
    assert (found.state, found.details) == ("note", tuple(sorted(map(str, drafts))))
    assert stored.files_in(home) == before
    assert found.fix() == "6 files that a crash left removed"
    assert not any(path.exists() for path in drafts)
    assert all(path.read_text() == "whole" for path in kept)
    assert (home / ".new-linklink").is_symlink()
    assert list(records.leftovers(home, cache, later)) == []
    found.fix()


def test_what_is_being_written_at_the_moment_is_left_alone(home, cache):
    drafts_of(home, cache)
    assert list(records.leftovers(home, cache)) == []


def test_drafts_have_the_names_that_are_looked_for(home, cache, later, tmp_path, monkeypatch):
    """Whoever changes how a draft is named shall hear of it here."""
    from types import SimpleNamespace

    import numpy as np

    from localmix.cache import saved as cache_file
    from localmix.kernels import build

    drafts = []

    def crash(path, target):
        drafts.append(Path(path))
        raise OSError("a crash")

    monkeypatch.setattr(Path, "replace", crash)
    monkeypatch.setattr(Path, "unlink", lambda path, missing_ok=False: None)
    (home / "caches").mkdir()
    folder = cache / "kernels" / "neon-0123456789abcdef"
    folder.mkdir(parents=True)
    ring = SimpleNamespace(
        positions=np.zeros((1, 0), np.int32),
        keys=np.zeros((0, 1, 1, 0, 1)),
        values=np.zeros((0, 1, 1, 0, 1)),
        kv="f16",
        n_slots=0,
    )
    with pytest.raises(OSError, match="crash"):
        write_json(home / "used.json", {})
    with pytest.raises(OSError, match="crash"):
        build.publish(folder / "rotate.o", b"code")
    monkeypatch.setattr(cache_file, "_shape", lambda cache: [])
    with pytest.raises(Exception, match="cannot be written"):
        cache_file.write(History(home).cache_path(7), ring, [], {})
    assert len(drafts) == 3
    found = one(records.leftovers(home, cache, later))
    assert found.details == tuple(sorted(map(str, drafts)))
