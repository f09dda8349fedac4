"""DICOM series on disk, written by SimpleITK, and the mark of tests that convert some."""

import locale

import numpy as np
import pytest
import SimpleITK as sitk

from patch2loc.acquire import dicom
from patch2loc.errors import InputError

SHAPE = (6, 5, 12)  # columns, rows, slices
SPACING = (2.0, 3.0, 4.0)


def converter_is_there():
    try:
        return bool(dicom.find_converter())
    except InputError:
        return False


needs_converter = pytest.mark.skipif(not converter_is_there(), reason="dcm2niix is not installed")


def write_series(
    folder, number, description, *, slices=SHAPE[2], age="045Y", kind="MR", tags=None, name=None, at=None
):
    """An axial series whose voxel (column, row, slice) has the value 1 + column + 10 row + 100 slice.

    Args:
        folder: Folder to write to.
        number: Number of the series, and the end of its UID.
        description: Description of the series and of its protocol.
        slices: Their number.
        age: Age of the patient, as DICOM writes it.
        kind: DICOM's Modality.
        tags: Other values of tags, {"0018|0081": "3"}.
        name: Start of the files' names; the number, if there is none.
        at: Positions of the slices, in distances of slices, in place of `slices`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    columns, rows, _ = SHAPE
    column, row = np.meshgrid(np.arange(columns), np.arange(rows))
    uid = f"1.2.826.0.1.3680043.2.1125.{number}"
    set_locale = locale.setlocale(locale.LC_ALL)
    writer = sitk.ImageFileWriter()
    writer.KeepOriginalImageUIDOn()
    for index in range(slices) if at is None else at:
        values = (1 + column + 10 * row + 100 * round(index))[None].astype(np.int16)
        image = sitk.GetImageFromArray(values)
        image.SetSpacing(SPACING)
        image.SetOrigin((0.0, 0.0, SPACING[2] * index))
        every = {
            "0008|0008": "ORIGINAL\\PRIMARY\\M\\ND",
            "0008|0016": "1.2.840.10008.5.1.4.1.1.4",
            "0008|0018": f"{uid}.{round(index) + 1}",
            **{
                f"0008|002{place}": "20200101" for place in range(4)
            },  # dates and times: else those of writing
            **{f"0008|003{place}": "120000" for place in range(4)},
            "0008|0060": kind,
            "0008|0070": "SIEMENS",
            "0008|103e": description,
            "0010|0010": "anonymous",
            "0010|1010": age,
            "0018|0050": str(SPACING[2]),
            "0018|0080": "2000",
            "0018|0081": "3",
            "0018|1030": description,
            "0018|5100": "HFS",
            "0020|000d": "1.2.826.0.1.3680043.2.1125",
            "0020|000e": uid,
            "0020|0011": str(number),
            "0020|0012": "1",
            "0020|0013": str(round(index) + 1),
            **(tags or {}),
        }
        for tag, value in every.items():
            image.SetMetaData(tag, value)
        writer.SetFileName(str(folder / f"{name or number}_{round(index):03d}.dcm"))
        writer.Execute(image)
    # Some orientations leave the process with the locale C, in which Python opens files as ASCII.
    locale.setlocale(locale.LC_ALL, set_locale)
    return folder
