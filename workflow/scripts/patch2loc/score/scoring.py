"""Heatmaps of a scan by a model."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np

from patch2loc.data import volumes
from patch2loc.engine.choices import Device, Precision
from patch2loc.errors import InputError
from patch2loc.method_interface import Map, Maps, declaration, is_locating, method
from patch2loc.models import Model, from_state
from patch2loc.score import postprocessing
from patch2loc.standardize import standardize

Heatmaps = tuple[np.ndarray, np.ndarray | None]


class HeatmapOf(Protocol):
    """Makes the heatmap of a preprocessed scan."""

    def __call__(
        self, volume: np.ndarray, mask: np.ndarray, name: str, lesion: np.ndarray | None = None
    ) -> np.ndarray:
        """Score a scan.

        Args:
            volume: (x, y, z) float32, as preprocessed.
            mask: Brain, (x, y, z) boolean.
            name: Name of the scan, for messages.
            lesion: (x, y, z) boolean, for a method that needs it (`method_declaration.Declaration`).

        Returns:
            (x, y, z) float32, NaN outside the mask, after the median filter.

        Raises:
            InputError: The scan is not on the model's grid.
        """


class HeatmapsOf(Protocol):
    """Makes both heatmaps of a standardized scan."""

    def __call__(
        self, standardized: np.ndarray, mask: np.ndarray, lesion: np.ndarray | None = None
    ) -> Heatmaps:
        """Return the heatmap after the common median filter, and that with the authors' post-processing or None."""


class Launch(Protocol):
    """Begins to make both heatmaps of a standardized scan."""

    def __call__(
        self, standardized: np.ndarray, mask: np.ndarray, lesion: np.ndarray | None = None
    ) -> Callable[[], Heatmaps]:
        """Return a function that waits for the heatmaps of `HeatmapsOf`."""


def heatmap_of(
    model: Model,
    device: Device,
    *,
    stride: int = 1,
    median_filter: int = 7,
    precision: Precision = "float32",
    name: str | Path = "model",
) -> HeatmapOf:
    """Make a model ready to score preprocessed scans.

    Args:
        model: From `load_model`.
        device: Device that the method computes on.
        stride: Voxels from one computed score to the next along x and y; the rest is interpolated.
        median_filter: Width of the median filter, voxels.
        precision: Precision of the method's network.
        name: File of the model, for messages.

    Raises:
        InputError: The method cannot use the model's state.
    """
    heatmaps = heatmaps_with(
        model, device, stride=stride, median_filter=median_filter, precision=precision, name=name
    )

    def heatmap(
        volume: np.ndarray, mask: np.ndarray, name: str, lesion: np.ndarray | None = None
    ) -> np.ndarray:
        return heatmaps(standardized_for(model, volume, mask, name), mask, lesion)[0]

    return heatmap


def standardized_for(
    model: Model, volume: np.ndarray, mask: np.ndarray, name: str, percentiles: Sequence[float] | None = None
) -> np.ndarray:
    """Standardize a preprocessed volume as the model's training scans were; see `HeatmapOf` and `standardize`."""
    shape = tuple(model["grid"]["shape"])
    if volume.shape != shape:
        raise InputError(
            f"{name}: grid {volume.shape} found, but the model was trained on {shape}; "
            "preprocess the scan with the configuration of the model"
        )
    return standardize(volume, mask, model["landmarks"], name, percentiles)


def heatmaps_with(
    model: Model,
    device: Device,
    *,
    stride: int,
    median_filter: int,
    precision: Precision,
    name: str | Path = "model",
    as_published: Mapping[str, int] | None = None,
) -> HeatmapsOf:
    """Make a model ready to score standardized scans; arguments as for `heatmap_of`.

    as_published: the post-processing of the method's authors (`method_declaration.Declaration`). With it, the heatmap
    by it is also returned, otherwise None: from the same scores, or from the map "as_published" where the method makes
    one.
    """
    launch = launch_with(
        model,
        device,
        stride=stride,
        median_filter=median_filter,
        precision=precision,
        name=name,
        as_published=as_published,
    )

    def heatmaps(standardized: np.ndarray, mask: np.ndarray, lesion: np.ndarray | None = None) -> Heatmaps:
        return launch(standardized, mask, lesion)()

    return heatmaps


def launch_with(
    model: Model,
    device: Device,
    *,
    stride: int,
    median_filter: int,
    precision: Precision,
    name: str | Path = "model",
    threads: int = 1,
    epsilon: float | None = None,
    as_published: Mapping[str, int] | None = None,
) -> Launch:
    """Make a model ready to begin with one scan while the device computes another; see `heatmaps_with`.

    Scans and heatmaps are RAS.  The method gets the axes that it was trained on, so that patches, locations and slices
    are its own to the voxel.

    threads: that compute medians on the host.
    epsilon: added to the squared error of a method that predicts locations, percent squared; None for the model's.
    as_published: as of `heatmaps_with`.
    """
    axes = model["grid"].get("axes", "RAS")
    state = model["state"]
    if epsilon is not None and is_locating(method(model["method"])):
        state = {**state, "epsilon": epsilon}
    score = from_state(model, name, lambda module: module.scorer(state, device, stride, precision))
    with_lesion = declaration(model["method"]).needs_lesion

    def launch(
        standardized: np.ndarray, mask: np.ndarray, lesion: np.ndarray | None = None
    ) -> Callable[[], Heatmaps]:
        computed_maps = []
        arrays = (standardized, mask) if lesion is None else (standardized, mask, lesion)
        standardized, mask, *drawn = (volumes.reoriented(array, axes) for array in arrays)
        truth = drawn if with_lesion else ()

        def scores_at(region: np.ndarray) -> Map:
            maps: Maps = score(standardized, mask, region, *truth)
            computed_maps.append(maps)
            return maps["score"]

        filtered = [postprocessing.median_filtered(scores_at, mask, median_filter, threads=threads)]
        if as_published is not None:
            maps = computed_maps[-1]
            published_score = maps.get("as_published", maps["score"])
            spacing = model["grid"]["spacing"]
            filtered.append(
                postprocessing.as_published(published_score, mask, spacing, threads=threads, **as_published)
            )
        arriving = [_arriving(each) for each in filtered]

        def heatmaps() -> Heatmaps:
            common, *published = (volumes.reoriented(array(), axes) for array in arriving)
            return common, published[0] if published else None

        return heatmaps

    return launch


def _arriving(values: Map) -> Callable[[], np.ndarray]:
    """A function that waits for a map on the host."""
    if isinstance(values, np.ndarray):
        return lambda: values
    from patch2loc.engine.transfer import to_host  # here: methods without a network do without torch

    return to_host(values)
