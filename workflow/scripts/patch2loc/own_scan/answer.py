"""An answer about one scan: all that its picture and its page show."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import pandas as pd

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
    "percentile",
    "native_voxels",
)


class ScanWarning(NamedTuple):
    """Something that makes an answer doubtful.

    Attributes:
        name: Of its kind, a word for programs.
        message: What was found, what was expected, and what to do: a sentence for people.
    """

    name: str
    message: str


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
        map_name: joined, patch2loc or zscore.
        model_name: Name of the model.
        atlas: Whose coordinates those of the candidates are: icbm152 (MNI) or sri24.
        abnormal_ml: Volume of the candidates, ml.
        healthy_ml: The same of each healthy scan of the reference, ml, (scans,).
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
    maps: Mapping[str, np.ndarray] = field(default_factory=dict)
