"""Checks of predicted locations and variances that need no lesion, scan by scan.

The network predicts a normal distribution of the location of each patch, without correlation between x and y. In
healthy scans it can be held against the true locations.
"""

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import TypedDict

import numpy as np
import pandas as pd
from scipy.stats import norm

from patch2loc.metrics.correlation import spearman

KEYS = ["check", "quantity", "low", "high"]
COLUMNS = [*KEYS, "subject", "value", "expected", "n_patches"]
COORDINATES = ("x", "y")
LEVELS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.68, 0.8, 0.9, 0.95, 0.99)  # of predicted regions
Z_EDGES = (-np.inf, *np.arange(-5, 5.25, 0.5), np.inf)  # of the histogram of standardized errors
DECILES = 10
# Distances from the midline along x, percent of the grid. Nearer than CLEAR_OF_MIDLINE, an ordinary error can carry a
# prediction to the other side.
MIDLINE_EDGES = (0.0, 10.0, 20.0, 30.0, np.inf)
CLEAR_OF_MIDLINE = 10.0
EDGE_DISTANCES = (-np.inf, 0.0, 4.0, 8.0, 12.0, 16.0, 24.0, np.inf)  # mm, negative outside the brain
BRAIN_SHARES = (0.0, 0.4, 0.6, 0.8, 1.0, np.inf)  # a patch is analyzed from 0.2 on
PARTS_OF_SCORE = ("location_error", "log_error", "log_variance", "score")
SLACK = 1e-6  # of shares and distances, which are float32


def scan_checks(patches: pd.DataFrame, shape: Sequence[int], midline: float) -> pd.DataFrame:
    """Checks of every scan, over its patches.

    Args:
        patches: of one fold, as of `evaluate.patch_analysis.patch_table`, with a column subject.
        shape: voxels of the grid along x and y; further ones are not used.
        midline: location of the midsagittal plane along x, percent of the grid.

    Returns:
        Table with the columns COLUMNS, one row for each check and subject. expected is what `value` is for a calibrated
        prediction; NaN where there is no such number. low and high are the bounds of a bin, lower one included; NaN for
        a check of all patches. A scan without a patch in a bin has no row for it.

        coverage: share of true locations in the central region of probability `high`; quantity x or y: the interval
            along this coordinate, both: the ellipse.
        z: share of the standardized errors, (true - predicted) / predicted standard deviation, in the bin; both: of the
            two coordinates together.
        squared_z: mean square of the same.
        spread: mean squared error of the patches in a decile of the scan's predicted variances, percent squared;
            expected: their mean predicted variance. Bounds are shares of the scan's patches.
        rank_correlation: Spearman's, of absolute error and predicted standard deviation; both: of location error and
            mean log-variance.
        opposite_side: share of the patches whose distance from the midline is in the bin that are placed on the other
            side of it; expected: that share by the predicted distributions.
        opposite_side_sd: mean predicted standard deviation along x, percent, of the patches clear of the midline that
            are placed on the opposite side, or on the same one (quantity).
        edge_distance, brain_share: mean of the quantity over patches by the distance of their center from the edge of
            the brain, mm, and by their share of brain.
    """
    true = 100 * patches[["x", "y"]].to_numpy(float) / np.asarray(shape[:2], float)
    mean = patches[["mean_x", "mean_y"]].to_numpy(float)
    sd = np.exp(patches[["log_variance_x", "log_variance_y"]].to_numpy(float) / 2)
    scan, subjects = pd.factorize(patches["subject"], sort=True)
    parts = [
        *_coverage(scan, (true - mean) / sd),
        *_spread(scan, true - mean, sd),
        *_rank_correlations(scan, patches, true - mean, sd),
        *_opposite_side(scan, true[:, 0] - midline, mean[:, 0] - midline, sd[:, 0]),
        *_by_place(scan, patches, "edge_distance", "edge_distance", EDGE_DISTANCES),
        *_by_place(scan, patches, "brain_share", "brain_fraction", BRAIN_SHARES),
    ]
    checks = pd.concat(map(pd.DataFrame, parts), ignore_index=True)
    return checks.assign(subject=subjects[checks["scan"]])[COLUMNS]


class _Check(TypedDict):
    """Rows of one check and bin, one for each scan that has a patch in it: arrays (rows,) of the last four."""

    check: str
    quantity: str
    low: float
    high: float
    scan: np.ndarray  # number of the scan
    value: np.ndarray
    expected: np.ndarray
    n_patches: np.ndarray


def _scan_means(
    check: str,
    quantity: str,
    scan: np.ndarray,
    values: np.ndarray,
    *,
    expected: np.ndarray | None = None,
    ideal: float = np.nan,
    bounds: tuple[float, float] = (np.nan, np.nan),
) -> _Check:
    """Means over the patches of each scan.

    scan, values, expected: (patches,), scans by number.  ideal: what is expected where it is one number for all.
    """
    patches = np.bincount(scan)
    present = np.flatnonzero(patches)

    def means(of_patches: np.ndarray) -> np.ndarray:
        return np.bincount(scan, of_patches)[present] / patches[present]

    return {
        "check": check,
        "quantity": quantity,
        "low": bounds[0],
        "high": bounds[1],
        "scan": present,
        "value": means(values),
        "expected": np.full(len(present), ideal) if expected is None else means(expected),
        "n_patches": patches[present],
    }


