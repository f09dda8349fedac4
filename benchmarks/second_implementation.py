"""Compute the numbers of a finished run a second time, from its files, and compare them with its tables.

    python benchmarks/second_implementation.py config/config.yaml [more.yaml ...] [--scans 20] [--methods patch2loc dae]

Nothing but the paths of results is taken from the library. The metrics of every scan come from its heatmap and masks by
scikit-learn, the tables from the metrics by scipy and plain loops:

    metrics/{method}/{dataset}/fold{fold}.csv   auprc, best_dice, auroc, prevalence; by any of a voxel, too
    tables/table1.csv                           mean, sd, ci_low, ci_high, numbers of subjects and folds
    tables/comparison.csv                       pairs, family, difference, ci_low, ci_high, p, p_holm

Prints the largest difference of each column. Ends with 1 if one is above 1e-9 or a number is on one side alone, and
says where. A scan of 1 mm takes about a second for each method and fold; --scans takes the first ones of each dataset.
"""

import argparse
import json
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping
from itertools import combinations, product
from pathlib import Path
from typing import Any, NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "workflow/scripts"))

import nibabel as nib
import numpy as np
import pandas as pd
import yaml
from scipy.stats import bootstrap
from sklearn.metrics import average_precision_score, precision_recall_curve, roc_auc_score
from snakemake.utils import update_config
from tqdm import tqdm

from patch2loc.data.results import Results

ROOT = Path(__file__).resolve().parents[1]
LARGEST = 1e-9
RESAMPLES, PERMUTATIONS, MOST_SCANS_OF_EXACT_TEST = 2000, 9999, 13
ANY_METRICS = ("auprc", "best_dice", "prevalence")
SCAN_METRICS = ("auprc", "best_dice", "auroc", "prevalence", *(f"{metric}_any" for metric in ANY_METRICS))
TABLE1_METRICS = ("auprc", "best_dice", "auroc", "auroc_healthy", "auprc_any", "best_dice_any")
TRUTHS = {"half": "lesion.nii.gz", "any": "lesion_any.nii.gz"}
COMPARED_METRICS = ("best_dice", "auprc")


class Deviation(NamedTuple):
    """A number of the run beside the same number of this file."""

    column: str
    place: str
    of_run: float | str
    second: float | str

    @property
    def size(self) -> float:
        """Absolute difference; infinite where one of them is missing or is another text."""
        if isinstance(self.of_run, str) or isinstance(self.second, str):
            return 0.0 if self.of_run == self.second else np.inf
        if np.isnan(self.of_run) or np.isnan(self.second):
            return 0.0 if np.isnan(self.of_run) and np.isnan(self.second) else np.inf
        return abs(self.of_run - self.second)


