"""Table 2: correlation of a patch's lesion fraction with its scores, beside the numbers that the paper printed."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
import pandas as pd

from patch2loc.data.labels import Datasets, about_row
from patch2loc.metrics.correlation import QUANTITIES, lesion_correlations, partial_patches
from patch2loc.tables.inputs import read_folds, read_printed, subjects_in
from patch2loc.tables.layout import (
    NO_VALUE,
    Cell,
    Layout,
    Row,
    dataset_groups,
    interval,
    percent,
    row_records,
)
from patch2loc.tables.made import Made, settings_of

COLUMNS = [
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
Correlation = Literal["both", "partial", "all"]
QUANTITY_LABELS = {"log_error": "Log-error", "log_variance": "Log-variance", "score": "Score"}
PROTOCOL = (
    "Spearman correlation (percent) of a patch's lesion fraction with its scores; partial: patches of "
    "10–90 % lesion; all: every patch. Mean over folds. In brackets the 95 % bootstrap "
    "interval over subjects and folds."
)
PUBLISHED_NOTE = (
    "Published numbers stand beside both choices of patches: the paper's text says partial, its released code "
    "correlates over all."
)


def table2(
    patches: Mapping[str, Sequence[pd.DataFrame]],
    datasets: Datasets,
    printed: pd.DataFrame,
    seed: int = 0,
    *,
    correlation: Correlation = "both",
) -> pd.DataFrame:
    """Correlations of lesion fraction and scores (`correlation.lesion_correlations`), in long form.

    Args:
        patches: {dataset: one patch table per fold}.
        datasets: as tables describe them; published_name says which printed numbers are of the same data, if any.
        printed: `inputs.read_printed` of table2.csv.
        seed: of the bootstrap.
        correlation: the patches that it is of.

    Returns:
        Table of fractions with the columns COLUMNS. patches: "partial" (10-90 % lesion) or "all".
    """
    rows = []
    for dataset, folds in patches.items():
        printed_here = printed[printed["dataset"] == datasets[dataset]["published_name"]]
        printed_spearman = printed_here.set_index("quantity")["spearman_percent"] / 100
        selections = {"partial": [partial_patches(fold) for fold in folds], "all": folds}
        for selection, selected in selections.items():
            if correlation not in ("both", selection):
                continue
            for row in row_records(lesion_correlations(selected, seed)):
                rows.append(
                    {
                        **row,
                        **about_row(dataset, datasets),
                        "patches": selection,
                        "n_folds": len(folds),
                        # The paper's text says partial, its released code takes all.
                        "published_spearman": printed_spearman.get(row["quantity"], np.nan),
                    }
                )
    return pd.DataFrame(rows, columns=COLUMNS)


def table2_layout(table: pd.DataFrame, datasets: Datasets) -> Layout:
    """Table 2 as the paper shows it: quantities down, datasets across, percent."""
    names = list(table["dataset"].unique())
    columns = [(name, column) for name in names for column in _columns(table[table["dataset"] == name])]
    results = {(row["quantity"], row["dataset"], row["patches"]): row for row in row_records(table)}
    rows: list[Row] = []
    for quantity in QUANTITIES:
        texts = []
        for name, column in columns:
            if column == "published":
                selection = "partial" if "partial" in table["patches"].to_numpy() else "all"
                texts.append(percent(results[quantity, name, selection]["published_spearman"], 0))
            else:
                result = results[quantity, name, column]
                texts.append(f"{percent(result['spearman'])} [{interval(result)}]")
        rows.append((QUANTITY_LABELS[quantity], [Cell(text) for text in texts]))
    counts = []
    for name, column in columns:
        if column == "published":
            counts.append(NO_VALUE)
        else:
            result = results["score", name, column]
            counts.append(f"{result['n_patches']} / {result['n_subjects']}")
    names_of_columns = [name for name, _ in columns]
    groups = [
        (label, names_of_columns.count(name))
        for (label, _), name in zip(dataset_groups(table, datasets, 2), names, strict=True)
    ]
    return Layout(
        number="Table 2",
        title="Spearman correlation of lesion fraction and patch scores",
        stub="Quantity",
        groups=groups,
        columns=[column for _, column in columns],
        rows=rows,
        footer=[("Patches / subjects", [Cell(text) for text in counts])],
        note=f"{PROTOCOL} {PUBLISHED_NOTE}" if table["published_spearman"].notna().any() else PROTOCOL,
    )


def _columns(table: pd.DataFrame) -> list[str]:
    """Columns of a dataset, with the printed numbers where it has any."""
    first, *second = (name for name in ("partial", "all") if name in table["patches"].to_numpy())
    published = ["published"] if table["published_spearman"].notna().any() else []
    return [first, *published, *second]  # published between the two


def make(inputs: Any, params: Any) -> Made:
    """Make the result; `plan.outputs` lists its inputs and parameters."""
    patches = read_folds(inputs.patches, params.datasets, len(params.folds), pd.read_parquet)
    printed = read_printed(inputs.published)
    table = table2(patches, params.datasets, printed, params.seed, correlation=params.correlation)
    return Made(
        table,
        table2_layout(table, params.datasets),
        subjects=subjects_in(patches),
        settings=settings_of(params, "seed", "correlation"),
        files=inputs.patches,
        sources={"config/published/table2.csv": inputs.published},
    )
