"""The command on Windows, as far as a process that lacks what Windows lacks can show (support/like_windows.py)."""

import ast
import json
import os
import shutil
import subprocess
import sys

import like_windows
import nibabel as nib
import numpy as np
import pytest
from repository_paths import LIBRARY, ROOT
from small_detector import write_brain

from patch2loc.files import read_json

DETECT = "detect a.nii.gz absent.nii --model model.safetensors --device cpu --output out"
COMMANDS = {
    "help": "--help",
    "help of detect": "detect --help",
    "version": "--version",
    "detect": DETECT,
    "the same again": DETECT,
    "train": "train my.yaml",
}


@pytest.fixture(scope="module")
def run(tmp_path_factory, detector_path):
    """The folder of the commands, and what their process did: modules, statuses, stdout and stderr."""
    folder = tmp_path_factory.mktemp("windows")
    shutil.copyfile(detector_path, folder / "model.safetensors")
    write_brain(folder / "a.nii.gz", 100)
    words = json.dumps([command.split() for command in COMMANDS.values()])
    names = {
        "PYTHONPATH": str(ROOT / "workflow/scripts"),
        "PYTHONIOENCODING": "cp1252",
        "OMP_NUM_THREADS": "1",
    }
    process = subprocess.run(
        [sys.executable, "-W", "ignore", str(ROOT / "tests/support/like_windows.py"), words],
        cwd=folder,
        env={**os.environ, **names},
        capture_output=True,
        encoding="cp1252",
    )
    assert process.returncode == 0, process.stderr[-3000:]
    ending = json.loads(process.stdout.splitlines()[-1])
    statuses = dict(zip(COMMANDS, ending["statuses"], strict=True))
    return folder, ending["modules"], statuses, process.stdout, process.stderr


def test_every_module_is_imported(run):
    _, modules, *_ = run
    assert modules > 200


def test_commands_explain_themselves(run):
    _, _, statuses, out, _ = run
    assert [statuses[name] for name in ("help", "help of detect", "version")] == [0, 0, 0]
    assert out.count("Research software, not a medical device.") == 2
    assert "\npatch2loc 0" in out


def test_a_scan_has_an_answer_and_a_missing_one_is_named(run):
    folder, _, statuses, out, said = run
    assert statuses["detect"] == statuses["the same again"] == 1
    assert said.count("patch2loc: absent.nii: no such file") == 2
    assert "made again" not in said
    summary = read_json(folder / "out/a/summary.json")
    assert out.count(f"a.nii.gz: {summary['answer']}\nWARNING the model was trained on simulated scans") == 2
    rarity = np.asarray(nib.load(folder / "out/a/heatmap.nii.gz").dataobj)
    assert np.isfinite(rarity).sum() > 100_000
    assert not [path for path in folder.rglob("*") if ".partial" in path.name]


def test_the_workflow_says_that_it_needs_another_system(run):
    _, _, statuses, _, said = run
    assert statuses["train"] == 1
    assert "patch2loc: Windows found, Linux or macOS expected: the workflow needs" in said


# Where the library asks first whether the system has what it uses.
GUARDED = {
    "os.getuid": "engine/gpus.py",
    "os.sysconf": "preprocess/memory.py",
    "signal.SIGHUP": "acquire/phantom/cohort.py",
}


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
