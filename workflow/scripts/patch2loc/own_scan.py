"""One scan of one's own, scored with a trained model and carried back to its own voxels."""

import hashlib
import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, cast

import numpy as np

from patch2loc.data.image_files import check_file, image_sha256
from patch2loc.data.vocabulary import Modality
from patch2loc.data.volumes import Grid, read, voxel_ml, write
from patch2loc.engine.choices import Device, Precision
from patch2loc.errors import InputError
from patch2loc.figures.one_scan import scan_figure
from patch2loc.figures.style import save_figure
from patch2loc.files import (
    LOCK,
    PARTIAL,
    file_hashes,
    read_json,
    readable,
    sha256,
    write_json,
)
from patch2loc.method_interface import module_name, needs_lesion
from patch2loc.models import Model, load_model
from patch2loc.output_folder import FolderInUseError, claimed, filling
from patch2loc.preprocess.atlas import Atlas, common_grid, load_atlas
from patch2loc.preprocess.released_code import template
from patch2loc.preprocess.scan import (
    preprocess_scan,
    to_native_space,
    validated_settings,
    write_preprocessed,
)
from patch2loc.provenance.code import PREPROCESSING, code_hash
from patch2loc.provenance.record import environment
from patch2loc.score.scoring import HeatmapOf, heatmap_of

MEDIAN_FILTER_MM = 7.0
QUANTILES = (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99, 1.0)
STAGES = ("preprocess", "score", "carry back", "write")
SUMMARY = "summary.json"
HASHES = "files"  # in the summary: of the other files of the result, and of the rest of the summary


class _Existing(NamedTuple):
    """A result in a folder.

    Attributes:
        summary: Content of summary.json.
        damaged: Names of its files that are missing or not as they were written.
    """

    summary: dict[str, Any]
    damaged: list[str]


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
        median_filter: Width, voxels.
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
    if needs_lesion(model["method"]):
        raise InputError(
            f"{model_path}: the method {model['method']} found, a control that scores by the lesion mask, and a "
            "scan of one's own has none; give the model of another method"
        )
    try:
        validated_settings(model["preprocess"])
    except InputError as error:
        raise InputError(
            f"{model_path}: a setting that this version does not have found ({error}), one of its own expected; train "
            "it again with this version"
        ) from error
    model_grid = model["grid"]
    contrast = template(model["modality"], model["preprocess"].get("protocol", "paper"))
    loaded = load_atlas(atlas_source, contrast)
    shape = cast(tuple[int, int, int], tuple(model_grid["shape"]))
    grid = common_grid(loaded, shape, model_grid["spacing"])
    # The authors' checkpoints store no affine: theirs are voxels of SRI24, cropped around each brain.
    fits = (
        np.allclose(grid.affine, model_grid["affine"], atol=1e-3)
        if "affine" in model_grid
        else loaded.name == "sri24"
    )
    if not fits:
        raise InputError(
            f"{model_path}: its grid is not that of the atlas {loaded.name}; give the atlas it was trained on (--atlas)"
        )
    width = median_filter_width(grid.spacing)
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


def _to_stderr(notice: str) -> None:
    print(notice, file=sys.stderr)


