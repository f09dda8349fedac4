"""Table 1 (segmentation) beside what the paper printed, every case by itself, and what all tables share.

Datasets are described by a mapping: title (shown), modality ("T1" or "T2"), simulated (bool) and published_name
(BraTS21, MSLUB, ATLAS, WMH, or None when the data are not the paper's: nothing published is shown).
"""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from patch2loc.configuration.method_names import TRUTH, is_as_published, is_calibrated, is_control, shown
from patch2loc.data.labels import Datasets, about_row
from patch2loc.metrics import summary
from patch2loc.tables.layout import METRIC_NAMES, Cell, Emphasis, Layout, dataset_groups, interval, spread

TABLE1_COLUMNS = [
    "method",
    "dataset",
    "modality",
    "metric",
    *summary.COLUMNS,
    "prevalence",
    "control",
    "simulated",
    "published_mean",
    "published_sd",
]
PUBLISHED_METRIC = {"best_dice": "dice", "auprc": "auprc"}
METRIC_LABELS = {name: f"{METRIC_NAMES[name]} [%]" for name in ("best_dice", "auprc")}
TABLE1_NOTE = "Mean ± standard deviation over folds. A random score's AUPRC is the lesion prevalence."
CALIBRATED_NOTE = (
    "Calibrated: a second score, which is not the paper's, in units of what healthy validation scans score at the "
    "same place, and then of the scan itself."
)
AS_PUBLISHED_NOTE = (
    "As published: with the post-processing of the published rows instead of the common one: brain mask eroded by 3 "
    "voxels, median filter of 5 voxels in each direction, of 2 mm or of a coarser grid; lesion in the eroded rim "
    "scores 0. Of ra and phanes: the score of their authors."
)
CONTROL_NOTE = "Control: a simple score that others must beat, no row of the paper."
TRUTH_NOTE = (
    f"{TRUTH.capitalize()}: the true share of lesion in the patch around a voxel, which needs the lesion mask; out of "
    "competition."
)


def table1(
    summaries: Mapping[tuple[str, str], pd.DataFrame], datasets: Datasets, published: pd.DataFrame
) -> pd.DataFrame:
    """All methods and datasets in long form, fractions (columns: TABLE1_COLUMNS).

    summaries: {(method, dataset): table of `summary.summarize`}, in the order to be shown.
    datasets: see the module. published: `read_published` of table1.csv.
    Measures that no subject has (healthy scans) give no row.
    """
    rows = []
    for (method, dataset), measures in summaries.items():
        about = datasets[dataset]
        for record in measures[measures["n_subjects"] > 0].to_dict("records"):
            printed = published[
                (published["method"].str.casefold() == method.casefold())
                & (published["dataset"] == about["published_name"])
                & (published["metric"] == PUBLISHED_METRIC.get(record["metric"]))
            ]
            mean, sd = (
                printed[["mean_percent", "std_percent"]].to_numpy()[0] if len(printed) else (np.nan,) * 2
            )
            rows.append(
                record
                | about_row(dataset, datasets)
                | {
                    "method": method,
                    "control": int(is_control(method)),
                    "published_mean": mean / 100,
                    "published_sd": sd / 100,
                }
            )
    return pd.DataFrame(rows, columns=TABLE1_COLUMNS)


def table1_layout(table: pd.DataFrame, datasets: Datasets, protocol: str) -> Layout:
    """Table 1 as the paper shows it: methods down, datasets across, percent.

    Under each method stand its 95 % interval and, for the paper's datasets, what the paper printed.
    The best of two or more methods is bold, the second best underlined; the control that is given the truth has no
    place among them. protocol: one line saying how the numbers were computed.
    """
    columns = [(dataset, metric) for dataset in table["dataset"].unique() for metric in METRIC_LABELS]
    cells = {(r["method"], r["dataset"], r["metric"]): r for r in table.to_dict("records")}
    emphasis = _emphasis(table)
    rows = []
    for method in table["method"].unique():
        found = [cells.get((method, *column)) for column in columns]
        rows.append(
            (
                shown(method),
                [
                    Cell(spread(r["mean"], r["sd"]), emphasis.get((method, *column), Emphasis.NONE))
                    if r
                    else Cell("–")
                    for r, column in zip(found, columns, strict=True)
                ],
            )
        )
        rows.append(("  95 % interval", [Cell(interval(r) if r else "–") for r in found]))
        if any(r and not np.isnan(r["published_mean"]) for r in found):
            printed = [spread(r["published_mean"], r["published_sd"], 2) if r else "–" for r in found]
            rows.append(("  published", [Cell(text) for text in printed]))
    of_some = {
        CALIBRATED_NOTE: is_calibrated,
        AS_PUBLISHED_NOTE: is_as_published,
        CONTROL_NOTE: is_control,
        TRUTH_NOTE: TRUTH.__eq__,
    }
    notes = [note for note, concerns in of_some.items() if any(map(concerns, table["method"]))]
    first = [table[table["dataset"] == dataset].iloc[0] for dataset, _ in columns]
    footer = [
        ("Subjects × folds", [Cell(f"{r['n_subjects']} × {r['n_folds']}") for r in first]),
        ("Lesion prevalence [%]", [Cell(f"{100 * r['prevalence']:.2f}") for r in first]),
    ]
    return Layout(
        number="Table 1",
        title="Segmentation of lesions without supervision",
        stub="Method",
        groups=dataset_groups(table, datasets, len(METRIC_LABELS)),
        columns=[METRIC_LABELS[metric] for _, metric in columns],
        rows=rows,
        footer=footer,
        note=" ".join([protocol, TABLE1_NOTE, *notes]),
    )


def _emphasis(table: pd.DataFrame) -> dict[tuple[str, str, str], Emphasis]:
    """Best and second best of each column; equal values share a place, one method alone has none, nor has the truth."""
    marks, competing = {}, table[table["method"] != TRUTH].dropna(subset="mean")
    for (dataset, metric), column in competing.groupby(["dataset", "metric"], sort=False):
        if len(column) < 2:
            continue
        places = column["mean"].round(4).rank(method="min", ascending=False)
        for method, place in zip(column["method"], places, strict=True):
            if place <= 2:
                marks[method, dataset, metric] = Emphasis.BEST if place == 1 else Emphasis.SECOND
    return marks
