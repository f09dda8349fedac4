"""Combinations: one score from the ranks that several methods, or scans of a person, give to voxels.

Ranks bring scores of different scales together without a weight that would have to be chosen on lesions.  A
combination is made of finished heatmaps, so it has no model and no training of its own.  Of the T1 and the T2 scan of a
person, the heatmaps that one row of the tables has of both are combined alike, in the brain that both share.
"""

import math
from collections.abc import Callable, Mapping, Sequence
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
    """Combine the heatmaps of several methods of the same scan, or of the brain that scans of a person share.

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


def of_common_brain(heatmaps: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Leave the voxels that all heatmaps score, of scans of a person whose brain masks differ at the edge.

    Args:
        heatmaps: (x, y, z) scores on one grid, NaN outside the mask of each.

    Returns:
        The same scores, NaN outside the common mask.

    Raises:
        ValueError: No voxel is scored by all.
    """
    common = np.logical_and.reduce([~np.isnan(heatmap) for heatmap in heatmaps])
    if not common.any():
        raise ValueError("no voxel in common found, brains of one person on one grid expected")
    return [np.where(common, heatmap, np.float32(np.nan)) for heatmap in heatmaps]


def parts_of(
    rows: Sequence[str],
    folders: Sequence[str | Path],
    calibrations: Sequence[str | Path],
    spacing: float,
) -> list[Heatmaps | HeldOutHeatmaps]:
    """The heatmaps of the evaluated methods that a combination is made of.

    Args:
        rows: Names of evaluated methods; the same one for each scan of a person.
        folders: Folders of heatmaps, as `job.score_scans` writes them, one for each row.
        calibrations: Folders, one for each calibrated row, in turn; none where the scans are those that calibrations
            are made of, each of which is then calibrated by the others.
        spacing: Voxel size, mm.

    Raises:
        ValueError: There are too few or too many folders.
    """
    calibrated = [place for place, row in enumerate(rows) if is_calibrated(row)]
    calibration_at = dict(zip(calibrated, map(Path, calibrations), strict=True)) if calibrations else {}
    return [
        HeldOutHeatmaps(Path(folder), spacing)
        if place in calibrated and not calibration_at
        else Heatmaps(Path(folder, subfolder(row)), calibration_at.get(place))
        for place, (row, folder) in enumerate(zip(rows, folders, strict=True))
    ]


def combine_folders(
    parts: Sequence[Heatmaps | HeldOutHeatmaps],
    scored_folders: Sequence[str | Path],
    by: str,
    folder: str | Path,
    *,
    joint: bool = False,
) -> None:
    """Write the combination of every scan to `folder`/{subject}.nii.gz, and seconds.csv; the folder appears whole.

    In seconds.csv, seconds are those of all parts together, a folder that two of them share counted once; device and
    precision are those of the parts, each once.

    Args:
        parts: Heatmaps of the same scans.
        scored_folders: The folder that `job.score_scans` wrote, of each part.
        by: Name of a rule, of RULES.
        folder: Folder to write to; an older one is replaced.
        joint: Parts are of different scans of the same people: of the people who have all, and of the brain that
            their scans share.

    Raises:
        InputError: Parts do not have the same scans or voxels, or, where they are joint, none in common; the message
            names the heatmap.
    """
    times = {scored_folder: read_times(scored_folder) for scored_folder in scored_folders}
    if joint:
        times = _of_common_subjects(times)
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
                heatmaps = [part.read(subject) for part in parts]
                combined = combine(of_common_brain(heatmaps) if joint else heatmaps, by)
            except ValueError as problem:
                names = ", ".join(str(part.path(subject)) for part in parts)
                raise InputError(f"{names}: {problem}; score the scan again") from problem
            affine = nib.load(parts[0].path(subject)).affine  # type: ignore[attr-defined]  # NIfTI has it
            volumes.write(partial / f"{subject}.nii.gz", combined, affine)
        write_times(partial, _together([*times.values()]))


def _of_common_subjects(times: Mapping[str | Path, pd.DataFrame]) -> dict[str | Path, pd.DataFrame]:
    """The rows of the subjects that all tables have, in the order of the first.

    Raises:
        InputError: They have no subject in common.
    """
    by_subject = {folder: table.set_index("subject") for folder, table in times.items()}
    first, *others = (list(table.index) for table in by_subject.values())
    common = [subject for subject in first if all(subject in other for other in others)]
    if not common:
        raise InputError(
            f"{' and '.join(map(str, times))}: no scans of the same name found, one person with a scan in each "
            "expected; see why preprocessing left scans out (tables/quality.csv)"
        )
    return {folder: table.loc[common].reset_index() for folder, table in by_subject.items()}


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
