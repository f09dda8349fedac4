"""One scan of one's own, scored with a trained model and carried back to its own voxels."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from patch2loc.data.volumes import Grid, read, voxel_ml, write
from patch2loc.errors import InputError
from patch2loc.figures.one_scan import scan_figure
from patch2loc.figures.style import save_figure
from patch2loc.files import read_json, replacing_folder, sha256, write_json
from patch2loc.method_interface import module_name, needs_lesion
from patch2loc.models import load_model
from patch2loc.preprocess.atlas import Atlas, common_grid, load_atlas
from patch2loc.preprocess.released_code import template
from patch2loc.preprocess.scan import preprocess_scan, to_native_space, write_preprocessed
from patch2loc.provenance.code import PREPROCESSING, code_hash
from patch2loc.provenance.record import environment
from patch2loc.score.scoring import heatmap_of

MEDIAN_FILTER_MM = 7.0
QUANTILES = (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99, 1.0)
STAGES = ("preprocess", "score", "carry back", "write")
SUMMARY = "summary.json"


@dataclass(frozen=True)
class Scorer:
    """A model that is ready for scans of one's own: all that does not depend on the scan.

    model_path, landmarks_path: files.  median_filter: voxels.  heatmap: from `patch2loc.score.scoring.heatmap_of`.
    """

    model_path: Path
    landmarks_path: Path | None
    model: dict[str, Any]
    atlas: Atlas
    grid: Grid
    device: str
    precision: str
    median_filter: int
    heatmap: Callable[[np.ndarray, np.ndarray, str], np.ndarray]


def median_filter_width(spacing: float) -> int:
    """Odd number of voxels nearest to the paper's 7 mm: 7 at 1 mm, 3 at 2 mm."""
    return 2 * round((MEDIAN_FILTER_MM / spacing - 1) / 2) + 1


def load_scorer(
    model_path: str | Path,
    device: str = "cpu",
    atlas: str | Path | None = None,
    modality: str | None = None,
    landmarks: str | Path | None = None,
    precision: str = "float32",
) -> Scorer:
    """Load a model and the atlas and grid that it was trained on.

    model_path, modality, landmarks: as for `load_model`.  device: "cpu" or "cuda".  atlas: "icbm152" or the folder
    of SRI24, when it is not where the model's training had it.  precision: "float32" or "bfloat16", of the network.
    Raises InputError for a model or an atlas that cannot be used, and for one that scores by the lesion mask.
    """
    model = load_model(model_path, modality, landmarks)
    if not (atlas or model.get("atlas")):
        raise InputError(
            f"{model_path}: tells no atlas; give the folder of SRI24 (--atlas), on which it was trained"
        )
    try:
        if needs_lesion(model["method"]):
            raise InputError(
                f"{model_path}: the method {model['method']} found, a control that scores by the lesion mask, and a "
                "scan of one's own has none; give the model of another method"
            )
        settings = model["grid"]
        contrast = template(model["modality"], model["preprocess"].get("protocol", "paper"))
        loaded = load_atlas(atlas or model["atlas"], contrast)
        grid = common_grid(loaded, tuple(settings["shape"]), settings["spacing"])
        # The authors' checkpoints tell no affine: theirs is the center crop of SRI24.
        fits = (
            np.allclose(grid.affine, settings["affine"], atol=1e-3)
            if "affine" in settings
            else loaded.name == "sri24"
        )
    except KeyError as error:
        raise InputError(f"{model_path}: the model lacks {error}; train it with this version") from error
    if not fits:
        raise InputError(
            f"{model_path}: its grid is not that of the atlas {loaded.name}; give the atlas it was trained on (--atlas)"
        )
    width = median_filter_width(grid.spacing)
    heatmap = heatmap_of(model, device, median_filter=width, precision=precision)
    given = Path(landmarks) if landmarks else None
    return Scorer(Path(model_path), given, model, loaded, grid, device, precision, width, heatmap)


