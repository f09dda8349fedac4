"""Score normalization: a second score, in units of what is usual in healthy scans at the place, and in the scan.

Not in the paper.  Borders of the brain and the ventricles score high in healthy scans, too; relative to that, a lesion
elsewhere ranks higher.  A scan of another scanner scores high everywhere; relative to that, a threshold holds for it,
too.  The score is computed from heatmaps, without another pass of the network.  It is called calibrated in names of
methods and results; probabilities it does not give.
"""

from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
from scipy.ndimage import gaussian_filter

from patch2loc.data import volumes
from patch2loc.data.subject_tables import participant
from patch2loc.files import replacing_folder

SMOOTHING_MM = 4.0  # standard deviation of the Gaussian over places
PRIOR_SCANS = 3  # weight of the whole-brain prior, in scans
LEAST_SHARE = 0.25  # of the scale of the whole brain: no place has a smaller one
NORMAL_MAD = 1.4826  # standard deviation of normal values over their median absolute deviation


class Calibration(NamedTuple):
    """Location and scale of healthy scores at every voxel of the grid, (x, y, z) float32."""

    location: np.ndarray
    scale: np.ndarray

    def of_place(self, heatmap: np.ndarray) -> np.ndarray:
        """Normalize a heatmap, (x, y, z) score, NaN outside the mask, by place: (score - location) / scale."""
        normalized: np.ndarray = (heatmap - self.location) / self.scale
        return normalized

    def apply(self, heatmap: np.ndarray) -> np.ndarray:
        """Normalize a heatmap by place and then by scan.

        The result of `of_place`, less its median over the scan, over its median absolute deviation times 1.4826.  The
        second step does not change the ranks of voxels.  A scan whose voxels all score alike becomes 0.

        Args:
            heatmap: (x, y, z) score, NaN outside the mask.
        """
        by_place = self.of_place(heatmap)
        scores = by_place.ravel(order="K")  # in memory's order, which is quicker
        scores = scores[~np.isnan(scores)]
        if not scores.size:
            return by_place
        median = np.median(scores)
        spread = NORMAL_MAD * np.median(np.abs(scores - median))
        by_scan: np.ndarray = (by_place - median) / (spread if spread > 0 else 1)
        return by_scan


def write_calibration(folder: str | Path, calibration: Calibration, affine: np.ndarray) -> None:
    """Write location.nii.gz and scale.nii.gz, maps that any viewer shows; affine: of the grid."""
    with replacing_folder(folder) as partial:
        for name, volume in calibration._asdict().items():
            volumes.write(partial / f"{name}.nii.gz", volume, affine)


@lru_cache(maxsize=4)
def read_calibration(folder: str | Path) -> Calibration:
    """Read a calibration; cached, because many heatmaps share it."""
    return Calibration(*(volumes.read(Path(folder, f"{name}.nii.gz"))[0] for name in Calibration._fields))


def fit_calibration(heatmaps: Sequence[np.ndarray], spacing: float) -> Calibration:
    """Estimate location and scale of the scores of healthy scans at every place.

    Location is the median over scans, scale the median absolute deviation from it times 1.4826.  Both are averaged
    over places with a Gaussian, and drawn towards those of the whole brain as if these were PRIOR_SCANS scans more, so
    that few scans, or a place that few brains reach, change little.  One scan alone has no scale of its own.

    Args:
        heatmaps: (x, y, z) scores, NaN outside the mask, one per scan.
        spacing: Voxel size, mm.

    Raises:
        ValueError: There are no heatmaps, or no scores in them.
    """
    scored = np.any([~np.isnan(heatmap) for heatmap in heatmaps], axis=0)
    if not scored.any():
        raise ValueError("no score of a healthy validation scan found, one at least expected")
    scores = np.stack([heatmap[scored] for heatmap in heatmaps])
    brain_scores = scores[~np.isnan(scores)]
    brain_location = np.median(brain_scores)
    brain_scale = NORMAL_MAD * np.median(np.abs(brain_scores - brain_location))
    location = _median(scores)
    scale = NORMAL_MAD * _median(np.abs(scores - location))

    scans = np.zeros(scored.shape, np.float32)
    scans[scored] = np.count_nonzero(~np.isnan(scores), axis=0)
    width = SMOOTHING_MM / spacing
    near = gaussian_filter(scans, width, mode="constant")

    def averaged(values: np.ndarray) -> np.ndarray:
        weighted = np.zeros(scored.shape, np.float32)
        weighted[scored] = values * scans[scored]
        average: np.ndarray = gaussian_filter(weighted, width, mode="constant") / np.maximum(near, 1e-6)
        return average

    location_weight = near / (near + PRIOR_SCANS)
    shrunk_location = brain_location + location_weight * (averaged(location) - brain_location)
    # One scan tells where scores lie, and nothing of how they spread.
    degrees_of_freedom = np.maximum(near - 1, 0)
    variance_weight = degrees_of_freedom / (degrees_of_freedom + PRIOR_SCANS)
    variance = brain_scale**2 + variance_weight * (averaged(scale**2) - brain_scale**2)
    smallest = max(LEAST_SHARE * brain_scale, np.finfo(np.float32).tiny)
    return Calibration(
        shrunk_location.astype(np.float32), np.maximum(np.sqrt(variance), smallest).astype(np.float32)
    )


def held_out_calibrations(heatmaps: Mapping[str, np.ndarray], spacing: float) -> dict[str, Calibration]:
    """Fit for each validation scan a calibration to scans of other people, as it would be for a new scan.

    People at even and at odd places are calibrated by each other, all sessions of a person alike; a single person is
    calibrated by their own scans.

    Args:
        heatmaps: {scan: heatmap}, see `fit_calibration`.
        spacing: Voxel size, mm.
    """
    people = list(dict.fromkeys(map(participant, heatmaps)))
    if len(people) < 2:
        return dict.fromkeys(heatmaps, fit_calibration([*heatmaps.values()], spacing))
    half = {name: people.index(participant(name)) % 2 for name in heatmaps}
    by_half = [
        fit_calibration([heatmap for name, heatmap in heatmaps.items() if half[name] == number], spacing)
        for number in (0, 1)
    ]
    return {name: by_half[1 - half[name]] for name in heatmaps}


def calibrated_validation(heatmaps: Mapping[str, np.ndarray], spacing: float) -> dict[str, np.ndarray]:
    """Normalize the validation scans' own heatmaps, each by its calibration from `held_out_calibrations`."""
    calibrations = held_out_calibrations(heatmaps, spacing)
    return {name: calibrations[name].apply(heatmap) for name, heatmap in heatmaps.items()}


def read_heatmaps(paths: Iterable[Path]) -> dict[str, np.ndarray]:
    """Read heatmaps, {scan: (x, y, z)}, from files {scan}.nii.gz, sorted by name."""
    return {path.name.removesuffix(".nii.gz"): volumes.read(path)[0] for path in sorted(paths)}


def _median(values: np.ndarray) -> np.ndarray:
    """Median over scans, (scans, voxels) to (voxels,), NaN left out; every voxel has a value in some scan."""
    count = np.count_nonzero(~np.isnan(values), axis=0)
    ordered = np.sort(values, axis=0)  # NaN last
    low, high = (
        np.take_along_axis(ordered, place[None], axis=0)[0] for place in ((count - 1) // 2, count // 2)
    )
    median: np.ndarray = (low + high) / 2
    return median
