"""One scan of one's own, scored with a trained model and carried back to its own voxels."""

from pathlib import Path

import numpy as np

from patch2loc.atlas import common_grid, load_atlas
from patch2loc.errors import InputError
from patch2loc.models import load_model
from patch2loc.preprocess import preprocess_scan, template, to_scan_space, write_preprocessed
from patch2loc.score import heatmap_of
from patch2loc.volumes import read, write

MEDIAN_FILTER_MM = 7.0


def median_filter_width(spacing: float) -> int:
    """Odd number of voxels nearest to the paper's 7 mm: 7 at 1 mm, 3 at 2 mm."""
    return 2 * round((MEDIAN_FILTER_MM / spacing - 1) / 2) + 1


def score_own_scan(
    model_path: str | Path,
    scan: str | Path,
    folder: str | Path,
    brain: str | Path | None = None,
    skull_strip: str = "atlas",
    atlas: str | None = None,
    device: str = "cpu",
) -> dict:
    """Preprocess a raw scan, score it, and write everything to `folder`.

    model_path: a model.safetensors of the workflow; its modality must be the scan's.  brain, skull_strip: as for
    `preprocess_scan`.  atlas: "icbm152" or the folder of SRI24, when it is not where the model's training had it.
    Writes heatmap.nii.gz (the scan's voxels), heatmap_atlas.nii.gz (the grid) and the folder preprocessed.
    Returns the numbers of quality control.  Raises InputError for a scan or a model that cannot be used.
    """
    model = load_model(model_path)
    try:
        grid_settings, settings = model["grid"], model["preprocess"]
        contrast = template(model["modality"], settings.get("protocol", "paper"))
        loaded = load_atlas(atlas or model["atlas"], contrast)
    except KeyError as error:
        raise InputError(f"{model_path}: the model lacks {error}; train it with this version") from error
    grid = common_grid(loaded, tuple(grid_settings["shape"]), grid_settings["spacing"])
    if not np.allclose(grid.affine, grid_settings["affine"], atol=1e-3):
        raise InputError(
            f"{model_path}: its grid is not that of the atlas {loaded.name}; give the atlas it knows"
        )
    result = preprocess_scan(
        Path(scan),
        model["modality"],
        loaded,
        grid,
        Path(brain) if brain else None,
        settings={**settings, "skull_strip": skull_strip},
        device=device,
    )
    heatmap = heatmap_of(model, device, median_filter=median_filter_width(grid.spacing))
    on_grid = heatmap(result.volume, result.mask, str(scan))
    in_scan = to_scan_space(on_grid, grid, result.transform, Path(scan))
    folder = Path(folder)
    write_preprocessed(folder / "preprocessed", result)
    write(folder / "heatmap_atlas.nii.gz", on_grid, grid.affine)
    write(folder / "heatmap.nii.gz", in_scan, read(scan)[1])
    return result.qc
