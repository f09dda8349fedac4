"""Combinations of methods: one score from the ranks that several give to the voxels of a scan.

The ranks bring scores of different scales together without a weight that would have to be chosen on lesions.  A
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
from patch2loc.files import read_csv, replacing_folder, write_csv
from patch2loc.score.stored_heatmaps import Heatmaps, HeldOutHeatmaps

TIMES = "seconds.csv"  # in the folder of a method's heatmaps


def fisher(ranks: np.ndarray) -> np.ndarray:
    """Fisher's statistic of the shares of a scan's voxels that score higher, or the same (half of these), and itself.

    A voxel that one method finds very rare is lifted more than by the mean of ranks; where ranks are low the two are
    nearly the same.  ranks: (methods, voxels), as of `ranks`.  Returns the sum of -log(share), (voxels,).
    """
    count = ranks.shape[1]
    return -np.log1p(-ranks * (count - 1) / count).sum(axis=0)


# What is made of the ranks of a voxel, (methods, voxels) from 0 to 1.
RULES: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "rank_average": lambda ranks: ranks.mean(axis=0),
    "rank_product": lambda ranks: ranks.prod(axis=0),
    "rank_fisher": fisher,
}


def ranks(heatmap: np.ndarray) -> np.ndarray:
    """The rank of each score among those of its scan, 0 the lowest, 1 the highest; ties have the mean of theirs.

    heatmap: (x, y, z) score, NaN outside the mask.  Returns (voxels of the mask,) float64.
    """
    scores = heatmap[~np.isnan(heatmap)]
    return (rankdata(scores) - 1) / max(scores.size - 1, 1)


def combine(heatmaps: Sequence[np.ndarray], by: str) -> np.ndarray:
    """One heatmap from those of several methods of the same scan.

    heatmaps: (x, y, z) scores, NaN outside the same mask.  by: a name of RULES.
    Returns (x, y, z) float32, NaN outside the mask.  Raises ValueError when shapes or masks differ.
    """
    known = ~np.isnan(heatmaps[0])
    if not all(np.array_equal(known, ~np.isnan(heatmap)) for heatmap in heatmaps):
        raise ValueError(
            "scores of other voxels than those of the first method found, of the same ones expected"
        )
    combined = np.full(known.shape, np.nan, np.float32)
    combined[known] = RULES[by](np.stack([ranks(heatmap) for heatmap in heatmaps]))
    return combined


def parts_of(
    rows: Sequence[str],
    folders: Sequence[str | Path],
    calibrations: Sequence[str | Path],
    spacing: float,
) -> list[Heatmaps | HeldOutHeatmaps]:
    """The heatmaps of evaluated methods.

    rows: their names.  folders: of heatmaps, as `score.score_scans` writes them, one for each.  calibrations: folders,
    one for each calibrated row, in turn; none where the scans are those that calibrations are made of, each of which
    is then calibrated by the others.  spacing: mm.  Raises ValueError for too few or too many.
    """
    calibrated = list(filter(is_calibrated, rows))
    through = dict(zip(calibrated, map(Path, calibrations), strict=True)) if calibrations else {}
    return [
        HeldOutHeatmaps(Path(folder), spacing)
        if row in calibrated and not through
        else Heatmaps(Path(folder, subfolder(row)), through.get(row))
        for row, folder in zip(rows, folders, strict=True)
    ]


def combine_folders(
    parts: Sequence[Heatmaps | HeldOutHeatmaps],
    scored: Sequence[str | Path],
    by: str,
    folder: str | Path,
) -> None:
    """Write the combination of every scan to `folder`/{subject}.nii.gz, and seconds.csv; the folder appears whole.

    parts: heatmaps of the same scans.  scored: the folders that `score.score_scans` wrote, of each part.  by: a name
    of RULES.
    seconds: those of all parts together, a folder that two of them share once.  device, precision: those of the
    parts, each once.
    Raises InputError, naming the heatmap, when parts do not have the same scans or voxels.
    """
    times = {made: read_csv(Path(made, TIMES)) for made in scored}
    first = times[scored[0]]["subject"].tolist()
    for made, table in times.items():
        if table["subject"].tolist() != first:
            raise InputError(
                f"{made}: other scans found than in {scored[0]}, the same ones expected; remove both and run again"
            )
    with replacing_folder(folder) as partial:
        for subject in first:
            try:
                combined = combine([part.read(subject) for part in parts], by)
            except ValueError as problem:
                names = ", ".join(str(part.path(subject)) for part in parts)
                raise InputError(f"{names}: {problem}; score the scan again") from problem
            affine = nib.load(parts[0].path(subject)).affine
            volumes.write(partial / f"{subject}.nii.gz", combined, affine)
        write_csv(partial / TIMES, _together([*times.values()]))


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
