"""Picture of a training that runs: losses, the measure that weights are kept by, and the location error so far."""

import math

import matplotlib as mpl
import pandas as pd
from matplotlib.figure import Figure

from patch2loc.figures.style import ABNORMAL, NORMAL, PAGE_WIDTH, RC

LOSS, ERROR = "validation_loss", "validation_error_mm"
LABELS = {LOSS: "loss", ERROR: "mean location error [mm]", "validation_nll": "validation NLL [nats]"}


@mpl.rc_context(RC)
def training_progress(title: str, table: pd.DataFrame, *, unit: str, kept_by: str) -> Figure:
    """Draw the curves of a training up to now; what the weights that are kept so far reach is marked.

    Args:
        title: Of the figure.
        table: As of `watching.record.TrainingRecord.table`: rows of a history, with `steps`, of the whole training.
        unit: Column of what the network has seen, e.g. "patches".
        kept_by: Column by whose least value weights are kept.
    """
    validated, last = table.dropna(subset=["training_loss"]), table.iloc[-1]
    measures = [measure for measure in dict.fromkeys((LOSS, kept_by, ERROR)) if measure in table]
    comparable = validated[validated[kept_by].abs() < math.inf]
    mark = "." if len(validated) < 60 else ""
    figure = Figure(figsize=(PAGE_WIDTH, 2.5), layout="constrained")
    figure.suptitle(title, fontsize=8.5)
    for axes, measure in zip(figure.subplots(1, len(measures), squeeze=False)[0], measures, strict=True):
        if measure == LOSS:
            axes.plot(
                validated[unit], validated["training_loss"], color="0.45", marker=mark, label="training"
            )
        axes.plot(validated[unit], validated[measure], color=NORMAL, marker=mark, label="validation")
        if len(comparable):
            kept = comparable.iloc[int(comparable[kept_by].argmin())]
            axes.plot(
                kept[unit], kept[measure], "o", color=ABNORMAL, markersize=4, label="kept", clip_on=False
            )
            axes.set_title(f"kept: {kept[measure]:.4g} at {kept[unit]:,.0f} {unit}")
        axes.set_ylabel(LABELS.get(measure, measure.replace("_", " ")))
        axes.set_xlabel(f"{unit} seen")
        axes.set_xlim(0, last[unit] / last["step"] * last["steps"])
    figure.axes[0].legend()
    return figure
