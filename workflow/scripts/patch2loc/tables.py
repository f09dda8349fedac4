"""Table 1 (segmentation) and Table 2 (patch correlations), beside what the paper printed.

Datasets are described by a mapping: title (shown), modality ("T1" or "T2"), simulated (bool) and published_name
(BraTS21, MSLUB, ATLAS, WMH, or None when the data are not the paper's: nothing published is shown).
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from patch2loc.correlation import QUANTITIES, lesion_correlations, partial_patches
from patch2loc.errors import InputError
from patch2loc.files import write_csv, write_text
from patch2loc.table_formats import Cell, Emphasis, Layout, to_latex, to_markdown

TABLE1_COLUMNS = [
    "method",
    "dataset",
    "modality",
    "metric",
    "mean",
    "sd",
    "ci_low",
    "ci_high",
    "n_subjects",
    "n_folds",
    "prevalence",
    "simulated",
    "published_mean",
    "published_sd",
]
TABLE2_COLUMNS = [
    "dataset",
    "modality",
    "quantity",
    "patches",
    "spearman",
    "sd",
    "ci_low",
    "ci_high",
    "n_patches",
    "n_subjects",
    "n_folds",
    "simulated",
    "published_spearman",
]
CASES_COLUMNS = [
    "method",
    "dataset",
    "subject",
    "modality",
    "simulated",
    "auprc",
    "prevalence",
    "auroc",
    "best_dice",
    "location_error",
    "lesion_ml",
    "lesion_ml_outside",
]
PUBLISHED_METRIC = {"best_dice": "dice", "auprc": "auprc"}
METRIC_LABELS = {"best_dice": "Dice [%]", "auprc": "AUPRC [%]"}
QUANTITY_LABELS = {"log_error": "Log-error", "log_variance": "Log-variance", "score": "Score"}
TABLE1_NOTE = "Mean ± standard deviation over folds. A random score's AUPRC is the lesion prevalence."
TABLE2_PROTOCOL = (
    "Spearman correlation (percent) of a patch's lesion fraction with its scores; partial: patches of "
    "10–90 % lesion, the paper's choice. In brackets the 95 % bootstrap interval over subjects."
)

Datasets = Mapping[str, Mapping[str, Any]]


def read_published(path: str | Path) -> pd.DataFrame:
    """Read the numbers that the paper printed (config/published/table1.csv or table2.csv), in percent.

    Raises InputError when the file is missing or lacks a column.
    """
    try:
        published = pd.read_csv(path)
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such file; the published numbers were expected there") from error
    needed = {"dataset", "mean_percent" if "metric" in published else "spearman_percent"}
    if not needed <= set(published):
        raise InputError(
            f"{path}: columns {list(published)} found, {sorted(needed)} expected; restore the file"
        )
    return published


def table1(
    summaries: Mapping[tuple[str, str], pd.DataFrame], datasets: Datasets, published: pd.DataFrame
) -> pd.DataFrame:
    """All methods and datasets in long form, fractions (columns: TABLE1_COLUMNS).

    summaries: {(method, dataset): table of `evaluate.summarise`}, in the order to be shown.
    datasets: see the module. published: `read_published` of table1.csv.
    Measures that no subject has (healthy scans) give no row.
    """
    rows = []
    for (method, dataset), summary in summaries.items():
        about = datasets[dataset]
        for record in summary[summary["n_subjects"] > 0].to_dict("records"):
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
                | {
                    "method": method,
                    "dataset": dataset,
                    "modality": about["modality"],
                    "simulated": int(about["simulated"]),
                    "published_mean": mean / 100,
                    "published_sd": sd / 100,
                }
            )
    return pd.DataFrame(rows, columns=TABLE1_COLUMNS)


def table2(
    patches: Mapping[str, Sequence[pd.DataFrame]], datasets: Datasets, published: pd.DataFrame, seed: int = 0
) -> pd.DataFrame:
    """Correlations of lesion fraction and scores, in long form, fractions (columns: TABLE2_COLUMNS).

    patches: {dataset: one patch table per fold}; each number is the mean over folds, sd their standard
    deviation (NaN for one fold), the interval the mean of the folds' bootstrap intervals.
    patches column: "partial" (10-90 % lesion) or "all". n_patches and n_subjects: of the first fold.
    """
    rows = []
    for dataset, folds in patches.items():
        about = datasets[dataset]
        for chosen in ("partial", "all"):
            tables = [partial_patches(fold) if chosen == "partial" else fold for fold in folds]
            found = pd.concat([lesion_correlations(table, seed) for table in tables], keys=range(len(tables)))
            for quantity in QUANTITIES:
                by_fold = found[found["quantity"] == quantity]
                printed = published.loc[
                    (published["quantity"] == quantity) & (published["dataset"] == about["published_name"]),
                    "spearman_percent",
                ]
                rows.append(
                    {
                        "dataset": dataset,
                        "modality": about["modality"],
                        "quantity": quantity,
                        "patches": chosen,
                        "sd": by_fold["spearman"].std(ddof=1),
                        "n_folds": len(folds),
                        "simulated": int(about["simulated"]),
                        "published_spearman": printed.iloc[0] / 100
                        if chosen == "partial" and len(printed)
                        else np.nan,
                    }
                    | by_fold[["spearman", "ci_low", "ci_high"]].mean().to_dict()
                    | by_fold[["n_patches", "n_subjects"]].iloc[0].to_dict()
                )
    return pd.DataFrame(rows, columns=TABLE2_COLUMNS)


def table1_layout(table: pd.DataFrame, datasets: Datasets, protocol: str) -> Layout:
    """Table 1 as the paper shows it: methods down, datasets across, percent.

    Under each method stand its 95 % interval and, for the paper's datasets, what the paper printed.
    The best of two or more methods is bold, the second best underlined. protocol: one line saying how
    the numbers were computed.
    """
    columns = [(dataset, metric) for dataset in table["dataset"].unique() for metric in METRIC_LABELS]
    cells = {(r["method"], r["dataset"], r["metric"]): r for r in table.to_dict("records")}
    emphasis = _emphasis(table)
    rows = []
    for method in table["method"].unique():
        found = [cells.get((method, *column)) for column in columns]
        rows.append(
            (
                method,
                [
                    Cell(_spread(r["mean"], r["sd"]), emphasis.get((method, *column), Emphasis.NONE))
                    if r
                    else Cell("–")
                    for r, column in zip(found, columns, strict=True)
                ],
            )
        )
        rows.append(("  95 % interval", [Cell(_interval(r) if r else "–") for r in found]))
        if any(r and not np.isnan(r["published_mean"]) for r in found):
            printed = [_spread(r["published_mean"], r["published_sd"], 2) if r else "–" for r in found]
            rows.append(("  published", [Cell(text) for text in printed]))
    first = [table[table["dataset"] == dataset].iloc[0] for dataset, _ in columns]
    footer = [
        ("Subjects × folds", [Cell(f"{r['n_subjects']} × {r['n_folds']}") for r in first]),
        ("Lesion prevalence [%]", [Cell(f"{100 * r['prevalence']:.2f}") for r in first]),
    ]
    return Layout(
        number="Table 1",
        title="Segmentation of lesions without supervision",
        stub="Method",
        groups=_groups(table, datasets, len(METRIC_LABELS)),
        columns=[METRIC_LABELS[metric] for _, metric in columns],
        rows=rows,
        footer=footer,
        note=f"{protocol} {TABLE1_NOTE}",
    )


def table2_layout(table: pd.DataFrame, datasets: Datasets) -> Layout:
    """Table 2 as the paper shows it: quantities down, datasets across, percent."""
    names = list(table["dataset"].unique())
    shown = {name: ["partial", "all"] for name in names}
    for name in names:
        if table.loc[table["dataset"] == name, "published_spearman"].notna().any():
            shown[name].insert(1, "published")
    records = {(r["quantity"], r["dataset"], r["patches"]): r for r in table.to_dict("records")}
    rows = []
    for quantity in QUANTITIES:
        cells = []
        for name in names:
            for column in shown[name]:
                if column == "published":
                    cells.append(Cell(_percent(records[quantity, name, "partial"]["published_spearman"], 0)))
                else:
                    r = records[quantity, name, column]
                    cells.append(Cell(f"{_percent(r['spearman'])} [{_interval(r)}]"))
        rows.append((QUANTITY_LABELS[quantity], cells))
    counts = []
    for name in names:
        for column in shown[name]:
            r = records["score", name, "partial" if column == "published" else column]
            counts.append(Cell("–" if column == "published" else f"{r['n_patches']} / {r['n_subjects']}"))
    groups = [
        (label, len(shown[name])) for (label, _), name in zip(_groups(table, datasets, 2), names, strict=True)
    ]
    columns = [column for name in names for column in shown[name]]
    return Layout(
        number="Table 2",
        title="Spearman correlation of lesion fraction and patch scores",
        stub="Quantity",
        groups=groups,
        columns=columns,
        rows=rows,
        footer=[("Patches / subjects", counts)],
        note=TABLE2_PROTOCOL,
    )


def cases(metrics: Mapping[tuple[str, str], Sequence[pd.DataFrame]], datasets: Datasets) -> pd.DataFrame:
    """Every lesion scan by itself, one row per method, dataset and subject, means over folds (columns: CASES_COLUMNS).

    metrics: {(method, dataset): one table of `evaluate.evaluate_scans` per fold}.
    """
    rows = []
    for (method, dataset), folds in metrics.items():
        means = pd.concat(folds).groupby("subject", sort=False).mean(numeric_only=True).reset_index()
        about = datasets[dataset]
        simulated = int(about["simulated"])
        rows.append(
            means.assign(method=method, dataset=dataset, modality=about["modality"], simulated=simulated)
        )
    return pd.concat(rows, ignore_index=True)[CASES_COLUMNS]


def write_table(table: pd.DataFrame, layout: Layout, csv: Path, markdown: Path, latex: Path) -> None:
    """Write the long table as CSV and its layout as Markdown and LaTeX."""
    write_csv(csv, table)
    write_text(markdown, to_markdown(layout))
    write_text(latex, to_latex(layout))


def dataset_label(name: str, simulated: bool, modality: str | None = None) -> str:
    """Name of a dataset for headings: with its modality and, when so, "(simulated)"."""
    label = f"{name}, {modality}" if modality else name
    return f"{label} (simulated)" if simulated else label


def _groups(table: pd.DataFrame, datasets: Datasets, span: int) -> list[tuple[str, int]]:
    first = table.drop_duplicates("dataset")
    return [
        (dataset_label(datasets[r["dataset"]]["title"], bool(r["simulated"]), r["modality"]), span)
        for r in first.to_dict("records")
    ]


def _emphasis(table: pd.DataFrame) -> dict[tuple[str, str, str], Emphasis]:
    """Best and second best of each column; equal values share a place, one method alone has none."""
    marks = {}
    for (dataset, metric), column in table.dropna(subset="mean").groupby(["dataset", "metric"], sort=False):
        if len(column) < 2:
            continue
        places = column["mean"].round(4).rank(method="min", ascending=False)
        for method, place in zip(column["method"], places, strict=True):
            if place <= 2:
                marks[method, dataset, metric] = Emphasis.BEST if place == 1 else Emphasis.SECOND
    return marks


def _percent(fraction: float, digits: int = 1) -> str:
    return "–" if np.isnan(fraction) else f"{100 * fraction:.{digits}f}"


def _spread(mean: float, sd: float, digits: int = 1) -> str:
    if np.isnan(mean) or np.isnan(sd):
        return _percent(mean, digits)
    return f"{_percent(mean, digits)} ± {_percent(sd, digits)}"


def _interval(record: Mapping[str, Any]) -> str:
    if np.isnan(record["ci_low"]):
        return "–"
    joint = " to " if record["ci_low"] < 0 else "–"
    return f"{_percent(record['ci_low'])}{joint}{_percent(record['ci_high'])}"
