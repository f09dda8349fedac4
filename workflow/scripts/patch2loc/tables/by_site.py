"""Results by the site that a scan comes from."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from patch2loc.configuration.method_names import display_name
from patch2loc.data.labels import Datasets, about_row, dataset_heading
from patch2loc.data.vocabulary import DatasetInfo
from patch2loc.metrics import summary
from patch2loc.metrics.names import METRICS, PAPER_METRICS
from patch2loc.tables.inputs import FoldTables, with_detections
from patch2loc.tables.layout import NO_VALUE, Cell, Layout, Row, interval, parts_by, percent, row_records
from patch2loc.tables.made import Made, made_over_subjects

FALSE_POSITIVES = "false_positive_ml"
SITE_METRICS = (*PAPER_METRICS, "location_error", FALSE_POSITIVES)
COLUMNS = [
    "method",
    "dataset",
    "modality",
    "site",
    "metric",
    *summary.COLUMNS,
    "simulated",
]
NOTE = (
    "Scans by the site that the dataset's list names; scans without one are left out. Means over scans and folds, with "
    "95 % bootstrap intervals over both. The interval of a few scans says little, and one scan has none. Location "
    "error: of patches without lesion, percent of the grid; Patch2Loc and its variants only. False positives: volume "
    "without lesion above the score that 1 % of the voxels of the healthy validation scans of all sites exceed. A "
    "dash: no value."
)


def site_table(
    metrics: FoldTables, at_thresholds: FoldTables, datasets: Datasets, seed: int = 0
) -> pd.DataFrame:
    """Summary of every method, dataset, site and metric, in long form.

    Args:
        metrics: of each method and dataset, as `evaluate.subjects.Evaluation.metrics`.
        at_thresholds: the same, as `evaluate.subjects.Evaluation.at_thresholds`.
        datasets: with the `sites` of each, {subject: site}.
        seed: of the bootstrap.

    Returns:
        Table with the columns COLUMNS, sites in sorted order. Fractions; location_error is in percent of the grid,
        false_positive_ml in ml. A metric that no subject of a site has, such as Dice of healthy scans, has no row.
    """
    rows = []
    for (method, dataset), of_scans in metrics.items():
        folds = with_detections(of_scans, at_thresholds[method, dataset], [FALSE_POSITIVES])
        site_of = datasets[dataset]["sites"]
        with_site = [fold.assign(site=fold["subject"].map(site_of)) for fold in folds]
        for site in sorted(set(pd.concat(with_site)["site"].dropna())):
            site_folds = [fold[fold["site"] == site] for fold in with_site]
            keys = {"method": method, "site": site, **about_row(dataset, datasets)}
            rows += [{**keys, **row} for row in summary.metric_summaries(site_folds, SITE_METRICS, seed)]
    return pd.DataFrame(rows, columns=COLUMNS)


def site_layout(table: pd.DataFrame, datasets: Datasets, protocol: str) -> Layout:
    """Layout of a `site_table`: methods under each dataset and site. protocol: how the numbers were computed."""
    rows: list[Row] = []
    for keys, part in table.groupby(["dataset", "site"], sort=False):
        dataset, site = map(str, keys)
        info: DatasetInfo = {**datasets[dataset], "title": f"{datasets[dataset]['title']}, {site}"}
        rows.append((dataset_heading(dataset, {dataset: info}, part["n_subjects"].max()), []))
        for method, summaries in parts_by(part, "method"):
            by_metric = {row["metric"]: row for row in row_records(summaries)}
            cells = [cell for metric in SITE_METRICS for cell in _cells(by_metric.get(metric), metric)]
            rows.append((f"  {display_name(method)}", cells))
    return Layout(
        number="By site",
        title="Results by site",
        stub="Method",
        groups=[(_heading(metric), 2) for metric in SITE_METRICS],
        columns=[
            name
            for metric in SITE_METRICS
            for name in (f"mean [{'ml' if metric == FALSE_POSITIVES else '%'}]", "95 % interval")
        ],
        rows=rows,
        note=f"{protocol} {NOTE}",
    )


def _heading(metric: str) -> str:
    return "False positives" if metric == FALSE_POSITIVES else METRICS[metric].column_heading


def _cells(record: Mapping[str, Any] | None, metric: str) -> list[Cell]:
    """Mean and interval of a metric: fractions in percent, others as they are."""
    if record is None:
        return [Cell(NO_VALUE), Cell(NO_VALUE)]
    scale = 1.0 if metric in PAPER_METRICS else 0.01
    fractions = {name: scale * record[name] for name in ("mean", "ci_low", "ci_high")}
    return [Cell(percent(fractions["mean"])), Cell(interval(fractions))]


def make(inputs: Any, params: Any) -> Made:
    """Make the result; `plan.outputs` lists its inputs and parameters."""
    kinds = ("metrics", "at_thresholds")
    return made_over_subjects(inputs, params, site_table, site_layout, kinds=kinds)
