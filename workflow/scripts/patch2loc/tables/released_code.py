"""What the choices of the released code change: bisected best Dice, background at 0."""

import pandas as pd

from patch2loc.configuration.method_names import shown
from patch2loc.data.labels import Datasets, about_row, dataset_heading
from patch2loc.metrics.summary import subject_means
from patch2loc.tables.comparison import ByFold, mean_difference, paired_differences
from patch2loc.tables.layout import METRIC_NAMES, Cell, Layout, interval, percent, signed_percent

# Column of a variant and the measure that it varies.
VARIANTS = {
    "best_dice_bisection": "best_dice",
    "best_dice_background_zero": "best_dice",
    "auprc_background_zero": "auprc",
}
VARIANT_NAMES = {
    "best_dice_bisection": "ten steps of bisection",
    "best_dice_background_zero": "background at 0",
    "auprc_background_zero": "background at 0",
}
VARIANT_COLUMNS = [
    "method",
    "dataset",
    "modality",
    "metric",
    "variant",
    "mean",
    "mean_protocol",
    "difference",
    "ci_low",
    "ci_high",
    "n_subjects",
    "n_folds",
    "simulated",
]
VARIANT_NOTE = (
    "What the released code's choices change, one at a time. Ten steps of bisection: best Dice searched between 0 and "
    "the highest score. Background at 0: all of the grid outside the brain is ranked, too, with score 0. Difference: "
    "variant less protocol, in percentage points, mean over scans, with its 95 % bootstrap interval."
)


def variant_table(variants: ByFold, datasets: Datasets, seed: int = 0) -> pd.DataFrame:
    """The released code's choices beside the protocol, in long form, fractions (columns: VARIANT_COLUMNS).

    variants: {(method, dataset): one table per fold, as `evaluate.Evaluation.variants`}.
    mean, mean_protocol: over subjects, each averaged over folds. difference: of variant less protocol.
    """
    rows = []
    for (method, dataset), folds in variants.items():
        for variant, metric in VARIANTS.items():
            varied, protocol = subject_means(folds, variant), subject_means(folds, metric)
            if len(varied):
                row = {"method": method, "metric": metric, "variant": variant, "n_folds": len(folds)}
                row |= {"mean": varied.mean(), "mean_protocol": protocol.mean()}
                row |= mean_difference(paired_differences(varied, protocol), seed)
                rows.append(row | about_row(dataset, datasets))
    return pd.DataFrame(rows, columns=VARIANT_COLUMNS)


def variant_layout(table: pd.DataFrame, datasets: Datasets, protocol: str) -> Layout:
    """The variants to be read: methods and variants under each dataset. protocol: how the numbers were computed."""
    rows = []
    for dataset, part in table.groupby("dataset", sort=False):
        rows.append((dataset_heading(dataset, datasets, part["n_subjects"].max()), []))
        for r in part.to_dict("records"):
            cells = [percent(r["mean_protocol"], 2), percent(r["mean"], 2)]
            cells += [signed_percent(r["difference"], 2), interval(r, 2)]
            label = f"  {shown(r['method'])}, {METRIC_NAMES[r['metric']]}, {VARIANT_NAMES[r['variant']]}"
            rows.append((label, [Cell(text) for text in cells]))
    return Layout(
        number="Variants",
        title="What the released code's choices change",
        stub="Method, measure, variant",
        groups=[("Mean [%]", 2), ("Difference", 2)],
        columns=["protocol", "variant", "mean", "95 % interval"],
        rows=rows,
        note=f"{protocol} {VARIANT_NOTE}",
    )
