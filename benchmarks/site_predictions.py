"""Trainings on sets of sites, and what they predict for every voxel of the scans that are not trained on."""

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from finished_run import model_of, network_settings
from tqdm import tqdm

from patch2loc.data.scans import Scan
from patch2loc.data.splits import roles
from patch2loc.files import write_json
from patch2loc.heatmap import abnormality, true_location
from patch2loc.method_interface import method
from patch2loc.models import Model
from patch2loc.score.patch_predictions import patch_predictions_with
from patch2loc.score.postprocessing import median_filtered, widened
from patch2loc.score.scoring import heatmap_of
from patch2loc.standardize import StandardizedScans, fit_landmarks, read_standardized
from patch2loc.train import balanced

ROOT = Path(__file__).resolve().parents[1]
ROBUST = "patch2loc_robust_unpadded"
ROWS: dict[str, tuple[str, dict[str, Any]]] = {
    "patch2loc": ("patch2loc", {}),
    "patch2loc_unpadded": ("patch2loc_unpadded", {}),
    f"{ROBUST}, leveled only": (ROBUST, {"leveled": True, "changes": []}),
    ROBUST: (ROBUST, {"leveled": True, "changes": ["contrast", "edge"]}),
    f"{ROBUST}, sites balanced": (ROBUST, {"leveled": True, "changes": ["contrast", "edge"]}),
    f"{ROBUST}, half as wide again, sites balanced": (
        ROBUST,
        {"leveled": True, "changes": ["contrast", "edge"], "widths": [24, 48, 192, 192]},
    ),
    "zscore": ("zscore", {}),
    "zscore, sites balanced": ("zscore", {}),
}
BALANCED = "sites balanced"  # end of the name of a row
MEAN_HEATMAP, MIXTURE = "mean of heatmaps", "mixture of predictions"
TOGETHER = (MEAN_HEATMAP, MIXTURE)  # ways to take several trainings as one
NUMBERS = ("mean_x", "mean_y", "log_variance_x", "log_variance_y")
Kept = dict[str, np.ndarray]  # of a scan


class Training(NamedTuple):
    """What a training differs in; a row without a network has neither patches nor averaging."""

    trained_on: str
    row: str
    patches: int
    seed: int
    averaging: float


def has_network(row: str) -> bool:
    """True for a row that is trained in steps, from a seed."""
    return ROWS[row][0] != "zscore"


def scans_of(configuration: Mapping[str, Any], trained_on: str) -> dict[str, list[Scan]]:
    """Preprocessed scans of each role of a set of sites; those that preprocessing left out are missing."""
    folder = Path(configuration["results"]) / "preprocessed/healthy"
    by_role = roles(ROOT / f"splits/sites_{trained_on}.csv", 0)
    scans = {
        role: [Scan(subject, folder / subject, "T1") for subject in subjects]
        for role, subjects in by_role.items()
    }
    return {role: [scan for scan in of_role if not scan.left_out()] for role, of_role in scans.items()}


def site_of(trained_on: str) -> dict[str, str]:
    """Sites by subject, of a set's list."""
    table = pd.read_csv(ROOT / f"splits/sites_{trained_on}.csv", dtype=str)
    return dict(zip(table["subject"], table["site"], strict=True))


def folder_of(configuration: Mapping[str, Any], training: Training) -> Path:
    """Folder of the predictions of a training."""
    row = training.row.replace(", ", "_").replace(" ", "_")
    name = f"{row}_{training.patches}_{training.averaging:g}_seed{training.seed}"
    return Path(configuration["results"]) / "left_out_sites" / training.trained_on / name


def store(configuration: Mapping[str, Any], training: Training) -> None:
    """Train, and write what is predicted for the validation and test scans, unless all of it is there."""
    folder = folder_of(configuration, training)
    if (folder / "seconds.json").exists():
        return
    folder.mkdir(parents=True, exist_ok=True)
    scans = scans_of(configuration, training.trained_on)
    landmarks = fit_landmarks(scans["train"])
    name, own = ROWS[training.row]
    settings: dict[str, Any] = {}
    if has_network(training.row):
        settings = network_settings(configuration) | own
        settings |= {"patches": training.patches, "averaging": training.averaging}
        settings |= {"precision": "float32", "seed": training.seed}
    trained = scans["train"]
    if training.row.endswith(BALANCED):
        trained = balanced(trained, site_of(training.trained_on))
    begin = time.process_time()
    pools = [StandardizedScans(of_role, landmarks) for of_role in (trained, scans["validation"])]
    state, history = method(name).fit(*pools, settings, None, device="cpu")
    seconds = {"training": time.process_time() - begin}
    if history is not None:
        history.to_csv(folder / "history.csv", index=False)
    model = model_of(configuration, name, "T1", state=state, landmarks=landmarks)
    predict = predicting(model, configuration) if settings else heatmaps_alone(model, configuration)
    for scan in tqdm(scans["validation"] + scans["test"], desc=str(folder.name), unit="scan"):
        np.savez(folder / f"{scan.subject}.npz", **predict(scan))
    write_json(folder / "seconds.json", seconds)


