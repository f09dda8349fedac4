"""Conversion of a DICOM series to NIfTI, by dcm2niix (github.com/rordenlab/dcm2niix)."""

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from patch2loc.errors import InputError
from patch2loc.files import partial_path, replacing

TOOL = "dcm2niix"
INSTALL = "install it (`pip install dcm2niix`, or conda-forge's dcm2niix) or convert the scans to NIfTI first"


def find_converter() -> str:
    """Path of dcm2niix, in PATH or beside this Python.

    Raises:
        InputError: It is not installed; the message says how to install it.
    """
    python_folder = Path(sys.executable).parent
    path = shutil.which(TOOL) or shutil.which(TOOL, path=str(python_folder))
    if path is None:
        raise InputError(
            f"{TOOL}: not found in PATH or in {python_folder}, but scans are DICOM series; {INSTALL}"
        )
    return path


def convert(series: str | Path, output: str | Path) -> None:
    """Convert the DICOM series in a folder, with the voxels and the geometry that dcm2niix gives them.

    No sidecar is written: it may hold what identifies a patient.

    Args:
        series: Folder with the files of one series.
        output: File to write, .nii.gz.

    Raises:
        InputError: dcm2niix is not installed or fails, or the folder gives no image or several.
    """
    series, output = Path(series), Path(output)
    tool = find_converter()
    output.parent.mkdir(parents=True, exist_ok=True)
    prefix = f"{partial_path(Path('dicom')).name}-"
    with tempfile.TemporaryDirectory(prefix=prefix, dir=output.parent) as folder:
        command = [tool, "-z", "i", "-b", "n", "-f", "series%s_%d", "-o", folder, str(series)]
        result = subprocess.run(command, capture_output=True, text=True, errors="replace")
        images = sorted(Path(folder).glob("*.nii.gz"))
        if len(images) > 1:
            raise InputError(
                f"{series}: {len(images)} images found ({', '.join(path.name for path in images)}), one series "
                "expected; leave the files of one series in the folder, or convert by hand and name the NIfTI"
            )
        if result.returncode or not images:
            report = " ".join((result.stdout + result.stderr).split())[-400:]
            raise InputError(
                f"{series}: no DICOM series that {TOOL} can convert (exit code {result.returncode}: {report}); "
                "check the files in the folder"
            )
        with replacing(output) as partial:
            shutil.copyfile(images[0], partial)
