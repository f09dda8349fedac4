"""Stored heatmaps, read as a method is evaluated: as they are, or calibrated."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import numpy as np

from patch2loc.configuration.method_names import base_method, is_calibrated, subfolder
from patch2loc.data import volumes
from patch2loc.data.modalities import Modality
from patch2loc.data.results import Results
from patch2loc.errors import InputError
from patch2loc.score.calibration import calibrated_validation, read_calibration, read_heatmaps


class Heatmaps(NamedTuple):
    """Heatmaps of one evaluated method for the scans of a dataset.

    Attributes:
        folder: Folder with {subject}.nii.gz.
        calibration: Folder of the calibration that is applied to them, if any.
    """

    folder: Path
    calibration: Path | None = None

    def path(self, subject: str) -> Path:
        """The file of a scan."""
        return self.folder / f"{subject}.nii.gz"

    def read(self, subject: str) -> np.ndarray:
        """Read the heatmap of a scan, (x, y, z) score, NaN outside the mask.

        Raises:
            InputError: There is no such file, or it is no image.
        """
        return self.calibrated(volumes.read(self.path(subject))[0])

    def calibrated(self, heatmap: np.ndarray) -> np.ndarray:
        """Apply the calibration, if there is one, to a heatmap of the folder."""
        return read_calibration(self.calibration).apply(heatmap) if self.calibration else heatmap


@dataclass(frozen=True)
class HeldOutHeatmaps:
    """Heatmaps of one method for the healthy validation scans, each calibrated by those of other people.

    All of them are in memory once one is read.

    Attributes:
        folder: Folder with {subject}.nii.gz.
        spacing: Voxel size, mm.
    """

    folder: Path
    spacing: float

    def path(self, subject: str) -> Path:
        """The file of a scan."""
        return self.folder / f"{subject}.nii.gz"

    def read(self, subject: str) -> np.ndarray:
        """Read the heatmap of a scan, (x, y, z) score, NaN outside the mask.

        Raises:
            InputError: There is no such file, or it is no image.
        """
        if subject not in self._calibrated:
            raise InputError(f"{self.path(subject)}: no such file; a NIfTI image was expected there")
        return self._calibrated[subject]

    @cached_property
    def _calibrated(self) -> dict[str, np.ndarray]:
        return calibrated_validation(read_heatmaps(self.folder.glob("*.nii.gz")), self.spacing)


def heatmaps_of(results: str | Path, method: str, dataset: str, modality: Modality, *, fold: int) -> Heatmaps:
    """Find the heatmaps of an evaluated method in the results folder of a run."""
    paths, scored_method = Results(str(results)), base_method(method)
    return Heatmaps(
        Path(paths.heatmaps(scored_method, dataset, fold), subfolder(method)),
        Path(paths.calibration(scored_method, modality, fold)) if is_calibrated(method) else None,
    )
