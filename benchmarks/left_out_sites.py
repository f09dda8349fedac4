"""Scans of sites that a network has not seen: location error and false positives, by the sites that it was trained on.

    python benchmarks/left_out_sites.py config/ixi2mm.yaml config/ixi2mm/sites.yaml [--trained-on ixi ixi_ds002748 ...]
        [--rows patch2loc_unpadded ...] [--patches 1228800] [--seeds 1 2 3 [--together]] [--averaging 0.99]

Takes the preprocessed scans of a run of config/ixi2mm/sites.yaml, and trains each row on each set of sites: the lists
splits/sites_{set}.csv.  Predictions for every voxel are kept in the results folder, and what is there is not made
again.  With --together, the trainings of all seeds are also measured as one: by the mean of their heatmaps, and by the
mixture of what they predict.  Nothing here looks at lesions.
Writes benchmarks/left_out_sites.csv, one row for each training and scan, after each training.
"""

import argparse
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "workflow/scripts"))

import numpy as np
import pandas as pd
import torch
import yaml
from finished_run import model_of, network_settings
from snakemake.utils import update_config
from tqdm import tqdm

from patch2loc.data.scans import Scan
from patch2loc.data.splits import roles
from patch2loc.files import read_json, write_json
from patch2loc.heatmap import abnormality, true_location
from patch2loc.method_interface import method
from patch2loc.metrics.detection import healthy_quantiles
from patch2loc.score.patch_predictions import patch_predictions_with
from patch2loc.score.postprocessing import median_filtered, widened
from patch2loc.score.scoring import heatmap_of
from patch2loc.standardize import StandardizedScans, fit_landmarks, read_standardized

ROOT = Path(__file__).resolve().parents[1]
SETS = ("ixi", "ixi_ds002748", "ixi_ds000011", "ds002748_ds000011")
ROBUST = "patch2loc_robust_unpadded"
ROWS: dict[str, tuple[str, dict[str, Any]]] = {
    "patch2loc": ("patch2loc", {}),
    "patch2loc_unpadded": ("patch2loc_unpadded", {}),
    f"{ROBUST}, leveled only": (ROBUST, {"leveled": True, "changes": []}),
    ROBUST: (ROBUST, {"leveled": True, "changes": ["contrast", "edge"]}),
    "zscore": ("zscore", {}),
}
SHARE = 0.01  # of the healthy validation voxels of the training sites, which are above the threshold
TABLE = ROOT / "benchmarks/left_out_sites.csv"
KEYS = ["trained_on", "row", "patches", "averaging", "seed", "together"]
MEAN_HEATMAP, MIXTURE = "mean of heatmaps", "mixture of predictions"
TOGETHER = (MEAN_HEATMAP, MIXTURE)  # ways to take several trainings as one
NUMBERS = ("mean_x", "mean_y", "log_variance_x", "log_variance_y")


class Training(NamedTuple):
    """What a training differs in; a row without a network has neither patches nor averaging."""

    trained_on: str
    row: str
    patches: int
    seed: int
    averaging: float


def main() -> None:
    """Train and predict what is not there yet, and measure it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("configuration", type=Path, nargs="+", help="later ones change keys of earlier ones")
    parser.add_argument("--trained-on", nargs="+", choices=SETS, default=list(SETS))
    parser.add_argument("--rows", nargs="+", choices=ROWS, default=list(ROWS))
    parser.add_argument("--patches", type=int)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1])
    parser.add_argument("--averaging", type=float)
    parser.add_argument("--together", action="store_true", help="the seeds of each row as one, too")
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    configuration = read_configurations(chosen.configuration)
    patches = chosen.patches or configuration["training"]["patches"]
    averaging = configuration["training"]["averaging"] if chosen.averaging is None else chosen.averaging
    for row in chosen.rows:
        for trained_on in chosen.trained_on:
            trainings = [Training(trained_on, row, patches, seed, averaging) for seed in chosen.seeds]
            if row == "zscore":  # no network, nothing drawn
                trainings = [Training(trained_on, row, 0, 0, 0.0)]
            for training in trainings:
                store(configuration, training)
                add_rows(measured(configuration, [training]))
            if chosen.together and len(trainings) > 1:
                for way in TOGETHER:
                    add_rows(measured(configuration, trainings, way))
    print(by_site(read_table()).to_string())


def read_configurations(paths: Sequence[Path]) -> dict[str, Any]:
    """A configuration from files, of which later ones change keys of earlier ones."""
    configuration: dict[str, Any] = {}
    for path in paths:
        update_config(configuration, yaml.safe_load(path.read_text(encoding="utf-8")))
    return configuration


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
    if name != "zscore":
        settings = network_settings(configuration) | own
        settings |= {"patches": training.patches, "averaging": training.averaging}
        settings |= {"precision": "float32", "seed": training.seed}
    begin = time.process_time()
    pools = [StandardizedScans(scans[role], landmarks) for role in ("train", "validation")]
    state, history = method(name).fit(*pools, settings, None, device="cpu")
    seconds = {"training": time.process_time() - begin}
    if history is not None:
        history.to_csv(folder / "history.csv", index=False)
    model = model_of(configuration, name, "T1", state=state, landmarks=landmarks)
    begin = time.process_time()
    predict = predicting(model, configuration) if settings else heatmaps_alone(model, configuration)
    tested = scans["validation"] + scans["test"]
    for scan in tqdm(tested, desc=f"{training.trained_on} {training.row}", unit="scan"):
        np.savez(folder / f"{scan.subject}.npz", **predict(scan))
    seconds["scan"] = (time.process_time() - begin) / len(tested)
    write_json(folder / "seconds.json", seconds)


def predicting(model: Any, configuration: Mapping[str, Any]) -> Any:
    """A function of a scan: `voxels`, (n, 4), at all that the median filter reaches; and `patches`, (m, 4 + 3).

    The four numbers are NUMBERS; the last three of patches are the voxels of their centers.
    """
    module, state = method(model["method"]), model["state"]
    predict = module.predictor(state, "cpu", "float32")
    predict_patches = patch_predictions_with(model, "cpu", "float32")
    reach = configuration["score"]["median_filter"] // 2

    def of_scan(scan: Scan) -> dict[str, np.ndarray]:
        standardized, mask = read_standardized(scan, model["landmarks"])
        volume = module.network_input(state, standardized, mask)
        voxels = np.concatenate(predict(volume, np.argwhere(widened(mask, reach))), axis=1)
        patches = predict_patches(standardized, mask)[[*NUMBERS, "x", "y", "z"]]
        return {"voxels": voxels, "patches": patches.to_numpy(np.float32)}

    return of_scan


def heatmaps_alone(model: Any, configuration: Mapping[str, Any]) -> Any:
    """A function of a scan: its `heatmap`, for a method that predicts no location."""
    score = heatmap_of(model, "cpu", median_filter=configuration["score"]["median_filter"])

    def of_scan(scan: Scan) -> dict[str, np.ndarray]:
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
    """Heatmap and patches, if any, of a scan by trainings, of which several are taken together in one of TOGETHER.

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


