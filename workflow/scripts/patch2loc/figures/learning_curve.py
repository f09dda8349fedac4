"""Learning curve: loss, location error, predicted variance and learning rate against the number of batches."""

import matplotlib as mpl
import pandas as pd
from matplotlib.figure import Figure

from patch2loc.figures.style import ABNORMAL, NORMAL, PAGE_WIDTH, RC


@mpl.rc_context(RC)
def learning_curve(title: str, history: pd.DataFrame) -> Figure:
    """Loss, location error, log-variance and learning rate of one training, with its best step marked.

    Args:
        title: of the figure.
        history: columns as `patch2loc.network.training.train` returns them; those of validation are empty in rows
            without one.
    """
    figure = Figure(figsize=(PAGE_WIDTH, 4.0), layout="constrained")
    (loss, error), (variance, rate) = figure.subplots(2, 2)
    figure.suptitle(title, fontsize=8.5)
    mark = "." if len(history) < 60 else ""
    validated = history.dropna(subset=["validation_loss"])
    loss.plot(history["step"], history["training_loss"], color="0.45", marker=mark, label="training")
    loss.plot(validated["step"], validated["validation_loss"], color=NORMAL, marker=mark, label="validation")
    error.plot(validated["step"], validated["validation_error_mm"], color=NORMAL, marker=mark)
    variance.plot(validated["step"], validated["validation_log_variance"], color=NORMAL, marker=mark)
    rate.plot(history["step"], history["learning_rate"], color="0.45", marker=mark)
    if (history["learning_rate"] > 0).all():
        rate.set_yscale("log")
    if len(validated):
        best = validated.iloc[int(validated["validation_loss"].argmin())]
        for axes in (loss, error, variance):
            axes.axvline(best["step"], color=ABNORMAL, linewidth=0.8, linestyle="--")
        error.plot(best["step"], best["validation_error_mm"], "o", color=ABNORMAL, markersize=4)
        error.set_title(
            f"best step {int(best['step']):,}: {best['validation_error_mm']:.1f} mm, "
            f"{best['validation_error']:.1f} % of the grid"
        )
    error.set_ylim(bottom=0)
    loss.set_title(f"{int(history['patches'].iloc[-1]):,} patches seen")
    loss.set_ylabel("beta-NLL loss")
    loss.legend()
    error.set_ylabel("mean location error [mm]")
    variance.set_ylabel("mean log-variance [log %²]")
    rate.set_ylabel("learning rate")
    rate.set_title(f"{history['patches_per_second'].median():,.0f} patches a second")
    for axes in (loss, error, variance, rate):
        axes.set_xlabel("step [batches]")
    return figure
