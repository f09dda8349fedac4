"""The DICOM series in a folder: what they say they are, and the one that is of a modality."""

import re
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import SimpleITK as sitk

from patch2loc.data.modalities import MODALITIES, Modality
from patch2loc.errors import InputError

FEWEST_IMAGES = 10  # of a series that is a volume: localizers have fewer
# Words of the description of a series that is of no modality, as scanners and departments write them.
NO_MODALITY = re.compile(r"t[12]_?(\*|star|map)|swi|adc|dwi|diff|localizer|scout")
AGE = re.compile(r"(\d{1,3})\s*([YMWD])")
YEARS = {"Y": 1.0, "M": 1 / 12, "W": 7 / 365.25, "D": 1 / 365.25}
MODALITY, DESCRIPTION, PROTOCOL, NUMBER = "0008|0060", "0008|103e", "0018|1030", "0020|0011"
SERIES_UID, PATIENT_AGE, FRAMES, CONTRAST_AGENT = "0020|000e", "0010|1010", "0028|0008", "0018|0010"
INSTANCE = "0020|0013"
NO_AGENT = ("", "no", "none", "n", "n/a", "na", "0")  # as a contrast agent, without case


class Slice(NamedTuple):
    """A file of a series, and the texts of its tags ("0008|0060")."""

    path: Path
    tags: Mapping[str, str]


@dataclass(frozen=True)
class Series:
    """A DICOM series.

    Attributes:
        number: The scanner's, "" if there is none.
        description: What it was called at the scanner, "" if nothing is said.
        kind: DICOM's Modality, such as "MR" or "CT".
        images: Number of its slices.
        age: Age of the patient, years; None if unknown.
        contrast_agent: True if the header names one.
        uid: SeriesInstanceUID.
        slices: Files of the series with their tags, by the number of the image (InstanceNumber).
    """

    number: str
    description: str
    kind: str
    images: int
    age: float | None
    contrast_agent: bool
    uid: str
    slices: Sequence[Slice]

    def __str__(self) -> str:
        """As a list for people has it."""
        return f"{self.number or '?'}: {self.description or 'no description'}, {self.images} images"

    @property
    def folder(self) -> Path:
        """Folder of its first file."""
        return self.slices[0].path.parent


def series_below(folder: str | Path) -> list[Series]:
    """Find the DICOM series in a folder and those below it, by their numbers; other files are passed over."""
    series: dict[str, list[Slice]] = {}
    for path in sorted(path for path in Path(folder).rglob("*") if path.is_file()):
        tags = _tags(path)
        if tags is not None:
            series.setdefault(tags.get(SERIES_UID, ""), []).append(Slice(path, tags))
    found = [_series(slices) for slices in series.values()]
    return sorted(found, key=lambda one: (len(one.number), one.number, one.slices[0].path))


def _tags(path: Path) -> dict[str, str] | None:
    """Texts of the tags of a DICOM image; None for any other file."""
    reader = sitk.ImageFileReader()
    reader.SetImageIO("GDCMImageIO")
    with _without_warnings(), _name_for_itk(path) as name:
        reader.SetFileName(name)
        try:
            reader.ReadImageInformation()
        except RuntimeError:
            return None
    return {key: reader.GetMetaData(key).strip(" \0") for key in reader.GetMetaDataKeys()}


@contextmanager
def _name_for_itk(path: Path) -> Iterator[str]:
    """Yield a path of a file that SimpleITK can be given: it ends the process at a name that is not UTF-8."""
    try:
        str(path).encode()
    except UnicodeEncodeError:
        with tempfile.TemporaryDirectory() as folder:
            link = Path(folder, "image")
            link.symlink_to(path.absolute())
            yield str(link)
    else:
        yield str(path)


