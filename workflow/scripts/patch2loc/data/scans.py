"""Preprocessed scans: a folder each, with the volume, its masks, its transform and its quality control."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from patch2loc.data import volumes
from patch2loc.data.modalities import Modality
from patch2loc.data.vocabulary import QUALITY, Truth
from patch2loc.errors import InputError, first_of
from patch2loc.files import read_json, write_json

# Percentiles of intensity-normalization's Nyul landmarks.
LANDMARK_PERCENTILES = (1, 10, 20, 30, 40, 50, 60, 70, 80, 90, 99)
# All that are taken of a brain: besides, the one that standardized intensities are divided by.
PERCENTILES = (*LANDMARK_PERCENTILES, 98)
MOST_LISTED = 20  # labels that a message counts


class LostLesion(NamedTuple):
    """The part of a scan's lesions that lies outside the grid's field of view."""

    ml: float  # in atlas space
    lesions: int  # that lie outside as a whole


class Contents(NamedTuple):
    """Hashes of the content of a scan (`data.content`)."""

    stored: str  # of its file
    acquired: str  # of the real scan, where a simulated stroke was painted into one; the same otherwise


@dataclass(frozen=True)
class Scan:
    """A scan on the common grid: the folder that preprocessing wrote, and the files in it.

    Attributes:
        subject: Name of the subject, or of the subject and session.
        folder: Folder of the scan.
        modality: Modality of the scan.
    """

    subject: str
    folder: Path
    modality: Modality

    @property
    def volume_path(self) -> Path:
        """File of the bias-corrected volume, float32, 0 outside the brain."""
        return self.folder / f"{self.modality}.nii.gz"

    @property
    def mask_path(self) -> Path:
        """File of the brain mask."""
        return self.folder / "mask.nii.gz"

    @property
    def lesion_path(self) -> Path:
        """File of the lesion mask, the voxels that lesion fills half of; empty for a scan without lesion truth."""
        return self.folder / "lesion.nii.gz"

    @property
    def lesion_any_path(self) -> Path:
        """File of the wider lesion mask, the voxels that lesion fills any of (`preprocess.lesions`)."""
        return self.folder / "lesion_any.nii.gz"

    def truth_path(self, truth: Truth) -> Path:
        """File of one of the two lesion masks."""
        return self.lesion_path if truth == "half" else self.lesion_any_path

    @property
    def transform_path(self) -> Path:
        """File of the affine transform from atlas to scan points."""
        return self.folder / "transform.tfm"

    @property
    def qc_path(self) -> Path:
        """File with the numbers and flags of quality control, or the reason why the scan was left out."""
        return self.folder / QUALITY

    @property
    def picture_path(self) -> Path:
        """File of the picture of quality control."""
        return self.folder / "qc.png"

    def read(self) -> tuple[np.ndarray, np.ndarray]:
        """Read the volume, (x, y, z) float32, and its mask, boolean."""
        return volumes.read(self.volume_path)[0], volumes.read_mask(self.mask_path)

    def lost_lesion(self) -> LostLesion:
        """Read how much lesion the grid cut off."""
        report = read_json(self.qc_path)["lesion"]
        lesions = report["lesions_source"] - report["lesions_in_view"]
        return LostLesion(report["lost_to_grid_ml"] * report["scale"], lesions)

    def contents(self) -> Contents:
        """Read the hashes of the scan's content."""
        report = read_json(self.qc_path, {"content": str})
        return Contents(report["content"], report.get("acquired_content", report["content"]))

    def percentiles(self) -> list[float]:
        """Read the percentiles PERCENTILES of the brain's intensities."""
        report = read_json(self.qc_path, {"intensity_percentiles": [float]})
        percentiles: list[float] = report["intensity_percentiles"]
        return percentiles

    def left_out(self) -> str | None:
        """Read why the scan could not be preprocessed; None if it could."""
        reason: str | None = read_json(self.qc_path).get("left_out")
        return reason


def intensity_percentiles(values: np.ndarray) -> list[float]:
    """The percentiles PERCENTILES of a brain's intensities, (voxels,)."""
    percentiles: list[float] = np.percentile(
        values.astype(np.float64), PERCENTILES, overwrite_input=True
    ).tolist()
    return percentiles


def check_contrast(percentiles: Sequence[float], name: str | Path) -> None:
    """Check that the landmark percentiles of a brain's intensities increase.

    Args:
        percentiles: From `intensity_percentiles`.
        name: Of the scan, for the message.

    Raises:
        InputError: Two percentiles are equal.
    """
    landmarks = np.array(percentiles[: len(LANDMARK_PERCENTILES)])
    if not np.all(np.diff(landmarks) > 0):
        raise InputError(
            f"{name}: the intensities of the brain at percentiles 1 to 99 are {np.round(landmarks, 3).tolist()}; "
            "they must increase; the scan is constant or coarsely quantized: check it or leave it out"
        )


