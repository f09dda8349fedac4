"""Preprocessed scans: one folder each, with the volume, its masks and what is known of it."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from patch2loc.data import volumes
from patch2loc.errors import InputError
from patch2loc.files import read_json, write_json

# Those of intensity-normalization's Nyul landmarks.
LANDMARK_PERCENTILES = (1, 10, 20, 30, 40, 50, 60, 70, 80, 90, 99)


@dataclass(frozen=True)
class Scan:
    """A scan on the grid: the folder that preprocessing wrote, and the files in it.

    subject: name.  folder: of the scan.  modality: "T1" or "T2".
    """

    subject: str
    folder: Path
    modality: str

    @property
    def volume(self) -> Path:
        """Bias-corrected volume, float32, 0 outside the brain."""
        return self.folder / f"{self.modality}.nii.gz"

    @property
    def mask(self) -> Path:
        """Brain mask."""
        return self.folder / "mask.nii.gz"

    @property
    def lesion(self) -> Path:
        """Lesion mask, empty without truth."""
        return self.folder / "lesion.nii.gz"

    @property
    def transform(self) -> Path:
        """Affine transform from atlas to scan points."""
        return self.folder / "transform.tfm"

    @property
    def qc(self) -> Path:
        """Numbers and flags of quality control, or why the scan was left out."""
        return self.folder / "qc.json"

    @property
    def picture(self) -> Path:
        """Picture of quality control."""
        return self.folder / "qc.png"

    def read(self) -> tuple[np.ndarray, np.ndarray]:
        """The volume, (x, y, z) float32, and its mask, boolean."""
        return volumes.read(self.volume)[0], volumes.read_mask(self.mask)

    def lost_lesion(self) -> tuple[float, int]:
        """What the grid cut off: ml of lesion in atlas space, and how many lesions wholly."""
        account = read_json(self.qc)["lesion"]
        wholly = account["lesions_source"] - account["lesions_in_view"]
        return account["lost_to_grid_ml"] * account["scale"], wholly

    def left_out(self) -> str | None:
        """Why the scan could not be preprocessed; None for one that was."""
        return read_json(self.qc).get("left_out")


def check_contrast(values: np.ndarray, name: str | Path) -> None:
    """Raise InputError, naming the scan, unless the landmark percentiles of its brain's intensities increase.

    values: (voxels,), intensities in the brain.
    """
    landmarks = np.percentile(values, LANDMARK_PERCENTILES)
    if not np.all(np.diff(landmarks) > 0):
        raise InputError(
            f"{name}: the intensities of the brain at percentiles 1 to 99 are {np.round(landmarks, 3).tolist()}; "
            "they must increase; the scan is constant or coarsely quantized: check it or leave it out"
        )


def write_cohort(path: str | Path, scans: Sequence[Scan]) -> None:
    """Write the list of a cohort: the folders of its scans, and which of them were left out and why."""
    reasons = {scan.subject: scan.left_out() for scan in scans}
    cohort = {
        "modality": scans[0].modality if scans else None,
        "scans": {scan.subject: str(scan.folder) for scan in scans if not reasons[scan.subject]},
        "left_out": {subject: reason for subject, reason in reasons.items() if reason},
    }
    write_json(path, cohort)


def read_cohort(path: str | Path) -> list[Scan]:
    """The scans of a cohort that can be used, in the order of its list.

    Raises InputError when all of them were left out.
    """
    cohort = read_json(path)
    if cohort["left_out"] and not cohort["scans"]:
        subject, reason = next(iter(cohort["left_out"].items()))
        raise InputError(
            f"{path}: none of the {len(cohort['left_out'])} {cohort['modality']} scans could be preprocessed, one at "
            f"least expected; {subject}: {reason}"
        )
    return [Scan(subject, Path(folder), cohort["modality"]) for subject, folder in cohort["scans"].items()]
