"""Tests share code in tests/support alone."""

import re

import pytest
from repository_paths import ROOT

FILES = [path for path in sorted((ROOT / "tests").rglob("*.py")) if path.name != "repository_paths.py"]


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_test_imports_another_or_counts_folders_to_the_root(path):
    text = path.read_text(encoding="utf-8")
    assert not re.search(r"^\s*(from|import) test_", text, re.MULTILINE)
    assert not re.search(r"Path\(__file__\)(\.resolve\(\))?\.parents\[[23]\]", text)
