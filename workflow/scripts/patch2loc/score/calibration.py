"""A second score, comparable between places and scans: in units of what is usual at the place, and in the scan.

Not in the paper. Borders of the brain and the ventricles score high in healthy scans, too; relative to that, a lesion
elsewhere ranks higher. A scan of another scanner scores high everywhere; relative to that, a threshold holds for it,
too. It is computed from heatmaps, without another pass of the network.
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
PRIOR_SCANS = 3  # as many scans' worth is believed that a place is like the whole brain
LEAST_SHARE = 0.25  # of the scale of the whole brain: no place has a smaller one
NORMAL_MAD = 1.4826  # standard deviation of normal values over their median absolute deviation


class Calibration(NamedTuple):
    """Location and scale of healthy scores at every voxel of the grid, (x, y, z) float32."""

    location: np.ndarray
    scale: np.ndarray

    def of_place(self, heatmap: np.ndarray) -> np.ndarray:
        """A heatmap, (x, y, z) score, NaN outside the mask, in units of the place: (score - location) / scale."""
        return (heatmap - self.location) / self.scale

    def apply(self, heatmap: np.ndarray) -> np.ndarray:
        """A heatmap, (x, y, z) score, NaN outside the mask, in units of the place and then of the scan.

        `of_place`, less its median over the scan and over its median absolute deviation times 1.4826.
        The second step moves no voxel before another.  A scan whose voxels all score alike is only moved to 0.
        """
        of_place = self.of_place(heatmap)
        found = of_place[~np.isnan(of_place)]
        if not found.size:
            return of_place
        median = np.median(found)
        spread = NORMAL_MAD * np.median(np.abs(found - median))
        return (of_place - median) / (spread if spread > 0 else 1)


def write_calibration(folder: str | Path, calibration: Calibration, affine: np.ndarray) -> None:
    """Write location.nii.gz and scale.nii.gz: maps that can be looked at, too."""
    with replacing_folder(folder) as partial:
        for name, volume in calibration._asdict().items():
            volumes.write(partial / f"{name}.nii.gz", volume, affine)


@lru_cache(maxsize=4)
def read_calibration(folder: str | Path) -> Calibration:
    """What `write_calibration` wrote; kept, since many heatmaps are seen through one."""
    return Calibration(*(volumes.read(Path(folder, f"{name}.nii.gz"))[0] for name in Calibration._fields))


def fit_calibration(heatmaps: Sequence[np.ndarray], spacing: float) -> Calibration:
    """Location and scale of the scores of healthy scans at every place.

    heatmaps: (x, y, z) scores, NaN outside the mask, one per scan.  spacing: mm.
    Location is the median over scans, scale the median absolute deviation from it times 1.4826. Both are averaged
    over places with a Gaussian, and drawn towards those of all voxels together as if these were PRIOR_SCANS scans
    more, so that few scans, or a place that few brains reach, change little. One scan alone has no scale of its own.
    Raises ValueError without heatmaps or scores.
    """
    known = np.any([~np.isnan(heatmap) for heatmap in heatmaps], axis=0)
    if not known.any():
        raise ValueError("no score of a healthy validation scan found, one at least expected")
    scores = np.stack([heatmap[known] for heatmap in heatmaps])
    of_all = scores[~np.isnan(scores)]
    location_of_all = np.median(of_all)
    scale_of_all = NORMAL_MAD * np.median(np.abs(of_all - location_of_all))
    location = _median(scores)
    scale = NORMAL_MAD * _median(np.abs(scores - location))

    scans = np.zeros(known.shape, np.float32)
    scans[known] = np.count_nonzero(~np.isnan(scores), axis=0)
    width = SMOOTHING_MM / spacing
    near = gaussian_filter(scans, width, mode="constant")

    def averaged(values: np.ndarray) -> np.ndarray:
        weighted = np.zeros(known.shape, np.float32)
        weighted[known] = values * scans[known]
        return gaussian_filter(weighted, width, mode="constant") / np.maximum(near, 1e-6)

    believed = near / (near + PRIOR_SCANS)
    drawn = location_of_all + believed * (averaged(location) - location_of_all)
    # One scan tells where scores lie, and nothing of how they spread.
    spread = np.maximum(near - 1, 0)
    believed = spread / (spread + PRIOR_SCANS)
    variance = scale_of_all**2 + believed * (averaged(scale**2) - scale_of_all**2)
    smallest = max(LEAST_SHARE * scale_of_all, np.finfo(np.float32).tiny)
    return Calibration(drawn.astype(np.float32), np.maximum(np.sqrt(variance), smallest).astype(np.float32))


def held_out_calibrations(heatmaps: Mapping[str, np.ndarray], spacing: float) -> dict[str, Calibration]:
    """For each validation scan the calibration by scans of other people, as it would be for a new scan.

    heatmaps: {scan: heatmap}, the rest as for `fit_calibration`.  The people at even and at odd places are calibrated
    by each other, all sessions of a person alike; one person alone is calibrated by the own scans.
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
    """The validation scans' own heatmaps, each through its `held_out_calibrations`. Arguments as there."""
    calibrations = held_out_calibrations(heatmaps, spacing)
    return {name: calibrations[name].apply(heatmap) for name, heatmap in heatmaps.items()}


def read_heatmaps(paths: Iterable[Path]) -> dict[str, np.ndarray]:
    """Heatmaps {scan: (x, y, z)} of files {scan}.nii.gz, by their names in sorted order."""
    return {path.name.removesuffix(".nii.gz"): volumes.read(path)[0] for path in sorted(paths)}


def _median(values: np.ndarray) -> np.ndarray:
    """Median over scans, (scans, voxels) to (voxels,), NaN left out; every voxel has a value in some scan."""
    count = np.count_nonzero(~np.isnan(values), axis=0)
    ordered = np.sort(values, axis=0)  # NaN last
    low, high = (
        np.take_along_axis(ordered, place[None], axis=0)[0] for place in ((count - 1) // 2, count // 2)
    )
    return (low + high) / 2
