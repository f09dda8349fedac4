"""The command on Windows, as far as a process that lacks what Windows lacks can show (support/like_windows.py)."""

import ast
import json
import os
import subprocess
import sys

import like_windows
import nibabel as nib
import numpy as np
import pytest
from contrasts import IN_ATLAS_SPACE
from poses import moved_brain
from repository_paths import LIBRARY, ROOT
from written_models import write_model

from patch2loc.files import read_json
from patch2loc.preprocess.atlas import load_atlas

IN_PLACE = {key: IN_ATLAS_SPACE[key] for key in ("registration", "bias_correction")}
SCORE = [
    "score",
    "a.nii.gz",
    "absent.nii",
    "--model",
    "model.safetensors",
    "--skull-strip",
    "none",
    "--device",
    "cpu",
]
COMMANDS = [
    ["--help"],
    ["detect", "--help"],
    ["--version"],
    [*SCORE, "--output", "out"],
    ["models"],
    ["train", "my.yaml"],
]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """The folder of the commands, their statuses, and what they said."""
    folder = tmp_path_factory.mktemp("windows")
    atlas = load_atlas("icbm152", "T1")
    write_model(folder / "model.safetensors", atlas, preprocess=IN_PLACE)
    nib.save(nib.Nifti1Image(*moved_brain(atlas, np.eye(4), 1)), folder / "a.nii.gz")
    process = subprocess.run(
        [sys.executable, "-W", "ignore", str(ROOT / "tests/support/like_windows.py"), json.dumps(COMMANDS)],
        cwd=folder,
        env={
            **os.environ,
            "PYTHONPATH": str(ROOT / "workflow/scripts"),
            "PYTHONIOENCODING": "cp1252",
            "OMP_NUM_THREADS": "1",
        },
        capture_output=True,
        encoding="cp1252",
    )
    assert process.returncode == 0, process.stderr[-3000:]
    return folder, json.loads(process.stdout.splitlines()[-1]), process


def test_every_module_is_imported(run):
    _, ending, _ = run
    assert ending["modules"] > 200


def test_commands_explain_themselves(run):
    _, ending, process = run
    assert ending["statuses"][:3] == [0, 0, 0]
    assert "Research software, not a medical device." in process.stdout
    assert "\npatch2loc 0" in process.stdout


def test_a_scan_is_scored_and_a_missing_one_is_named(run):
    folder, ending, process = run
    assert ending["statuses"][3] == 1
    assert process.stderr.count("patch2loc: absent.nii: no such file") == 1
    assert read_json(folder / "out/a/summary.json")["scan"] == "a.nii.gz"
    heatmap = np.asarray(nib.load(folder / "out/a/heatmap.nii.gz").dataobj)
    assert np.isfinite(heatmap).sum() > 1000
    assert not list((folder / "out").rglob(".partial*"))


def test_the_workflow_says_that_it_needs_another_system(run):
    _, ending, process = run
    assert ending["statuses"][5] == 1
    assert "patch2loc: Windows found, Linux or macOS expected: the workflow needs" in process.stderr


# Where the library asks first whether the system has what it uses.
GUARDED = {"os.sysconf": "preprocess/memory.py", "signal.SIGHUP": "acquire/phantom/cohort.py"}


def test_what_windows_lacks_is_used_only_where_the_library_asks_for_it_first():
    """Also on lines that the commands above do not reach."""
    hidden = {"os": like_windows.FUNCTIONS.split(), "signal": like_windows.SIGNALS.split()}
    used = {}
    for path in sorted(LIBRARY.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
                module, name = node.value.id, node.attr
                if name in hidden.get(module, ()):
                    used.setdefault(f"{module}.{name}", set()).add(path.relative_to(LIBRARY).as_posix())
    assert used == {name: {path} for name, path in GUARDED.items()}


def test_text_is_read_and_written_in_a_named_encoding():
    """Without one, Windows takes the language's own."""
    check = [
        sys.executable,
        "-m",
        "ruff",
        "check",
        "--isolated",
        "--preview",
        "--select",
        "PLW1514",
        str(LIBRARY),
    ]
    found = subprocess.run(check, capture_output=True, text=True)
    assert found.returncode == 0, found.stdout
