"""What every test may rely on: no real home, no settings of yours, no network but the loopback."""

import socket

import pytest

OUR_VARIABLES = ("LOCALMIX_THREADS", "LOCALMIX_ISA")
HUB_VARIABLES = ("HF_ENDPOINT", "HF_TOKEN", "HF_HUB_OFFLINE", "HTTPS_PROXY", "SSL_CERT_FILE")


@pytest.fixture(scope="session")
def kernel_cache(tmp_path_factory):
    """One folder of compiled kernels for the whole run: each is compiled once."""
    return tmp_path_factory.mktemp("kernels")


@pytest.fixture(autouse=True)
def isolated(tmp_path_factory, monkeypatch, kernel_cache):
    """Point every folder to a fresh one and refuse connections that leave this machine."""
    home = tmp_path_factory.mktemp("home")
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("LOCALMIX_HOME", str(home / "localmix"))
    monkeypatch.setenv("LOCALMIX_CACHE", str(kernel_cache))
    monkeypatch.setenv("HF_HOME", str(home / "huggingface"))
    for name in (*OUR_VARIABLES, *HUB_VARIABLES):
        monkeypatch.delenv(name, raising=False)

    connect = socket.socket.connect

    def connect_locally(self, address):
        host = address[0] if isinstance(address, tuple) else "localhost"
        assert host in ("localhost", "127.0.0.1", "::1"), f"a test wants to reach {host}"
        return connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", connect_locally)
