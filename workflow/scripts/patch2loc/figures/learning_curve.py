"""How training went: loss, location error and learning rate against the number of batches."""

import matplotlib as mpl
import pandas as pd
from matplotlib.figure import Figure

from patch2loc.figures.style import ABNORMAL, NORMAL, PAGE_WIDTH, RC


@mpl.rc_context(RC)
def learning_curve(title: str, history: pd.DataFrame) -> Figure:
    """Loss, validation error and learning rate of one training, with its best step marked.

    history: columns step (batches so far), patches (so far), training_loss, validation_loss (beta-NLL),
    validation_error (mean Euclidean distance, percent of the grid), learning_rate. Rows without a
    validation leave those columns empty.
    """
    figure = Figure(figsize=(PAGE_WIDTH, 2.1), layout="constrained")
    loss, error, rate = figure.subplots(1, 3)
    figure.suptitle(title, fontsize=8.5)
    mark = "." if len(history) < 60 else ""
    validated = history.dropna(subset=["validation_loss"])
    loss.plot(history["step"], history["training_loss"], color="0.45", marker=mark, label="training")
    loss.plot(validated["step"], validated["validation_loss"], color=NORMAL, marker=mark, label="validation")
    error.plot(validated["step"], validated["validation_error"], color=NORMAL, marker=mark)
    rate.plot(history["step"], history["learning_rate"], color="0.45", marker=mark)
    if (history["learning_rate"] > 0).all():
        rate.set_yscale("log")
    if len(validated):
        best = validated.loc[validated["validation_loss"].idxmin()]
        loss.axvline(best["step"], color=ABNORMAL, linewidth=0.8, linestyle="--")
        error.axvline(best["step"], color=ABNORMAL, linewidth=0.8, linestyle="--")
        error.plot(best["step"], best["validation_error"], "o", color=ABNORMAL, markersize=4)
        error.set_title(f"best step {int(best['step']):,}: error {best['validation_error']:.1f} %")
    error.set_ylim(bottom=0)
    loss.set_title(f"{int(history['patches'].iloc[-1]):,} patches seen")
    loss.set_ylabel("beta-NLL loss")
    loss.legend()
    error.set_ylabel("location error [% of grid]")
    rate.set_ylabel("learning rate")
    for axes in (loss, error, rate):
        axes.set_xlabel("step [batches]")
    return figure
