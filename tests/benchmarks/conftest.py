"""The benchmarks as modules."""

import sys

import pytest
from repository_paths import ROOT


@pytest.fixture
def benchmarks(monkeypatch):
    """The folder of the benchmarks, whose modules import each other by name."""
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    known = set(sys.modules)
    yield ROOT / "benchmarks"
    folder = str(ROOT / "benchmarks")
    for name in set(sys.modules) - known:
        if str(getattr(sys.modules[name], "__file__", "") or "").startswith(folder):
            del sys.modules[name]
