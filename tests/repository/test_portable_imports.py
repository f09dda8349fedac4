"""The package imports on systems that lack modules of Unix."""

import subprocess
import sys

from workflow_runs import ROOT

# Python's own asyncio needs fcntl on this system, and other packages need asyncio.
IMPORT_ALL = """
import asyncio, importlib, pkgutil, sys
sys.modules["fcntl"] = None
import patch2loc
names = [module.name for module in pkgutil.walk_packages(patch2loc.__path__, "patch2loc.")]
for name in names:
    if not name.endswith("__main__"):
        importlib.import_module(name)
print(len(names))
"""


def test_every_module_is_imported_where_there_is_no_fcntl():
    result = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", IMPORT_ALL],
        capture_output=True,
        text=True,
        env={"PYTHONPATH": str(ROOT / "workflow/scripts"), "PATH": "/usr/bin:/bin"},
    )
    assert result.returncode == 0, result.stderr[-2000:]
    assert int(result.stdout) > 100
