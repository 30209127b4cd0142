"""`@file`: files that are meant are read or said to be missing, everything else stays text."""

import os
import sys

import pytest

from localmix.conversation import attachments
from localmix.conversation.attachments import attach
from localmix.errors import LocalmixError


@pytest.fixture
def folder(tmp_path):
    for name, text in {
        "notes.txt": "remember",
        "old notes.txt": "forgotten",
        "Makefile": "all:\n",
        "docs/a.md": "# A",
        "it's.txt": "quoted",
    }.items():
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return tmp_path


def read(message, folder):
    """The names of the files that a message brings, relative to the folder."""
    attached = attach(message, folder)
    assert attached.text.startswith(message)
    return [os.path.relpath(path, folder).replace(os.sep, "/") for path in attached.paths]


def refused(message, folder):
    with pytest.raises(LocalmixError) as error:
        attach(message, folder)
    assert error.value.hint
    return error.value.message


def test_the_text_of_a_file_stands_behind_the_message_in_a_fence(folder):
    attached = attach("Summarize @notes.txt", folder)
    assert attached.text == "Summarize @notes.txt\n\nnotes.txt:\n```\nremember\n```"
    assert attached.paths == (folder / "notes.txt",)


@pytest.mark.parametrize(
    ("message", "names"),
    [
        ("@notes.txt", ["notes.txt"]),
        ("see @notes.txt, @Makefile.", ["notes.txt", "Makefile"]),
        ("what is in @notes.txt?!", ["notes.txt"]),
        ("(@notes.txt)", ["notes.txt"]),
        ("'@notes.txt' and [@Makefile]", ["notes.txt", "Makefile"]),
        ("@notes.txt's beginning, @notes.txt’s end", ["notes.txt"]),
        ("@notes.txt:12 is odd", ["notes.txt"]),
        ('@"old notes.txt" and @"it\'s.txt"', ["old notes.txt", "it's.txt"]),
        ("@it's.txt", ["it's.txt"]),
        ("@docs/a.md @./docs/../docs/a.md @docs/a.md", ["docs/a.md"]),
        ("line\n@notes.txt\nline", ["notes.txt"]),
        ("\t@notes.txt", ["notes.txt"]),
    ],
)
def test_files_are_found_whatever_stands_around_their_names(folder, message, names):
    assert read(message, folder) == names


@pytest.mark.parametrize(
    "message",
    [
        "",
        "@",
        "@ notes.txt",
        "ask @anna, or mail to user@example.com and <me@host.txt>",
        "mail user@notes.txt",
        '@app.get("/items")\ndef f(): ...',
        "@property\n@functools.cache\n@pytest.fixture\n@x.setter",
        "npm install @types/node @angular/core",
        "@Override @media(print) @john.doe @everyone!",
        "@docs is a folder, and a word",
        "meet @5pm @3.5 @@ @@notes",
        "@" + "x" * 5000,
        "@~ @... @a\0b",
    ],
)
def test_what_is_no_file_stays_text(folder, message):
    assert attach(message, folder) == attachments.Attached(message, ())


@pytest.mark.parametrize(
    "message",
    [
        "@note.txt",
        "@NOTES2.MD?",
        '@"some thing"',
        "@./thing",
        "@../thing",
        "@/no/such/thing",
        "@~/thing",
        "@docs/b",
        "@nowhere/b.py",
        "@~nobody-of-that-name/x",
        "@C:\\notes",
        "@/" + "x" * 5000,
    ],
)
def test_a_file_that_is_meant_and_missing_is_an_error(folder, message):
    assert "there is no file" in refused(message, folder)


@pytest.mark.parametrize("message", ["@docs/", "@./docs", '@"docs"', "look at @./docs."])
def test_a_folder_that_is_meant_is_said_to_be_one(folder, message):
    assert "is a folder" in refused(message, folder)


def test_a_home_is_found(folder, monkeypatch):
    monkeypatch.setenv("HOME", str(folder))
    monkeypatch.setenv("USERPROFILE", str(folder))
    assert attach("@~/notes.txt", folder / "docs").paths == (folder / "notes.txt",)


def test_a_link_to_a_file_that_is_there_already_is_no_second_one(folder):
    try:
        (folder / "link.txt").symlink_to(folder / "notes.txt")
    except OSError:
        pytest.skip("no links here")
    assert read("@notes.txt @link.txt", folder) == ["notes.txt"]


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such files")
def test_pipes_and_devices_are_not_waited_for(folder):
    os.mkfifo(folder / "pipe.txt")
    assert "no file" in refused("@pipe.txt", folder)
    assert "no file" in refused("@/dev/zero", folder)


def test_a_fence_is_longer_than_those_in_the_file(folder):
    (folder / "notes.txt").write_text("```python\nx\n```\n````\n")
    assert attach("@notes.txt", folder).text.endswith(
        "notes.txt:\n`````\n```python\nx\n```\n````\n`````"
    )


def test_mentions_in_a_file_are_not_followed(folder):
    (folder / "notes.txt").write_text("@missing.txt @Makefile")
    assert read("@notes.txt", folder) == ["notes.txt"]


def test_a_large_file_is_refused_and_the_largest_is_not(folder, monkeypatch):
    monkeypatch.setattr(attachments, "MAX_BYTES", 100)
    (folder / "notes.txt").write_bytes(b"x" * 100)
    assert read("@notes.txt", folder) == ["notes.txt"]
    (folder / "notes.txt").write_bytes(b"x" * 101)
    assert "larger" in refused("@notes.txt", folder)


@pytest.mark.parametrize("content", [b"\x89PNG\r\n\x1a\n\x00", b"a\0b", b"\xff\xfea\0", b"caf\xe9"])
def test_what_is_no_text_is_refused(folder, content):
    (folder / "notes.txt").write_bytes(content)
    assert "is no text" in refused("@notes.txt", folder)


def test_an_empty_file_and_a_byte_order_mark_are_fine(folder):
    (folder / "notes.txt").write_bytes(b"")
    assert attach("@notes.txt", folder).text.endswith("notes.txt:\n```\n\n```")
    (folder / "notes.txt").write_bytes(b"\xef\xbb\xbfhi\n")
    assert attach("@notes.txt", folder).text.endswith("notes.txt:\n```\nhi\n```")


def test_a_file_that_cannot_be_opened_is_said(folder, monkeypatch):
    def closed(*arguments, **options):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("pathlib.Path.open", closed)
    assert "cannot be read: Permission denied" in refused("@notes.txt", folder)
