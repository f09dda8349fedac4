"""Names of the metrics of one scan: column, label, unit and direction, for tables, figures and the report."""

from dataclasses import dataclass
from typing import Literal

Unit = Literal["fraction", "% of grid", "ml", "s", "score"]  # "score": of the method, whatever its scale


@dataclass(frozen=True)
class Metric:
    """A metric of one scan.

    Attributes:
        column: its name in result tables, such as metrics/{method}/{dataset}/fold{fold}.csv.
        label: its name in figures and in the report.
        unit: of the values in result tables.
        higher_is_better: None for a property of the scan and of the method's scale, which has no better or worse.
        heading: its name over a column of a table, where that is not the label.
        printed_name: its name among the numbers that the paper printed (config/published/table1.csv), if it is there.
    """

    column: str
    label: str
    unit: Unit = "fraction"
    higher_is_better: bool | None = None
    heading: str = ""
    printed_name: str | None = None

    @property
    def column_heading(self) -> str:
        """Name over a column of a table."""
        return self.heading or self.label

    @property
    def label_with_unit(self) -> str:
        """Its label, with the unit of what has one: "time [s]"."""
        return self.label if self.unit in ("fraction", "score") else f"{self.label} [{self.unit}]"


# In the order of the columns of evaluated subjects.  Some labels lean on the column before theirs.
METRICS = {
    metric.column: metric
    for metric in (
        Metric("auprc", "AUPRC", higher_is_better=True, printed_name="auprc"),
        Metric("best_dice", "best Dice", higher_is_better=True, heading="Dice", printed_name="dice"),
        Metric("best_threshold", "its threshold", unit="score"),
        Metric("auroc", "AUROC", higher_is_better=True),
        Metric("prevalence", "lesion prevalence"),
        # The truth behind the printed numbers is by any of a voxel, too.
        Metric("auprc_any", "AUPRC, truth by any", higher_is_better=True, printed_name="auprc"),
        Metric("best_dice_any", "best Dice, truth by any", higher_is_better=True, printed_name="dice"),
        Metric("prevalence_any", "lesion prevalence, truth by any"),
        Metric("lesion_ml", "lesion", unit="ml"),
        Metric("lesion_ml_outside", "of it outside brain or grid", unit="ml"),
        Metric("mean_score_healthy", "mean score, healthy tissue", unit="score"),
        Metric("mean_score_lesion", "mean score, lesion", unit="score"),
        Metric("auroc_healthy", "AUROC against healthy scans", higher_is_better=True),
        Metric(
            "location_error",
            "location error",
            unit="% of grid",
            higher_is_better=False,
            heading="Location error",
        ),
        Metric("seconds", "time", unit="s", higher_is_better=False),
    )
}
# The metrics of the paper's Table 1, in its order.
PAPER_METRICS = ("best_dice", "auprc")
