"""Heatmaps as they are stored, and as seen through a calibration."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import numpy as np

from patch2loc.configuration.method_names import is_calibrated, scored_by, subfolder
from patch2loc.data import volumes
from patch2loc.errors import InputError
from patch2loc.score.calibration import calibrated_validation, read_calibration, read_heatmaps


class Heatmaps(NamedTuple):
    """Heatmaps of one evaluated method for the scans of a dataset.

    folder: holds {subject}.nii.gz.  calibration: folder of the calibration that they are seen through, if any.
    """

    folder: Path
    calibration: Path | None = None

    def path(self, subject: str) -> Path:
        """The file of a scan."""
        return self.folder / f"{subject}.nii.gz"

    def read(self, subject: str) -> np.ndarray:
        """The heatmap of a scan, (x, y, z) score, NaN outside the mask; InputError as `volumes.read`."""
        return self.seen(volumes.read(self.path(subject))[0])

    def seen(self, heatmap: np.ndarray) -> np.ndarray:
        """A heatmap of the folder as the method is evaluated: through the calibration, if there is one."""
        return read_calibration(self.calibration).apply(heatmap) if self.calibration else heatmap


@dataclass(frozen=True)
class HeldOutHeatmaps:
    """Heatmaps of one method for the healthy validation scans, each calibrated by those of other people.

    folder: holds {subject}.nii.gz.  spacing: mm.  All of them are in memory once one is read.
    """

    folder: Path
    spacing: float

    def path(self, subject: str) -> Path:
        """The file of a scan."""
        return self.folder / f"{subject}.nii.gz"

    def read(self, subject: str) -> np.ndarray:
        """The heatmap of a scan, (x, y, z) score, NaN outside the mask; InputError as `volumes.read`."""
        if subject not in self._calibrated:
            raise InputError(f"{self.path(subject)}: no such file; a NIfTI image was expected there")
        return self._calibrated[subject]

    @cached_property
    def _calibrated(self) -> dict[str, np.ndarray]:
        return calibrated_validation(read_heatmaps(self.folder.glob("*.nii.gz")), self.spacing)


def heatmaps_of(results: str | Path, method: str, dataset: str, modality: str, fold: int) -> Heatmaps:
    """Heatmaps of an evaluated method among the results of a run."""
    scored = scored_by(method)
    calibration = Path(results, "calibration", scored, modality, f"fold{fold}")
    return Heatmaps(
        Path(results, "heatmaps", scored, dataset, f"fold{fold}", subfolder(method)),
        calibration if is_calibrated(method) else None,
    )
