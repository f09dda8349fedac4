"""What the benchmarks that train on the preprocessed scans of a finished run have in common."""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path
from typing import Any, cast

import pandas as pd
import yaml
from snakemake.utils import update_config
from tqdm import tqdm

from patch2loc.data.scans import Scan, read_cohort
from patch2loc.engine.choices import Device
from patch2loc.evaluate.patch_analysis import analyze_patches
from patch2loc.files import read_json
from patch2loc.metrics.location_error import healthy_location_errors
from patch2loc.models import Model
from patch2loc.network.sampling import PatchPool
from patch2loc.score.patch_predictions import patch_predictions_with
from patch2loc.standardize import StandardizedScans, read_standardized

# Of `training`: no settings of a network.
OTHER_KEYS = ("network", "threads", "memory_mb", "balance_sites")
ROLES = ("train", "validation")
RUN = ("seed", "patches")  # columns of a table of networks, besides the one that names what is compared


def read_configurations(paths: Sequence[Path]) -> dict[str, Any]:
    """A configuration from files, of which later ones change keys of earlier ones."""
    configuration: dict[str, Any] = {}
    for path in paths:
        update_config(configuration, yaml.safe_load(path.read_text(encoding="utf-8")))
    return configuration


def training_scans(
    configuration: Mapping[str, Any], modality: str, threads: int = 1
) -> tuple[list[StandardizedScans], dict[str, Any]]:
    """Scans of training and validation in the first fold, and the landmarks that they are standardized by."""
    results, cohort = Path(configuration["results"]), configuration["training_data"][modality]
    landmarks = read_json(results / f"landmarks/{modality}/fold0.json")
    cohorts = (read_cohort(results / f"cohorts/{cohort}/{role}_fold0.json") for role in ROLES)
    return [StandardizedScans(scans, landmarks, threads) for scans in cohorts], landmarks


def tested_scans(configuration: Mapping[str, Any], cohort: str) -> dict[str, list[Scan]]:
    """By dataset, scans that no network of the first fold sees: test scans of the training cohort, all of the others.

    Simulated datasets are left out, as their scans are others' again, but for the training cohort.
    """
    folder = Path(configuration["results"]) / "cohorts"
    return {
        name: read_cohort(folder / name / ("test_fold0.json" if name == cohort else "all.json"))
        for name, about in configuration["datasets"].items()
        if name == cohort or not about.get("simulated")
    }


def patch_pools(configuration: Mapping[str, Any], modality: str, device: Device) -> list[PatchPool]:
    """Patches of training and validation in the first fold."""
    scans, _ = training_scans(configuration, modality)
    return [PatchPool(of_role, configuration["patch"], device) for of_role in scans]


def network_settings(configuration: Mapping[str, Any]) -> dict[str, Any]:
    """Settings of the training of a location network that the configuration states; seed and precision are not."""
    training = {key: value for key, value in configuration["training"].items() if key not in OTHER_KEYS}
    return training | {"patch": configuration["patch"], "spacing": configuration["grid"]["spacing"]}


def model_of(
    configuration: Mapping[str, Any], method: str, modality: str, *, state: Any, landmarks: Mapping[str, Any]
) -> dict[str, Any]:
    """A trained method as scoring takes it."""
    return {
        "method": method,
        "modality": modality,
        "preprocess": {},
        "state": state,
        "landmarks": landmarks,
        "grid": configuration["grid"],
    }


def location_errors(model: Mapping[str, Any], scans: Sequence[Scan]) -> pd.Series:
    """Mean location error of each scan's patches without lesion, percent of the grid, by subject."""
    predict = patch_predictions_with(cast(Model, model), "cpu", "float32")
    assert predict is not None  # of methods that locate only
    tables = [
        predict(*read_standardized(scan, model["landmarks"])).assign(subject=scan.subject) for scan in scans
    ]
    patches = analyze_patches(pd.concat(tables, ignore_index=True), scans, model["grid"]["spacing"])
    return healthy_location_errors(patches)


def extended_table(
    path: Path,
    column: str,
    names: Sequence[str],
    measured: Callable[..., pd.DataFrame],
    configuration: Mapping[str, Any],
    *,
    chosen: Sequence[str],
    seeds: Sequence[int],
    patches: int,
    processes: int,
) -> pd.DataFrame:
    """The table of networks at `path` with those that it does not have yet; written after each of them.

    Args:
        path: CSV, which need not exist.
        column: That names what is compared.
        names: What is compared, in the order of the table.
        measured: From the configuration, a name, a seed and a number of patches to rows of the table.
        configuration: Of the finished run.
        chosen: Names wanted.
        seeds: Seeds wanted of each.
        patches: Training patches of each.
        processes: Networks at once.
    """
    table = pd.read_csv(path) if path.exists() else pd.DataFrame(columns=[column, *RUN])
    known = set(zip(table[column], table["seed"], table["patches"], strict=True))
    networks = [(name, seed, patches) for seed in seeds for name in chosen]
    order = {name: place for place, name in enumerate(names)}
    with ProcessPoolExecutor(processes) as pool:
        waiting = [pool.submit(measured, configuration, *each) for each in networks if each not in known]
        for done in tqdm(as_completed(waiting), total=len(waiting), unit="network"):
            table = pd.concat([table, done.result()], ignore_index=True)
            table = table.sort_values(
                ["patches", "seed", column],
                key=lambda values: values.map(order) if values.name == column else values,
                kind="stable",
            )
            table.to_csv(path, index=False)
    return table
