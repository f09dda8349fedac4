"""Table 1: segmentation of lesions, beside the numbers that the paper printed."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pandas as pd

from patch2loc.configuration.method_names import (
    AS_PUBLISHED_SUFFIX,
    display_name,
    is_control,
    needs_truth,
)
from patch2loc.data.labels import Datasets, about_row
from patch2loc.metrics import summary
from patch2loc.metrics.names import METRICS, PAPER_METRICS
from patch2loc.tables.inputs import read_printed, subjects_in
from patch2loc.tables.layout import (
    NO_VALUE,
    Cell,
    Emphasis,
    Layout,
    Row,
    dataset_groups,
    interval,
    parts_by,
    percent,
    percent_heading,
    row_records,
    spread,
)
from patch2loc.tables.made import Made, by_method_and_dataset, settings_of
from patch2loc.tables.table1_notes import ANY, few_subjects, notes

TABLE1_COLUMNS = [
    "method",
    "dataset",
    "modality",
    "metric",
    *summary.COLUMNS,
    "n_listed",
    "prevalence",
    "control",
    "simulated",
    "published_mean",
    "published_sd",
    "published_n_subjects",
]
# Column of the metric by the name that the published numbers have.
PUBLISHED_METRICS = {METRICS[metric].printed_name: metric for metric in PAPER_METRICS}

NOT_RUN = pd.DataFrame({"metric": [], "n_subjects": []})  # summary of a method without metrics


def table1(
    summaries: Mapping[tuple[str, str], pd.DataFrame], datasets: Datasets, printed: pd.DataFrame
) -> pd.DataFrame:
    """All methods and datasets in long form.

    Args:
        summaries: {(method, dataset): table of `summary.summarize`}, in the order of the table.
        datasets: as tables describe them; published_name says which printed numbers are of the same data, if any, and
            n_listed how many subjects the list of a dataset has to be tested.
        printed: `inputs.read_printed` of table1.csv.

    Returns:
        Table of fractions with the columns TABLE1_COLUMNS. With printed numbers of any of the datasets, their methods
        come first, in the paper's order, and one that was not run has NaN, of no subjects and folds. A metric that no
        subject has (healthy scans) has no row.
    """
    published = _published(printed, datasets)
    run_methods = {method.casefold(): method for method, _ in summaries}
    published_methods = [
        run_methods.get(name, name) for name in dict.fromkeys(name for name, _, _ in published)
    ]
    rows = []
    for method in dict.fromkeys([*published_methods, *run_methods.values()]):
        for dataset in dict.fromkeys(dataset for _, dataset in summaries):
            by_metric = summaries.get((method, dataset), NOT_RUN)
            evaluated = {row["metric"]: row for row in row_records(by_metric[by_metric["n_subjects"] > 0])}
            printed_metrics = [
                metric for metric in PAPER_METRICS if (method.casefold(), dataset, metric) in published
            ]
            for metric in dict.fromkeys([*evaluated, *printed_metrics]):
                rows.append(
                    {
                        "n_subjects": 0,
                        "n_folds": 0,
                        **evaluated.get(metric, {}),
                        **about_row(dataset, datasets),
                        # Of any of a voxel, as of half: the printed numbers stand beside both.
                        **published.get((method.casefold(), dataset, metric.removesuffix(ANY)), {}),
                        "method": method,
                        "metric": metric,
                        "n_listed": datasets[dataset].get("n_listed", np.nan),
                        "control": int(is_control(method)),
                    }
                )
    return pd.DataFrame(rows, columns=TABLE1_COLUMNS)


def _published(printed: pd.DataFrame, datasets: Datasets) -> dict[tuple[str, str, str], dict[str, float]]:
    """Printed numbers of the datasets, {(method in lower case, dataset, metric): columns}, in the paper's order."""
    return {
        (row["method"].casefold(), dataset, PUBLISHED_METRICS[row["metric"]]): {
            "published_mean": row["mean_percent"] / 100,
            "published_sd": row["std_percent"] / 100,
            "published_n_subjects": row["n_subjects"],
        }
        for row in row_records(printed)
        for dataset, info in datasets.items()
        if info["published_name"] == row["dataset"]
    }


