"""Where the repository is, and its parts that tests read."""

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
LIBRARY = ROOT / "workflow/scripts/patch2loc"
SHARED = ROOT.parent / "shared"  # real scans and references, beside some checkouts
