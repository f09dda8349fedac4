"""Transfer: how well healthy tissue is placed in scans of other cohorts and scanners than those of the training.

A patch that is hard to place is called abnormal, so a model that misplaces the healthy tissue of a scanner it has never
seen calls all of it abnormal.
"""

from collections.abc import Mapping, Sequence

import pandas as pd

from patch2loc.configuration.method_names import shown
from patch2loc.data.labels import Datasets, about_row, label_of
from patch2loc.metrics import summary
from patch2loc.metrics.location_error import healthy_location_errors
from patch2loc.tables.layout import Cell, Layout

FAR = 1.5  # times the reference: a scan that is misplaced more is far from the training scans
COLUMNS = [
    "method",
    "dataset",
    "modality",
    "simulated",
    "role",
    "site",
    "subject",
    "location_error",
    "reference",
    "ratio",
    "far",
]
NOTE = (
    "Location error in patches without lesion, percent of the grid; of scans without lesion truth in all "
    "patches. Means over scans and folds, with 95 % bootstrap intervals over scans. Reference: the median healthy test "
    f"scan of the training cohort. Far: scans with more than {FAR:g} times the reference; their scores say less of "
    "lesions than of the scanner."
)


def transfer_table(
    patches: Mapping[tuple[str, str], Sequence[pd.DataFrame]], datasets: Datasets, training: Mapping[str, str]
) -> pd.DataFrame:
    """Every scan by itself, methods and datasets in the order given, scans in sorted order (columns: COLUMNS).

    patches: {(method, dataset): one table per fold, columns subject, lesion_fraction and location_error (percent of the
    grid)}, of methods that predict locations.
    datasets: as for all tables, and `role` ("healthy", "lesion" or "unlabeled") and `sites` ({subject: site}) of each.
    training: {modality: the dataset that its models learn from}; patches of its test scans are the reference.
    location_error: mean over the patches without lesion of a scan, then over folds.  reference: median of it over the
    healthy test scans of the modality.  ratio: of both.  far: 1 where the ratio is above FAR, else 0.
    A scan without such a patch has no row.
    """
    errors = {key: _errors(folds) for key, folds in patches.items()}
    rows = []
    for (method, name), of_scans in errors.items():
        about = datasets[name]
        reference = errors[method, training[about["modality"]]].median()
        for subject, error in of_scans.items():
            ratio = error / reference
            measured = {"location_error": error, "reference": reference, "ratio": ratio}
            site = about["sites"].get(subject, "")
            named = {"method": method, "role": about["role"], "site": site, "subject": subject}
            rows.append(named | about_row(name, datasets) | measured | {"far": int(ratio > FAR)})
    return pd.DataFrame(rows, columns=COLUMNS)


def _errors(patches_by_fold: Sequence[pd.DataFrame]) -> pd.Series:
    """Mean location error of each subject's patches without lesion, averaged over folds, by subject."""
    return pd.concat(map(healthy_location_errors, patches_by_fold), axis=1).mean(axis=1).sort_index()


def transfer_layout(table: pd.DataFrame, datasets: Datasets, seed: int = 0) -> Layout:
    """The table to be read: under each method its datasets, and their sites where there are several."""
    rows = []
    for method, of_method in table.groupby("method", sort=False):
        rows.append((shown(method), []))
        for dataset, of_dataset in of_method.groupby("dataset", sort=False):
            rows.append((f"  {label_of(datasets[dataset])}", _cells(of_dataset, seed)))
            sites = of_dataset[of_dataset["site"] != ""].groupby("site")
            if len(sites) > 1:
                rows += [(f"    {site}", _cells(of_site, seed)) for site, of_site in sites]
    return Layout(
        number="Transfer",
        title="Healthy tissue of other cohorts and scanners",
        stub="Dataset",
        groups=[("Scans", 1), ("Location error [% of the grid]", 2), ("Against the training cohort", 2)],
        columns=["number", "mean", "95 % interval", "times the reference", "far"],
        rows=rows,
        note=NOTE,
    )


def _cells(rows: pd.DataFrame, seed: int) -> list[Cell]:
    low, high = summary.bootstrap_interval(rows["location_error"].to_numpy(), seed)
    said = f"{low:.1f} to {high:.1f}" if len(rows) > 1 else "–"
    return [
        Cell(str(len(rows))),
        Cell(f"{rows['location_error'].mean():.1f}"),
        Cell(said),
        Cell(f"{rows['ratio'].mean():.1f}"),
        Cell(f"{rows['far'].sum()} of {len(rows)}"),
    ]


def transfer_warnings(table: pd.DataFrame, datasets: Datasets) -> list[str]:
    """What a reader has to know before the numbers: a sentence for each dataset with scans far from the training.

    table: of `transfer_table`, of which the rows of patch2loc count, the paper's recipe.
    """
    found = []
    for dataset, rows in table[table["method"] == "patch2loc"].groupby("dataset", sort=False):
        far = rows[rows["far"] == 1]
        if len(far):
            found.append(
                f"{datasets[dataset]['title']}: {len(far)} of {len(rows)} scans are far from the training scans. Their "
                f"healthy tissue is misplaced {far['ratio'].mean():.1f} times as much as that of the median healthy "
                "test scan, so high scores may come from the scanner or the preprocessing, not from lesions (table "
                "Transfer)."
            )
    return found