def table1_layout(table: pd.DataFrame, datasets: Datasets, protocol: str) -> Layout:
    """Table 1 as the paper shows it: methods down, datasets across, percent.

    Below each method are its 95 % interval and, for the paper's datasets, the numbers that the paper printed, preceded
    by ours of the nearest protocol where the table has them. The best of two or more methods is bold, the second best
    underlined; the control that is given the truth does not compete.

    Args:
        table: of `table1`.
        datasets: as tables describe them.
        protocol: one line that says how the numbers were computed.
    """
    columns = [(dataset, metric) for dataset in table["dataset"].unique() for metric in PAPER_METRICS]
    by_key = {(row["method"], row["dataset"], row["metric"]): row for row in row_records(table)}
    emphasis = _emphasis(table)
    published_methods = set(table.dropna(subset="published_mean")["method"])
    not_run = published_methods - set(table.dropna(subset="mean")["method"])
    blocks: dict[bool, list[Row]] = {True: [], False: []}  # rows of published methods, and of others
    for method in table["method"].unique():
        results = [by_key.get((method, *column)) for column in columns]
        marks = [emphasis.get((method, *column), Emphasis.NONE) for column in columns]
        means = [_text(result, _mean) for result in results]
        rows: list[Row] = []
        if method in not_run:
            rows.append((f"{display_name(method)} (not run)", [Cell(text) for text in means]))
        else:
            cells = [Cell(text, mark) for text, mark in zip(means, marks, strict=True)]
            rows.append((display_name(method), cells))
            rows.append(("  95 % interval", [Cell(_text(result, interval)) for result in results]))
        if method in published_methods:
            nearest = [_nearest(by_key, method, *column) for column in columns]
            if any(nearest):
                rows.append(("  nearest protocol", [Cell(_text(result, _mean)) for result in nearest]))
            rows.append(("  published", [Cell(_text(result, _published_mean)) for result in results]))
        blocks[method in published_methods] += rows
    headings = {True: "Rows of the paper's Table 1", False: "Further rows"} if all(blocks.values()) else {}
    first_rows = [_first_evaluated(table[table["dataset"] == dataset]) for dataset, _ in columns]
    footer = [
        ("Subjects × folds", [Cell(_subjects(row, datasets)) for row in first_rows]),
        ("Lesion prevalence [%]", [Cell(percent(row["prevalence"], 2)) for row in first_rows]),
    ]
    return Layout(
        number="Table 1",
        title="Segmentation of lesions without supervision",
        stub="Method",
        groups=dataset_groups(table, datasets, len(PAPER_METRICS)),
        columns=[percent_heading(metric) for _, metric in columns],
        rows=[
            row
            for published, block in blocks.items()
            for row in [*([(headings[published], [])] if headings else []), *block]
        ],
        footer=footer,
        note=" ".join([*few_subjects(table, datasets), protocol, *notes(table, datasets, not_run)]),
    )


def _text(result: dict[str, Any] | None, text: Callable[[dict[str, Any]], str]) -> str:
    return text(result) if result else NO_VALUE


def _mean(result: dict[str, Any]) -> str:
    return spread(result["mean"], result["sd"])


def _published_mean(result: dict[str, Any]) -> str:
    return spread(result["published_mean"], result["published_sd"], 2)


def _nearest(
    by_key: Mapping[tuple[str, str, str], dict[str, Any]], method: str, dataset: str, metric: str
) -> dict[str, Any] | None:
    """Result of a method by the protocol nearest to that of its published numbers; None where there are none."""
    result = by_key.get((method, dataset, metric))
    if result is None or np.isnan(result["published_mean"]):
        return None
    own = by_key.get((method, dataset, f"{metric}{ANY}"))
    return by_key.get((f"{method}{AS_PUBLISHED_SUFFIX}", dataset, f"{metric}{ANY}"), own)


def _first_evaluated(rows: pd.DataFrame) -> dict[str, Any]:
    """The first row of a dataset that a method has values in; without any, the first."""
    evaluated = rows[rows["n_subjects"] > 0]
    return row_records(evaluated if len(evaluated) else rows)[0]


def _subjects(row: Mapping[str, Any], datasets: Datasets) -> str:
    """Numbers of scored subjects, of listed ones if these are more or the paper has the dataset, and of folds."""
    scored, listed = row["n_subjects"], datasets[row["dataset"]].get("n_listed", row["n_subjects"])
    is_of_the_paper = datasets[row["dataset"]]["published_name"]
    count = f"{scored:,} of {listed:,}" if listed > scored or is_of_the_paper else f"{scored:,}"
    return f"{count} × {row['n_folds']}"


def _emphasis(table: pd.DataFrame) -> dict[tuple[str, str, str], Emphasis]:
    """Best and second best of each column: {(method, dataset, metric): emphasis}.

    Equal values share a rank; one method alone has none, nor has the truth.
    """
    emphasis = {}
    shown = table[table["metric"].isin(PAPER_METRICS)]
    competing = shown[~shown["method"].map(needs_truth)].dropna(subset="mean")
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


def make(inputs: Any, params: Any) -> Made:
    """Make the result; `plan.outputs` lists its inputs and parameters."""
    by_fold = by_method_and_dataset(inputs.metrics, params)
    summaries = {key: summary.summarize(metrics, params.seed) for key, metrics in by_fold.items()}
    table = table1(summaries, params.datasets, read_printed(inputs.published))
    return Made(
        table,
        table1_layout(table, params.datasets, params.protocol),
        subjects=subjects_in(by_fold),
        settings=settings_of(params, "seed", "folds", "protocol"),
        files=inputs.metrics,
        sources={"config/published/table1.csv": inputs.published},
    )
