"""The files of a DICOM series that make up one volume of one person."""

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from patch2loc.errors import InputError, first_of
from patch2loc.files import sha256

if TYPE_CHECKING:  # imported late: it loads SimpleITK
    from patch2loc.acquire.dicom_series import Series, Slice

ROWS, COLUMNS = "0028|0010", "0028|0011"
# What the images of a series share. Its UID may have been given to several by whoever anonymized them.
SHARED = {
    "0010|0020": "PatientID",
    "0010|0010": "PatientName",
    "0020|000d": "StudyInstanceUID",
    "0020|0052": "FrameOfReferenceUID",
    ROWS: "number of rows",
    COLUMNS: "number of columns",
}
POSITION, ORIENTATION, IMAGE_TYPE, ECHO_TIME = "0020|0032", "0020|0037", "0008|0008", "0018|0081"
MAGNITUDE = {"M", "MAGNITUDE", "M_FFE", "M_SE", "M_IR"}  # values of ImageType
OTHER_PARTS = {"P", "PHASE", "PHASE MAP", "R", "REAL", "I", "IMAGINARY"}  # of the complex image
TOLERANCE = 0.2  # mm by which distances may differ, as in dcm2niix
ONE_POSITION = 0.01  # mm within which two images lie at one position
OBLIQUITY = 0.01  # by which the cosines of one orientation may differ
LISTED = 5  # gaps named in a message


class _Placed(NamedTuple):
    """An image with its position along the normal of the slices, mm."""

    at: float
    image: "Slice"


def volume_files(series: "Series") -> list[Path]:
    """The files of a series that make up its volume: magnitudes without phases, and none of them twice.

    Files that do not tell their positions, such as those with many frames, are left to the converter.

    Raises:
        InputError: The images are not of one person, study, orientation and size, or do not lie one behind the other
            at equal distances; the message names the first files where they do not.
    """
    slices = list(series.slices)
    name = f"{series.folder}: series {series.number or '?'}"
    for tag, meaning in SHARED.items():
        other = next((one for one in slices if one.tags.get(tag, "") != slices[0].tags.get(tag, "")), None)
        if other is not None:
            raise InputError(
                f"{name}: images that differ in {meaning} found ({slices[0].path.name} and {other.path.name} in "
                f"{other.path.parent}), those of one person and one scan expected, though their SeriesInstanceUID is "
                "the same; give a folder that holds one scan"
            )
    orientations = [_numbers(one, ORIENTATION, 6) for one in slices]
    positions = [_numbers(one, POSITION, 3) for one in slices]
    if not np.isfinite([*map(np.sum, orientations), *map(np.sum, positions)]).all():
        return [one.path for one in slices]
    turned = np.abs(np.array(orientations) - orientations[0]).max(axis=1) > OBLIQUITY
    if turned.any():
        raise InputError(
            f"{name}: slices of several orientations found ({slices[0].path.name} and "
            f"{slices[int(turned.argmax())].path.name}), the parallel slices of one volume expected; choose another "
            "series, as this may be a localizer"
        )
    normal = np.cross(orientations[0][:3], orientations[0][3:])
    placed = [_Placed(float(position @ normal), one) for position, one in zip(positions, slices, strict=True)]
    placed = _one_at_each_position(sorted(placed, key=lambda each: each.at), name)
    _check_distances(placed, name)
    return [each.image.path for each in placed]


def _numbers(one: "Slice", tag: str, count: int) -> np.ndarray:
    """Values of a tag, (count,); NaN if it does not have as many numbers."""
    try:
        values = np.array([float(value) for value in one.tags.get(tag, "").split("\\")])
    except ValueError:
        values = np.empty(0)
    return values if len(values) == count else np.full(count, np.nan)


def _one_at_each_position(placed: list[_Placed], name: str) -> list[_Placed]:
    """The images, in the order of their positions, without phases beside magnitudes and without copies of a file."""
    if not _repeated(placed):
        return placed
    parts = [set(each.image.tags.get(IMAGE_TYPE, "").upper().split("\\")) for each in placed]
    if all(part & MAGNITUDE or part & OTHER_PARTS for part in parts):
        placed = [each for each, part in zip(placed, parts, strict=True) if part & MAGNITUDE] or placed
    echoes = sorted({each.image.tags.get(ECHO_TIME, "?") for each in placed})
    if _repeated(placed) and len(echoes) > 1:
        raise InputError(
            f"{name}: {len(echoes)} echoes found (echo times {', '.join(echoes)} ms), one expected; give a folder that "
            "holds the files of one of them"
        )
    if _repeated(placed):
        placed = list({sha256(each.image.path): each for each in reversed(placed)}.values())[::-1]
    if repeated := _repeated(placed):
        first, second = repeated
        raise InputError(
            f"{name}: two images at one position found ({first.image.path.name} and {second.image.path.name} in "
            f"{second.image.path.parent}, {second.at:.2f} mm along the slices), one expected; give a folder that holds "
            "one volume"
        )
    return placed


def _repeated(placed: Sequence[_Placed]) -> tuple[_Placed, _Placed] | None:
    """The first two images at one position."""
    return next((pair for pair in pairwise(placed) if pair[1].at - pair[0].at < ONE_POSITION), None)


def _check_distances(placed: Sequence[_Placed], name: str) -> None:
    """Refuse slices at unequal distances, and name those beside each gap."""
    distances = np.diff([each.at for each in placed])
    usual = float(np.median(distances)) if len(distances) else 0.0
    uneven = np.flatnonzero(np.abs(distances - usual) > TOLERANCE).tolist()
    if not uneven:
        return
    gaps = [
        f"{distances[index]:.2f} mm between {placed[index].image.path.name} and {placed[index + 1].image.path.name}"
        for index in uneven
    ]
    missing = np.rint(distances[uneven] / usual) - 1
    are_missing = (missing > 0).all() and (
        np.abs(distances[uneven] - (missing + 1) * usual) <= TOLERANCE
    ).all()
    count = int(missing.sum())
    missing_slices = "1 slice is missing" if count == 1 else f"{count} slices are missing"
    what = missing_slices if are_missing else "slices at unequal distances"
    raise InputError(
        f"{name}: {what}: {first_of(gaps, LISTED)} found, {usual:.2f} mm between all slices expected; copy the series "
        "again, whole"
    )
