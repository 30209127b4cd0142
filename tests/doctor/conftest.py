"""A home and a cache of their own, and a clock that is three days ahead of what tests write."""

import time

import pytest

from localmix import settings


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("LOCALMIX_HOME", str(tmp_path / "home"))
    (tmp_path / "home").mkdir()
    return settings.home()


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("LOCALMIX_CACHE", str(tmp_path / "cache"))
    (tmp_path / "cache").mkdir()
    return settings.cache_folder()


@pytest.fixture
def later():
    """A clock by which everything here was written three days ago."""
    return lambda: time.time() + 3 * 86400
