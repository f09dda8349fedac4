"""Parts of the score as detectors, over subjects and trainings, each beside the whole score of the run."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from patch2loc.data.labels import Datasets, about_row, dataset_heading
from patch2loc.metrics import summary
from patch2loc.metrics.names import METRICS, PAPER_METRICS
from patch2loc.metrics.parts import BIN, PARTS, SETTING, Setting, of_setting
from patch2loc.tables.comparison import mean_difference, paired_differences
from patch2loc.tables.inputs import FoldTables
from patch2loc.tables.layout import (
    NO_VALUE,
    Cell,
    Layout,
    Row,
    interval,
    number,
    parts_by,
    percent,
    row_records,
    signed_percent,
)

KEYS = [*SETTING, "metric", *BIN]  # of a row in one dataset
DIFFERENCE = ("difference", "difference_ci_low", "difference_ci_high")
COLUMNS = [
    "method",
    "dataset",
    "modality",
    *KEYS,
    *summary.COLUMNS,
    *DIFFERENCE,
    "seconds",
    "patches",
    "device",
    "simulated",
]
LABELS = {"score": "score", "log_error": "log-error", "log_variance": "log-variance"}
NOTE = (
    "All rows of a training are of one network. The score is the sum of log-error and log-variance; epsilon "
    "(percent squared) is added to the squared error, and the log-variance has none. Rows differ from the score of the "
    "run, the first one, in the part, and in one setting at most; parts.csv has all combinations, and the scores of "
    "healthy scans by the distance from the brain's edge. Differences: from the first row, on the same scans, in "
    "percentage points. Intervals: 95 % BCa bootstrap over scans and trainings (folds and seeds). Seconds a scan: of "
    "the predictions, the interpolation and the filter, measured ({device}); predictions are made around the brain as "
    "far as the widest filter reaches."
)


def parts_table(
    parts: FoldTables, datasets: Datasets, own: Mapping[str, Setting], seed: int = 0
) -> pd.DataFrame:
    """Every measure of every part and setting, in long form.

    Args:
        parts: Of each method and dataset, one table per training, a fold or seed, as `evaluate.parts.analyze_parts`
            writes it.
        datasets: As tables describe them.
        own: The score that the run evaluates, by dataset.
        seed: Of the bootstrap.

    Returns:
        Table with the columns COLUMNS, in the order of PARTS and growing settings. difference: from the measure of
        `own`, with its interval, over the same subjects and folds. seconds, patches: means over folds of the means over
        scans.
    """
    rows: list[dict[str, Any]] = []
    for (method, dataset), folds in parts.items():
        of_dataset = {"method": method, **about_row(dataset, datasets), "device": _devices(folds)}
        by_key = _by_key(folds)
        own_values = {
            key[len(SETTING) :]: summary.subjects_by_folds(tables, "value")
            for key, tables in by_key.items()
            if key[: len(SETTING)] == own[dataset]
        }
        for key, tables in by_key.items():
            values = summary.subjects_by_folds(tables, "value")
            paired = mean_difference(paired_differences(values, own_values[key[len(SETTING) :]]), seed)
            cost = {
                name: np.mean([fold[name].mean() for fold in tables if len(fold)])
                for name in ("seconds", "patches")
            }
            found = (paired["difference"], paired["ci_low"], paired["ci_high"])
            rows.append(
                {
                    **of_dataset,
                    **dict(zip(KEYS, key, strict=True)),
                    **summary.summary_of(tables, "value", seed),
                    **dict(zip(DIFFERENCE, found, strict=True)),
                    **cost,
                }
            )
    return pd.DataFrame(rows, columns=COLUMNS).astype(dict.fromkeys(["epsilon", *BIN], float))


def _by_key(folds: Sequence[pd.DataFrame]) -> dict[tuple[Any, ...], list[pd.DataFrame]]:
    """Rows of each fold by KEYS, NaN as None, in the order of PARTS and growing settings."""
    together = pd.concat([table.assign(fold=fold) for fold, table in enumerate(folds)])
    found = {}
    for key, rows in together.groupby(KEYS, sort=False, dropna=False):
        by_fold = [rows[rows["fold"] == fold] for fold in range(len(folds))]
        found[tuple(None if value != value else value for value in key)] = by_fold
    return dict(sorted(found.items(), key=lambda item: _place(item[0])))


def _place(key: tuple[Any, ...]) -> tuple[Any, ...]:
    part, *settings, metric, low, _ = key
    numbers = [-1.0 if value is None else value for value in (*settings, low)]
    return PARTS.index(part), *numbers[:-1], metric, numbers[-1]


def _devices(folds: Sequence[pd.DataFrame]) -> str:
    names = {f"{device}, {precision}" for fold in folds for device, precision in _computed_on(fold)}
    return "; ".join(sorted(names))


def _computed_on(fold: pd.DataFrame) -> Iterator[tuple[str, str]]:
    return fold[["device", "precision"]].drop_duplicates().itertuples(index=False, name=None)


def shown_settings(table: pd.DataFrame, own: Setting) -> list[Setting]:
    """The run's own score, its parts, and each part with one setting changed, in the order of tables and figures."""
    parts = [own._replace(part=part) for part in PARTS]
    changed = [
        part._replace(**{column: value})
        for column in SETTING[1:]
        for value in sorted(table[column].dropna().unique())
        if value != getattr(own, column)
        for part in parts
        if (part.part, column) != ("log_variance", "epsilon")
    ]
    return [*parts, *changed]


