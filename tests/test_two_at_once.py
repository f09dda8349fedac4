"""patch2loc score as processes: two at once, stopped by signals, in the locale C, with little memory."""

import json
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from contrasts import IN_ATLAS_SPACE
from poses import moved_brain
from repository_paths import ROOT
from written_models import write_model

from patch2loc.commands import main
from patch2loc.preprocess.atlas import load_atlas

# The command, which tells when a scan is preprocessed and waits for a line of input before it goes on.
IN_THE_MIDDLE = """
import sys
from patch2loc.own_scan import score
from patch2loc.commands import main
to_native_space = score.to_native_space
def waiting(*arguments):
    print("in the middle", flush=True)
    sys.stdin.readline()
    return to_native_space(*arguments)
score.to_native_space = waiting
sys.exit(main())
"""
IN_PLACE = {key: IN_ATLAS_SPACE[key] for key in ("registration", "bias_correction")}
LITTLE = 800_000_000  # bytes of addresses: less than torch takes to be loaded


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A model, and two scans in atlas space that differ in noise."""
    folder = tmp_path_factory.mktemp("scans")
    atlas = load_atlas("icbm152", "T1")
    write_model(folder / "model.safetensors", atlas, preprocess=IN_PLACE)
    for name, seed in {"a": 1, "b": 2}.items():
        nib.save(nib.Nifti1Image(*moved_brain(atlas, np.eye(4), seed)), folder / f"{name}.nii.gz")
    return folder


def command(*words, start=("-m", "patch2loc")):
    options = ("--model", "model.safetensors", "--device", "cpu", "--skull-strip", "none", "--output", "out")
    return [sys.executable, *start, "score", *words, *options]


def environment(**changes):
    return {**os.environ, "PYTHONPATH": str(ROOT / "workflow/scripts"), **changes}


@pytest.fixture
def in_the_middle(folder):
    """The command on the first scan, in the middle of its work; `out` is removed afterwards."""
    process = subprocess.Popen(
        command("a.nii.gz", start=("-c", IN_THE_MIDDLE)),
        cwd=folder,
        env=environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout.readline() == "in the middle\n"
    yield process
    process.kill()
    process.communicate()
    shutil.rmtree(folder / "out", ignore_errors=True)


def content(folder):
    return {path.name for path in folder.iterdir()}


def test_a_second_scan_is_refused_while_a_folder_is_written(in_the_middle, folder, monkeypatch, capsys):
    """The second process is this one."""
    monkeypatch.chdir(folder)
    assert main(command("b.nii.gz", start=())[1:]) == 1
    said = capsys.readouterr().err
    assert re.search(rf"patch2loc: out: process {in_the_middle.pid} on \S+ is at work there", said)
    (folder / "out/notes.txt").write_text("mine")
    out, _ = in_the_middle.communicate("go on\n")
    assert (in_the_middle.returncode, out) == (0, "out/heatmap.nii.gz\n")
    assert json.loads((folder / "out/summary.json").read_text())["scan"] == "a.nii.gz"
    files = {"heatmap.nii.gz", "heatmap_atlas.nii.gz", "heatmap.png", "summary.json", "preprocessed"}
    assert content(folder / "out") == {*files, "notes.txt"}


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_command_with_a_message_and_nothing_left(number, in_the_middle, folder):
    in_the_middle.send_signal(number)
    out, said = in_the_middle.communicate()
    assert (in_the_middle.returncode, out) == (128 + number, "")
    expected = f"patch2loc: stopped by {number.name}; nothing was written to out; run the same command again"
    assert said.splitlines()[-1] == expected
    assert "Traceback" not in said
    assert content(folder) == {"model.safetensors", "a.nii.gz", "b.nii.gz"}


@pytest.mark.skipif(
    not str(ROOT).isascii(), reason="Python does not start in this locale from a folder with such a name"
)
def test_in_the_locale_c_names_may_be_of_any_language(folder, tmp_path):
    name = "köpfe.nii.gz"
    shutil.copyfile(folder / "a.nii.gz", tmp_path / name)
    (tmp_path / "model.safetensors").symlink_to(folder / "model.safetensors")
    locale = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    result = subprocess.run(
        command("schädel.nii.gz", name), cwd=tmp_path, env=environment(**locale), capture_output=True
    )
    assert result.stdout == "out/köpfe/heatmap.nii.gz\n".encode()
    assert rb"sch\udcc3\udca4del.nii.gz: no such file" in result.stderr
    assert b"Traceback" not in result.stderr
    assert result.returncode == 1
    assert json.loads((tmp_path / "out/köpfe/summary.json").read_text())["scan"] == name


@pytest.mark.skipif(
    not Path("/proc").is_dir(), reason="this system may not hold a process to a limit of addresses"
)
def test_a_limit_of_memory_is_named_instead_of_a_traceback(folder):
    result = subprocess.run(
        command("a.nii.gz"),
        cwd=folder,
        env=environment(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1"),
        capture_output=True,
        text=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (LITTLE, LITTLE)),
    )
    assert result.returncode == 1
    assert (
        "patch2loc: a limit of 0.7 GB of addresses (ulimit -v) found, 4.0 GB or more expected"
        in result.stderr
    )
    assert re.search(r"patch2loc: no memory found beyond \d\.\d GB, under a limit of 0\.7 GB", result.stderr)
    assert "Traceback" not in result.stderr
    assert not (folder / "out").exists()
