"""Cost: AUPRC against the time of training and the time of scoring one scan."""

from collections.abc import Hashable, Mapping, Sequence
from datetime import datetime
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedFormatter, FixedLocator, NullLocator

from patch2loc.configuration.method_names import base_method
from patch2loc.data.labels import label_of
from patch2loc.figures.method_styles import (
    MethodStyle,
    marker_handle,
    method_legend,
    method_styles,
    note_no_lesion,
    rows_of_two,
)
from patch2loc.figures.style import RC
from patch2loc.metrics.summary import summary_of
from patch2loc.tables.made import Made, by_method_and_dataset
from patch2loc.tables.trainings import read_trainings

UNITS = ("patches", "slices")  # that training counts
CLOCK = 0.01  # seconds: scoring times are written to two digits
TICKS = {  # by seconds
    0.01: "0.01 s",
    0.1: "0.1 s",
    1: "1 s",
    10: "10 s",
    60: "1 min",
    600: "10 min",
    3600: "1 h",
    36_000: "10 h",
    345_600: "4 days",
    3_456_000: "40 days",
}
COLUMNS = ("training_seconds", "scoring_seconds")


def training_seconds(record: Mapping[str, Any], history: pd.DataFrame) -> float:
    """Wall time of one training, in seconds.

    The larger of two times: from the last start of the job to its end, and that of all batches, which is longer for
    a training that was interrupted and resumed.

    Args:
        record: the model's provenance, with its keys started and finished (ISO 8601).
        history: columns patches and patches_per_second, or slices and slices_per_second; neither for a method that is
            not trained in steps.
    """
    started, finished = (datetime.fromisoformat(record[key]) for key in ("started", "finished"))
    batches = 0.0
    for unit in UNITS:
        if {unit, f"{unit}_per_second"} <= set(history):
            counts, rates = history[[unit, f"{unit}_per_second"]].to_numpy(float).T
            batches = float(np.sum(np.diff(counts, prepend=0.0) / rates))
    return max((finished - started).total_seconds(), batches)


def cost_table(
    metrics: Mapping[str, Sequence[pd.DataFrame]], training: Mapping[str, Sequence[float]], seed: int = 0
) -> pd.DataFrame:
    """One row per method of a dataset: method, mean, ci_low, ci_high (AUPRC), training_seconds, scoring_seconds.

    Times are means over folds and scans. A calibrated score has the times of the score it comes from.

    Args:
        metrics: {evaluated method: one table of metrics per fold}.
        training: {configured method: seconds of the training of every fold}.
        seed: of the bootstrap.
    """
    rows = []
    for method, folds in metrics.items():
        auprc = summary_of(folds, "auprc", seed)
        rows.append(
            {
                "method": method,
                **{key: auprc[key] for key in ("mean", "ci_low", "ci_high")},
                "training_seconds": float(np.mean(training[base_method(method)])),
                "scoring_seconds": float(np.mean([fold["seconds"].mean() for fold in folds])),
            }
        )
    return pd.DataFrame(rows)


def devices_line(devices: Mapping[str, str]) -> str:
    """Line that names the methods trained on each device, such as "Trained on cpu: thresh, zscore".

    Args:
        devices: {method: device}.
    """
    parts = [
        f"{device}: {', '.join(method for method in devices if devices[method] == device)}"
        for device in sorted(set(devices.values()))
    ]
    return f"Trained on {'; '.join(parts)}"


@mpl.rc_context(RC)
def cost_figure(rows: Sequence[tuple[str, pd.DataFrame]], methods: Sequence[str], devices: str) -> Figure:
    """One row per dataset: mean AUPRC against training time and against scoring time per scan.

    Bars are 95 % bootstrap intervals over scans and folds.

    Args:
        rows: (title, table as `cost_table` returns it), from the top.
        methods: every evaluated method, in the order of colors.
        devices: line below the panels.
    """
    styles = method_styles(methods)
    figure, panels = rows_of_two([title for title, _ in rows], row_height=1.4)
    for column, seconds in enumerate(COLUMNS):
        limits = _limits(pd.concat([table[seconds] for _, table in rows]))
        for (_, table), row in zip(rows, panels, strict=True):
            panel = row[column]
            evaluated = table.dropna(subset=["mean"])
            for record in evaluated.to_dict("records"):
                _draw(panel, record, record[seconds], styles[record["method"]])
            if evaluated.empty:
                note_no_lesion(panel)
            top = evaluated[["mean", "ci_high"]].max().max()
            panel.set_ylim(0, min(1.02, 1.15 * top) if top > 0 else 1)
            panel.set(xscale="log", xlim=limits, ylabel="mean AUPRC")
            ticks = {place: label for place, label in TICKS.items() if limits[0] <= place <= limits[1]}
            panel.xaxis.set_major_locator(FixedLocator(list(ticks)))
            panel.xaxis.set_major_formatter(FixedFormatter(list(ticks.values())))
            panel.xaxis.set_minor_locator(NullLocator())
            panel.grid(axis="x", color="0.9", linewidth=0.6)
            panel.set_axisbelow(True)
    for panel, label in zip(panels[-1], ("training, wall time", "scoring, wall time per scan"), strict=True):
        panel.set_xlabel(label)
    figure.supxlabel(devices, fontsize=6.5, color="0.3")
    method_legend(figure, [marker_handle(style) for style in styles.values()])
    return figure


def _limits(seconds: pd.Series) -> tuple[float, float]:
    """Axis limits: the ticks below and above all times."""
    places = np.array(list(TICKS))
    low, high = (seconds.clip(lower=CLOCK).agg(extreme) for extreme in ("min", "max"))
    below, above = places[places <= low / 1.3], places[places >= high * 1.3]
    return float(below[-1] if len(below) else low / 2), float(above[0] if len(above) else high * 2)


def _draw(panel: Axes, record: Mapping[Hashable, float], seconds: float, style: MethodStyle) -> None:
    x = max(seconds, CLOCK)
    if np.isfinite(record["ci_low"]):
        panel.plot(
            [x, x],
            [record["ci_low"], record["ci_high"]],
            color=style.color,
            linewidth=style.width,
            zorder=style.order,
        )
    panel.plot(
        x,
        record["mean"],
        marker=style.marker,
        markersize=style.size,
        color=style.color,
        linestyle="",
        clip_on=False,
        zorder=style.order,
    )


def make(inputs: Any, params: Any) -> Made:
    """Make the result; `plan.outputs` lists its inputs and parameters."""
    trained_methods = list(dict.fromkeys(map(base_method, params.methods)))
    trainings = read_trainings(inputs, params, trained_methods)
    seconds = {model: [training_seconds(*each) for each in folds] for model, folds in trainings.items()}
    metrics = by_method_and_dataset(inputs.metrics, params)
    rows = []
    for name, info in params.datasets.items():
        of_methods = {method: metrics[method, name] for method in params.methods}
        of_trainings = {method: seconds[method, info["modality"]] for method in trained_methods}
        rows.append((label_of(info), cost_table(of_methods, of_trainings, params.seed)))
    devices = {method: folds[0][0]["device"] for (method, _), folds in trainings.items()}
    return Made(figure=cost_figure(rows, params.methods, devices_line(devices)))
