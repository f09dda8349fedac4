"""Short jobs, of which a run has thousands, load no more than they need: what each script may not import."""

import ast
import subprocess
import sys

import pytest
from dependencies import SCRIPTS

# A third of a second to two seconds each, of processor time.
HEAVY = {"torch", "torchvision", "matplotlib", "sklearn", "scipy.stats", "pandas", "SimpleITK", "nilearn"}
NEEDED = {
    "preprocess": {"SimpleITK"},
    "simulate_phantom": set(),
    "landmarks": set(),
    "cohort_list": set(),
    "evaluate": {"pandas"},
    "calibrate": {"pandas"},
    "analyze_patches": {"pandas"},
    "quality": {"pandas"},
    "score": {"pandas"},
    "train": {"pandas"},
}
ALSO_ABSENT = {"preprocess": {"scipy.spatial"}}


@pytest.mark.parametrize("script", NEEDED)
def test_a_script_loads_no_heavy_package_that_it_does_not_need(script):
    """Networks and methods, which score and train load by name, come after."""
    tree = ast.parse((SCRIPTS / f"{script}.py").read_text(encoding="utf-8"))
    imports = [ast.unparse(node) for node in ast.walk(tree) if isinstance(node, ast.Import | ast.ImportFrom)]
    code = "\n".join([*imports, "import sys", "print(*sys.modules)"])
    command = [sys.executable, "-W", "ignore", "-c", code]
    loaded = subprocess.run(command, cwd=SCRIPTS, capture_output=True, text=True, check=True).stdout.split()
    assert len(loaded) > 100
    assert (HEAVY - NEEDED[script] | ALSO_ABSENT.get(script, set())) & {*loaded} == set()
