"""Ablations: what a method detects and how well it places patches when one setting of its training is changed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from patch2loc.configuration.ablation_rows import AblationRow
from patch2loc.configuration.method_names import display_name
from patch2loc.data.labels import Datasets, about_row, dataset_heading
from patch2loc.metrics.names import PAPER_METRICS
from patch2loc.metrics.summary import subjects_by_folds, summary_of
from patch2loc.tables.comparison import mean_difference, paired_differences
from patch2loc.tables.inputs import FoldTables
from patch2loc.tables.layout import (
    Cell,
    Layout,
    Row,
    interval,
    number,
    parts_by,
    percent,
    percent_heading,
    row_records,
    signed_percent,
)

COLUMNS = [
    "method",
    "base",
    "changes",
    "dataset",
    "modality",
    "metric",
    "mean",
    "mean_low",
    "mean_high",
    "difference",
    "ci_low",
    "ci_high",
    "n_subjects",
    "n_trainings",
    "patch_mm",
    "lesion_diameter_mm",
    "training_subjects",
    "location_error",
    "location_error_sd",
    "location_error_mm",
    "location_error_mm_sd",
    "processor_seconds",
    "training_patches",
    "simulated",
]
NOTE = (
    "Change: against the first row of its method, mean over trainings of the means over scans, with its 95 % bootstrap "
    "interval over scans and over trainings, which are folds and seeds. Location error: of patches of healthy "
    "validation scans, which chose the weights, mean and standard deviation over trainings; in percent of the slice "
    "and in mm. Cost: of one training, processor seconds of its job (of one that was interrupted, of its last part), "
    "and patches seen."
)


@dataclass(frozen=True)
class Training:
    """What a training took and reached.

    Attributes:
        error: Mean location error of validation patches, percent of the slice; NaN for a combination.
        error_mm: The same in mm.
        seconds: Of processors; NaN where the record does not say.
        patches: Seen in all.
    """

    error: float
    error_mm: float
    seconds: float
    patches: int


def training_of(history: pd.DataFrame, record: Mapping[str, Any]) -> Training:
    """What a training of location networks took and reached.

    Args:
        history: As of `network.training.train`; with a column patch of several networks, whose errors are averaged.
        record: Provenance of its model.
    """
    networks = history["patch"] if "patch" in history else pd.Series(0, history.index)
    kept = history.loc[history.groupby(networks)["validation_nll"].idxmin()]
    return Training(
        error=float(kept["validation_error"].mean()),
        error_mm=float(kept["validation_error_mm"].mean()),
        seconds=float(record.get("processor_seconds", np.nan)),
        patches=int(history["patches"].iloc[-1]),
    )


def joined(parts: Sequence[Training]) -> Training:
    """The cost of a combination, which takes the trainings of all its parts and places no patches itself."""
    seconds, patches = sum(part.seconds for part in parts), sum(part.patches for part in parts)
    return Training(error=np.nan, error_mm=np.nan, seconds=seconds, patches=patches)


def ablation_table(
    metrics: FoldTables,
    rows: Mapping[str, AblationRow],
    trainings: Mapping[tuple[str, str], Sequence[Training]],
    datasets: Datasets,
    seed: int = 0,
) -> pd.DataFrame:
    """Every row on every dataset, in long form.

    Args:
        metrics: Of each row and dataset, a table for each training, as `evaluate.subjects.Evaluation.metrics`.
        rows: What each of them changes.
        trainings: Of each row and modality.
        datasets: As tables describe them.
        seed: Of the bootstrap.

    Returns:
        Table of fractions with the columns COLUMNS; difference, ci_low and ci_high are NaN for the row that others are
        compared with.  A metric that no subject has, has no row.
    """
    records = []
    for (method, dataset), tables in metrics.items():
        row, about = rows[method], about_row(dataset, datasets)
        its_trainings = trainings[method, about["modality"]]
        for metric in PAPER_METRICS:
            values = subjects_by_folds(tables, metric)
            if values.empty:
                continue
            summary = summary_of(tables, metric, seed)
            is_base = method == row["base"]
            differences = paired_differences(values, subjects_by_folds(metrics[row["base"], dataset], metric))
            compared = not is_base and len(differences) > 0
            records.append(
                {
                    **about,
                    "method": method,
                    "base": row["base"],
                    "changes": described(row["changes"]),
                    "metric": metric,
                    "mean": summary["mean"],
                    "mean_low": summary["ci_low"],
                    "mean_high": summary["ci_high"],
                    **(dict(mean_difference(differences, seed)) if compared else {}),
                    "n_subjects": summary["n_subjects"],
                    "n_trainings": len(tables),
                    "patch_mm": np.nan if row["patch_mm"] is None else row["patch_mm"],
                    "lesion_diameter_mm": datasets[dataset].get("lesion_diameter_mm", np.nan),
                    "training_subjects": row["subjects"],
                    **_over_trainings(its_trainings),
                }
            )
    return pd.DataFrame(records, columns=COLUMNS)


def described(changes: Mapping[str, Any]) -> str:
    """Changes as text, such as "beta 0, slice_code false"."""
    return ", ".join(f"{key} {_text(value)}" for key, value in changes.items())


def _text(value: Any) -> str:
    if isinstance(value, (list, tuple)):
        return " and ".join(map(_text, value))
    return (
        str(value).lower()
        if isinstance(value, bool)
        else f"{value:g}"
        if isinstance(value, float)
        else str(value)
    )


def _over_trainings(trainings: Sequence[Training]) -> dict[str, float]:
    """Columns of the trainings of a row: means, and standard deviations (n - 1)."""
    errors, errors_mm = ([getattr(each, name) for each in trainings] for name in ("error", "error_mm"))
    return {
        "location_error": float(np.mean(errors)),
        "location_error_sd": float(pd.Series(errors).std(ddof=1)),
        "location_error_mm": float(np.mean(errors_mm)),
        "location_error_mm_sd": float(pd.Series(errors_mm).std(ddof=1)),
        "processor_seconds": float(np.mean([each.seconds for each in trainings])),
        "training_patches": float(np.mean([each.patches for each in trainings])),
    }


def ablation_layout(table: pd.DataFrame, datasets: Datasets, protocol: str) -> Layout:
    """Layout of an `ablation_table`: rows under each dataset. protocol: how the numbers were computed."""
    rows: list[Row] = []
    for dataset, part in parts_by(table, "dataset"):
        rows.append((dataset_heading(dataset, datasets, part["n_subjects"].max()), []))
        for method, of_method in parts_by(part, "method"):
            by_metric = {row["metric"]: row for row in row_records(of_method)}
            any_row = next(iter(by_metric.values()))
            cells = [Cell(any_row["changes"] or "as it is")]
            for metric in PAPER_METRICS:
                record = by_metric.get(metric, {"mean": np.nan, "difference": np.nan, "ci_low": np.nan})
                cells += [
                    Cell(percent(record["mean"])),
                    Cell(signed_percent(record["difference"])),
                    Cell(interval(record)),
                ]
            cells += [
                Cell(_with_sd(any_row["location_error"], any_row["location_error_sd"])),
                Cell(_with_sd(any_row["location_error_mm"], any_row["location_error_mm_sd"])),
                Cell(number(any_row["processor_seconds"], 0)),
                Cell(f"{any_row['training_patches']:,.0f}"),
            ]
            rows.append((f"  {display_name(method)}", cells))
    per_metric = ["mean", "change", "95 % interval"]
    trainings = int(table["n_trainings"].max()) if len(table) else 0
    return Layout(
        number="Ablations",
        title="One setting of the training changed at a time",
        stub="Row",
        groups=[
            ("", 1),
            *((percent_heading(metric), len(per_metric)) for metric in PAPER_METRICS),
            ("Location error", 2),
            ("Cost of a training", 2),
        ],
        columns=["changed", *per_metric * len(PAPER_METRICS), "[%]", "[mm]", "processor s", "patches"],
        rows=rows,
        note=f"{protocol} {trainings} training(s) of each row. {NOTE}",
    )


def _with_sd(mean: float, sd: float) -> str:
    return number(mean, 2) if np.isnan(mean) or np.isnan(sd) else f"{number(mean, 2)} ± {number(sd, 2)}"
