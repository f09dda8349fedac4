"""Learning curve: loss, likelihood, location error, predicted variance and learning rate by the number of batches."""

from typing import Any

import matplotlib as mpl
import pandas as pd
from matplotlib.figure import Figure

from patch2loc.data.labels import dataset_label
from patch2loc.figures.style import ABNORMAL, NORMAL, PAGE_WIDTH, RC
from patch2loc.tables.made import Made


@mpl.rc_context(RC)
def learning_curve(title: str, history: pd.DataFrame) -> Figure:
    """Loss, likelihood, location error, log-variance, learning rate and speed of one training; the kept step is marked.

    Args:
        title: of the figure.
        history: columns as `patch2loc.network.training.train` returns them; those of validation are empty in rows
            without one.
    """
    figure = Figure(figsize=(PAGE_WIDTH, 4.0), layout="constrained")
    (loss, nll, error), (variance, rate, speed) = figure.subplots(2, 3)
    figure.suptitle(title, fontsize=8.5)
    mark = "." if len(history) < 60 else ""
    validated = history.dropna(subset=["validation_nll"])
    loss.plot(history["step"], history["training_loss"], color="0.45", marker=mark, label="training")
    loss.plot(validated["step"], validated["validation_loss"], color=NORMAL, marker=mark, label="validation")
    nll.plot(validated["step"], validated["validation_nll"], color=NORMAL, marker=mark)
    error.plot(validated["step"], validated["validation_error_mm"], color=NORMAL, marker=mark)
    variance.plot(validated["step"], validated["validation_log_variance"], color=NORMAL, marker=mark)
    rate.plot(history["step"], history["learning_rate"], color="0.45", marker=mark)
    speed.plot(history["step"], history["patches_per_second"], color="0.45", marker=mark)
    if (history["learning_rate"] > 0).all():
        rate.set_yscale("log")
    if len(validated):
        kept = validated.iloc[int(validated["validation_nll"].argmin())]
        for axes in (loss, nll, error, variance):
            axes.axvline(kept["step"], color=ABNORMAL, linewidth=0.8, linestyle="--")
        nll.plot(kept["step"], kept["validation_nll"], "o", color=ABNORMAL, markersize=4)
        nll.set_title(f"kept: step {int(kept['step']):,}")
        error.plot(kept["step"], kept["validation_error_mm"], "o", color=ABNORMAL, markersize=4)
        error.set_title(f"{kept['validation_error_mm']:.1f} mm, {kept['validation_error']:.1f} % of the grid")
    error.set_ylim(bottom=0)
    speed.set_ylim(bottom=0)
    loss.set_title(f"{int(history['patches'].iloc[-1]):,} patches seen")
    loss.set_ylabel("beta-NLL loss")
    loss.legend()
    nll.set_ylabel("validation NLL [nats]")
    error.set_ylabel("mean location error [mm]")
    variance.set_ylabel("mean log-variance [log %²]")
    rate.set_ylabel("learning rate")
    speed.set_ylabel("patches a second")
    for axes in figure.axes:
        axes.set_xlabel("step [batches]")
    return figure


def make(inputs: Any, params: Any) -> Made:
    """The figure of a training."""
    title = dataset_label(f"Training, fold {params.fold}", params.simulated, params.modality)
    return Made(figure=learning_curve(title, pd.read_csv(inputs.history)))