def parts_layout(
    table: pd.DataFrame, datasets: Datasets, own: Mapping[str, Setting], protocol: str
) -> Layout:
    """Layout of a `parts_table`: settings under each lesion dataset.

    Args:
        table: The table.
        datasets: As tables describe them.
        own: The score that the run evaluates, by dataset.
        protocol: How the numbers were computed.
    """
    of_lesions = table[table["metric"].isin(PAPER_METRICS)]
    rows: list[Row] = []
    for dataset, part in parts_by(of_lesions, "dataset"):
        rows.append((dataset_heading(dataset, datasets, part["n_subjects"].max()), []))
        for setting in shown_settings(part, own[dataset]):
            by_metric = {row["metric"]: row for row in row_records(part[of_setting(part, setting)])}
            cells = [cell for metric in PAPER_METRICS for cell in _cells(by_metric[metric])]
            cost = by_metric[PAPER_METRICS[0]]
            seconds = number(cost["seconds"], 1 if cost["seconds"] >= 10 else 2)
            rows.append(
                (
                    f"  {_label(setting, own[dataset])}",
                    [*cells, Cell(seconds), Cell(f"{cost['patches']:,.0f}")],
                )
            )
    return Layout(
        number="Parts",
        title="What the score is made of",
        stub="Part and setting",
        groups=[*((f"{METRICS[metric].column_heading} [%]", 4) for metric in PAPER_METRICS), ("A scan", 2)],
        columns=[*["mean", "95 % interval", "difference", "95 % interval"] * 2, "seconds", "patches"],
        rows=rows,
        note=f"{protocol} {NOTE.format(device='; '.join(table['device'].unique()))}",
    )


def _label(setting: Setting, own: Setting) -> str:
    """Part, and what differs from the run's own settings; of its own score all settings."""
    if setting == own:
        return f"score (epsilon {own.epsilon:g}, median filter {own.median_filter}, stride {own.stride}): the run's"
    changed = [
        f"{column.replace('_', ' ')} {getattr(setting, column):g}"
        for column in SETTING[1:]
        if getattr(setting, column) != getattr(own, column)
    ]
    return ", ".join([LABELS[setting.part], *changed])


def _cells(record: Mapping[str, Any]) -> list[Cell]:
    """Mean and difference of a metric, each with its interval."""
    _, low, high = DIFFERENCE
    paired = {"ci_low": record[low], "ci_high": record[high]}
    texts = (
        percent(record["mean"]),
        interval(record),
        signed_percent(record["difference"]),
        interval(paired) if record["difference"] else NO_VALUE,
    )
    return [Cell(text) for text in texts]
