"""An answer about one scan: all that its picture and its page show."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

import numpy as np
import pandas as pd

CUT_MM = 6.0  # how near to brain that is not in the scan or its mask a candidate lies at a cut
# Columns of an answer's table of candidates (candidates.csv).
CANDIDATE_COLUMNS = (
    "label",
    "volume_ml",
    "excess",
    "peak",
    "x_mm",
    "y_mm",
    "z_mm",
    "side",
    "tissue",
    "mirror_of",
    "at_cut",
    "percentile",
    "native_voxels",
)


LikelyError = Literal["false candidates", "missed lesions", "both"]
CONSEQUENCES: dict[LikelyError, str] = {
    "false candidates": "Candidates may be false.",
    "missed lesions": "Lesions may be missed.",
    "both": "Candidates may be false, and lesions may be missed.",
}


class ScanWarning(NamedTuple):
    """Something that makes a report doubtful.

    Attributes:
        name: Kind of the warning, a word for programs.
        message: What was found, what was expected, what to do, and which error is likely: sentences for people.
        likely_error: The error that the report probably makes.
    """

    name: str
    message: str
    likely_error: LikelyError = "both"


def scan_warning(name: str, finding: str, likely_error: LikelyError) -> ScanWarning:
    """A warning whose message ends with the error that it makes likely.

    Args:
        name: Kind of the warning.
        finding: What was found, what was expected and what to do, without a full stop.
        likely_error: The error that the report probably makes.
    """
    return ScanWarning(name, f"{finding}. {CONSEQUENCES[likely_error]}", likely_error)


@dataclass(frozen=True)
class Answer:
    """What a detector says about a scan.  Arrays are (x, y, z) on the model's grid.

    Attributes:
        title: The scan's name, modality, model and map, in a line.
        sentence: The answer in plain words.
        warnings: What makes it doubtful.
        candidates: A row for each candidate, most conspicuous first; columns CANDIDATE_COLUMNS.
        rarity: -log10 of the share of healthy voxels that score at least as high, float32, NaN outside the brain.
        labels: Candidates, int16: 0 outside, else `label` of the table.
        scan: The preprocessed scan, float32, 0 outside the brain.
        mask: The brain, bool.
        spacing: Edge of a voxel, mm.
        affine: 4 x 4, voxel indices to mm of the atlas (RAS).
        threshold: Rarity above which voxels belong to candidates.
        simulated: True if the model was trained on simulated scans.
        judged: False if the scan is too unlike the healthy ones to say how unusual it is: there are no candidates then,
            and no volume.
        map_name: joined, patch2loc or zscore.
        model_name: Name of the model.
        atlas: Whose coordinates those of the candidates are: icbm152 (MNI) or sri24.
        abnormal_ml: Volume of the candidates, ml; NaN if the scan is not judged.
        healthy_ml: The same of each healthy scan of the reference, ml, (scans,).
        brain_found: How the brain was found, in words (`preprocess.brain_mask.FOUND_BY`).
        maps: Rarity by each map, `map_name` first, for the page's viewer; empty if there is none but `rarity`.
    """

    title: str
    sentence: str
    warnings: Sequence[ScanWarning]
    candidates: pd.DataFrame
    rarity: np.ndarray
    labels: np.ndarray
    scan: np.ndarray
    mask: np.ndarray
    spacing: float
    affine: np.ndarray
    threshold: float
    simulated: bool
    map_name: str
    model_name: str
    atlas: str
    abnormal_ml: float
    healthy_ml: np.ndarray
    brain_found: str
    judged: bool = True
    maps: Mapping[str, np.ndarray] = field(default_factory=dict)