def score_own_scan(
    scorer: Scorer,
    scan: str | Path,
    folder: str | Path,
    mask: str | Path | None = None,
    skull_strip: str = "atlas",
    stage_done: Callable[[str], None] = lambda stage: None,
) -> dict[str, Any]:
    """Preprocess a raw scan, score it, and write everything to `folder`, which appears whole.

    mask, skull_strip: as `brain_path` and its setting in `preprocess_scan`.  stage_done: called after each of STAGES.
    Writes heatmap.nii.gz (the scan's voxels), heatmap_atlas.nii.gz (the grid), heatmap.png, summary.json and the
    folder preprocessed.  Where the same is there already, it is kept and nothing is computed.
    Returns the content of summary.json.  Raises InputError for a scan that cannot be used, and for a folder that
    holds anything else.
    """
    scan, folder, mask = Path(scan), Path(folder).resolve(), Path(mask) if mask else None
    method, modality = scorer.model["method"], scorer.model["modality"]
    settings = {**scorer.model["preprocess"], "skull_strip": skull_strip}
    made_by = _provenance(scorer, scan, mask, settings)
    kept = _kept(folder, made_by)
    if kept:
        return kept
    result = preprocess_scan(
        scan,
        modality,
        scorer.atlas,
        scorer.grid,
        brain_path=mask,
        settings=settings,
        device=scorer.device,
    )
    if scorer.model.get("preprocess_code") not in (
        None,
        code_hash(*PREPROCESSING),
    ):
        result.qc["flags"].append(
            "the model was trained on scans that another version preprocessed: train it again"
        )
    stage_done("preprocess")
    on_grid = scorer.heatmap(result.volume, result.mask, str(scan))
    stage_done("score")
    in_scan = to_native_space(on_grid, scorer.grid, result.transform, scan)
    affine = read(scan)[1]
    stage_done("carry back")
    summary = {
        "scan": str(scan),
        "model": str(scorer.model_path),
        "method": method,
        "modality": modality,
        "flags": result.qc["flags"],
        "brain_outside_grid": result.qc["brain_outside_grid"],
        "heatmap_atlas": _numbers(on_grid, scorer.grid.affine, scorer.model),
        "heatmap": _numbers(in_scan, affine, scorer.model),
        "provenance": made_by,
    }
    title = f"{Path(*scan.parts[-2:])}: {modality}, {method}, atlas {scorer.atlas.name}"
    figure = scan_figure(title, result.volume, on_grid, spacing=scorer.grid.spacing, method=method)
    with replacing_folder(folder) as partial:
        write_preprocessed(partial / "preprocessed", result)
        write(partial / "heatmap_atlas.nii.gz", on_grid, scorer.grid.affine)
        write(partial / "heatmap.nii.gz", in_scan, affine)
        save_figure(figure, [partial / "heatmap.png"])
        write_json(partial / SUMMARY, summary)
    stage_done("write")
    return summary


def _numbers(heatmap: np.ndarray, affine: np.ndarray, model: dict[str, Any]) -> dict[str, Any]:
    """Size of the scored brain and quantiles of its scores; the volume above the model's threshold, if it has one."""
    scores = heatmap[np.isfinite(heatmap)].astype(float)
    ml = voxel_ml(affine)
    numbers = {
        "voxels": scores.size,
        "brain_ml": round(scores.size * ml, 3),
        "quantiles": {
            str(share): round(float(value), 4)
            for share, value in zip(QUANTILES, np.quantile(scores, QUANTILES), strict=True)
        },
    }
    threshold = model.get("healthy_threshold")
    if threshold is None:
        return numbers
    above = np.count_nonzero(scores > threshold)
    return numbers | {"healthy_threshold": threshold, "ml_above_threshold": round(above * ml, 3)}


def _provenance(scorer: Scorer, scan: Path, mask: Path | None, preprocess: dict[str, Any]) -> dict[str, Any]:
    """What the result depends on: hashes of scan, mask, model and landmarks, settings, code and versions."""
    files = {"scan": scan, "mask": mask, "model": scorer.model_path, "landmarks": scorer.landmarks_path}
    for name, path in files.items():
        if path and not path.is_file():
            raise InputError(f"{path}: no such file; the {name} was expected there")
    return {
        **{name: sha256(path) if path else None for name, path in files.items()},
        "settings": {
            "preprocess": preprocess,
            "atlas": scorer.atlas.name,
            "median_filter": scorer.median_filter,
            "device": scorer.device,
            "precision": scorer.precision,
        },
        "code": code_hash("patch2loc.own_scan", module_name(scorer.model["method"])),
        "environment": environment(),
    }


def _kept(folder: Path, made_by: dict[str, Any]) -> dict[str, Any] | None:
    """The summary in a folder that is already what would be written; None if there is none or it is empty."""
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return None
    try:
        summary = read_json(folder / SUMMARY)
        other = [name for name, value in made_by.items() if summary["provenance"][name] != value]
    except (OSError, ValueError, KeyError, TypeError):
        raise InputError(
            f"{folder}: it is not empty and no result of this command; give another --output"
        ) from None
    if other:
        raise InputError(
            f"{folder}: a result that differs in {', '.join(other)} is there; give another --output, or remove it"
        )
    return summary
