"""Controlled lesions: detection by the kind of change, its size and its amount, and location against controls."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from typing import Any

import numpy as np
import pandas as pd

from patch2loc.configuration.method_names import display_name
from patch2loc.data.labels import Datasets, about_row, label_of
from patch2loc.data.vocabulary import DatasetInfo
from patch2loc.metrics import summary
from patch2loc.tables.inputs import FoldTables, with_detections
from patch2loc.tables.layout import (
    NO_VALUE,
    Cell,
    Layout,
    Row,
    number,
    parts_by,
    percent,
    row_records,
    signed_percent,
)

# Rows without a network: they see the intensity at a place, or how much it varies around it.
CONTROLS = (
    "thresh",
    "thresh_dark",
    "zscore",
    "zscore_bright",
    "zscore_dark",
    "texture_z",
    "texture_z_low",
    "texture_z_high",
    "asymmetry",
)
UNCHANGED = (
    "unchanged"  # in `against`: the same places of the same scans by the same row, with nothing changed
)
METRICS = ("auprc", "auprc_over_prevalence", "sensitivity")
CHANGE_NAMES = {
    "bright": "brighter",
    "dark": "darker",
    "texture": "texture lost",
    "mass_effect": "mass effect",
    "blurred_border": "blurred border",
    "thick_cortex": "thick cortex",
    "missing_sulci": "missing sulci",
    "atrophy": "atrophy",
}
SizeAndAmount = tuple[float | None, float | None]  # diameter in mm and amount, None: all
COLUMNS = [
    "method",
    "against",
    "dataset",
    "modality",
    "change",
    "diameter_mm",
    "amount",
    "metric",
    *summary.COLUMNS,
    "simulated",
]
NOTE = (
    "Simulated lesions: balls of healthy tissue changed in one way. Columns: AUPRC over the prevalence, 1 by chance, "
    "by diameter and amount of the change; over all sizes and amounts AUPRC, and sensitivity at the score that 1 % of "
    "the voxels of the healthy validation scans exceed; AUPRC less that in the same places with nothing changed "
    "(amount 0), in points: what is found in a place whatever is changed there is no detection; and, of rows that are "
    f"none of the controls {', '.join(CONTROLS[:-1])} and {CONTROLS[-1]}, AUPRC less that of the control whose "
    "difference has the least lower bound: if that is above 0, the row is better than every control. 95 % bootstrap "
    "intervals over the healthy scans and folds; lesions of one scan are averaged first. Each size, and the other "
    "differences, are in controlled.csv."
)


def controlled_table(
    metrics: FoldTables, at_thresholds: FoldTables, datasets: Datasets, seed: int = 0
) -> pd.DataFrame:
    """Summary of every method, change, size and amount, in long form, and differences from the controls.

    Args:
        metrics: Of each method and dataset of controlled lesions, as `evaluate.subjects.Evaluation.metrics`.
        at_thresholds: The same, as `evaluate.subjects.Evaluation.at_thresholds`.
        datasets: As tables describe them, with change and lesions.
        seed: Of the bootstrap.

    Returns:
        Table of fractions and ratios with the columns COLUMNS. diameter_mm and amount are NaN over all of them. Rows
        with a name in `against` hold the mean difference of AUPRC over all amounts: from this row, or, of UNCHANGED,
        from the same row in the same places of a dataset of amount 0, if there is one of the modality.
    """
    cells = {
        key: dict(_cells(_values(metrics[key], at_thresholds[key], datasets[key[1]]))) for key in metrics
    }
    unchanged = {datasets[name]["modality"]: name for _, name in cells if changes_nothing(datasets[name])}
    rows: list[dict[str, Any]] = []
    for (method, dataset), parts in cells.items():
        keys = {"method": method, "against": "", "change": datasets[dataset]["change"]}
        others = {name: (name, dataset) for name in CONTROLS if method not in CONTROLS}
        if (same := unchanged.get(datasets[dataset]["modality"])) not in (None, dataset):
            others[UNCHANGED] = (method, str(same))
        for (diameter_mm, amount), part in parts.items():
            about = {**keys, **about_row(dataset, datasets), "diameter_mm": diameter_mm, "amount": amount}
            rows += [{**about, **row} for row in summary.metric_summaries(part, METRICS, seed)]
            if amount is None:
                rows += [
                    {**about, "against": name, "metric": "auprc", **_difference(part, other, seed)}
                    for name, key in others.items()
                    if (other := cells.get(key, {}).get((diameter_mm, amount)))
                ]
    return pd.DataFrame(rows, columns=COLUMNS)


def controlled_layout(table: pd.DataFrame, datasets: Datasets, protocol: str) -> Layout:
    """Layout of a `controlled_table`: methods under each change. protocol: how the numbers were computed."""
    levels = table[table["against"] == ""]
    sizes = sorted(levels["diameter_mm"].dropna().unique())
    amounts = sorted(levels["amount"].dropna().unique())
    rows: list[Row] = []
    for dataset, part in parts_by(table, "dataset"):
        lesions = len(datasets[dataset]["lesions"])
        rows.append((f"{label_of(datasets[dataset])}: {lesions} lesions", []))
        for method, records in parts_by(part, "method"):
            by_key = {
                (record["metric"], *_key(record)): record["mean"]
                for record in row_records(records[records["against"] == ""])
            }
            cells = [
                Cell(number(by_key.get(("auprc_over_prevalence", size, amount), np.nan), 1))
                for size in sizes
                for amount in amounts
            ]
            cells += [
                Cell(percent(by_key.get((metric, None, None), np.nan))) for metric in ("auprc", "sensitivity")
            ]
            cells += [Cell(over_unchanged(records)), Cell(over_best_control(records))]
            rows.append((f"  {display_name(method)}", cells))
    return Layout(
        number="Controlled lesions",
        title="Controlled lesions by change, size and amount",
        stub="Method",
        groups=[*((f"{size:g} mm", len(amounts)) for size in sizes), ("all", 4)],
        columns=[
            *[f"{amount:g}" for _ in sizes for amount in amounts],
            "AUPRC [%]",
            "sensitivity [%]",
            "over the same places unchanged",
            "over the best control",
        ],
        rows=rows,
        note=f"{protocol} {NOTE}",
    )


def over_best_control(records: pd.DataFrame) -> str:
    """Difference of a method from the control nearest to it or ahead, over all sizes; a dash without any."""
    return _least(records[records["against"].isin(CONTROLS)])


def over_unchanged(records: pd.DataFrame) -> str:
    """Difference of a method from itself in the same places unchanged, with its interval; a dash without any."""
    return _least(records[records["against"] == UNCHANGED])


def _least(differences: pd.DataFrame) -> str:
    """Of the differences over all sizes that with the least lower bound, in points; a dash without any."""
    of_all = differences[differences["diameter_mm"].isna()]
    if of_all.empty:
        return NO_VALUE
    least = row_records(of_all.sort_values(["ci_low", "mean"]).head(1))[0]
    ends = [signed_percent(least[end]) for end in ("ci_low", "ci_high")]
    return f"{signed_percent(least['mean'])} ({ends[0]} to {ends[1]})"


def changes_nothing(info: DatasetInfo) -> bool:
    """True for a dataset of lesions of amount 0."""
    return all(amount == 0 for _, _, amount in info["lesions"].values())


def _values(
    metrics: Sequence[pd.DataFrame], at_thresholds: Sequence[pd.DataFrame], info: Any
) -> list[pd.DataFrame]:
    """METRICS of each lesion with its scan, diameter and amount, for each fold."""
    lesions = pd.DataFrame.from_dict(
        info["lesions"], orient="index", columns=["scan", "diameter_mm", "amount"]
    ).rename_axis("subject")
    folds = []
    for table in with_detections(metrics, at_thresholds, ["sensitivity"]):
        table["auprc_over_prevalence"] = table["auprc"] / table["prevalence"]
        folds.append(table[["subject", *METRICS]].merge(lesions, on="subject", validate="one_to_one"))
    return folds


def _cells(folds: Sequence[pd.DataFrame]) -> Iterator[tuple[SizeAndAmount, list[pd.DataFrame]]]:
    """Each size and amount, each size, and all, with the means over its lesions of every scan, for each fold."""
    everything = pd.concat(folds)
    sizes, amounts = (sorted(everything[name].unique().tolist()) for name in ("diameter_mm", "amount"))
    for cell in [*product(sizes, amounts), *((size, None) for size in sizes), (None, None)]:
        part = [_means(fold, cell) for fold in folds]
        if any(map(len, part)):
            yield cell, part


def _means(fold: pd.DataFrame, cell: SizeAndAmount) -> pd.DataFrame:
    """Means over the lesions of a cell that each scan has."""
    for name, value in zip(("diameter_mm", "amount"), cell, strict=True):
        if value is not None:
            fold = fold[fold[name] == value]
    return fold.groupby("scan", as_index=False)[list(METRICS)].mean().rename(columns={"scan": "subject"})


def _key(record: Mapping[str, Any]) -> SizeAndAmount:
    """The cell of a row."""
    diameter_mm, amount = (
        None if np.isnan(record[name]) else float(record[name]) for name in ("diameter_mm", "amount")
    )
    return diameter_mm, amount


def _difference(part: Sequence[pd.DataFrame], other: Sequence[pd.DataFrame], seed: int) -> summary.Summary:
    """AUPRC less that of another part on the same scans."""
    folds = [
        one.merge(two, on="subject", suffixes=("", "_other")).assign(
            auprc=lambda table: table["auprc"] - table["auprc_other"]
        )
        for one, two in zip(part, other, strict=True)
    ]
    return summary.summary_of(folds, "auprc", seed)
