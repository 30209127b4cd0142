"""What a person has said about models stays said, and a damaged record breaks nothing."""

import json
from datetime import datetime, timezone
from pathlib import Path

import pytest
from support.stored import files_in

from localmix.errors import LocalmixError
from localmix.registry.disk.records import NamedFile, Records, checked_name, name_from

ROOT = Path.cwd().anchor  # with a drive where there are drives
NOON = datetime(2026, 1, 2, 12, tzinfo=timezone.utc)


@pytest.fixture
def home(tmp_path):
    return tmp_path / "home"


@pytest.fixture
def records(home):
    return Records(home)


def named(name="mine", path=f"{ROOT}m.gguf", origin="imported"):
    return NamedFile(name, (path,), origin)


def write(home, file, text):
    (home / file).parent.mkdir(parents=True, exist_ok=True)
    (home / file).write_text(text if isinstance(text, str) else json.dumps(text))


def test_reading_records_writes_nothing(records, home):
    assert (records.named(), records.find("x"), records.hidden()) == ([], None, set())
    assert (records.last_used(), records.hashes()) == ({}, {})
    records.remove("x")
    assert not home.exists()


def test_a_home_that_is_a_file_has_no_records(records, home):
    home.write_text("mine")
    assert (records.named(), records.hidden(), records.last_used()) == ([], set(), {})
    records.note_use(home / "x.gguf")
    assert home.read_text() == "mine"


def test_a_name_is_found_in_any_case_and_with_latest(records):
    records.add(named("Mine:7B"))
    records.add(named("Other"))
    records.add(named("third:latest"))
    for text in ("Mine:7B", "mine:7b", "MINE:7B"):
        assert records.find(text) == named("Mine:7B")
    for text in ("other", "Other:latest", "OTHER:Latest"):
        assert records.find(text) == named("Other")
    for text in ("third", "Third:latest"):
        assert records.find(text) == named("third:latest")
    for text in ("mine", "mine:latest", "othe", "../names/other"):
        assert records.find(text) is None


def test_a_name_is_given_once_whatever_its_case(records):
    records.add(named("Mine"))
    records.add(named("mine:latest", f"{ROOT}b.gguf"))
    assert records.named() == [named("mine:latest", f"{ROOT}b.gguf")]
    records.remove("MINE")
    assert records.named() == []


def test_all_of_a_record_is_kept(records):
    shards = NamedFile(
        "m", (f"{ROOT}a-1.gguf", f"{ROOT}a-2.gguf"), "copied", ("ab" * 32, "cd" * 32)
    )
    records.add(shards)
    assert records.named() == [shards]


def test_names_are_listed_by_name(records):
    for name in ("b", "A", "c:2", "c:1"):
        records.add(named(name))
    assert [each.name for each in records.named()] == ["A", "b", "c:1", "c:2"]


SOUND = {"name": "mine", "paths": [f"{ROOT}m.gguf"], "origin": "imported", "sha256": []}


@pytest.mark.parametrize(
    "damage",
    [
        *("", "{", "[]", "null", '"text"', "\x00", "[" * 100_000),
        {},
        SOUND | {"paths": 3},
        SOUND | {"paths": []},
        SOUND | {"paths": "/m.gguf"},
        SOUND | {"paths": ["m.gguf"]},
        SOUND | {"sha256": None},
        SOUND | {"sha256": ["ab", "cd"]},
        SOUND | {"name": ""},
        SOUND | {"name": 7},
        SOUND | {"name": "other"},
        SOUND | {"name": "../mine"},
        SOUND | {"name": "x/../mine"},
        SOUND | {"name": "hf.co/o/r"},
    ],
    ids=lambda damage: str(damage)[:70],
)
def test_a_damaged_record_is_passed_over(records, home, damage):
    records.add(named("sound"))
    write(home, "names/mine.json", damage)
    assert records.named() == [named("sound")]
    assert records.find("mine") is None


def test_a_record_of_a_strange_origin_counts_as_imported(records, home):
    write(home, "names/mine.json", SOUND | {"origin": "Ollama"})
    assert records.find("mine").origin == "imported"


def test_a_record_that_is_a_folder_is_passed_over(records, home):
    (home / "names" / "x.json").mkdir(parents=True)
    assert records.named() == []


def test_a_name_that_leads_out_of_the_folder_deletes_nothing(records, home):
    write(home, "victim.json", "{}")
    write(home, "names/x.json", SOUND | {"name": "../victim"})
    for each in records.named():
        records.remove(each.name)
    assert files_in(home) == ["names/x.json", "victim.json"]


