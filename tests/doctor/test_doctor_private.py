"""What is hidden everywhere, and what only from others."""

import platform

import pytest

from localmix.doctor.private import Private

HOME = "/home/zoe"
ENVIRON = {
    "HOME": HOME,
    "USERPROFILE": HOME,
    "USER": "zoe",
    "HF_TOKEN": "hf_abcdefghij",
    "HUGGING_FACE_HUB_TOKEN": "anothertoken",
    "HTTPS_PROXY": "http://corpzoe:pa%2Fss%40word@proxy.corp:3128",
    "all_proxy": "socks5://x:p/1@2@h",
}


@pytest.fixture
def private(monkeypatch):
    monkeypatch.setattr(platform, "node", lambda: "zoes-laptop.lan")
    monkeypatch.setattr("getpass.getuser", lambda: "zoe")
    return Private.here(ENVIRON)


@pytest.mark.parametrize(
    ("text", "hidden"),
    [
        ("token hf_abcdefghij.", "token ***."),
        ("another hf_ABCDEFGH12", "another ***"),
        ("anothertoken", "***"),
        ("at http://a:b@h:1/x", "at http://***@h:1/x"),
        ("at socks5://x:p/1@2@h", "at socks5://***@h"),
        ("pa%2Fss%40word, pa/ss@word", "***, ***"),
        ("hf_hub and a@b are none", "hf_hub and a@b are none"),
        (f"{HOME}/models", f"{HOME}/models"),
    ],
)
def test_secrets_are_hidden_everywhere(private, text, hidden):
    assert private.without_secrets(text) == hidden


@pytest.mark.parametrize(
    ("text", "hidden"),
    [
        (f"{HOME}/models", "~/models"),
        (f"in {HOME}.", "in ~."),
        (f"{HOME}2/models", "/home/zoe2/models"),
        ("/data/zoe/models", "/data/***/models"),
        ("ZOE and zoe", "*** and ***"),
        ("Zoey", "Zoey"),
        ("corpzoe", "***"),
        ("zoes-laptop.lan, Zoes-Laptop", "***, ***"),
        ("hf_abcdefghij", "***"),
    ],
)
def test_others_do_not_hear_who_and_where_it_is(private, text, hidden):
    assert private.for_others(text) == hidden


def test_names_that_say_nothing_make_no_holes(monkeypatch):
    monkeypatch.setattr(platform, "node", lambda: "localhost")
    monkeypatch.setattr("getpass.getuser", lambda: "root")
    monkeypatch.setattr("pathlib.Path.home", lambda: "/")
    private = Private.here({"HOME": "/", "USERPROFILE": "/", "USER": "root"})
    text = "/data/root on localhost"
    assert private.for_others(text) == text


def test_nobody_who_has_no_name_is_in_the_way(monkeypatch):
    def nobody():
        raise KeyError("uid not found")

    monkeypatch.setattr("getpass.getuser", nobody)
    Private.here({})


def test_secrets_are_not_in_what_is_printed_of_it(private):
    assert "hf_abcdefghij" not in repr(private)
