"""One scan of one's own, as people have it: a NIfTI file, a folder with a DICOM series, a place in a BIDS dataset."""

import errno
import os
import shlex
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

from patch2loc.acquire import bids
from patch2loc.acquire.dicom import convert, find_converter
from patch2loc.acquire.participants import person
from patch2loc.data.image_files import image_sha256
from patch2loc.data.modalities import MODALITIES, Modality
from patch2loc.errors import InputError
from patch2loc.files import LOCK, PARTIAL, replacing

CONVERTED = "converted.nii.gz"  # in the folder of the result: the scan that a DICOM series became
SUMMARY = "summary.json"  # in the folder of a result
DICOM_PREFIX, DICOM_MAGIC = 128, b"DICM"


class OpenedScan(NamedTuple):
    """A scan that can be read, and what is known beside it.

    Attributes:
        path: NIfTI file.
        age: Of the person, years; None if unknown.
        notes: What was chosen, or could not be used: sentences for whoever asked.
        made: What was made for it: a converted scan, and the folders that it needed, innermost first.
        contrast_agent: True if its DICOM header names one.
    """

    path: Path
    age: float | None = None
    notes: tuple[str, ...] = ()
    made: tuple[Path, ...] = ()
    contrast_agent: bool = False


@contextmanager
def removed_if_refused(opened: OpenedScan) -> Iterator[None]:
    """After an exception, such as that of a scan that is refused, nothing is left of what was made for a scan."""
    try:
        yield
    except BaseException:
        for path in opened.made:
            with suppress(OSError):  # a folder in which there is anything else stays
                path.rmdir() if path.is_dir() else path.unlink()
        raise


def open_scan(
    path: str | Path, modality: Modality, folder: str | Path, *, series: str | None = None
) -> OpenedScan:
    """Find the scan that a path leads to.

    A NIfTI file is taken as it is.  If it lies in a BIDS dataset, the age is that of participants.tsv.  A folder of a
    BIDS dataset has to lead to one scan of the modality (such as `T1w`).  Any other folder is read as DICOM: its only
    series, or the one that is clearly of the modality, is converted by dcm2niix to converted.nii.gz in `folder`.

    Args:
        path: File or folder.
        modality: Modality of the model.
        folder: Folder of the result, where a converted scan is kept.
        series: Number of the DICOM series to take.

    Raises:
        InputError: There is nothing at the path, no scan, or several that could be meant.
    """
    path = Path(path)
    if path.is_dir():
        images = _bids_images(path)
        if not images:
            return _converted(path, modality, Path(folder), series)
        path = _only_scan(images, path, modality)
    elif not os.path.lexists(path):  # of a link to nothing, whoever reads it says where it leads
        raise InputError(
            f"{path}: no such file or folder; a NIfTI file, a DICOM folder or a BIDS path expected"
        )
    elif _is_dicom(path):
        raise InputError(
            f"{path}: one DICOM file found, the folder of its series expected; give {path.parent}"
        )
    if series is not None:
        raise InputError(f"{path}: --series found with a scan that is no DICOM folder; leave it out")
    place = _place(path)
    if place is None:
        return OpenedScan(path)
    known = person(place.root, place.participant, place.session)
    return OpenedScan(path, known.age, tuple(known.notes))


def check_converter(paths: Iterable[str]) -> None:
    """Check that a path that `open_scan` would convert can be converted, before anything slow is loaded.

    Args:
        paths: Scans as a person named them.

    Raises:
        InputError: One is a folder that may hold DICOM files, and dcm2niix is not installed.
    """
    if any(
        folder.is_dir() and not _bids_images(folder) and not _nifti_files(folder)
        for folder in map(Path, paths)
    ):
        find_converter()


class _Place(NamedTuple):
    """Where a path lies in a BIDS dataset."""

    root: Path
    participant: str
    session: str | None


def _place(path: Path) -> _Place | None:
    """Where a file or folder lies in a BIDS dataset; None if no folder above it is that of a participant."""
    path = path.absolute()
    for above in (path, *path.parents):
        if above.name.startswith("sub-") and above.is_dir():
            inside = path.relative_to(above).parts
            session = inside[0] if inside and inside[0].startswith("ses-") else None
            return _Place(above.parent, above.name, session)
    return None


def _bids_images(folder: Path) -> list[bids.Image]:
    """The images with a BIDS name in a folder: a BIDS dataset, a participant's, or one below that."""
    place = _place(folder)
    every = bids.images([place.root], [place.participant]) if place else bids.images([folder])
    inside = folder.absolute()
    return [image for image in every if inside in image.path.absolute().parents]


def _nifti_files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.name.endswith(bids.EXTENSIONS))


def _only_scan(images: list[bids.Image], folder: Path, modality: Modality) -> Path:
    """The only image of a modality in a folder of a BIDS dataset."""
    pattern = bids.parse_pattern(MODALITIES[modality].bids_suffix)
    scans = [image.path for image in images if pattern.matches(image)]
    if len(scans) == 1:
        return scans[0]
    listed = (
        f" ({', '.join(scan.name for scan in scans[:5])}{', ...' if len(scans) > 5 else ''})" if scans else ""
    )
    raise InputError(
        f"{folder}: {len(scans)} images named sub-*_{pattern.text} found{listed}, one expected; give the path of one, "
        "or detect in every participant of a dataset: `patch2loc detect BIDS_DIR OUT participant`"
    )


def _is_dicom(path: Path) -> bool:
    try:
        with open(path, "rb") as stream:
            return stream.read(DICOM_PREFIX + len(DICOM_MAGIC))[DICOM_PREFIX:] == DICOM_MAGIC
    except OSError:
        return False  # whoever reads the scan says why it cannot be read


def _converted(source: Path, modality: Modality, folder: Path, number: str | None) -> OpenedScan:
    """Convert the DICOM series of a modality, and keep it in a folder that is new, empty or of this scan."""
    from patch2loc.acquire.dicom_series import chosen_series, series_below  # here: few need SimpleITK for it

    if (images := _nifti_files(source)) and not series_below(source):
        pattern = "*.nii.gz" if images[0].name.endswith(".gz") else "*.nii"
        raise InputError(
            f"{source}: this folder has {len(images)} NIfTI file{'s' * (len(images) > 1)} and no DICOM series; give "
            f"the files: `patch2loc detect {shlex.quote(str(source))}/{pattern} -o OUT`"
        )
    series, count = chosen_series(source, modality, number)
    kept = folder / CONVERTED
    made: tuple[Path, ...] = ()
    with tempfile.TemporaryDirectory(prefix="patch2loc-") as temporary:
        converted = Path(temporary, CONVERTED)
        try:
            convert(series, converted)
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                error.filename = tempfile.gettempdir()
            raise
        if not kept.exists():
            _refuse_foreign(folder)
            made = (kept, *(above for above in (folder, *folder.parents) if not above.exists()))
            with replacing(kept) as partial:
                shutil.copyfile(converted, partial)
        elif image_sha256(kept) != image_sha256(converted):
            raise InputError(
                f"{kept}: another scan than the DICOM series of {source} found; give another --output, or remove it"
            )
    chosen = (f"{source}: the series {series} was taken, of {count}",) if count > 1 else ()
    return OpenedScan(kept, series.age, chosen, made, series.contrast_agent)


def _refuse_foreign(folder: Path) -> None:
    """Refuse to write into a folder that holds anything but results."""
    names = [path.name for path in folder.iterdir()] if folder.is_dir() else []
    if SUMMARY not in names and any(name != LOCK and not PARTIAL.match(name) for name in names):
        raise InputError(f"{folder}: it is not empty and no result of this command; give another --output")