def test_how_much_is_there_is_looked_up_anew(records, tmp_path):
    path = tmp_path / "m.gguf"
    path.write_bytes(b"x" * 7)
    mine = named(path=str(path))
    assert (mine.stored().complete, mine.stored().size_bytes) == (True, 7)
    assert (mine.stored().origin, mine.stored().paths) == ("imported", (path,))
    path.unlink()
    assert (mine.stored().complete, mine.stored().size_bytes) == (False, 0)
    assert not named(path=f"{ROOT}a\x00b.gguf").stored().complete


def test_a_file_is_hidden_until_it_is_put_back(records, tmp_path):
    a, b = tmp_path / "a", tmp_path / "b"
    records.hide(a)
    records.hide(b)
    records.hide(a)
    assert records.hidden() == {str(a), str(b)}
    records.hide(a, is_hidden=False)
    assert records.hidden() == {str(b)}


def test_nothing_is_written_to_put_back_what_was_not_hidden(records, home, tmp_path):
    records.hide(tmp_path / "a", is_hidden=False)
    assert not home.exists()


def test_the_last_use_of_a_file_is_noted(records, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    records.note_use(tmp_path / "a.gguf", NOON)
    records.note_use(tmp_path / "x" / ".." / "b.gguf")
    assert records.last_used()[str(tmp_path / "a.gguf")] == NOON
    assert set(records.last_used()) == {str(tmp_path / name) for name in ("a.gguf", "b.gguf")}


@pytest.mark.parametrize("damage", ["", "[]", "[" * 100_000, "3", '{"/a": "then", "/b": 3}'])
def test_a_damaged_record_of_uses_is_passed_over_and_written_anew(records, home, damage, tmp_path):
    write(home, "used.json", damage)
    assert records.last_used() == {}
    records.note_use(tmp_path / "a.gguf", NOON)
    assert list(records.last_used().values()) == [NOON]


def test_a_time_without_a_zone_is_taken_for_utc(records, home):
    write(home, "used.json", {"/a": "2026-01-02T12:00:00"})
    assert records.last_used() == {"/a": NOON}


@pytest.mark.parametrize("damage", ["", "{}", "3", "[" * 100_000])
def test_a_damaged_list_of_hidden_files_hides_nothing(records, home, damage, tmp_path):
    write(home, "hidden.json", damage)
    assert records.hidden() == set()
    records.hide(tmp_path / "a")
    assert records.hidden() == {str(tmp_path / "a")}


@pytest.mark.parametrize("damage", ["", "[]", "3"])
def test_damaged_hashes_are_passed_over(records, home, damage):
    write(home, "hashes.json", damage)
    assert records.hashes() == {}
    records.note_hashes({"/a": "ab"})
    assert records.hashes() == {"/a": "ab"}


def test_hashes_are_kept_until_they_are_forgotten(records):
    records.note_hashes({"/a": "ab", "/b": "cd"})
    records.note_hashes({"/a": "ef"})
    records.forget_hashes(["/b", "/c"])
    assert records.hashes() == {"/a": "ef"}


@pytest.mark.parametrize("name", ["mine", "My-Model_1.5", "mine:q4", "7b"])
def test_a_name_of_letters_and_a_tag_may_be_given(name):
    assert checked_name(name) == name
    assert checked_name(f" {name} ") == name


@pytest.mark.parametrize(
    "name",
    [
        *(
            "",
            " ",
            "a b",
            "a/b",
            "../a",
            "a\\b",
            "~",
            "~a",
            "a:b:c",
            "é",
            "a\nb",
            "a\x00",
            "-a",
            ":a",
        ),
        *("m.gguf", "hf.co/o/r", "ollama/m", "https://x.y", ".", "..", ".a", "a" * 101),
    ],
)
def test_what_looks_like_a_path_or_a_repository_is_no_name(name):
    with pytest.raises(LocalmixError, match="can be no name") as caught:
        checked_name(name)
    assert "my-mistral" in caught.value.hint


@pytest.mark.parametrize(
    ("stem", "name"),
    [
        ("Model-Q4_K_M", "Model-Q4_K_M"),
        ("my model (1)", "my-model-1"),
        ("..hidden--", "hidden"),
        ("модель", "model"),
        ("", "model"),
        ("a" * 300, "a" * 100),
        ("_x_", "x"),
        ("m.gguf", "m-gguf"),
    ],
)
def test_a_name_is_made_of_any_file_name(stem, name):
    assert name_from(stem) == name
    assert checked_name(name) == name