def _coverage(scan: np.ndarray, z: np.ndarray) -> Iterator[_Check]:
    distance = (z**2).sum(axis=1)  # squared Mahalanobis distance, chi-squared with two degrees of freedom
    for level in LEVELS:
        for coordinate, values in zip(COORDINATES, np.abs(z).T, strict=True):
            inside = values <= norm.ppf((1 + level) / 2)
            yield _scan_means("coverage", coordinate, scan, inside, ideal=level, bounds=(0, level))
        inside = distance <= -2 * np.log1p(-level)
        yield _scan_means("coverage", "both", scan, inside, ideal=level, bounds=(0, level))
    together = {
        "x": (scan, z[:, 0]),
        "y": (scan, z[:, 1]),
        "both": (np.tile(scan, 2), z.T.ravel()),
    }
    for quantity, (of_scan, values) in together.items():
        for low, high in pairwise(Z_EDGES):
            yield _scan_means(
                "z",
                quantity,
                of_scan,
                (values >= low) & (values < high),
                ideal=norm.cdf(high) - norm.cdf(low),
                bounds=(low, high),
            )
        yield _scan_means("squared_z", quantity, of_scan, values**2, ideal=1.0)


def _spread(scan: np.ndarray, error: np.ndarray, sd: np.ndarray) -> Iterator[_Check]:
    for column, coordinate in enumerate(COORDINATES):
        variance = sd[:, column] ** 2
        ranks = pd.Series(variance).groupby(scan).rank(method="first")
        decile = (ranks.to_numpy() - 1) * DECILES // np.bincount(scan)[scan]
        for number in range(DECILES):
            here = decile == number
            yield _scan_means(
                "spread",
                coordinate,
                scan[here],
                error[here, column] ** 2,
                expected=variance[here],
                bounds=(number / DECILES, (number + 1) / DECILES),
            )


def _rank_correlations(
    scan: np.ndarray, patches: pd.DataFrame, error: np.ndarray, sd: np.ndarray
) -> Iterator[_Check]:
    pairs = {
        "x": (np.abs(error[:, 0]), sd[:, 0]),
        "y": (np.abs(error[:, 1]), sd[:, 1]),
        "both": (patches["location_error"].to_numpy(), patches["log_variance"].to_numpy()),
    }
    places = [np.flatnonzero(scan == number) for number in range(scan.max() + 1)]
    for quantity, (errors, spreads) in pairs.items():
        of_scans = [spearman(errors[here], spreads[here]) for here in places]
        yield _scan_means("rank_correlation", quantity, scan, np.asarray(of_scans)[scan])


def _opposite_side(scan: np.ndarray, true: np.ndarray, mean: np.ndarray, sd: np.ndarray) -> Iterator[_Check]:
    """Rows on the side of the midline; true, mean (both from the midline) and sd along x, (patches,), percent."""
    distance, opposite = np.abs(true), true * mean < 0
    bins = [*pairwise(MIDLINE_EDGES), (CLEAR_OF_MIDLINE, np.inf)]
    for low, high in bins:
        here = (distance >= low) & (distance < high)
        shares = _scan_means("opposite_side", "share", scan[here], opposite[here], bounds=(low, high))
        # Number of patches that lie at such a distance by their distributions, on the side where they were not placed
        # and on the other one. Of all patches, since which of them lie in the bin is what a distribution is about.
        across = norm.cdf(-(low + np.abs(mean)) / sd) - norm.cdf(-(high + np.abs(mean)) / sd)
        along = norm.cdf((high - np.abs(mean)) / sd) - norm.cdf((low - np.abs(mean)) / sd)
        wrong, right = (np.bincount(scan, numbers)[shares["scan"]] for numbers in (across, along))
        shares["expected"] = np.divide(
            wrong, wrong + right, out=np.full(len(wrong), np.nan), where=wrong + right > 0
        )
        yield shares
    clear = distance >= CLEAR_OF_MIDLINE
    for quantity, here in (("opposite", clear & opposite), ("same", clear & ~opposite)):
        yield _scan_means(
            "opposite_side_sd", quantity, scan[here], sd[here], bounds=(CLEAR_OF_MIDLINE, np.inf)
        )


def _by_place(
    scan: np.ndarray, patches: pd.DataFrame, check: str, column: str, edges: Sequence[float]
) -> Iterator[_Check]:
    places = patches[column].to_numpy(float) + SLACK
    for low, high in pairwise(edges):
        here = (places >= low) & (places < high)
        for quantity in PARTS_OF_SCORE:
            values = patches[quantity].to_numpy(float)[here]
            yield _scan_means(check, quantity, scan[here], values, bounds=(low, high))
