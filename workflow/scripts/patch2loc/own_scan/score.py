"""A scan of one's own, scored with a trained model and carried back to its own voxels."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from patch2loc.data.volumes import read, voxel_ml, write
from patch2loc.figures.one_scan import scan_figure
from patch2loc.figures.style import save_figure
from patch2loc.files import readable
from patch2loc.method_interface import module_name
from patch2loc.models import Model
from patch2loc.own_scan.result_folder import kept_or_made, provenance_of, to_stderr
from patch2loc.own_scan.scorer import Scorer, preprocessed_for
from patch2loc.own_scan.warnings import of_model
from patch2loc.preprocess.scan import to_native_space, write_preprocessed

QUANTILES = (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99, 1.0)


def score_own_scan(
    scorer: Scorer,
    scan_path: str | Path,
    folder: str | Path,
    *,
    mask_path: str | Path | None = None,
    skull_strip: str = "atlas",
    stage_done: Callable[[str], object] = lambda stage: None,
    notify: Callable[[str], object] = to_stderr,
) -> dict[str, Any]:
    """Preprocess a raw scan, score it, and write everything to `folder`, which no other process may use meanwhile.

    Writes heatmap.nii.gz (the scan's voxels), heatmap_atlas.nii.gz (the grid), heatmap.png, summary.json and the
    folder preprocessed.  If the folder holds the same result already, it is kept and nothing is computed; a result with
    files that are missing or not as they were written is made again.  After an exception nothing is left behind, and
    what was in the folder is as it was.

    Args:
        scorer: From `load_scorer`.
        scan_path: Raw NIfTI of any orientation, voxel size and pose.
        folder: Folder to write to.
        mask_path: Brain mask on the scan's voxels, if there is one.
        skull_strip: How the brain is found, see `preprocess_scan`.
        stage_done: Called with each of STAGES when it is done.
        notify: Called with a sentence on a damaged result that is made again.

    Returns:
        The content of summary.json.

    Raises:
        InputError: The scan cannot be used or read, or the folder holds anything else or is in use.
        OSError: The folder cannot be written.
    """
    scan = Path(scan_path)
    mask = None if mask_path is None else Path(mask_path)
    settings = {**scorer.model["preprocess"], "skull_strip": skull_strip}
    files = {"scan": scan, "mask": mask, "model": scorer.model_path, "landmarks": scorer.landmarks_path}
    provenance = provenance_of(
        files,
        {
            "preprocess": settings,
            "atlas": scorer.atlas.name,
            "median_filter": scorer.median_filter,
            "device": scorer.device,
            "precision": scorer.precision,
        },
        (__name__, module_name(scorer.model["method"])),
    )

    def make(partial: Path) -> dict[str, Any]:
        return _write_result(partial, scorer, scan, mask=mask, settings=settings, stage_done=stage_done)

    return kept_or_made(Path(folder), provenance, make, files=files, notify=notify)


def _write_result(
    folder: Path,
    scorer: Scorer,
    scan: Path,
    *,
    mask: Path | None,
    settings: dict[str, Any],
    stage_done: Callable[[str], object],
) -> dict[str, Any]:
    """Score a scan and write all but the summary to an empty folder; the summary."""
    method, modality = scorer.model["method"], scorer.model["modality"]
    result = preprocessed_for(scorer, scan, brain_path=mask, settings=settings)
    of_training = of_model(scorer.model, result.qc["content"], scan)
    result.qc["flags"] += [warning.message for warning in of_training]
    stage_done("preprocess")
    on_grid = scorer.heatmap(result.volume, result.mask, str(scan))
    stage_done("score")
    in_native_space = to_native_space(on_grid, result.grid, result.transform, scan)
    affine = read(scan)[1]
    stage_done("carry back")
    title = f"{readable(Path(*scan.parts[-2:]))}: {modality}, {method}, atlas {scorer.atlas.name}"
    figure = scan_figure(title, result.volume, on_grid, spacing=result.grid.spacing, method=method)
    write_preprocessed(folder / "preprocessed", result)
    write(folder / "heatmap_atlas.nii.gz", on_grid, result.grid.affine)
    write(folder / "heatmap.nii.gz", in_native_space, affine)
    save_figure(figure, [folder / "heatmap.png"])
    stage_done("write")
    return {
        "scan": readable(scan),
        "model": readable(scorer.model_path),
        "method": method,
        "modality": modality,
        "flags": result.qc["flags"],
        "brain_found": result.qc["brain_found"],
        "brain_outside_grid": result.qc["brain_outside_grid"],
        "heatmap_atlas": _statistics(on_grid, result.grid.affine, scorer.model),
        "heatmap": _statistics(in_native_space, affine, scorer.model),
    }


def _statistics(heatmap: np.ndarray, affine: np.ndarray, model: Model) -> dict[str, Any]:
    """Size of the scored brain and quantiles of its scores; the volume above the model's threshold, if it has one."""
    scores = heatmap[np.isfinite(heatmap)].astype(float)
    ml = voxel_ml(affine)
    statistics = {
        "voxels": scores.size,
        "brain_ml": round(scores.size * ml, 3),
        "quantiles": {
            str(share): round(float(value), 4)
            for share, value in zip(QUANTILES, np.quantile(scores, QUANTILES), strict=True)
        },
    }
    threshold = model.get("healthy_threshold")
    if threshold is None:
        return statistics
    above = np.count_nonzero(scores > threshold)
    return statistics | {"healthy_threshold": threshold, "ml_above_threshold": round(above * ml, 3)}
