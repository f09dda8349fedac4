"""Folders that tests read beside their own: the repository, and the data kept beside it, if there are any."""

from pathlib import Path

ROOT = Path(__file__).parents[2]
SPLITS = ROOT / "splits"
SHARED = ROOT.parent / "shared"  # reference outputs and atlases; tests that need them are skipped without
