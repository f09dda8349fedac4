"""A detector: a location network and the voxelwise z-score in one file, with what healthy scans score by both."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, cast

import numpy as np

from patch2loc.data.scans import Scan, refuse_fitted_scans
from patch2loc.engine.choices import Device, Precision
from patch2loc.errors import InputError
from patch2loc.files import read_json
from patch2loc.heatmap import EPSILON
from patch2loc.method_interface import Map, Score, as_array, is_locating, method
from patch2loc.models import Model, from_state, sealed
from patch2loc.score.postprocessing import median_filtered
from patch2loc.score.reference import (
    Cohort,
    HealthyReference,
    ScanMaps,
    as_read_back,
    fit_reference,
    from_model,
    to_model,
)
from patch2loc.score.scoring import standardized_for


class MapsOf(Protocol):
    """Makes the maps of a preprocessed scan."""

    def __call__(self, volume: np.ndarray, mask: np.ndarray, name: str) -> ScanMaps:
        """Return the maps of a volume (x, y, z), as preprocessed, and its brain mask; name: of the scan."""


def reference_of(model: Model, name: str | Path = "model") -> HealthyReference | None:
    """The healthy reference that a model carries; None for one that only scores.

    Raises:
        InputError: It is not what `build_detector` writes; name: file of the model, for the message.
    """
    stored = model.get("reference")
    return None if stored is None else from_model(stored, model["grid"]["shape"], name)


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
    if not is_locating(method(model["method"])):
        raise InputError(f"{name}: the method {model['method']} found, one that localizes patches expected")
    score = cast(
        Score, from_state(model, name, lambda module: module.scorer(model["state"], device, 1, precision))
    )
    score_z = cast(Score, method("zscore").scorer(dict(zscore), "cpu"))
    epsilon = model["state"].get("epsilon", EPSILON)

    def maps(volume: np.ndarray, mask: np.ndarray, name: str) -> ScanMaps:
        standardized = standardized_for(model, volume, mask, name)
        log_errors = []

        def located(region: np.ndarray) -> Map:
            found = score(standardized, mask, region)
            log_errors.append(found["log_error"])
            return found["score"]

        patch2loc = median_filtered(located, mask, median_filter)
        zscore_map = median_filtered(
            lambda region: score_z(standardized, mask, region)["score"], mask, median_filter
        )
        squared = np.maximum(np.exp(as_array(log_errors[-1])[mask]) - epsilon, 0)
        return ScanMaps(as_array(patch2loc), as_array(zscore_map), *_location_errors(np.sqrt(squared), mask))

    return maps


def _location_errors(errors: np.ndarray, mask: np.ndarray) -> tuple[float, float]:
    """Median location error of a brain, and the least median of its eight parts.

    Args:
        errors: Location errors of the voxels of the mask, in their order, (n,), percent of the grid.
        mask: Brain mask, (x, y, z) bool.
    """
    places = np.argwhere(mask)
    part = (places > np.median(places, axis=0)) @ (1, 2, 4)
    return float(np.median(errors)), min(float(np.median(errors[part == each])) for each in np.unique(part))


def build_detector(
    model: Model,
    zscore: Model,
    *,
    training: Sequence[Scan],
    healthy: Sequence[Scan],
    title: str,
    simulated: bool,
    ages: Sequence[float] | None = None,
    sites: Mapping[str, str] | None = None,
    median_filter: int,
    provenance: Mapping[str, Any] | None = None,
    device: Device = "cpu",
    progress: Callable[[Sequence[Scan]], Iterable[Scan]] = iter,
) -> Model:
    """Join a location model and a z-score model of the same training scans, and fit their healthy reference.

    Args:
        model: Of a method that localizes.
        zscore: Of the method zscore.
        training: The scans that both were trained on.
        healthy: Preprocessed healthy scans of other people, which the reference is fitted to.
        title: Of the training cohort.
        simulated: True if its scans are simulated.
        ages: Least and greatest age in it, years, where known.
        sites: Site of each scan, where known.
        median_filter: Width of the median filter, voxels.
        provenance: Of the reference.
        device: Device that the network computes on.
        progress: Goes through the scans; for a bar.

    Raises:
        InputError: The models do not go together, or were trained on one of the scans.
    """
    trained_on = [scan.subject for scan in training]
    if zscore["method"] != "zscore" or any(
        sorted(each["training_subjects"]) != sorted(trained_on) for each in (model, zscore)
    ):
        raise InputError(
            f"models of {model['method']} and {zscore['method']} found, trained on {len(model['training_subjects'])} "
            f"and {len(zscore['training_subjects'])} scans, one that localizes and one of zscore, both trained on the "
            f"{len(trained_on)} scans of the list, expected; train both by the same configuration"
        )
    # Of any name: one that a list gives both roles would be called usual for what it was trained on.
    refuse_fitted_scans(
        healthy, {scan.subject: scan.contents().acquired for scan in training}, "training scans"
    )
    state = zscore["state"]
    read_back = as_read_back(state["mean"], state["spread"])
    maps_of = maps_with(model, read_back, device, median_filter=median_filter)
    maps = {}
    for scan in progress(healthy):
        volume, mask = scan.read()
        maps[scan.subject] = maps_of(volume, mask, str(scan.volume_path))
    sites = sites or {}
    reference = fit_reference(
        maps,
        cohort=Cohort(
            title=title,
            simulated=simulated,
            n_training=len(trained_on),
            sites=sorted({sites[name] for name in trained_on if name in sites}),
            ages=list(ages) if ages else None,
            largest_voxel_mm=max(max(read_json(scan.qc_path)["voxel_mm"]) for scan in training),
        ),
        mean=state["mean"],
        spread=state["spread"],
        spacing=model["grid"]["spacing"],
        sites=sites,
    )
    stored = {**to_model(reference), "median_filter": median_filter, "provenance": dict(provenance or {})}
    return sealed(cast(Model, {**model, "reference": stored}))
