"""Memory: it is stated and refused before it is taken, and where it runs out all the same the scan is named."""

import math
import runpy
import subprocess
import sys
from contextlib import nullcontext
from types import SimpleNamespace

import nibabel as nib
import numpy as np
import pytest
from repository_paths import ROOT

from patch2loc.errors import ResourceError
from patch2loc.preprocess import memory
from patch2loc.preprocess.images import itk_errors, read_scan

SCRIPTS = ROOT / "workflow/scripts"


def test_free_memory_is_that_of_the_machine_with_its_swap(tmp_path, monkeypatch):
    monkeypatch.setattr(memory, "MEMORY", tmp_path / "meminfo")
    assert memory.available_bytes() == math.inf  # a system that does not tell
    memory.MEMORY.write_text(
        "MemTotal: 64000000 kB\nMemAvailable:   8000000 kB\nSwapFree: 1000 kB\nHugePages: 0\n"
    )
    assert memory.available_bytes() == 1024 * 8001000


def test_a_scan_that_does_not_fit_is_refused_before_its_voxels_are_read(tmp_path, monkeypatch):
    path = tmp_path / "scan.nii.gz"
    nib.Nifti1Image(np.ones((100, 120, 90), np.uint8), np.eye(4)).to_filename(path)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])  # which reading the voxels would notice
    monkeypatch.setattr(memory, "available_bytes", lambda: 120e6)
    with pytest.raises(
        ResourceError,
        match=r"scan.nii.gz: shape \(100, 120, 90\) found, .* needs 0.1 GB .* 0.1 GB are available; use",
    ):
        read_scan(path)
    monkeypatch.setattr(memory, "available_bytes", lambda: 500e6)
    with pytest.raises(Exception, match="not a readable NIfTI image"):
        read_scan(path)


@pytest.mark.parametrize(
    "error", [MemoryError("Unable to allocate 9. GiB"), RuntimeError("itk\nstd::bad_alloc")]
)
def test_memory_that_runs_out_all_the_same_names_the_scan(error, tmp_path):
    with (
        pytest.raises(
            ResourceError, match=r"scan: the memory ran out .*(9\. GiB|bad_alloc).*needs 30 bytes for each"
        ),
        itk_errors(tmp_path / "scan"),
    ):
        raise error


@pytest.mark.parametrize("free", [0.0, math.inf], ids=["no memory", "enough"])
def test_the_workflow_leaves_out_a_bad_scan_and_not_one_without_memory(free, tmp_path, monkeypatch):
    """Without memory the job fails, so that Snakemake tries again with more."""
    monkeypatch.syspath_prepend(SCRIPTS)
    monkeypatch.setattr(memory, "available_bytes", lambda: free)
    scan = tmp_path / "scan.nii.gz"
    nib.Nifti1Image(np.ones((9, 9, 9), np.uint8), np.eye(4)).to_filename(scan)  # constant: no scan
    dataset = {
        "modality": "T1",
        "settings": {"template": "same-contrast"},
        "lesion_labels": None,
        "interpolated_masks": False,
    }
    job = SimpleNamespace(
        log=[tmp_path / "log"],
        input={"scan": str(scan)},
        output=[str(tmp_path / "preprocessed")],
        wildcards=SimpleNamespace(subject="a"),
        params=SimpleNamespace(
            atlas="icbm152",
            grid={"shape": [48, 56, 40], "spacing": 4.0},
            dataset=dataset,
            device="cpu",
            code="0",
        ),
    )
    ends = pytest.raises(SystemExit, match="GB are available") if free == 0 else nullcontext()
    with ends:
        runpy.run_path(str(SCRIPTS / "preprocess.py"), init_globals={"snakemake": job})
    assert (tmp_path / "preprocessed/qc.json").exists() == (free > 0)


PEAK = r"""
import re, sys
from pathlib import Path
from patch2loc.preprocess.atlas import common_grid, load_atlas
from patch2loc.preprocess.scan import preprocess_scan, to_native_space

def peak():  # of this process alone: getrusage's goes on from that of the process that started it
    return 1024 * int(re.search(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text())[1])

atlas = load_atlas("icbm152", "T1")
grid = common_grid(atlas, (96, 112, 80), 2.0)
before = peak()
path, lesion = map(Path, sys.argv[1:])
stripped = {"skull_strip": "none"}
result = preprocess_scan(path, "T1", atlas, grid, lesion_path=lesion, lesion_labels=[9], settings=stripped)
to_native_space(result.volume, grid, result.transform, path)
print(peak() - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="Linux tells the peak of a process alone")
def test_preprocessing_takes_no_more_than_it_states(tmp_path):
    """The brain of the atlas, whole numbers, on finer voxels, and a map of labels as large."""
    from scipy import ndimage

    from patch2loc.preprocess.atlas import load_atlas

    atlas = load_atlas("icbm152", "T1")
    shape = (200, 210, 200)
    step = np.array(atlas.image.shape) / shape
    finer = ndimage.affine_transform(atlas.image, np.diag(step), output_shape=shape, order=1)
    affine = atlas.affine @ np.diag([*step, 1])
    labels = np.zeros(shape, np.int16)
    labels[90:110, 90:110, 90:110] = 9
    paths = [tmp_path / "scan.nii.gz", tmp_path / "lesion.nii.gz"]
    for path, voxels in zip(paths, (finer.astype(np.int16), labels), strict=True):
        nib.Nifti1Image(voxels, affine).to_filename(path)
    result = subprocess.run(
        [sys.executable, "-c", PEAK, *paths],
        env={"PYTHONPATH": str(SCRIPTS), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stderr[-2000:]
    peak = float(result.stdout.split()[-1])
    assert 0.4 * memory.needed_bytes(shape) < peak <= memory.needed_bytes(shape)
