"""A Hub on the loopback, a store in a fresh folder, and no trace of a person's Hub settings."""

import pytest
from support.fake_hub import FakeHub

from localmix.registry import store as store_module
from localmix.registry.hub import Hub
from localmix.registry.store import Store


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "home")


@pytest.fixture
def embedded_file(tmp_path, monkeypatch):
    """Stand a file in for the embedded model, which a checkout may not have yet."""
    package = tmp_path / "package"
    (package / "assets").mkdir(parents=True)
    (package / "assets" / "tiny.gguf").write_bytes(b"GGUF1234")
    monkeypatch.setattr(store_module.importlib.resources, "files", lambda name: package)
    return package / "assets" / "tiny.gguf"


@pytest.fixture
def fake_hub(tmp_path, monkeypatch):
    """Serve a Hub; HF_ENDPOINT names it, as a person would name a mirror."""
    import huggingface_hub
    from huggingface_hub import constants

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


@pytest.fixture
def hub(fake_hub):
    return Hub.from_environ()
