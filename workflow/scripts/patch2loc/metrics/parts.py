"""What the parts of the score are worth by themselves: as detectors of lesions, and at the edge of a healthy brain."""

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple, TypedDict

import numpy as np
import pandas as pd

from patch2loc.metrics.names import PAPER_METRICS
from patch2loc.metrics.ranking import Ranking, RankingMetrics

PARTS = ("score", "log_error", "log_variance")  # the score is the sum of the other two
EDGE_DISTANCES = (0.0, 2.0, 4.0, 6.0, 8.0, 12.0, 16.0, 24.0, np.inf)  # mm, of voxels of the brain
HIGHEST = 0.02  # share of a scan's voxels that count as its highest
EDGE_SCORE, EDGE_HIGHEST = "edge_score", "edge_highest"
SETTING = ["part", "epsilon", "median_filter", "stride"]  # columns
BIN = ["low", "high"]


class PartsSettings(TypedDict):
    """Settings of the score that are tried.

    Attributes:
        epsilons: Added to the squared error, percent squared.
        median_filters: Widths of the median filter, voxels; 1 for none.
        strides: Voxels from one computed score to the next along x and y.
    """

    epsilons: Sequence[float]
    median_filters: Sequence[int]
    strides: Sequence[int]


class Setting(NamedTuple):
    """A part of the score and how it is computed; the log-variance has no epsilon, NaN."""

    part: str
    epsilon: float
    median_filter: int
    stride: int


class Measure(NamedTuple):
    """A number of a scan; low and high are the bounds of its bin, NaN for a number of the whole brain."""

    metric: str
    low: float
    high: float
    value: float


def lesion_measures(metrics: RankingMetrics) -> list[Measure]:
    """Average precision and best Dice of a scan with a lesion, among all its metrics."""
    values = {"best_dice": metrics["best_dice"], "auprc": metrics["auprc"]}
    return [Measure(name, np.nan, np.nan, values[name]) for name in PAPER_METRICS]


def edge_measures(ranking: Ranking, score: np.ndarray, distance: np.ndarray) -> Iterator[Measure]:
    """Scores of a healthy scan by the distance from the edge of its brain, in the bins of EDGE_DISTANCES.

    Args:
        ranking: Of the same scores.
        score: (voxels,) of the brain.
        distance: (voxels,) mm, of these voxels from the edge; NaN where there is none.

    Yields:
        For each bin that holds a voxel EDGE_SCORE, the mean, and EDGE_HIGHEST, the share of its voxels that are among
        the HIGHEST of the scan. Where the edge plays no part all bins have that share.
    """
    count = max(1, round(HIGHEST * len(score)))
    highest = score >= ranking.scores[-count]
    number = np.digitize(distance, EDGE_DISTANCES) - 1  # NaN comes after all bins
    bins = len(EDGE_DISTANCES) - 1
    voxels, sums, hits = (
        np.bincount(number, weights, minlength=bins + 1)[:bins] for weights in (None, score, highest)
    )
    for place, (low, high) in enumerate(pairwise(EDGE_DISTANCES)):
        if voxels[place]:
            yield Measure(EDGE_SCORE, low, high, float(sums[place] / voxels[place]))
            yield Measure(EDGE_HIGHEST, low, high, float(hits[place] / voxels[place]))


def of_setting(table: pd.DataFrame, setting: Setting) -> pd.Series:
    """True for the rows of a table with the columns SETTING that are of a setting; one without epsilon has any."""
    same = table["part"] == setting.part
    for column in ("median_filter", "stride"):
        same &= table[column] == getattr(setting, column)
    return same & (table["epsilon"].isna() | (table["epsilon"] == setting.epsilon))
