"""A model made ready for scans of one's own."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np

from patch2loc import trained
from patch2loc.data.modalities import Modality
from patch2loc.data.volumes import Grid
from patch2loc.engine.choices import Device, Precision
from patch2loc.errors import InputError
from patch2loc.method_interface import declaration
from patch2loc.models import Model, load_model
from patch2loc.preprocess.atlas import Atlas, common_grid, load_atlas
from patch2loc.preprocess.modality import SCANS, Contrast, OtherContrastError
from patch2loc.preprocess.released_code import template
from patch2loc.preprocess.scan import Preprocessed, preprocess_scan, validated_settings
from patch2loc.score.scoring import HeatmapOf, heatmap_of

MEDIAN_FILTER_MM = 7.0
ICBM152 = "icbm152"


@dataclass(frozen=True)
class Scorer:
    """A model made ready for scans of one's own: all that does not depend on the scan.

    Attributes:
        model_path: File of the model.
        landmarks_path: File of the landmarks of a .ckpt, None for a model of the workflow.
        model: Content of that file.
        atlas: Atlas that it was trained on.
        grid: Grid that it was trained on; for a .ckpt before it is moved to the brain of each scan.
        device: Device that the method computes on.
        precision: Precision of its network.
        median_filter: Width, voxels: for a detector that of its healthy scans, else about 7 mm.
        heatmap: Makes heatmaps of preprocessed scans.
    """

    model_path: Path
    landmarks_path: Path | None
    model: Model
    atlas: Atlas
    grid: Grid
    device: Device
    precision: Precision
    median_filter: int
    heatmap: HeatmapOf


def median_filter_width(spacing: float) -> int:
    """Odd number of voxels, of `spacing` mm, nearest to the paper's 7 mm: 7 at 1 mm, 3 at 2 mm."""
    return 2 * round((MEDIAN_FILTER_MM / spacing - 1) / 2) + 1


def load_scorer(
    model_path: str | Path,
    device: Device = "cpu",
    *,
    atlas: str | Path | None = None,
    modality: Modality | None = None,
    landmarks_path: str | Path | None = None,
    precision: Precision = "float32",
    method: str | None = None,
) -> Scorer:
    """Load a model, and the atlas and grid that it was trained on.

    Args:
        model_path: File of a model, see `load_model`.
        device: Device that the method computes on, from `select_device`.
        atlas: "icbm152" or the folder of SRI24, if it is not where the model's training had it.
        modality: Modality of a .ckpt, which does not store it.
        landmarks_path: File of landmarks for a .ckpt.
        precision: Precision of the method's network, "float32" or "bfloat16".
        method: Method that the model has to be of, see `load_model`: to be named for one from outside the package.

    Raises:
        InputError: The model or the atlas cannot be used, or the method scores by the lesion mask.
    """
    model = load_model(model_path, modality, landmarks_path, method=method)
    atlas_source = atlas or model.get("atlas")
    if not atlas_source:
        raise InputError(
            f"{model_path}: stores no atlas; give the folder of SRI24 (--atlas), on which it was trained"
        )
    if declaration(model["method"]).needs_lesion:
        raise InputError(
            f"{model_path}: the method {model['method']} found, a control that scores by the lesion mask, and a "
            "scan of one's own has none; give the model of another method"
        )
    try:
        settings = validated_settings(model["preprocess"])
    except InputError as error:
        raise InputError(
            f"{model_path}: a setting that this version does not have found ({error}), one of its own expected; train "
            "it again with this version"
        ) from error
    model_grid = model["grid"]
    contrast = template(model["modality"], settings["template"])
    loaded = load_atlas(atlas_source, contrast)
    shape = cast(tuple[int, int, int], tuple(model_grid["shape"]))
    grid = common_grid(loaded, shape, model_grid["spacing"])
    # A model whose grid lies around each brain stores no affine; the authors' checkpoints no atlas: theirs is SRI24.
    stored = model.get("atlas")
    expected = ICBM152 if settings["crop"] == "brain" and stored == ICBM152 else "sri24"
    if "affine" not in model_grid and loaded.name != expected:
        raise InputError(
            f"{model_path}: the atlas {loaded.name} found, {expected} expected, which its scans were registered to; "
            "give that one (--atlas)"
        )
    if "affine" in model_grid and not np.allclose(grid.affine, model_grid["affine"], atol=1e-3):
        raise InputError(
            f"{model_path}: its grid is not that of the atlas {loaded.name}; give the atlas it was trained on (--atlas)"
        )
    # What healthy scans score holds for the width that they were filtered with. Detectors that do not store it were
    # built with that of their grid.
    width = model.get("reference", {}).get("median_filter", median_filter_width(grid.spacing))
    return Scorer(
        model_path=Path(model_path),
        landmarks_path=Path(landmarks_path) if landmarks_path else None,
        model=model,
        atlas=loaded,
        grid=grid,
        device=device,
        precision=precision,
        median_filter=width,
        heatmap=heatmap_of(model, device, median_filter=width, precision=precision, name=model_path),
    )


def preprocessed_for(
    scorer: Scorer, scan: Path, *, brain_path: Path | None, settings: Mapping[str, Any]
) -> Preprocessed:
    """Preprocess a scan for a model.

    Args:
        scorer: The model.
        scan: Raw NIfTI.
        brain_path: Brain mask on the scan's voxels, if there is one.
        settings: Of `preprocess_scan`.

    Raises:
        InputError: The scan cannot be used; of another contrast, the message names the model that reads it, if any.
    """
    modality = scorer.model["modality"]
    try:
        return preprocess_scan(
            scan,
            modality,
            scorer.atlas,
            scorer.grid,
            brain_path=brain_path,
            settings=settings,
            device=scorer.device,
        )
    except OtherContrastError as error:
        raise InputError(
            f"{scan} looks like {SCANS[error.looks_like]}; model {scorer.model_path.stem} reads {modality} only. "
            f"{_included_for(error.looks_like)}"
        ) from None


def _included_for(contrast: Contrast) -> str:
    """A sentence on the included model of a contrast."""
    of_contrast = [name for name in trained.names() if name.partition("-")[0] == contrast.lower()]
    if of_contrast:
        return f"Give --model {of_contrast[0]}."
    return f"No {contrast} model is included."
