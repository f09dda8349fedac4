"""Ablations: change of AUPRC, location error and cost of each variant; curves over patches and subjects."""

from collections.abc import Callable, Iterator
from itertools import product
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from patch2loc.configuration.method_names import display_name
from patch2loc.data.labels import Datasets, label_of
from patch2loc.figures.style import PAGE_WIDTH, RC
from patch2loc.tables.ablations import ablation_layout, ablation_table, joined, training_of
from patch2loc.tables.inputs import read_folds, subjects_in
from patch2loc.tables.layout import parts_by, row_records
from patch2loc.tables.made import Made, settings_of
from patch2loc.tables.trainings import read_trainings

METRIC = "auprc"
ROW = 0.3  # inches of a row, and for each dataset beyond the third a share of it
CURVES = 2.3  # inches of the curves
SPREAD = 0.7  # of a row, that its datasets share
LINE: dict[str, Any] = {"linewidth": 1.0, "markersize": 3.5}
MARKERS = "os"  # of modalities
NEUTRAL = "0.25"  # what is of a modality, not of a dataset
Colors = dict[str, tuple[float, float, float]]
Markers = dict[str, str]


@mpl.rc_context(RC)
def ablation_figure(table: pd.DataFrame, datasets: Datasets) -> Figure:
    """Each variant against its method, and curves over what several variants change.

    Above: difference of AUPRC in each dataset with its 95 % interval over scans and trainings; location error, mean
    and standard deviation over trainings; beside it the processor seconds of a training.  Both are of a modality, which
    has its marker where there are several.  Below, of the first method, where there are at least two widths of patches
    or numbers of subjects: AUPRC against the width of a patch, and against this width over the diameter of the lesions
    where a dataset has lesions of one size; location error against the number of training subjects.

    Args:
        table: Of `tables.ablations.ablation_table`.
        datasets: Their descriptions.
    """
    rows = table[table["metric"] == METRIC]
    names = list(rows["dataset"].unique())
    markers = _markers(rows)
    colors = dict(zip(names, mpl.color_sequences["tab10"] * (1 + len(names) // 10), strict=False))
    curves = list(_curves(rows))
    height = ROW * rows["method"].nunique() * max(1, len(names) / 3) + 0.9
    figure = Figure(figsize=(PAGE_WIDTH, height + (CURVES if curves else 0)), layout="constrained")
    parts: Any = figure.subfigures(2, 1, height_ratios=[height, CURVES]) if curves else (figure, None)
    above, below = parts
    change, error = above.subplots(1, 2, sharey=True, width_ratios=[2, 1])
    _draw_changes(change, rows, colors, markers)
    _draw_errors(error, rows, markers)
    if below is not None:
        panels = np.atleast_1d(below.subplots(1, len(curves)))
        for panel, (draw, part) in zip(panels, curves, strict=True):
            draw(panel, part, colors, markers)
    labels = [(colors[name], markers[datasets[name]["modality"]], label_of(datasets[name])) for name in names]
    if len(markers) > 1:
        labels += [(NEUTRAL, marker, f"location error, {modality}") for modality, marker in markers.items()]
    handles = [
        mpl.lines.Line2D([], [], color=color, marker=marker, label=label, **LINE)
        for color, marker, label in labels
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=min(2, len(handles)))
    return figure


def _draw_changes(panel: Axes, rows: pd.DataFrame, colors: Colors, markers: Markers) -> None:
    methods = list(rows["method"].unique())
    offsets = dict(zip(colors, _offsets(len(colors)), strict=False))
    for record in row_records(rows):
        y = methods.index(record["method"]) + offsets[record["dataset"]]
        panel.plot(
            [100 * record["ci_low"], 100 * record["ci_high"]],
            [y, y],
            color=colors[record["dataset"]],
            linewidth=1.0,
        )
        panel.plot(
            100 * record["difference"],
            y,
            marker=markers[record["modality"]],
            color=colors[record["dataset"]],
            markersize=3.5,
        )
    panel.axvline(0, color="0.3", linewidth=0.6)
    labels = rows.drop_duplicates("method")
    panel.set_yticks(
        range(len(methods)),
        [_label(each["method"], each["changes"]) for each in row_records(labels)],
    )
    panel.set_ylim(len(methods) - 0.5, -0.5)
    panel.set_xlabel("change of AUPRC, percentage points")
    _guides(panel, len(methods))


def _draw_errors(panel: Axes, rows: pd.DataFrame, markers: Markers) -> None:
    offsets = dict(zip(markers, _offsets(len(markers)), strict=True))
    for place, (_, trained) in enumerate(parts_by(_of_trainings(rows), "method")):
        for record in row_records(trained):
            panel.errorbar(
                record["location_error_mm"],
                place + offsets[record["modality"]],
                xerr=np.nan_to_num(record["location_error_mm_sd"]),
                marker=markers[record["modality"]],
                color=NEUTRAL,
                **LINE,
            )
        panel.annotate(
            _costs(trained, markers),
            (1.0, place),
            xycoords=("axes fraction", "data"),
            ha="right",
            va="bottom" if len(markers) == 1 else "center",
            fontsize=5.5,
            color="0.35",
        )
    panel.set_xlabel("location error, mm; cost")
    panel.margins(x=0.25)
    _guides(panel, rows["method"].nunique())


def _curves(rows: pd.DataFrame) -> Iterator[tuple[Callable[..., None], pd.DataFrame]]:
    """Curves, and what each is drawn of: the first method, and its variants that change one setting alone."""
    first = rows[rows["base"] == rows["base"].iloc[0]] if len(rows) else rows
    first = first.assign(relative_width=first["patch_mm"] / first["lesion_diameter_mm"])
    for key, setting, column, draw in (
        ("patch_mm", "patch_mm", "patch_mm", _draw_patches),
        ("patch_mm", "patch_mm", "relative_width", _draw_relative_patches),
        ("subjects", "training_subjects", "training_subjects", _draw_subjects),
    ):
        alone = first["changes"].str.fullmatch(rf"{key} [^,]+") | (first["method"] == first["base"])
        part = first[alone & first[column].notna()].sort_values(column)
        if part[setting].nunique() > 1:
            yield draw, part


def _draw_patches(panel: Axes, rows: pd.DataFrame, colors: Colors, markers: Markers) -> None:
    _draw_detection(panel, rows, "patch_mm", colors, markers)
    panel.set(xlabel="width of a patch, mm", ylabel="AUPRC, %", xticks=sorted(rows["patch_mm"].unique()))
    _costs_above(panel, rows, "patch_mm", markers)


def _draw_relative_patches(panel: Axes, rows: pd.DataFrame, colors: Colors, markers: Markers) -> None:
    _draw_detection(panel, rows, "relative_width", colors, markers)
    panel.set_xscale("log", base=2)
    panel.xaxis.set_major_formatter("{x:g}")
    panel.axvline(1, color="0.8", linewidth=0.6, zorder=0)
    panel.set(xlabel="width of a patch over diameter of a lesion", ylabel="AUPRC, %")


def _draw_detection(panel: Axes, rows: pd.DataFrame, column: str, colors: Colors, markers: Markers) -> None:
    """AUPRC of each dataset, with its interval."""
    for dataset, part in parts_by(rows, "dataset"):
        ends = 100 * np.abs(part[["mean_low", "mean_high"]].to_numpy().T - part["mean"].to_numpy())
        panel.errorbar(
            part[column],
            100 * part["mean"],
            yerr=np.nan_to_num(ends),
            marker=markers[part["modality"].iloc[0]],
            color=colors[dataset],
            **LINE,
        )
    panel.set_ylim(bottom=0)


def _draw_subjects(panel: Axes, rows: pd.DataFrame, colors: Colors, markers: Markers) -> None:
    panel.set_xscale("log")
    for modality, part in parts_by(_of_trainings(rows), "modality"):
        spread = np.nan_to_num(part["location_error_mm_sd"])
        panel.errorbar(
            part["training_subjects"],
            part["location_error_mm"],
            yerr=spread,
            marker=markers[modality],
            color=NEUTRAL,
            **LINE,
        )
    counts = sorted(rows["training_subjects"].unique())
    panel.set_xticks(counts, [f"{count:g}" for count in counts])
    panel.minorticks_off()
    panel.set(xlabel="training subjects", ylabel="location error, mm")
    _costs_above(panel, rows, "training_subjects", markers)


def _costs_above(panel: Axes, rows: pd.DataFrame, column: str, markers: Markers) -> None:
    """Cost of a training over each point."""
    for _, trained in parts_by(_of_trainings(rows), "method"):
        panel.annotate(
            _costs(trained, markers),
            (trained[column].iloc[0], 1.0),
            xycoords=("data", "axes fraction"),
            ha="center",
            va="bottom",
            fontsize=5.5,
            color="0.35",
        )


def _label(method: str, changes: str) -> str:
    """Name of a row, and what it changes, in lines."""
    return "\n".join(filter(None, [display_name(method), *changes.replace(" and ", ",\n").split(", ")]))


def _markers(rows: pd.DataFrame) -> Markers:
    modalities = list(rows["modality"].unique())
    return dict(zip(modalities, MARKERS[: len(modalities)], strict=True))


def _of_trainings(rows: pd.DataFrame) -> pd.DataFrame:
    """One row of each method and modality, which what is of trainings, not of scored datasets, is the same in."""
    return rows.drop_duplicates(["method", "modality"])


def _costs(trained: pd.DataFrame, markers: Markers) -> str:
    """Processor seconds of a method's training, in a line for each modality, named where there are several."""
    return "\n".join(
        f"{record['modality']}: {cost}" if len(markers) > 1 else cost
        for record in row_records(trained)
        if (cost := _seconds(record["processor_seconds"]))
    )


def _seconds(seconds: float) -> str:
    return "" if np.isnan(seconds) else f"{seconds:,.0f} s"


def _offsets(count: int) -> np.ndarray:
    """Places of datasets within a row, from its middle."""
    return SPREAD * ((np.arange(count) + 0.5) / count - 0.5)


def _guides(panel: Axes, rows: int) -> None:
    for between in range(1, rows):
        panel.axhline(between - 0.5, color="0.9", linewidth=0.5, zorder=0)


def make(inputs: Any, params: Any) -> Made:
    """Make the result; `plan.outputs` lists its inputs and parameters."""
    metrics = read_folds(inputs.metrics, product(params.rows, params.datasets), len(params.folds))
    trainings = {
        model: [training_of(history, record) for record, history in folds]
        for model, folds in read_trainings(inputs, params, params.trained).items()
    }
    for name, parts in params.combinations.items():
        for modality in params.modalities:
            together = zip(*(trainings[part, modality] for part in parts), strict=True)
            trainings[name, modality] = [joined(each) for each in together]
    table = ablation_table(metrics, params.rows, trainings, params.datasets, params.seed)
    return Made(
        table,
        ablation_layout(table, params.datasets, params.protocol),
        ablation_figure(table, params.datasets),
        subjects=subjects_in(metrics),
        settings=settings_of(params, "seed", "folds", "protocol"),
        files=[*inputs.metrics, *inputs.models, *inputs.histories],
    )