def measured(
    configuration: Mapping[str, Any], trainings: Sequence[Training], together: str = ""
) -> pd.DataFrame:
    """Location error and false positives of the test scans, one row a scan.

    trainings: one, or those of several seeds, together in one of TOGETHER.
    """
    folders = [folder_of(configuration, training) for training in trainings]
    seconds = pd.DataFrame([read_json(folder / "seconds.json") for folder in folders]).sum()
    trained_on, width = trainings[0].trained_on, configuration["score"]["median_filter"]
    answers = {
        scan.subject: read_answer(folders, scan, width, together)
        for role, of_role in scans_of(configuration, trained_on).items()
        if role != "train"
        for scan in of_role
    }
    rows = rows_of(configuration, trained_on, answers)
    about = trainings[0]._asdict() | {
        "seed": "+".join(str(training.seed) for training in trainings),
        "together": together,
    }
    costs = {
        "training_cpu_seconds": round(seconds["training"], 1),
        "scan_cpu_seconds": round(seconds["scan"], 2),
    }
    return pd.DataFrame([about | row | costs for row in rows])


def rows_of(
    configuration: Mapping[str, Any],
    trained_on: str,
    answers: Mapping[str, tuple[np.ndarray, np.ndarray | None]],
) -> Iterator[dict[str, Any]]:
    """Rows of the test scans of a set of sites.

    Args:
        configuration: Of the run.
        trained_on: Set of sites.
        answers: Heatmap and patches of every validation and test scan.
    """
    scans, sites = scans_of(configuration, trained_on), site_of(trained_on)
    validation: dict[str, list[np.ndarray]] = {}
    for scan in scans["validation"]:
        validation.setdefault(sites[scan.subject], []).append(answers[scan.subject][0])
    of_sites = {site: healthy_quantiles(maps, [1 - SHARE])[0] for site, maps in validation.items()}
    pooled = healthy_quantiles([each for maps in validation.values() for each in maps], [1 - SHARE])[0]
    voxel_ml = configuration["grid"]["spacing"] ** 3 / 1000
    for scan in scans["test"]:
        scores, patches = answers[scan.subject]
        site = sites[scan.subject]
        yield {
            "site": site,
            "left_out": int(site not in validation),
            "subject": scan.subject,
            "location_error": np.nan if patches is None else round(location_error(patches, scores.shape), 3),
            # At the threshold of all sites together, and at the highest one of them.
            "false_positive_ml": round(np.count_nonzero(scores > pooled) * voxel_ml, 1),
            "false_positive_ml_highest": round(
                np.count_nonzero(scores > max(of_sites.values())) * voxel_ml, 1
            ),
        }


def read_table() -> pd.DataFrame:
    """The table that is there; without rows if there is none."""
    if not TABLE.exists():
        return pd.DataFrame(columns=[*KEYS])
    return pd.read_csv(TABLE, dtype={"seed": str, "together": str}).fillna({"together": ""})


def add_rows(rows: pd.DataFrame) -> None:
    """Put rows in the table, in place of earlier ones of the same trainings, and in order."""
    table, order = read_table(), {name: place for place, name in enumerate([*SETS, *ROWS])}
    known = set(rows[KEYS].itertuples(index=False, name=None))
    kept = [key not in known for key in table[KEYS].itertuples(index=False, name=None)]
    together = pd.concat([table[kept], rows], ignore_index=True) if any(kept) else rows
    together.sort_values(
        KEYS,
        key=lambda values: values.map(order) if values.name in ("trained_on", "row") else values,
        kind="stable",
    ).to_csv(TABLE, index=False)


def by_site(table: pd.DataFrame) -> pd.DataFrame:
    """Means over the scans of each site; false positives also as multiples of those at home, the training sites'."""
    values = ["location_error", "false_positive_ml", "false_positive_ml_highest"]
    means = table.groupby([*KEYS, "left_out", "site"], sort=False)[values].mean()
    home = table[table["left_out"] == 0].groupby(KEYS, sort=False)[values[1:]].mean()
    for name in home:
        means[name.replace("_ml", "_times_home")] = (
            means[name] / home[name].reindex(means.droplevel([-2, -1]).index).values
        )
    return means.round(2)


if __name__ == "__main__":
    main()