def predicting(model: Model, configuration: Mapping[str, Any]) -> Callable[[Scan], Kept]:
    """A function of a scan: `voxels`, (n, 4), that the median filter reaches; and `patches`, (m, 4 + 3).

    The four numbers are NUMBERS; the last three of patches are the voxels of their centers.
    """
    module, state = method(model["method"]), model["state"]
    predict = module.predictor(state, "cpu", "float32")
    predict_patches = patch_predictions_with(model, "cpu", "float32")
    reach = configuration["score"]["median_filter"] // 2

    def of_scan(scan: Scan) -> Kept:
        standardized, mask = read_standardized(scan, model["landmarks"])
        volume = module.network_input(state, standardized, mask)
        voxels = np.concatenate(predict(volume, np.argwhere(widened(mask, reach))), axis=1)
        patches = predict_patches(standardized, mask)[[*NUMBERS, "x", "y", "z"]]
        return {"voxels": voxels, "patches": patches.to_numpy(np.float32)}

    return of_scan


def heatmaps_alone(model: Model, configuration: Mapping[str, Any]) -> Callable[[Scan], Kept]:
    """A function of a scan: its `heatmap`, for a method that predicts no location."""
    score = heatmap_of(model, "cpu", median_filter=configuration["score"]["median_filter"])

    def of_scan(scan: Scan) -> Kept:
        return {"heatmap": score(*scan.read(), scan.subject)}

    return of_scan


def heatmap(voxels: np.ndarray, mask: np.ndarray, width: int) -> np.ndarray:
    """Heatmap of a scan from what was predicted at its voxels.

    Args:
        voxels: (n, 4), NUMBERS, at the voxels that the median filter reaches.
        mask: (x, y, z) boolean, the brain.
        width: Of the median filter, voxels.

    Returns:
        (x, y, z) float32, NaN outside the mask.
    """
    region = widened(mask, width // 2)
    scores = np.full(mask.shape, np.nan, np.float32)
    scores[region] = abnormality(voxels[:, :2], voxels[:, 2:], np.argwhere(region), mask.shape)["score"]
    return np.asarray(median_filtered(lambda _: scores, mask, width))


def location_error(patches: np.ndarray, shape: tuple[int, ...]) -> float:
    """Mean location error of a scan's patches, percent of the grid.  patches: (m, 7), as of `predicting`."""
    true = true_location(patches[:, 4:].astype(int), shape)
    return float(np.linalg.norm(patches[:, :2] - true, axis=1).mean())


def mixture(predictions: Sequence[np.ndarray]) -> np.ndarray:
    """Mean and variance of a location by several networks: those of the mixture of their normal distributions.

    Args:
        predictions: (n, 4) or more columns each, NUMBERS first, at the same voxels.

    Returns:
        Like each of them; columns after NUMBERS are those of the first.
    """
    stacked = np.stack([each[:, :4] for each in predictions]).astype(np.float64)
    mean = stacked[..., :2].mean(axis=0)
    variance = np.exp(stacked[..., 2:]).mean(axis=0) + stacked[..., :2].var(axis=0)
    return np.concatenate([mean, np.log(variance), predictions[0][:, 4:]], axis=1).astype(np.float32)


def read_answer(
    folders: Sequence[Path], scan: Scan, width: int, together: str = ""
) -> tuple[np.ndarray, np.ndarray | None]:
    """Heatmap and patches, if any, of a scan by trainings; several are taken together in one of TOGETHER.

    width: of the median filter, voxels.
    """
    stored = [np.load(folder / f"{scan.subject}.npz") for folder in folders]
    if "heatmap" in stored[0]:
        return stored[0]["heatmap"], None
    _, mask = scan.read()
    patches = mixture([each["patches"] for each in stored])
    if together == MEAN_HEATMAP:
        return np.mean([heatmap(each["voxels"], mask, width) for each in stored], axis=0), patches
    return heatmap(mixture([each["voxels"] for each in stored]), mask, width), patches