def write_cohort(path: str | Path, scans: Sequence[Scan]) -> None:
    """Write the list of a cohort: folders and contents of the usable scans, and the reason for each left out.

    Raises:
        InputError: Two usable scans have the same voxels.
    """
    reasons = {scan.subject: scan.left_out() for scan in scans}
    usable = [scan for scan in scans if not reasons[scan.subject]]
    contents = {scan.subject: scan.contents() for scan in usable}
    _refuse_copies(usable, contents)
    cohort = {
        "modality": scans[0].modality if scans else None,
        "scans": {scan.subject: str(scan.folder) for scan in usable},
        "contents": {subject: content.acquired for subject, content in contents.items()},
        "left_out": {subject: reason for subject, reason in reasons.items() if reason},
    }
    write_json(path, cohort)


def _refuse_copies(scans: Sequence[Scan], contents: Mapping[str, Contents]) -> None:
    """Refuse scans of a cohort that are one scan under several names; strokes painted into one scan are several."""
    folders: dict[str, list[str]] = defaultdict(list)
    for scan in scans:
        folders[contents[scan.subject].stored].append(str(scan.folder))
    copies = [" and ".join(names) for names in folders.values() if len(names) > 1]
    if copies:
        raise InputError(
            f"{'; '.join(copies)}: {len(copies)} scans under several names found, with the same voxels, each scan "
            "once expected; put all names but one under `leave_out` of their dataset, or take them off its list"
        )


def refuse_fitted_scans(
    scans: Sequence[Scan], fitted: Mapping[str, str], role: str, *, same_dataset: bool = False
) -> None:
    """Refuse scans that something was fitted to, known by their content, not by their names.

    Args:
        scans: Scans that have to be new.
        fitted: Contents of the scans of the fit, {subject: hash} (`Contents.acquired`).
        role: Of these, for the message.
        same_dataset: The scans are of the same dataset. One of the same name is then one that the dataset's lists
            give both roles, as the published ones do, which tables report; or a validation scan with its own model.

    Raises:
        InputError: There are such scans; the message names all of them.
    """
    names: dict[str, list[str]] = defaultdict(list)
    for subject, content in fitted.items():
        names[content].append(subject)
    leaked = [
        f"{scan.folder} is {name}"
        for scan in scans
        for name in (names.get(scan.contents().acquired, ()) if names else ())
        if not (same_dataset and name == scan.subject)
    ]
    if leaked:
        raise InputError(
            f"{'; '.join(leaked)}: {len(leaked)} scans found whose voxels are those of {role}, other scans expected; "
            "put one of each two under `leave_out` of its dataset, or take it off its list"
        )


def read_cohort(path: str | Path) -> list[Scan]:
    """Read the usable scans of a cohort, in the order of its list.

    Raises:
        InputError: All of them were left out.
    """
    cohort = read_json(path)
    if cohort["left_out"] and not cohort["scans"]:
        subject, reason = next(iter(cohort["left_out"].items()))
        raise InputError(
            f"{path}: none of the {len(cohort['left_out'])} {cohort['modality']} scans could be preprocessed, at "
            f"least one expected; {subject}: {reason}"
        )
    return [Scan(subject, Path(folder), cohort["modality"]) for subject, folder in cohort["scans"].items()]


def check_lesions(dataset: str, scans: Sequence[Scan], expected_labels: Sequence[int]) -> None:
    """Check that a cohort with lesions has any, and each expected label in some scan.

    Other labels than those of the files would make healthy scans of them without a word.

    Args:
        dataset: Name, for messages.
        scans: Preprocessed scans; those that were left out count for nothing.
        expected_labels: Some lesion file has to hold each of them, above 0; may be empty.

    Raises:
        InputError: No scan has a lesion, or one of the labels is in no scan's lesion file.
    """
    reports = [read_json(scan.qc_path)["lesion"] for scan in scans if not scan.left_out()]
    if not reports:
        return
    counts = Counter(label for report in reports for label in report["labels"])
    listed = first_of((f"{label} in {count}" for label, count in sorted(counts.items())), MOST_LISTED)
    found = f"labels in them: {listed or 'none'}"
    absent = [label for label in expected_labels if label not in counts]
    if absent:
        raise InputError(
            f"datasets.{dataset}.source.lesion_labels: {', '.join(map(str, absent))} found, a label that is in no "
            f"lesion file of the {len(reports)} scans ({found}); correct the labels, or leave out what these scans lack"
        )
    if not any(report["source_ml"] for report in reports):
        raise InputError(
            f"datasets.{dataset}: no lesion in any of {len(reports)} scans found ({found}), one at least expected "
            "where the role is lesion; check lesion files and lesion_labels, or make the role healthy or unlabeled"
        )