def score_own_scan(
    scorer: Scorer,
    scan_path: str | Path,
    folder: str | Path,
    *,
    mask_path: str | Path | None = None,
    skull_strip: str = "atlas",
    stage_done: Callable[[str], object] = lambda stage: None,
    notify: Callable[[str], object] = _to_stderr,
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
    scan, folder = Path(scan_path), Path(folder)
    mask = Path(mask_path) if mask_path else None
    settings = {**scorer.model["preprocess"], "skull_strip": skull_strip}
    provenance = _provenance(scorer, scan, mask, settings)
    existing = _existing_result(folder, provenance)
    if existing and not existing.damaged:
        return existing.summary  # also where nothing may be written
    try:
        with claimed(folder):
            existing = _existing_result(folder, provenance)  # another process may have made it until now
            if existing and not existing.damaged:
                return existing.summary
            if existing:
                notify(
                    f"{folder}: {', '.join(existing.damaged)} damaged or missing; the result is made again"
                )
            replaced = [SUMMARY, *existing.summary[HASHES]] if existing else []
            with filling(folder, first=SUMMARY, replaced=replaced) as partial:
                return _write_result(
                    partial,
                    scorer,
                    scan,
                    mask=mask,
                    settings=settings,
                    provenance=provenance,
                    stage_done=stage_done,
                )
    except FolderInUseError as error:
        raise InputError(str(error)) from None


def _write_result(
    folder: Path,
    scorer: Scorer,
    scan: Path,
    *,
    mask: Path | None,
    settings: dict[str, Any],
    provenance: dict[str, Any],
    stage_done: Callable[[str], object],
) -> dict[str, Any]:
    """Score a scan and write the result to an empty folder; the summary."""
    method, modality = scorer.model["method"], scorer.model["modality"]
    result = preprocess_scan(
        scan,
        modality,
        scorer.atlas,
        scorer.grid,
        brain_path=mask,
        settings=settings,
        device=scorer.device,
    )
    if scorer.model.get("preprocess_code") not in (None, code_hash(*PREPROCESSING)):
        result.qc["flags"].append(
            "the model was trained on scans that another version preprocessed: train it again"
        )
    for subject, content in scorer.model.get("contents", {}).items():
        if content == result.qc["content"]:
            result.qc["flags"].append(
                f"the model was trained or validated on this scan, as {subject}: its scores are lower than those of a "
                "new scan"
            )
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
    summary = {
        "scan": readable(scan),
        "model": readable(scorer.model_path),
        "method": method,
        "modality": modality,
        "flags": result.qc["flags"],
        "brain_outside_grid": result.qc["brain_outside_grid"],
        "heatmap_atlas": _statistics(on_grid, result.grid.affine, scorer.model),
        "heatmap": _statistics(in_native_space, affine, scorer.model),
        "provenance": provenance,
    }
    summary[HASHES] = file_hashes(folder) | {SUMMARY: _content_hash(summary)}
    write_json(folder / SUMMARY, summary)
    stage_done("write")
    return summary


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


def _provenance(scorer: Scorer, scan: Path, mask: Path | None, preprocess: dict[str, Any]) -> dict[str, Any]:
    """All that the result depends on: hashes of scan, mask, model and landmarks, settings, code and versions."""
    files = {"scan": scan, "mask": mask, "model": scorer.model_path, "landmarks": scorer.landmarks_path}
    for name, path in files.items():
        if path:
            check_file(path, f"the {name}")
    return {
        **{name: image_sha256(path) if path else None for name, path in files.items()},
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


def _existing_result(folder: Path, provenance: dict[str, Any]) -> _Existing | None:
    """The same result, if a folder holds it already; None if there is no folder or nothing in it.

    Raises:
        InputError: The folder holds anything else, or a damaged result and anything else.
    """
    names = [path.name for path in folder.iterdir()] if folder.is_dir() else []
    if all(_is_of_claim(name) for name in names):
        return None
    try:
        summary: dict[str, Any] = read_json(folder / SUMMARY)
        differing = [name for name, value in provenance.items() if summary["provenance"][name] != value]
        hashes: dict[str, str] = dict(summary[HASHES])
    except (OSError, ValueError, KeyError, TypeError):
        found = f"{SUMMARY} is damaged" if SUMMARY in names else "it is not empty"
        raise InputError(f"{folder}: {found} and no result of this command; give another --output") from None
    if differing:
        raise InputError(
            f"{folder}: a result that differs in {', '.join(differing)} is there; give another --output, or remove it"
        )
    damaged = [
        name for name, expected in hashes.items() if name != SUMMARY and _hash(folder / name) != expected
    ]
    if hashes.get(SUMMARY) != _content_hash(summary):
        damaged.append(SUMMARY)
    expected = {SUMMARY, *hashes, *(str(Path(name).parent) for name in hashes)}
    others = _names_below(folder) - expected if damaged else set()
    if others:
        raise InputError(
            f"{folder}: a result whose {', '.join(damaged)} is damaged or missing found, and beside it {min(others)}, "
            "which is not of this command; move that away, or give another --output"
        )
    return _Existing(summary, damaged)


def _is_of_claim(name: str) -> bool:
    """True for what a process that works in a folder has made there for itself."""
    return name == LOCK or PARTIAL.match(name) is not None


def _names_below(folder: Path) -> set[str]:
    """Relative paths of what is in a folder and those below it, but for what a process has made for itself."""
    paths = [path.relative_to(folder) for path in folder.rglob("*")]
    return {path.as_posix() for path in paths if not _is_of_claim(path.parts[0])}


def _hash(path: Path) -> str | None:
    """SHA-256 of a file; None if there is none, or it cannot be read."""
    try:
        return sha256(path)
    except OSError:
        return None


def _content_hash(summary: dict[str, Any]) -> str:
    """SHA-256 of a summary's content but for its hashes."""
    content = {name: value for name, value in summary.items() if name != HASHES}
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
