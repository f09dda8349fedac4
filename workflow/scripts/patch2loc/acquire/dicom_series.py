"""The DICOM series in a folder: what they say they are, and the one that is of a modality."""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import SimpleITK as sitk

from patch2loc.data.vocabulary import Modality
from patch2loc.errors import InputError

FEWEST_IMAGES = 10  # of a series that is a volume: localizers have fewer
# Words of a series' description, as scanners and departments write them.
WORDS: dict[Modality, re.Pattern[str]] = {
    "T1": re.compile(r"t1|mp-?rage|mp2rage|f?spgr|bravo|tfl3d|tfe3d"),
    "T2": re.compile(r"t2"),
}
OTHER_CONTRASTS = re.compile(r"flair|dark.?fluid|tirm|t[12]_?(\*|star|map)|swi|adc|dwi|diff|localizer|scout")
AGE = re.compile(r"(\d{1,3})\s*([YMWD])")
YEARS = {"Y": 1.0, "M": 1 / 12, "W": 7 / 365.25, "D": 1 / 365.25}
MODALITY, DESCRIPTION, PROTOCOL, NUMBER = "0008|0060", "0008|103e", "0018|1030", "0020|0011"
SERIES_UID, PATIENT_AGE, FRAMES = "0020|000e", "0010|1010", "0028|0008"


@dataclass(frozen=True)
class Series:
    """A DICOM series.

    Attributes:
        number: The scanner's, "" if there is none.
        description: What it was called at the scanner, "" if nothing is said.
        kind: DICOM's Modality, such as "MR" or "CT".
        images: Number of its slices.
        age: Of the patient, years; None if unknown.
        files: Its files, in the order of the slices.
    """

    number: str
    description: str
    kind: str
    images: int
    age: float | None
    files: Sequence[Path]

    def __str__(self) -> str:
        """As a list for people has it."""
        return f"{self.number or '?'}: {self.description or 'no description'}, {self.images} images"


def series_below(folder: str | Path) -> list[Series]:
    """Find the DICOM series in a folder and those below it, by their numbers; other files are passed over."""
    folder = Path(folder)
    files: dict[str, list[str]] = {}
    with _without_warnings():  # ITK warns of every folder that has no series
        for place in [folder, *sorted(path for path in folder.rglob("*") if path.is_dir())]:
            for uid in sitk.ImageSeriesReader.GetGDCMSeriesIDs(str(place)):
                names = sitk.ImageSeriesReader.GetGDCMSeriesFileNames(str(place), uid)
                files.setdefault(uid, []).extend(names)
    found = [_series([Path(name) for name in names]) for names in files.values()]
    return sorted(found, key=lambda series: (len(series.number), series.number, series.files[0]))


@contextmanager
def _without_warnings() -> Iterator[None]:
    """Nothing from ITK on the standard error."""
    shown = sitk.ProcessObject.GetGlobalWarningDisplay()
    sitk.ProcessObject.GlobalWarningDisplayOff()
    try:
        yield
    finally:
        sitk.ProcessObject.SetGlobalWarningDisplay(shown)


def _series(files: list[Path]) -> Series:
    tags = sitk.ImageFileReader()
    tags.SetFileName(str(files[0]))
    tags.ReadImageInformation()

    def tag(key: str) -> str:
        return tags.GetMetaData(key).strip(" \0") if tags.HasMetaDataKey(key) else ""

    frames = tag(FRAMES)
    description = tag(DESCRIPTION)
    protocol = tag(PROTOCOL)
    return Series(
        number=tag(NUMBER),
        description=", ".join(dict.fromkeys(text for text in (description, protocol) if text)),
        kind=tag(MODALITY),
        images=len(files) * (int(frames) if frames.isdigit() else 1),
        age=age_years(tag(PATIENT_AGE)),
        files=files,
    )


def age_years(text: str) -> float | None:
    """Years of DICOM's PatientAge, such as "045Y" or "006M"; None for anything else."""
    match = AGE.fullmatch(text.strip().upper())
    return float(match[1]) * YEARS[match[2]] if match else None


def chosen_series(folder: str | Path, modality: Modality, number: str | None = None) -> tuple[Series, int]:
    """Choose the series of a modality in a folder, and tell how many series there are.

    The only series is taken, whatever it is called.  Of several, the one that has the given number, or the only volume
    whose description says that it has the modality's contrast.

    Args:
        folder: Folder of DICOM files, and of folders of them.
        modality: Modality that is asked for.
        number: Number of the series to take.

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
        named = [series for series in volumes if series.number == number]
    elif len(volumes) == 1:
        named = volumes
    else:
        named = [series for series in volumes if _may_be(series, modality)]
    if len(named) != 1:
        listed = "; ".join(map(str, volumes))
        asked = (
            f"{len(named)} of number {number}" if number is not None else f"{len(named)} clearly {modality}"
        )
        raise InputError(
            f"{folder}: {len(volumes)} MR series found, {asked}, one expected ({listed}); choose one by its number "
            "(--series), or give a folder that holds nothing else"
        )
    return named[0], len(volumes)


def _may_be(series: Series, modality: Modality) -> bool:
    """True if a series is a volume, and is called as those of a modality are."""
    description = series.description.lower()
    return (
        series.images >= FEWEST_IMAGES
        and WORDS[modality].search(description) is not None
        and not OTHER_CONTRASTS.search(description)
    )
