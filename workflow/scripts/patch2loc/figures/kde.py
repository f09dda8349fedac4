"""Figures 3 and 6: distributions of log-error, log-variance and score in normal and abnormal patches."""

from collections.abc import Sequence
from typing import Any, Literal

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from patch2loc.data.labels import label_of
from patch2loc.figures.style import ABNORMAL, NORMAL, PAGE_WIDTH, RC
from patch2loc.tables.made import Made

NORMAL_BELOW = 0.1  # fraction of lesion, as ABNORMAL_ABOVE (paper, section 5.2)
ABNORMAL_ABOVE = 0.9
CLIPPED = (1, 99)
Densities = Literal["whole", "clipped"]
FEWEST_FOR_KDE = 10  # patches, as the next two
MOST_FOR_KDE = 20_000
MOST_FOR_2D_KDE = 5000
SHOWN_BANDWIDTHS = 3  # of a density's kernel, beyond the outermost value
LABELS = {
    "log_error": "log-error\n(log of squared % of grid)",
    "log_variance": "log-variance\n(log of squared % of grid)",
    "score": "abnormality score\n(log-error + log-variance)",
}


def patch_groups(patches: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Patches of less than 10 % lesion (normal) and those of more than 90 % (abnormal); paper, section 5.2."""
    fraction = patches["lesion_fraction"]
    return patches[fraction < NORMAL_BELOW], patches[fraction > ABNORMAL_ABOVE]


@mpl.rc_context(RC)
def kde_figure(
    rows: Sequence[tuple[str, pd.DataFrame]], seed: int = 0, *, densities: Densities = "whole"
) -> Figure:
    """One row of panels per dataset: log-error, log-variance, both in 2-D, score.

    Figure 3 is one row; Figure 6 has one per dataset and one per healthy test set. Groups of more than 20,000
    patches are thinned at random for the density; a group of fewer than ten is drawn as single patches instead of a
    density; the title states how many patches each group has.

    Args:
        rows: (title, patches), patches with columns lesion_fraction, log_error, log_variance and score.
        seed: of the thinning.
        densities: whole, or of each group's values clipped to their 1st to 99th percentile.
    """
    if densities == "clipped":
        rows = [(title, _clipped(patches)) for title, patches in rows]
    figure = Figure(figsize=(PAGE_WIDTH, 0.55 + 1.65 * len(rows)), layout="constrained")
    panels = figure.subplots(len(rows), 4, squeeze=False, sharex="col")
    drawn = [group for _, patches in rows for group in patch_groups(patches)]
    limits = {quantity: _limits([group[quantity].to_numpy() for group in drawn]) for quantity in LABELS}
    for (title, patches), axes in zip(rows, panels, strict=True):
        groups = list(zip(patch_groups(patches), (NORMAL, ABNORMAL), strict=True))
        for panel, quantity in ((axes[0], "log_error"), (axes[1], "log_variance"), (axes[3], "score")):
            for group, color in groups:
                _density(panel, group[quantity].to_numpy(), limits[quantity], color=color, seed=seed)
            panel.set_ylim(bottom=0)
            panel.set_xlim(limits[quantity])
        for group, color in groups:
            _density_2d(axes[2], group, limits, color=color, seed=seed)
        axes[2].set(xlim=limits["log_error"], ylim=limits["log_variance"])
        axes[2].set_ylabel("log-variance")
        axes[0].set_ylabel("density")
        axes[0].set_title(f"{title}\n{_counts(*(group for group, _ in groups))}", loc="left")
    for panel, quantity in zip(panels[-1], ("log_error", "log_variance", "log_error", "score"), strict=True):
        panel.set_xlabel(LABELS[quantity])
    figure.legend(
        handles=[
            Line2D([], [], color=NORMAL, label="normal: < 10 % lesion"),
            Line2D([], [], color=ABNORMAL, label="abnormal: > 90 % lesion"),
        ],
        loc="outside upper right",
        ncols=2,
    )
    return figure


def _clipped(patches: pd.DataFrame) -> pd.DataFrame:
    """Patches of both groups, each quantity clipped to the group's percentiles CLIPPED, as the released code has it."""
    quantities = list(LABELS)
    clipped = []
    for group in patch_groups(patches):
        low, high = (group[quantities].quantile(percentile / 100) for percentile in CLIPPED)
        clipped.append(group.assign(**group[quantities].clip(low, high, axis=1)))
    return pd.concat(clipped)


def _counts(normal: pd.DataFrame, abnormal: pd.DataFrame) -> str:
    """Number of patches of each group, and what the panel shows when they are few."""
    text = f"n = {len(normal):,} normal, {len(abnormal):,} abnormal"
    if len(abnormal) == 0:
        return f"{text} (none is > 90 % lesion)"
    return f"{text} (too few for a density: single patches)" if len(abnormal) < FEWEST_FOR_KDE else text


def _limits(groups: Sequence[np.ndarray]) -> tuple[float, float]:
    """Range that holds every group's values, and its density down to where that is zero to the eye."""
    finite = [group[np.isfinite(group)] for group in groups]
    finite = [group for group in finite if len(group)]
    if not finite:
        return 0.0, 1.0
    bandwidths = [group.std() * min(len(group), MOST_FOR_KDE) ** (-1 / 5) for group in finite]  # Scott's rule
    ends = [
        (group.min() - SHOWN_BANDWIDTHS * bandwidth, group.max() + SHOWN_BANDWIDTHS * bandwidth)
        for group, bandwidth in zip(finite, bandwidths, strict=True)
    ]
    low, high = float(min(low for low, _ in ends)), float(max(high for _, high in ends))
    margin = 0.02 * (high - low) or 0.5
    return low - margin, high + margin


def _thinned(values: np.ndarray, seed: int) -> np.ndarray:
    """At most MOST_FOR_KDE rows of the values, drawn without replacement."""
    if len(values) <= MOST_FOR_KDE:
        return values
    return values[np.random.default_rng([seed, len(values)]).permutation(len(values))[:MOST_FOR_KDE]]


def scott_density(sample: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Gaussian kernel density by Scott's bandwidth, whose kernel has the covariance of the sample (Scott, 1992).

    scikit-learn's kernel is as wide in all directions, and its bandwidth for values of unit variance: the sample is
    therefore whitened before.

    Args:
        sample: (n, dimensions), of full rank.
        points: (m, dimensions), where the density is wanted.

    Returns:
        (m,) densities.
    """
    # Here: slow to import, and other figures use this module without a density.
    from sklearn.neighbors import KernelDensity

    spread = np.linalg.cholesky(np.atleast_2d(np.cov(sample.T)))
    whitened, whitened_points = (np.linalg.solve(spread, values.T).T for values in (sample, points))
    estimate = KernelDensity(bandwidth="scott").fit(whitened)
    density: np.ndarray = np.exp(estimate.score_samples(whitened_points)) / np.prod(np.diag(spread))
    return density


def _density(axes: Axes, values: np.ndarray, limits: tuple[float, float], *, color: str, seed: int) -> None:
    """Density of one quantity; single values when they are few."""
    values = values[np.isfinite(values)]
    if len(values) < FEWEST_FOR_KDE or np.ptp(values) == 0:
        for value in values:
            axes.axvline(value, ymax=0.15, color=color, linewidth=1)
        return
    grid = np.linspace(*limits, 256)
    density = scott_density(_thinned(values, seed)[:, None], grid[:, None])
    axes.plot(grid, density, color=color)
    axes.fill_between(grid, density, color=color, alpha=0.25, linewidth=0)


def _density_2d(
    axes: Axes, group: pd.DataFrame, limits: dict[str, tuple[float, float]], *, color: str, seed: int
) -> None:
    """Contours that enclose 95, 75, 50 and 25 % of the group; single points when it is small."""
    points = group[["log_error", "log_variance"]].to_numpy(np.float64)
    points = points[np.isfinite(points).all(axis=1)]
    if len(points) < FEWEST_FOR_KDE or np.linalg.matrix_rank(np.cov(points.T)) < 2:
        axes.plot(*points.T, ".", color=color, markersize=4)
        return
    x, y = np.meshgrid(
        np.linspace(*limits["log_error"], 80), np.linspace(*limits["log_variance"], 80), indexing="ij"
    )
    sample = _thinned(points, seed)[:MOST_FOR_2D_KDE]
    density = scott_density(sample, np.stack([x.ravel(), y.ravel()], axis=1)).reshape(x.shape)
    falling = np.sort(density.ravel())[::-1]
    mass = np.cumsum(falling) / falling.sum()
    levels = np.unique([falling[np.searchsorted(mass, share)] for share in (0.95, 0.75, 0.5, 0.25)])
    axes.contourf(x, y, density, levels=[*levels, falling[0] * 1.001], colors=color, alpha=0.22)
    axes.contour(x, y, density, levels=levels, colors=color, linewidths=0.7)


def make(inputs: Any, params: Any) -> Made:
    """Make the result; `plan.outputs` lists its inputs and parameters."""
    rows = [
        (label_of(info), pd.read_parquet(path))
        for info, path in zip(params.datasets, inputs.patches, strict=True)
    ]
    return Made(figure=kde_figure(rows, params.seed, densities=params.densities))
