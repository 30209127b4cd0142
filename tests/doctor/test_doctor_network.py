"""The network: a Hub that is there, one that is not, and whoever else answers. Nothing hangs."""

import os
import socket
import time
from contextlib import contextmanager

import pytest
from support.findings import one, seen
from support.hub_faults import FOREVER, Portal, Status

from localmix.doctor import network
from localmix.doctor.checks import looked

TOKEN = "hf_abcdefghijklmnop"


@pytest.fixture(autouse=True)
def no_proxies(monkeypatch):
    for name in list(os.environ):
        if name.upper() in network._PROXIES:
            monkeypatch.delenv(name)


@contextmanager
def silent_server():
    """A port that takes connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


def dead_port():
    with socket.create_server(("127.0.0.1", 0)) as server:
        return f"http://127.0.0.1:{server.getsockname()[1]}"


def asked(**options):
    return {f.name: f for f in looked(network.looks(os.environ, **options))}


def test_a_hub_that_answers_is_good(fake_hub):
    found = asked()["Hub"]
    assert found.state == "good"
    assert found.text.startswith("answers in ")
    assert fake_hub.paths() == ["/api/models"]


def test_offline_nobody_is_asked(fake_hub, monkeypatch):
    assert asked(offline=True)["Hub"].text == "not asked: --offline"
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    found = asked(ask_token=True)
    assert (found["Hub"].state, found["Hub"].text) == ("note", "not asked: HF_HUB_OFFLINE is set")
    assert found["token"].state == "note"
    assert fake_hub.requests == []


def test_a_dead_port_is_a_note(monkeypatch):
    monkeypatch.setenv("HF_ENDPOINT", dead_port())
    found = asked()["Hub"]
    assert (found.state, found.text) == ("note", "cannot be reached")
    assert "refused" in found.details[0]


def test_a_hub_that_says_nothing_is_not_waited_for(monkeypatch):
    monkeypatch.setattr(network, "LIMIT_S", 0.2)
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    with silent_server() as url:
        monkeypatch.setenv("HF_ENDPOINT", url)
        start_s = time.monotonic()
        found = asked(ask_token=True)
        assert time.monotonic() - start_s < 3
    assert found["Hub"].text == "cannot be reached: no answer in 0.2 s"
    assert found["Hub"].state == "note"
    assert found["token"].text == "HF_TOKEN is set; the Hub could not be asked about it"


def test_the_login_page_of_a_network_is_no_hub(fake_hub):
    fake_hub.faults.append(Portal(where="api", times=FOREVER))
    found = asked()["Hub"]
    assert found.state == "warn"
    assert "login page" in found.text


@pytest.mark.parametrize(("code", "state"), [(503, "good"), (429, "good"), (404, "warn")])
def test_a_hub_that_is_busy_is_there(fake_hub, code, state):
    fake_hub.faults.append(Status(code, where="api"))
    assert asked()["Hub"].state == state


def test_settings_that_make_no_sense_are_told_of_elsewhere(monkeypatch):
    monkeypatch.setenv("HF_ENDPOINT", "ftp://x")
    assert seen(asked().values()) == {"Hub": ("note", "not asked: a setting of it is wrong")}


def test_proxies_are_named_without_what_stands_in_them():
    environ = {"https_proxy": "http://ann:pass@proxy:8080", "NO_PROXY": " ", "ALL_PROXY": "x"}
    found = one(network.proxies(environ))
    assert (found.text, found.details) == ("ALL_PROXY, https_proxy set", ())
    assert list(network.proxies({"NO_PROXY": ""})) == []


def test_certificates_that_are_not_there_are_bad(tmp_path):
    path = tmp_path / "ca.pem"
    assert list(network.certificates({})) == []
    assert one(network.certificates({"SSL_CERT_FILE": str(path)})).state == "bad"
    path.write_text("")
    assert one(network.certificates({"SSL_CERT_FILE": str(path)})).state == "note"


def test_a_token_is_only_asked_about_if_that_is_wished(fake_hub, monkeypatch):
    assert asked()["token"].state == "note"
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    assert asked()["token"].state == "good"
    assert "/api/whoami-v2" not in fake_hub.paths()


def test_a_token_that_the_hub_knows_is_good_and_another_is_bad(fake_hub, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    found = asked(ask_token=True)["token"]
    assert (found.state, found.text) == ("bad", "HF_TOKEN is set, and the Hub refuses it")
    fake_hub.tokens.add(TOKEN)
    found = asked(ask_token=True)["token"]
    assert (found.state, found.text) == ("good", "HF_TOKEN is set, and the Hub knows it")
    assert TOKEN not in repr(found)


def test_a_hub_that_does_not_say_leaves_the_token_open(fake_hub, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    fake_hub.faults.append(Status(503, where="api"))
    found = asked(ask_token=True)["token"]
    assert (found.state, found.text) == (
        "note",
        "HF_TOKEN is set; the Hub could not be asked about it",
    )
