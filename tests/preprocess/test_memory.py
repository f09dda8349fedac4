"""Memory: it is stated and refused before it is taken, and where it runs out all the same the scan is named."""

import gzip
import math
import runpy
import subprocess
import sys
import time
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


@pytest.fixture
def tree(tmp_path, monkeypatch):
    """Write the files by which a system tells its memory: {path: content}; others are absent."""
    monkeypatch.setattr(memory, "PROC", tmp_path / "proc")
    monkeypatch.setattr(memory, "CONTROL_GROUPS", tmp_path / "groups")

    def write(files):
        for name, content in files.items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content)

    return write


MACHINE = {
    "proc/meminfo": "MemTotal: 64000000 kB\nMemAvailable:   8000000 kB\nSwapFree: 1000 kB\nHugePages: 0\n"
}


def group(folder, limit, use, inactive=0):
    files = {"memory.max": limit, "memory.current": use, "memory.stat": f"anon 5\ninactive_file {inactive}"}
    return {f"groups/{folder}{name}": f"{content}\n" for name, content in files.items()}


def older_group(folder, limit, use, inactive=0):
    files = {
        "limit_in_bytes": limit,
        "usage_in_bytes": use,
        "stat": f"cache 5\ntotal_inactive_file {inactive}",
    }
    return {f"groups/memory/{folder}memory.{name}": f"{content}\n" for name, content in files.items()}


NEW = {"proc/self/cgroup": "0::/job/step\n"}
OLD = {"proc/self/cgroup": "5:cpuset:/\n4:memory:/job/step\n0::/\n"}


@pytest.mark.parametrize(
    ("files", "free"),
    [
        (MACHINE, 1024 * 8001000),
        (MACHINE | NEW | group("job/step/", "max", 5), 1024 * 8001000),
        (MACHINE | NEW | group("job/step/", 3000, 1200, 200), 2000),
        (MACHINE | NEW | group("job/step/", 3000, 1200) | group("job/", 2000, 1900, 50), 150),
        (MACHINE | NEW | group("", 700, 100), 600),  # a container, which sees its own group as the root
        (MACHINE | OLD | older_group("job/step/", 3000, 1200, 200), 2000),
        (MACHINE | OLD | older_group("", 2**63 - 4096, 10), 1024 * 8001000),
    ],
    ids=[
        "machine",
        "no limit",
        "group",
        "group around it",
        "container",
        "version 1",
        "version 1 without limit",
    ],
)
def test_what_is_free_is_the_least_of_what_limits(files, free, tree):
    tree(files)
    assert memory.available_bytes() == free


def test_a_system_that_tells_nothing_has_all_of_its_memory(tree):
    tree({})
    assert 1e8 < memory.available_bytes() < math.inf


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


LIMITED = """
import resource, sys
from pathlib import Path
from patch2loc.errors import ResourceError
from patch2loc.preprocess.images import read_scan
resource.setrlimit(resource.RLIMIT_AS, (6 << 30, 6 << 30))
try:
    read_scan(Path(sys.argv[1]))
except ResourceError as error:
    print(error)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="limits of the address space are read on Linux")
def test_a_small_file_of_900_voxels_along_each_edge_is_refused_at_once(tmp_path):
    """3 MB on the disk, 0.7 GB of voxels, 22 GB in preprocessing."""
    header = nib.Nifti1Header()
    header.set_data_shape((900, 900, 900))
    header.set_data_dtype(np.uint8)
    header.set_sform(np.diag([0.2, 0.2, 0.2, 1]), 1)
    header["vox_offset"], header["magic"] = 352, b"n+1"
    zeros = gzip.compress(bytes(1 << 24))
    with open(tmp_path / "scan.nii.gz", "wb") as stream:
        stream.write(gzip.compress(header.binaryblock + bytes(4)))
        for _ in range(math.ceil(900**3 / (1 << 24))):
            stream.write(zeros)
    assert (tmp_path / "scan.nii.gz").stat().st_size < 1e6
    start = time.monotonic()
    result = subprocess.run(
        [sys.executable, "-c", LIMITED, tmp_path / "scan.nii.gz"],
        env={"PYTHONPATH": str(SCRIPTS)},
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stderr
    assert (
        "shape (900, 900, 900) found, for which preprocessing needs 22.0 GB of memory, and" in result.stdout
    )
    assert time.monotonic() - start < 30


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
