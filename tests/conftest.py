"""What every test may rely on: no real home, no settings of yours, no network but the loopback."""

import os
import socket
from pathlib import Path

import pytest

OUR_VARIABLES = ("LOCALMIX_THREADS", "LOCALMIX_ISA")
HUB_VARIABLES = ("HF_ENDPOINT", "HF_TOKEN", "HF_HUB_OFFLINE", "HTTPS_PROXY", "SSL_CERT_FILE")
PLACES = ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "APPDATA")


@pytest.fixture(scope="session")
def kernel_cache(tmp_path_factory):
    """One folder of compiled kernels for the whole run: each is compiled once.

    LOCALMIX_TEST_KERNELS names one that is kept: an emulator takes minutes to compile.
    """
    kept = os.environ.get("LOCALMIX_TEST_KERNELS")
    return Path(kept) if kept else tmp_path_factory.mktemp("kernels")


@pytest.fixture(autouse=True)
def isolated(tmp_path_factory, monkeypatch, kernel_cache):
    """Point every folder to a fresh one and refuse connections that leave this machine."""
    home = tmp_path_factory.mktemp("home")
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("USERPROFILE", str(home))
    monkeypatch.setenv("LOCALMIX_HOME", str(home / "localmix"))
    monkeypatch.setenv("LOCALMIX_CACHE", str(kernel_cache))
    monkeypatch.setenv("HF_HOME", str(home / "huggingface"))
    monkeypatch.setenv("OLLAMA_MODELS", str(home / "ollama"))
    for name in (*OUR_VARIABLES, *HUB_VARIABLES, *PLACES):
        monkeypatch.delenv(name, raising=False)

    connect = socket.socket.connect

    def connect_locally(self, address):
        host = address[0] if isinstance(address, tuple) else "localhost"
        assert host in ("localhost", "127.0.0.1", "::1"), f"a test wants to reach {host}"
        return connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", connect_locally)


@pytest.fixture
def fake_hub(tmp_path, monkeypatch):
    """Serve a Hub; HF_ENDPOINT names it, as a person would name a mirror."""
    import huggingface_hub
    from huggingface_hub import constants
    from support.fake_hub import FakeHub

    # huggingface_hub reads these once, when it is imported: too early for one test's variables.
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub_cache"))
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "no_token"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1,localhost")
    with FakeHub().serve() as server:
        monkeypatch.setenv("HF_ENDPOINT", server.url)
        yield server
        # It keeps connections open for its next request, which would come after this Hub is gone.
        huggingface_hub.close_session()
