"""Results by the site that a scan comes from."""

from collections.abc import Mapping, Sequence

import pandas as pd

from patch2loc.configuration.method_names import shown
from patch2loc.data.labels import Datasets, about_row, dataset_heading
from patch2loc.metrics import summary
from patch2loc.tables.layout import METRIC_NAMES, Cell, Layout, interval, percent

MEASURES = ("best_dice", "auprc", "location_error")
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
    "95 % bootstrap intervals over scans. The interval of a few scans says little, and one scan has none. Location "
    "error: of patches without lesion, percent of the grid; Patch2Loc and its variants only. A dash: no value."
)


def site_table(
    metrics: Mapping[tuple[str, str], Sequence[pd.DataFrame]], datasets: Datasets, seed: int = 0
) -> pd.DataFrame:
    """Every method, dataset, site and measure in long form (columns: COLUMNS).

    metrics: {(method, dataset): one table of metrics, as of `evaluate.evaluate_scans`, per fold}.  datasets: as for
    all tables, and `sites` of each: {subject: site}. Sites in sorted order. Fractions; location_error is in percent of
    the grid. Measures that no subject of a site has, as Dice of healthy scans, give no row.
    """
    rows = []
    for (method, dataset), folds in metrics.items():
        located = [fold.assign(site=fold["subject"].map(datasets[dataset]["sites"])) for fold in folds]
        for site in sorted(set(pd.concat(located)["site"].dropna())):
            chosen = [fold[fold["site"] == site] for fold in located]
            named = {"method": method, "site": site} | about_row(dataset, datasets)
            rows += [named | row for row in summary.measure_rows(chosen, MEASURES, seed)]
    return pd.DataFrame(rows, columns=COLUMNS)


def site_layout(table: pd.DataFrame, datasets: Datasets, protocol: str) -> Layout:
    """The table to be read: methods under each dataset and site. protocol: how the numbers were computed."""
    rows = []
    for (dataset, site), part in table.groupby(["dataset", "site"], sort=False):
        named = {**datasets[dataset], "title": f"{datasets[dataset]['title']}, {site}"}
        rows.append((dataset_heading(dataset, {dataset: named}, part["n_subjects"].max()), []))
        for method, found in part.groupby("method", sort=False):
            records = found.set_index("metric").to_dict("index")
            cells = [cell for metric in MEASURES for cell in _cells(records.get(metric), metric)]
            rows.append((f"  {shown(method)}", cells))
    return Layout(
        number="By site",
        title="Results by site",
        stub="Method",
        groups=[(METRIC_NAMES.get(metric, "Location error"), 2) for metric in MEASURES],
        columns=["mean [%]", "95 % interval"] * len(MEASURES),
        rows=rows,
        note=f"{protocol} {NOTE}",
    )


def _cells(record: Mapping[str, float] | None, metric: str) -> list[Cell]:
    """Mean and interval of a measure in percent."""
    if record is None:
        return [Cell("–"), Cell("–")]
    scale = 0.01 if metric == "location_error" else 1.0  # that is in percent already
    fractions = {name: scale * record[name] for name in ("mean", "ci_low", "ci_high")}
    return [Cell(percent(fractions["mean"])), Cell(interval(fractions))]
