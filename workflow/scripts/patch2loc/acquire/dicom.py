"""Conversion of a DICOM series to NIfTI, by dcm2niix (github.com/rordenlab/dcm2niix)."""

import errno
import gzip
import math
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import nibabel as nib

from patch2loc.acquire.dicom_volume import COLUMNS, ROWS, volume_files
from patch2loc.errors import InputError
from patch2loc.files import partial_path, replacing

if TYPE_CHECKING:  # imported late: it loads SimpleITK
    from patch2loc.acquire.dicom_series import Series

TOOL = "dcm2niix"
INSTALL = "install it (`pip install dcm2niix`, or conda-forge's dcm2niix) or convert the scans to NIfTI first"
# Texts of a NIfTI header, in which the converter puts tags.
TEXTS = ("descrip", "aux_file", "intent_name", "db_name")
HEADER_BYTES = nib.Nifti1Header.sizeof_hdr


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


def convert_folder(folder: str | Path, output: str | Path) -> None:
    """Convert the only DICOM series in a folder and those below it, see `convert`.

    Args:
        folder: Folder with the files of one series.
        output: File to write, .nii.gz.

    Raises:
        InputError: As for `convert`, and if there is no series or several.
    """
    from patch2loc.acquire.dicom_series import only_series

    find_converter()
    convert(only_series(folder), output)


def convert(series: "Series", output: str | Path) -> None:
    """Convert a DICOM series, with the voxels and the geometry that dcm2niix gives them.

    Nothing that may identify a patient is kept: no sidecar is written, and the texts of the header are cleared.

    Args:
        series: The series, as `dicom_series` found it.
        output: File to write, .nii.gz.

    Raises:
        InputError: dcm2niix is not installed or fails, or the series is no single volume.
        OSError: There is no room beside the output.
    """
    output = Path(output)
    tool = find_converter()
    files = volume_files(series)
    output.parent.mkdir(parents=True, exist_ok=True)
    prefix = f"{partial_path(Path('dicom')).name}-"
    with tempfile.TemporaryDirectory(prefix=prefix, dir=output.parent) as folder:
        alone, converted = Path(folder, "series"), Path(folder, "converted")
        alone.mkdir()  # what else is in the folder of the series would be converted, too
        converted.mkdir()
        for place, file in enumerate(files):
            _link_or_copy(file, alone / f"{place:06d}.dcm")
        command = [tool, "-z", "n", "-b", "n", "-f", "series%s", "-o", str(converted), str(alone)]
        result = subprocess.run(command, capture_output=True, text=True, errors="replace")
        report = " ".join((result.stdout + result.stderr).split()).replace(str(alone), str(series.folder))
        if "disk full" in report:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(output.parent))
        images = sorted(converted.glob("*.nii"))
        if len(images) > 1:
            raise InputError(
                f"{series.folder}: {len(images)} images found in series {series.number or '?'} "
                f"({', '.join(path.name for path in images)}), one volume expected; convert it by hand "
                f"({TOOL}), and name the NIfTI that you choose"
            )
        if result.returncode or not images:
            raise InputError(
                f"{series.folder}: no DICOM series that {TOOL} can convert (exit code {result.returncode}: "
                f"{report[-400:]}); check the files in the folder"
            )
        _check_complete(images[0], len(files), series)
        with replacing(output) as partial:
            _compress_without_texts(images[0], partial)


def _link_or_copy(file: Path, target: Path) -> None:
    try:
        target.symlink_to(file.absolute())
    except OSError:  # some file systems have no links
        shutil.copyfile(file, target)


def _check_complete(image: Path, count: int, series: "Series") -> None:
    """Refuse an image that has not all slices: the converter drops files whose times and numbers are the same."""
    rows, columns = (int(series.slices[0].tags[tag]) for tag in (ROWS, COLUMNS))
    slices = math.prod(nib.Nifti1Image.from_filename(image).shape) // (rows * columns)
    if 1 < count != slices:
        raise InputError(
            f"{series.folder}: {slices} of {count} slices of series {series.number or '?'} are in the image that "
            f"{TOOL} makes of it, all expected; convert it by hand, and name the NIfTI"
        )


def _compress_without_texts(image: Path, output: Path) -> None:
    """Write a NIfTI as .nii.gz, the same voxels always to the same bytes, with the texts of its header empty."""
    with open(image, "rb") as stream, open(output, "wb") as stored:
        header = nib.Nifti1Header(stream.read(HEADER_BYTES), check=False)
        for name in TEXTS:
            header[name] = b""
        with gzip.GzipFile(fileobj=stored, mode="wb", filename="", mtime=0, compresslevel=6) as compressed:
            compressed.write(header.binaryblock)
            shutil.copyfileobj(stream, compressed, 1 << 20)