def main() -> int:
    """Compare, print the largest differences, and say by the exit status whether all are small."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("configuration", type=Path, nargs="+", help="later ones change keys of earlier ones")
    parser.add_argument("--scans", type=int, help="rank only so many scans of each dataset")
    parser.add_argument("--methods", nargs="*", help="rank only scans of these rows")
    chosen = parser.parse_args()
    configuration: dict[str, Any] = {"seed": 3141, "folds": [0, 1, 2, 3, 4], "grid": {"spacing": 1.0}}
    configuration["truth"] = "half"
    for path in chosen.configuration:
        update_config(configuration, yaml.safe_load(path.read_text(encoding="utf-8")))
    results, folds, seed = Results(configuration["results"]), configuration["folds"], configuration["seed"]
    table1 = pd.read_csv(results.table("table1"))
    keys = list(dict.fromkeys(table1[["method", "dataset", "modality"]].itertuples(index=False, name=None)))
    metrics = {
        (method, dataset): [pd.read_csv(results.metrics(method, dataset, fold)) for fold in folds]
        for method, dataset, _ in keys
    }
    voxel_ml = configuration["grid"]["spacing"] ** 3 / 1000
    ranked = [key for key in keys if chosen.methods is None or key[0] in chosen.methods]
    deviations: list[Deviation] = []
    for (method, dataset, modality), (place, fold) in tqdm([*product(ranked, enumerate(folds))]):
        table = metrics[method, dataset][place].head(chosen.scans or None)
        score_of = stored_scores(results, method, dataset, modality, fold)
        for row in table.to_dict("records"):
            scan = Path(results.preprocessed(dataset, row["subject"]))
            second = scan_metrics(score_of(row["subject"]), scan, voxel_ml, configuration["truth"])
            name = f"{method} {dataset} fold{fold} {row['subject']}"
            deviations += [
                Deviation(f"metrics: {column}", name, row[column], second[column]) for column in SCAN_METRICS
            ]
    deviations += table1_deviations(table1, metrics, seed)
    deviations += comparison_deviations(pd.read_csv(results.table("comparison")), metrics, seed)
    return report(deviations)


def report(deviations: list[Deviation]) -> int:
    """Print the largest difference of each column. Returns 1 when one is too large, else 0."""
    largest: dict[str, Deviation] = {}
    counts: dict[str, int] = {}
    for deviation in deviations:
        counts[deviation.column] = counts.get(deviation.column, 0) + 1
        if deviation.column not in largest or deviation.size > largest[deviation.column].size:
            largest[deviation.column] = deviation
    print(f"{'column':32}{'numbers':>9}{'largest difference':>21}")
    for column, deviation in largest.items():
        print(f"{column:32}{counts[column]:9,}{deviation.size:21.2e}")
    wrong = [deviation for deviation in largest.values() if not deviation.size <= LARGEST]
    for deviation in wrong:
        print(
            f"{deviation.column}, {deviation.place}: {deviation.of_run} in the run, {deviation.second} here"
        )
    return int(bool(wrong) or not deviations)


def stored_scores(
    results: Results, method: str, dataset: str, modality: str, fold: int
) -> Callable[[str], np.ndarray]:
    """A function from a subject to the scores of a row: stored heatmaps, some of them calibrated when they are read."""
    folder, calibration = Path(results.heatmaps(method, dataset, fold)), None
    if not folder.exists() and method.endswith("_as_published"):
        folder = Path(results.heatmaps(method.removesuffix("_as_published"), dataset, fold), "as_published")
    elif not folder.exists():
        base = method.removesuffix("_calibrated")
        folder, calibration = (
            Path(results.heatmaps(base, dataset, fold)),
            Path(results.calibration(base, modality, fold)),
        )

    def score(subject: str) -> np.ndarray:
        heatmap = voxels(folder / f"{subject}.nii.gz")
        if calibration is None:
            return heatmap
        by_place = (heatmap - voxels(calibration / "location.nii.gz")) / voxels(calibration / "scale.nii.gz")
        middle = np.nanmedian(by_place)
        spread = 1.4826 * np.nanmedian(np.abs(by_place - middle))
        return (by_place - middle) / (spread or 1)

    return score


def voxels(path: Path) -> np.ndarray:
    """Voxels of an image, (x, y, z) float32."""
    return np.asarray(nib.load(path).dataobj, dtype=np.float32)


def scan_metrics(score: np.ndarray, scan: Path, voxel_ml: float, truth: str) -> dict[str, float]:
    """Metrics of a scan by the truth that the run rests on, and by any of a voxel."""
    quality = json.loads((scan / "qc.json").read_text(encoding="utf-8"))["lesion"]
    lost = round(quality["lost_to_grid_ml"] * quality["scale"] / voxel_ml)
    mask = voxels(scan / "mask.nii.gz") > 0
    by_truth = {name: metrics_of(score, mask, voxels(scan / file) > 0, lost) for name, file in TRUTHS.items()}
    return by_truth[truth] | {f"{metric}_any": by_truth["any"][metric] for metric in ANY_METRICS}


def metrics_of(score: np.ndarray, mask: np.ndarray, lesion: np.ndarray, lost: int) -> dict[str, float]:
    """Metrics by scikit-learn. Lesion without a score, outside the mask or off the grid, is never found."""
    missed = np.count_nonzero(lesion & ~mask) + lost
    truth, scores = lesion[mask], score[mask]
    positives = np.count_nonzero(truth) + missed
    prevalence = {"prevalence": positives / (truth.size + missed)}
    if not positives:
        return {"auprc": np.nan, "best_dice": np.nan, "auroc": np.nan} | prevalence
    # scikit-learn's recall is of the lesion with a score; that of all of it is smaller by this.
    scored = np.count_nonzero(truth) / positives
    if not scored:
        return {"auprc": 0.0, "best_dice": 0.0, "auroc": 0.0} | prevalence
    precision, recall, _ = precision_recall_curve(truth, scores)
    recall = recall * scored
    with np.errstate(invalid="ignore"):  # 0 / 0 at the end of the curve, where nothing is detected
        dice = 2 * precision * recall / (precision + recall)
    below = np.full(missed, scores.min() - 1)  # ranks last
    return prevalence | {
        "auprc": average_precision_score(truth, scores) * scored,
        "best_dice": float(np.nanmax(dice)),
        "auroc": roc_auc_score(np.append(truth, np.ones(missed)), np.append(scores, below)),
    }


def table1_deviations(
    table: pd.DataFrame, metrics: Mapping[tuple[str, str], list[pd.DataFrame]], seed: int
) -> Iterator[Deviation]:
    """Every number of table1.csv that is computed from metrics."""
    for row in table[table["metric"].isin(TABLE1_METRICS)].to_dict("records"):
        folds = metrics[row["method"], row["dataset"]]
        values = scans_by_folds(folds, row["metric"])
        fold_means = [fold[row["metric"]].mean() for fold in folds]
        low, high = interval(values, seed)
        second = {
            "mean": np.nanmean(fold_means),
            "sd": np.std(fold_means, ddof=1) if len(folds) > 1 else np.nan,
            "ci_low": low,
            "ci_high": high,
            "n_subjects": len(values),
            "n_folds": len(folds),
        }
        place = f"{row['method']} {row['dataset']} {row['metric']}"
        for column, value in second.items():
            yield Deviation(f"table1: {column}", place, row[column], value)


def comparison_deviations(
    table: pd.DataFrame, metrics: Mapping[tuple[str, str], list[pd.DataFrame]], seed: int
) -> Iterator[Deviation]:
    """Every number of comparison.csv, and its pairs."""
    of_table1 = set(pd.read_csv(ROOT / "config/published/table1.csv")["method"].str.lower())
    rows = table.set_index(["dataset", "metric", "method", "other"]).sort_index()
    for dataset in dict.fromkeys(dataset for _, dataset in metrics):
        methods = [method for method, name in metrics if name == dataset and method != "oracle"]
        second = {}
        for metric, (method, other) in product(COMPARED_METRICS, combinations(methods, 2)):
            first, last = (scans_by_folds(metrics[name, dataset], metric) for name in (method, other))
            both = sorted(set(first.index) & set(last.index))
            differences = (first.loc[both] - last.loc[both]).dropna(how="all")
            if differences.empty:
                continue
            primary = "patch2loc" in (method, other) and {method, other} <= of_table1
            low, high = interval(differences, seed)
            second[metric, method, other] = {
                "family": "primary" if primary else "exploratory",
                "difference": float(differences.mean(axis=0).mean()),
                "ci_low": low,
                "ci_high": high,
                "p": permutation_p(differences.to_numpy(), seed),
                "p_holm": np.nan,
                "n_subjects": len(differences),
            }
        primary_keys = [key for key, row in second.items() if row["family"] == "primary"]
        primary_keys.sort(key=lambda key: second[key]["p"])
        least = 0.0
        for rank, key in enumerate(primary_keys):
            if not np.isnan(second[key]["p"]):
                least = max(least, min(1.0, (len(primary_keys) - rank) * second[key]["p"]))
                second[key]["p_holm"] = least
        in_table = {key[1:] for key in rows.index if key[0] == dataset}
        for key in second.keys() | in_table:
            place = f"{dataset} {' '.join(key)}"
            if key not in second or key not in in_table:
                yield Deviation("comparison: pairs", place, str(key in in_table), str(key in second))
                continue
            row = rows.loc[(dataset, *key)]
            for column, value in second[key].items():
                yield Deviation(f"comparison: {column}", place, row[column], value)


def scans_by_folds(folds: list[pd.DataFrame], metric: str) -> pd.DataFrame:
    """Values of a metric by subject, in sorted order, and fold; scans that have none in any fold are left out."""
    columns = {
        place: dict(zip(fold["subject"], fold[metric], strict=True)) for place, fold in enumerate(folds)
    }
    return pd.DataFrame(columns, dtype=float).sort_index().dropna(how="all")


def interval(values: pd.DataFrame, seed: int) -> tuple[float, float]:
    """95 % BCa interval of scipy, which draws scans and, where there are several, folds."""
    matrix = values.dropna(axis=1, how="all").to_numpy()
    scans, folds = matrix.shape
    if scans < 2:
        return np.nan, np.nan

    def mean(*drawn: np.ndarray, axis: int = -1) -> np.ndarray:
        scan, fold = drawn if folds > 1 else (drawn[0], np.zeros((*drawn[0].shape[:-1], 1), int))
        means = np.nanmean(matrix[scan[..., :, None], fold[..., None, :]], axis=-2)
        return np.round(np.nanmean(means, axis=-1), 12)  # so that rounding does not part equal means

    samples = (np.arange(scans), np.arange(folds))[: 2 if folds > 1 else 1]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # means of no value, and intervals of equal values
        generator = np.random.default_rng([seed, scans, folds])
        low, high = bootstrap(
            samples, mean, method="BCa", n_resamples=RESAMPLES, rng=generator, vectorized=True
        ).confidence_interval
    if np.isnan(low):  # all resamples are equal
        return float(mean(*samples)), float(mean(*samples))
    return float(low), float(high)


def permutation_p(differences: np.ndarray, seed: int) -> float:
    """Two-sided p of the mean over folds of the means over scans, when the signs of whole scans are exchanged."""
    differences = differences[:, ~np.isnan(differences).all(axis=0)]
    scans = len(differences)
    if scans < 2:
        return np.nan

    def distance(signs: np.ndarray) -> float:
        return abs(np.nanmean(np.nanmean(signs[:, None] * differences, axis=0)))

    observed = distance(np.ones(scans)) - 1e-12
    if scans <= MOST_SCANS_OF_EXACT_TEST:
        patterns = [np.array(signs) for signs in product((-1, 1), repeat=scans)]
        return float(np.mean([distance(signs) >= observed for signs in patterns]))
    drawn = 1 - 2 * np.random.default_rng([seed, scans]).integers(0, 2, (PERMUTATIONS, scans), dtype=np.int8)
    return float((1 + sum(distance(signs) >= observed for signs in drawn)) / (PERMUTATIONS + 1))


if __name__ == "__main__":
    sys.exit(main())
