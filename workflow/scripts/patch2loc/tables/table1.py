"""Table 1: segmentation of lesions, beside the numbers that the paper printed."""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from patch2loc.configuration.method_names import (
    display_name,
    is_as_published,
    is_calibrated,
    is_control,
    needs_truth,
)
from patch2loc.data.labels import Datasets, about_row
from patch2loc.metrics import summary
from patch2loc.metrics.names import METRICS, PAPER_METRICS
from patch2loc.tables.layout import (
    NO_VALUE,
    Cell,
    Emphasis,
    Layout,
    Row,
    dataset_groups,
    interval,
    parts_by,
    percent_heading,
    row_records,
    spread,
)

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
    "Oracle: the true share of lesion in the patch around a voxel, which needs the lesion mask; out of "
    "competition."
)


def table1(
    summaries: Mapping[tuple[str, str], pd.DataFrame], datasets: Datasets, printed: pd.DataFrame
) -> pd.DataFrame:
    """All methods and datasets in long form.

    Args:
        summaries: {(method, dataset): table of `summary.summarize`}, in the order of the table.
        datasets: as tables describe them; published_name says which printed numbers are of the same data, if any.
        printed: `inputs.read_printed` of table1.csv.

    Returns:
        Table of fractions with the columns TABLE1_COLUMNS. A metric that no subject has (healthy scans) has no row.
    """
    rows = []
    for (method, dataset), by_metric in summaries.items():
        printed_here = printed[
            (printed["method"].str.casefold() == method.casefold())
            & (printed["dataset"] == datasets[dataset]["published_name"])
        ]
        for row in row_records(by_metric[by_metric["n_subjects"] > 0]):
            match = printed_here[printed_here["metric"] == METRICS[row["metric"]].printed_name]
            mean, sd = match[["mean_percent", "std_percent"]].to_numpy()[0] if len(match) else (np.nan,) * 2
            rows.append(
                {
                    **row,
                    **about_row(dataset, datasets),
                    "method": method,
                    "control": int(is_control(method)),
                    "published_mean": mean / 100,
                    "published_sd": sd / 100,
                }
            )
    return pd.DataFrame(rows, columns=TABLE1_COLUMNS)


def table1_layout(table: pd.DataFrame, datasets: Datasets, protocol: str) -> Layout:
    """Table 1 as the paper shows it: methods down, datasets across, percent.

    Below each method are its 95 % interval and, for the paper's datasets, the numbers that the paper printed. The best
    of two or more methods is bold, the second best underlined; the control that is given the truth does not compete.

    Args:
        table: of `table1`.
        datasets: as tables describe them.
        protocol: one line that says how the numbers were computed.
    """
    columns = [(dataset, metric) for dataset in table["dataset"].unique() for metric in PAPER_METRICS]
    by_column = {(row["method"], row["dataset"], row["metric"]): row for row in row_records(table)}
    emphasis = _emphasis(table)
    rows: list[Row] = []
    for method in table["method"].unique():
        results = [by_column.get((method, *column)) for column in columns]
        rows.append(
            (
                display_name(method),
                [
                    Cell(
                        spread(result["mean"], result["sd"]),
                        emphasis.get((method, *column), Emphasis.NONE),
                    )
                    if result
                    else Cell(NO_VALUE)
                    for result, column in zip(results, columns, strict=True)
                ],
            )
        )
        intervals = [interval(result) if result else NO_VALUE for result in results]
        rows.append(("  95 % interval", [Cell(text) for text in intervals]))
        if any(result and not np.isnan(result["published_mean"]) for result in results):
            printed = [
                spread(result["published_mean"], result["published_sd"], 2) if result else NO_VALUE
                for result in results
            ]
            rows.append(("  published", [Cell(text) for text in printed]))
    concerned_methods = {
        CALIBRATED_NOTE: is_calibrated,
        AS_PUBLISHED_NOTE: is_as_published,
        CONTROL_NOTE: is_control,
        TRUTH_NOTE: needs_truth,
    }
    notes = [note for note, concerns in concerned_methods.items() if any(map(concerns, table["method"]))]
    first_rows = [table[table["dataset"] == dataset].iloc[0] for dataset, _ in columns]
    footer = [
        ("Subjects × folds", [Cell(f"{row['n_subjects']} × {row['n_folds']}") for row in first_rows]),
        ("Lesion prevalence [%]", [Cell(f"{100 * row['prevalence']:.2f}") for row in first_rows]),
    ]
    return Layout(
        number="Table 1",
        title="Segmentation of lesions without supervision",
        stub="Method",
        groups=dataset_groups(table, datasets, len(PAPER_METRICS)),
        columns=[percent_heading(metric) for _, metric in columns],
        rows=rows,
        footer=footer,
        note=" ".join([protocol, TABLE1_NOTE, *notes]),
    )


def _emphasis(table: pd.DataFrame) -> dict[tuple[str, str, str], Emphasis]:
    """Best and second best of each column: {(method, dataset, metric): emphasis}.

    Equal values share a rank; one method alone has none, nor has the truth.
    """
    emphasis = {}
    competing = table[~table["method"].map(needs_truth)].dropna(subset="mean")
    for dataset, dataset_rows in parts_by(competing, "dataset"):
        for metric, column in parts_by(dataset_rows, "metric"):
            if len(column) < 2:
                continue
            ascending = not METRICS[metric].higher_is_better
            ranks = column["mean"].round(4).rank(method="min", ascending=ascending)
            for method, rank in zip(column["method"], ranks, strict=True):
                if rank <= 2:
                    emphasis[method, dataset, metric] = Emphasis.BEST if rank == 1 else Emphasis.SECOND
    return emphasis
