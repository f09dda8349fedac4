"""A detector: a location network and the voxelwise z-score in one file, with what healthy scans score by both."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, cast

import numpy as np

from patch2loc.configuration.method_registry import locates
from patch2loc.data.scans import Scan
from patch2loc.engine.choices import Device, Precision
from patch2loc.errors import InputError
from patch2loc.heatmap import EPSILON
from patch2loc.method_interface import Score, method
from patch2loc.models import Model, from_state, sealed
from patch2loc.score.postprocessing import median_filtered
from patch2loc.score.reference import Cohort, HealthyReference, ScanMaps, fit_reference, from_model, to_model
from patch2loc.score.scoring import standardized_for


class MapsOf(Protocol):
    """Makes the maps of a preprocessed scan."""

    def __call__(self, volume: np.ndarray, mask: np.ndarray, name: str) -> ScanMaps:
        """Return the maps of a volume (x, y, z), as preprocessed, and its brain mask; name: of the scan."""


def reference_of(model: Model) -> HealthyReference | None:
    """The healthy reference that a model carries; None for one that only scores."""
    stored = model.get("reference")
    return None if stored is None else from_model(stored, model["grid"]["shape"])


def maps_with(
    model: Model,
    zscore: Mapping[str, np.ndarray],
    device: Device,
    *,
    median_filter: int,
    precision: Precision = "float32",
    name: str | Path = "model",
) -> MapsOf:
    """Make a location model ready to score preprocessed scans (volume, mask, name), together with the z-score.

    Args:
        model: Of a method that localizes.
        zscore: Mean and spread of the standardized training scans, (x, y, z) each.
        device: Device that the network computes on.
        median_filter: Width of the median filter, voxels.
        precision: Precision of the network.
        name: File of the model, for messages.

    Raises:
        InputError: The method cannot use the model's state, or localizes nothing.
    """
    if not locates(model["method"]):
        raise InputError(f"{name}: the method {model['method']} found, one that localizes patches expected")
    score = cast(
        Score, from_state(model, name, lambda module: module.scorer(model["state"], device, 1, precision))
    )
    score_z = cast(Score, method("zscore").scorer(dict(zscore), "cpu"))
    epsilon = model["state"].get("epsilon", EPSILON)

    def maps(volume: np.ndarray, mask: np.ndarray, name: str) -> ScanMaps:
        standardized = standardized_for(model, volume, mask, name)
        error = np.full(mask.shape, np.nan, np.float32)

        def located(region: np.ndarray) -> np.ndarray:
            found = score(standardized, mask, region)
            error[mask] = found["log_error"][mask]
            return found["score"]

        patch2loc = median_filtered(located, mask, median_filter, device)
        zscore_map = median_filtered(
            lambda region: score_z(standardized, mask, region)["score"], mask, median_filter
        )
        squared = np.maximum(np.exp(error[mask]) - epsilon, 0)
        return ScanMaps(patch2loc, zscore_map, float(np.median(np.sqrt(squared))))

    return maps


def build_detector(
    model: Model,
    zscore: Model,
    scans: Sequence[Scan],
    *,
    cohort: Mapping[str, Any],
    sites: Mapping[str, str],
    median_filter: int,
    device: Device = "cpu",
    progress: Callable[[Sequence[Scan]], Any] = lambda scans: scans,
) -> Model:
    """Join a location model and a z-score model of the same training scans, and fit their healthy reference.

    Args:
        model: Of a method that localizes.
        zscore: Of the method zscore.
        scans: Preprocessed healthy scans that neither was trained on.
        cohort: title, simulated, ages and largest_voxel_mm, as of `Cohort`.
        sites: Site of each scan, trained on or not, where known.
        median_filter: Width of the median filter, voxels.
        device: Device that the network computes on.
        progress: Goes through the scans; for a bar.

    Raises:
        InputError: The models do not go together, or were trained on one of the scans.
    """
    if zscore["method"] != "zscore" or zscore["training_subjects"] != model["training_subjects"]:
        raise InputError(
            f"a model of {zscore['method']} of {len(zscore['training_subjects'])} scans found beside one of "
            f"{model['method']}, a model of zscore of the same scans expected; train both by the same configuration"
        )
    trained = [scan.subject for scan in scans if scan.subject in set(model["training_subjects"])]
    if trained:
        raise InputError(
            f"{', '.join(trained[:5])}: training scans found among the healthy scans of the reference, others expected"
        )
    state = zscore["state"]
    maps_of = maps_with(model, state, device, median_filter=median_filter)
    maps = {}
    for scan in progress(scans):
        volume, mask = scan.read()
        maps[scan.subject] = maps_of(volume, mask, str(scan.volume_path))
    reference = fit_reference(
        maps,
        cohort=Cohort(
            n_training=len(model["training_subjects"]),
            sites=sorted({sites[name] for name in model["training_subjects"] if name in sites}),
            **cohort,
        ),
        mean=state["mean"],
        spread=state["spread"],
        spacing=model["grid"]["spacing"],
        sites=sites,
    )
    return sealed(cast(Model, {**model, "reference": to_model(reference)}))
