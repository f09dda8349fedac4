"""Fixtures of the tests of downloads."""

import pytest

from patch2loc.acquire import download


@pytest.fixture
def impatient(monkeypatch):
    """Downloads that try again at once, and by no proxy."""
    monkeypatch.setattr(download, "PAUSE", 0.01)
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
