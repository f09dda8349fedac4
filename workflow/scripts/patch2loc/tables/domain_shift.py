"""Domain shift: location error in healthy tissue of cohorts and scanners other than those of the training.

A patch that is hard to locate is called abnormal. So a model that misplaces the healthy tissue of a scanner that it was
not trained on calls all of that tissue abnormal.
"""

from collections.abc import Mapping, Sequence

import pandas as pd

from patch2loc.configuration.method_names import display_name
from patch2loc.data.labels import Datasets, about_row, label_of
from patch2loc.metrics.location_error import healthy_location_errors
from patch2loc.metrics.resampling import bootstrap_interval
from patch2loc.tables.inputs import FoldTables
from patch2loc.tables.layout import NO_VALUE, Cell, Layout, Row, parts_by

FAR = 1.5  # times the reference, above which a scan is far from the training scans
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


def domain_shift_table(patches: FoldTables, datasets: Datasets, training: Mapping[str, str]) -> pd.DataFrame:
    """Location error of every scan by itself, beside that of healthy test scans of the training cohort.

    Args:
        patches: tables of patches of methods that predict locations (columns subject, lesion_fraction, and
            location_error in percent of the grid).
        datasets: with the `role` and the `sites` of each, {subject: site}.
        training: {modality: the dataset that its models are trained on}; its test scans are the reference.

    Returns:
        Table with the columns COLUMNS, methods and datasets in the order given, scans in sorted order.
        location_error: mean over the patches of a scan without lesion, then over folds. reference: median of it over
        the healthy test scans of the modality. ratio: of both. far: 1 where the ratio is above FAR, else 0. A scan
        without such a patch has no row.
    """
    errors = {key: _location_errors(folds) for key, folds in patches.items()}
    rows = []
    for (method, dataset), by_subject in errors.items():
        info = datasets[dataset]
        reference = errors[method, training[info["modality"]]].median()
        for subject, error in by_subject.items():
            ratio = error / reference
            rows.append(
                {
                    "method": method,
                    **about_row(dataset, datasets),
                    "role": info["role"],
                    "site": info["sites"].get(str(subject), ""),
                    "subject": subject,
                    "location_error": error,
                    "reference": reference,
                    "ratio": ratio,
                    "far": int(ratio > FAR),
                }
            )
    return pd.DataFrame(rows, columns=COLUMNS)


def _location_errors(patches_by_fold: Sequence[pd.DataFrame]) -> pd.Series:
    """Mean location error of each subject's patches without lesion, averaged over folds, by subject."""
    return pd.concat(map(healthy_location_errors, patches_by_fold), axis=1).mean(axis=1).sort_index()


def domain_shift_layout(table: pd.DataFrame, datasets: Datasets, seed: int = 0) -> Layout:
    """Layout of a `domain_shift_table`: datasets under each method, and sites where a dataset has several."""
    rows: list[Row] = []
    for method, method_rows in parts_by(table, "method"):
        rows.append((display_name(method), []))
        for dataset, scans in parts_by(method_rows, "dataset"):
            rows.append((f"  {label_of(datasets[dataset])}", _cells(scans, seed)))
            sites = scans[scans["site"] != ""].groupby("site")
            if len(sites) > 1:
                rows += [(f"    {site}", _cells(site_scans, seed)) for site, site_scans in sites]
    return Layout(
        number="Domain shift",
        title="Healthy tissue of other cohorts and scanners",
        stub="Dataset",
        groups=[("Scans", 1), ("Location error [% of the grid]", 2), ("Against the training cohort", 2)],
        columns=["number", "mean", "95 % interval", "times the reference", "far"],
        rows=rows,
        note=NOTE,
    )


def _cells(scans: pd.DataFrame, seed: int) -> list[Cell]:
    """Cells of one row: number of scans, location error with its interval, ratio, and number of scans that are far."""
    low, high = bootstrap_interval(scans["location_error"].to_numpy(), seed)
    return [
        Cell(str(len(scans))),
        Cell(f"{scans['location_error'].mean():.1f}"),
        Cell(f"{low:.1f} to {high:.1f}" if len(scans) > 1 else NO_VALUE),
        Cell(f"{scans['ratio'].mean():.1f}"),
        Cell(f"{scans['far'].sum()} of {len(scans)}"),
    ]


def domain_shift_warnings(table: pd.DataFrame, datasets: Datasets) -> list[str]:
    """Warnings for readers of the numbers, one for each dataset with scans that are far from the training scans.

    Args:
        table: of `domain_shift_table`, of which only the rows of patch2loc count, the paper's recipe.
        datasets: as tables describe them.
    """
    warnings = []
    for dataset, scans in parts_by(table[table["method"] == "patch2loc"], "dataset"):
        far = scans[scans["far"] == 1]
        if len(far):
            warnings.append(
                f"{datasets[dataset]['title']}: {len(far)} of {len(scans)} scans are far from the training scans. "
                f"Their healthy tissue is misplaced {far['ratio'].mean():.1f} times as much as that of the median "
                "healthy test scan, so high scores may come from the scanner or the preprocessing, not from lesions "
                "(table Domain shift)."
            )
    return warnings