@contextmanager
def _without_warnings() -> Iterator[None]:
    """Nothing from ITK on the standard error."""
    shown = sitk.ProcessObject.GetGlobalWarningDisplay()
    sitk.ProcessObject.GlobalWarningDisplayOff()
    try:
        yield
    finally:
        sitk.ProcessObject.SetGlobalWarningDisplay(shown)


def _series(slices: list[Slice]) -> Series:
    slices = sorted(
        slices, key=lambda one: int(number) if (number := one.tags.get(INSTANCE, "")).isdigit() else 0
    )
    tags = slices[0].tags
    frames = tags.get(FRAMES, "")
    texts = (tags.get(DESCRIPTION), tags.get(PROTOCOL))
    return Series(
        number=tags.get(NUMBER, ""),
        description=", ".join(dict.fromkeys(text for text in texts if text)),
        kind=tags.get(MODALITY, ""),
        images=len(slices) * (int(frames) if frames.isdigit() else 1),
        age=age_years(tags.get(PATIENT_AGE, "")),
        contrast_agent=tags.get(CONTRAST_AGENT, "").lower() not in NO_AGENT,
        uid=tags.get(SERIES_UID, ""),
        slices=slices,
    )


def age_years(text: str) -> float | None:
    """Years of DICOM's PatientAge, such as "045Y" or "006M"; None for anything else."""
    match = AGE.fullmatch(text.strip().upper())
    return float(match[1]) * YEARS[match[2]] if match else None


def only_series(folder: str | Path) -> Series:
    """The only DICOM series in a folder and those below it.

    Raises:
        InputError: There is none, or several.
    """
    every = series_below(folder)
    if len(every) != 1:
        listed = f" ({'; '.join(map(str, every))})" if every else ""
        raise InputError(
            f"{folder}: {len(every)} DICOM series found{listed}, one expected; leave the files of one series in the "
            "folder, or convert them to NIfTI and name that"
        )
    return every[0]


def chosen_series(folder: str | Path, modality: Modality, number: str | None = None) -> tuple[Series, int]:
    """Choose the series of a modality in a folder, and tell how many series there are.

    The only series is taken, whatever it is called.  Of several, the one that has the given number or UID, or the only
    volume whose description says that it has the modality's contrast.

    Args:
        folder: Folder of DICOM files, and of folders of them.
        modality: Modality that is asked for.
        number: Number or SeriesInstanceUID of the series to take.

    Raises:
        InputError: There is no MR series, or it is not clear which one to take; the message lists them.
    """
    every = series_below(folder)
    volumes = [series for series in every if series.kind == "MR"]
    if not volumes:
        found = f"{len(every)} series of {', '.join(sorted({series.kind or '?' for series in every}))}"
        raise InputError(
            f"{folder}: {found if every else 'no DICOM file'} found, a NIfTI file or a folder with a DICOM series of "
            "MR expected; check the path"
        )
    if number is not None:
        named = [series for series in volumes if number in (series.number, series.uid)]
    elif len(volumes) == 1:
        named = volumes
    else:
        named = [series for series in volumes if _may_be(series, modality)]
    if len(named) != 1:
        numbers = Counter(series.number for series in volumes)
        listed = "; ".join(
            f"{series} (UID {series.uid}, in {series.folder})" if numbers[series.number] > 1 else str(series)
            for series in volumes
        )
        asked = (
            f"{len(named)} of number {number}" if number is not None else f"{len(named)} clearly {modality}"
        )
        raise InputError(
            f"{folder}: {len(volumes)} MR series found, {asked}, one expected ({listed}); choose one by its number "
            "or UID (--series), or give a folder that holds nothing else"
        )
    return named[0], len(volumes)


def _may_be(series: Series, modality: Modality) -> bool:
    """True if a series is a volume, and is called as those of a modality are."""
    description, row = series.description.lower(), MODALITIES[modality]
    return (
        series.images >= FEWEST_IMAGES
        and re.search(row.dicom_words, description) is not None
        and not re.search(row.other_dicom_words, description)
        and not NO_MODALITY.search(description)
    )
