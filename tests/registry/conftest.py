"""A store in a fresh folder, and the Hub on the loopback."""

import ssl
from dataclasses import dataclass
from pathlib import Path

import pytest

from localmix.registry import stored
from localmix.registry.disk.inventory import Inventory
from localmix.registry.disk.store import Store
from localmix.registry.hub import Hub


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "home")


@pytest.fixture
def inventory(store):
    return Inventory(store.home)


@pytest.fixture
def embedded_file(tmp_path, monkeypatch):
    """Stand a file in for the embedded model, which a checkout may not have yet."""
    package = tmp_path / "package"
    (package / "assets").mkdir(parents=True)
    (package / "assets" / "tiny.gguf").write_bytes(b"GGUF1234")
    monkeypatch.setattr(stored.importlib.resources, "files", lambda name: package)
    return package / "assets" / "tiny.gguf"


@pytest.fixture
def hub(fake_hub):
    return Hub.from_environ()


@dataclass(frozen=True)
class Certificate:
    """A server's certificate, and the file that makes it known."""

    context: ssl.SSLContext
    path: Path


@pytest.fixture
def certificate(tmp_path):
    """A certificate of an authority that nobody knows, for `localhost`."""
    import trustme

    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost", "127.0.0.1").configure_cert(context)
    path = tmp_path / "authority.pem"
    authority.cert_pem.write_to_path(str(path))
    return Certificate(context, path)
