"""Combinations of methods: one score from the ranks that several assign to the voxels of a scan.

Ranks bring scores of different scales together without a weight that would have to be chosen on lesions.  A
combination is made of finished heatmaps, so it has no model and no training of its own.
"""

import math
from collections.abc import Callable, Sequence
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
from scipy.stats import rankdata

from patch2loc.configuration.method_names import is_calibrated, subfolder
from patch2loc.data import volumes
from patch2loc.errors import InputError
from patch2loc.files import replacing_folder
from patch2loc.score.heatmap_folder import read_times, write_times
from patch2loc.score.stored_heatmaps import Heatmaps, HeldOutHeatmaps


def fisher(ranks: np.ndarray) -> np.ndarray:
    """Fisher's statistic of the share of a scan's voxels that score at least as high (ties count half).

    A voxel that one method finds very rare is lifted more than by the mean of ranks; where ranks are low the two are
    nearly the same.

    Args:
        ranks: (methods, voxels), from `ranks`.

    Returns:
        The sum over methods of -log(share), (voxels,).
    """
    count = ranks.shape[1]
    statistic: np.ndarray = -np.log1p(-ranks * (count - 1) / count).sum(axis=0)
    return statistic


# Rules by name: from ranks, (methods, voxels) from 0 to 1, to a score, (voxels,).
RULES: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "rank_average": lambda ranks: ranks.mean(axis=0),
    "rank_product": lambda ranks: ranks.prod(axis=0),
    "rank_fisher": fisher,
}


def ranks(heatmap: np.ndarray) -> np.ndarray:
    """Rank each score among those of its scan, from 0, the lowest, to 1; ties share the mean of their ranks.

    Args:
        heatmap: (x, y, z) score, NaN outside the mask.

    Returns:
        (voxels of the mask,) float64.
    """
    scores = heatmap[~np.isnan(heatmap)]
    relative: np.ndarray = (rankdata(scores) - 1) / max(scores.size - 1, 1)
    return relative


def combine(heatmaps: Sequence[np.ndarray], by: str) -> np.ndarray:
    """Combine the heatmaps of several methods of the same scan.

    Args:
        heatmaps: (x, y, z) scores, NaN outside the same mask.
        by: Name of a rule, of RULES.

    Returns:
        (x, y, z) float32, NaN outside the mask.

    Raises:
        ValueError: Shapes or masks differ.
    """
    mask = ~np.isnan(heatmaps[0])
    if not all(np.array_equal(mask, ~np.isnan(heatmap)) for heatmap in heatmaps):
        raise ValueError(
            "scores of other voxels than those of the first method found, of the same ones expected"
        )
    combined = np.full(mask.shape, np.nan, np.float32)
    combined[mask] = RULES[by](np.stack([ranks(heatmap) for heatmap in heatmaps]))
    return combined


def parts_of(
    rows: Sequence[str],
    folders: Sequence[str | Path],
    calibrations: Sequence[str | Path],
    spacing: float,
) -> list[Heatmaps | HeldOutHeatmaps]:
    """The heatmaps of the evaluated methods that a combination is made of.

    Args:
        rows: Names of evaluated methods.
        folders: Folders of heatmaps, as `job.score_scans` writes them, one for each row.
        calibrations: Folders, one for each calibrated row, in turn; none where the scans are those that calibrations
            are made of, each of which is then calibrated by the others.
        spacing: Voxel size, mm.

    Raises:
        ValueError: There are too few or too many folders.
    """
    calibrated_rows = list(filter(is_calibrated, rows))
    calibration_of = dict(zip(calibrated_rows, map(Path, calibrations), strict=True)) if calibrations else {}
    return [
        HeldOutHeatmaps(Path(folder), spacing)
        if row in calibrated_rows and not calibration_of
        else Heatmaps(Path(folder, subfolder(row)), calibration_of.get(row))
        for row, folder in zip(rows, folders, strict=True)
    ]


def combine_folders(
    parts: Sequence[Heatmaps | HeldOutHeatmaps],
    scored_folders: Sequence[str | Path],
    by: str,
    folder: str | Path,
) -> None:
    """Write the combination of every scan to `folder`/{subject}.nii.gz, and seconds.csv; the folder appears whole.

    In seconds.csv, seconds are those of all parts together, a folder that two of them share counted once; device and
    precision are those of the parts, each once.

    Args:
        parts: Heatmaps of the same scans.
        scored_folders: The folder that `job.score_scans` wrote, of each part.
        by: Name of a rule, of RULES.
        folder: Folder to write to; an older one is replaced.

    Raises:
        InputError: Parts do not have the same scans or voxels; the message names the heatmap.
    """
    times = {scored_folder: read_times(scored_folder) for scored_folder in scored_folders}
    first_folder = scored_folders[0]
    subjects = times[first_folder]["subject"].tolist()
    for scored_folder, table in times.items():
        if table["subject"].tolist() != subjects:
            raise InputError(
                f"{scored_folder}: other scans found than in {first_folder}, the same ones expected; remove both and "
                "run again"
            )
    with replacing_folder(folder) as partial:
        for subject in subjects:
            try:
                combined = combine([part.read(subject) for part in parts], by)
            except ValueError as problem:
                names = ", ".join(str(part.path(subject)) for part in parts)
                raise InputError(f"{names}: {problem}; score the scan again") from problem
            affine = nib.load(parts[0].path(subject)).affine  # type: ignore[attr-defined]  # NIfTI has it
            volumes.write(partial / f"{subject}.nii.gz", combined, affine)
        write_times(partial, _together([*times.values()]))


def _together(times: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """One table of seconds, device and precision from those of the parts."""
    together = times[0].copy()
    together["seconds"] = [
        round(math.fsum(seconds), 2) for seconds in zip(*(table["seconds"] for table in times), strict=True)
    ]
    for column in ("device", "precision"):
        together[column] = [
            " + ".join(dict.fromkeys(values))
            for values in zip(*(table[column] for table in times), strict=True)
        ]
    return together
