"""Table 2: correlation of a patch's lesion fraction with its scores, beside what the paper printed."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from patch2loc.data.labels import Datasets, about_row
from patch2loc.metrics.correlation import QUANTITIES, lesion_correlations, partial_patches
from patch2loc.tables.layout import Cell, Layout, dataset_groups, interval, percent

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
QUANTITY_LABELS = {"log_error": "Log-error", "log_variance": "Log-variance", "score": "Score"}
PROTOCOL = (
    "Spearman correlation (percent) of a patch's lesion fraction with its scores; partial: patches of "
    "10–90 % lesion, the paper's choice. Mean over folds. In brackets the 95 % bootstrap "
    "interval over subjects."
)


def table2(
    patches: Mapping[str, Sequence[pd.DataFrame]], datasets: Datasets, published: pd.DataFrame, seed: int = 0
) -> pd.DataFrame:
    """Correlations of lesion fraction and scores, in long form, fractions (columns: COLUMNS).

    patches: {dataset: one patch table per fold}. The numbers are those of `correlation.lesion_correlations`.
    patches column: "partial" (10-90 % lesion) or "all".
    """
    rows = []
    for dataset, folds in patches.items():
        printed = published[published["dataset"] == datasets[dataset]["published_name"]]
        printed = printed.set_index("quantity")["spearman_percent"] / 100
        for chosen in ("partial", "all"):
            used = [partial_patches(fold) if chosen == "partial" else fold for fold in folds]
            beside = printed if chosen == "partial" else {}
            rows += [
                found
                | about_row(dataset, datasets)
                | {"patches": chosen, "n_folds": len(folds)}
                | {"published_spearman": beside.get(found["quantity"], np.nan)}
                for found in lesion_correlations(used, seed).to_dict("records")
            ]
    return pd.DataFrame(rows, columns=COLUMNS)


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
                    cells.append(Cell(percent(records[quantity, name, "partial"]["published_spearman"], 0)))
                else:
                    r = records[quantity, name, column]
                    cells.append(Cell(f"{percent(r['spearman'])} [{interval(r)}]"))
        rows.append((QUANTITY_LABELS[quantity], cells))
    counts = []
    for name in names:
        for column in shown[name]:
            r = records["score", name, "partial" if column == "published" else column]
            counts.append(Cell("–" if column == "published" else f"{r['n_patches']} / {r['n_subjects']}"))
    groups = [
        (label, len(shown[name]))
        for (label, _), name in zip(dataset_groups(table, datasets, 2), names, strict=True)
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
        note=PROTOCOL,
    )
