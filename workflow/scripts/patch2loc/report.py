"""The report of a run: one HTML file that holds everything it shows and asks nothing of a network."""

import base64
import html
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from matplotlib.image import imread, imsave

from patch2loc.errors import InputError
from patch2loc.files import write_text

TEMPLATE = "report_template.html.j2"
MOST_SCANS = 60
THUMBNAIL_WIDTH = 520
METRIC_LABELS = {
    "method": "method",
    "dataset": "dataset",
    "fold": "fold",
    "subject": "subject",
    "auprc": "AUPRC",
    "best_dice": "best Dice",
    "best_threshold": "its threshold",
    "auroc": "AUROC",
    "auroc_healthy": "AUROC against healthy scans",
    "prevalence": "lesion prevalence",
    "lesion_ml": "lesion [ml]",
    "lesion_ml_outside": "of it outside brain or grid [ml]",
    "location_error": "location error [% of grid]",
    "mean_score_healthy": "mean score, healthy tissue",
    "mean_score_lesion": "mean score, lesion",
    "seconds": "time [s]",
}


@dataclass(frozen=True)
class ReportFigure:
    """A figure of the report: its title, its caption and its PNG file."""

    title: str
    caption: str
    png: Path


@dataclass(frozen=True)
class ScanQuality:
    """Quality control of one preprocessed scan.

    flags: what was found suspicious, or why the scan was left out; empty when there is nothing. png: picture of
    brain outline and grid, which a scan that was left out does not have.
    """

    dataset: str
    subject: str
    png: Path
    flags: str = ""
    left_out: bool = False


def write_report(
    path: str | Path,
    title: str,
    tables: Sequence[str],
    metrics: pd.DataFrame,
    figures: Sequence[ReportFigure],
    learning_curves: Sequence[ReportFigure],
    quality: Sequence[ScanQuality],
    run: Mapping[str, Any],
    datasets: Sequence[Mapping[str, Any]],
    provenance: Mapping[str, Any],
) -> None:
    """Write the report of a run as one self-contained HTML file.

    tables: HTML fragments (`table_formats.to_html`), shown in their order. metrics: one row per method,
    dataset, fold and subject. run: what was computed, label to value. datasets: rows of equal keys, among
    them "simulated" (bool), which decides the banner at the top. provenance: label to value; values that
    are mappings or lists are shown folded. Of the scans, those left out and flagged ones first, at most 60 are shown;
    all are counted. Raises InputError when a picture is missing or unreadable.
    """
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    ordered = sorted(quality, key=lambda scan: (not scan.left_out, not scan.flags))
    text = environment.get_template(TEMPLATE).render(
        title=title,
        simulated=_simulated(datasets),
        run=dict(run),
        datasets=[dict(dataset) for dataset in datasets],
        tables=list(tables),
        metrics=_metrics_rows(metrics),
        metric_headers=[METRIC_LABELS.get(name, name) for name in metrics.columns],
        figures=[_embedded(figure) for figure in figures],
        learning_curves=[_embedded(figure) for figure in learning_curves],
        scans=[_scan(scan) for scan in ordered[:MOST_SCANS]],
        n_scans=len(quality),
        n_flagged=sum(bool(scan.flags) and not scan.left_out for scan in quality),
        n_left_out=sum(scan.left_out for scan in quality),
        provenance=[(label, _provenance_html(value)) for label, value in provenance.items()],
    )
    write_text(path, text)


def _simulated(datasets: Sequence[Mapping[str, Any]]) -> str:
    """How many of the datasets are simulated: "all", "some" or "none"."""
    flags = [bool(dataset["simulated"]) for dataset in datasets]
    if flags and all(flags):
        return "all"
    return "some" if any(flags) else "none"


def _metrics_rows(metrics: pd.DataFrame) -> list[list[tuple[str, str]]]:
    """Per subject and column (text shown, key to sort by); missing values are empty."""
    rows = []
    for record in metrics.itertuples(index=False):
        cells = []
        for value in record:
            if isinstance(value, (float, np.floating)):
                shown = "" if np.isnan(value) else f"{value:.3f}" if abs(value) < 100 else f"{value:.0f}"
                cells.append((shown, "" if np.isnan(value) else repr(float(value))))
            else:
                cells.append((str(value), str(value)))
        rows.append(cells)
    return rows


def _embedded(figure: ReportFigure) -> dict[str, str]:
    try:
        content = Path(figure.png).read_bytes()
    except OSError as error:
        raise InputError(
            f"{figure.png}: figure of the report cannot be read ({error}); run its rule again"
        ) from error
    return {"title": figure.title, "caption": figure.caption, "data": base64.b64encode(content).decode()}


def _scan(scan: ScanQuality) -> dict[str, Any]:
    """A quality picture, reduced to the thumbnail width and stored as JPEG to keep the report small."""
    shown = {"dataset": scan.dataset, "subject": scan.subject, "flags": scan.flags, "left_out": scan.left_out}
    if scan.left_out:
        return shown | {"data": ""}
    try:
        picture = imread(scan.png)[..., :3]
    except (OSError, SyntaxError) as error:
        raise InputError(f"{scan.png}: unreadable quality picture ({error}); preprocess it again") from error
    step = -(-picture.shape[1] // THUMBNAIL_WIDTH)
    rows, columns = (size // step for size in picture.shape[:2])
    blocks = picture[: rows * step, : columns * step].reshape(rows, step, columns, step, 3)
    buffer = io.BytesIO()
    imsave(buffer, blocks.mean(axis=(1, 3)), format="jpeg", pil_kwargs={"quality": 80})
    return shown | {"data": base64.b64encode(buffer.getvalue()).decode()}


def _provenance_html(value: Any) -> str:
    """Plain values as text; mappings and sequences as folded lists, however deep."""
    if isinstance(value, Mapping):
        items = "".join(
            f"<li>{html.escape(str(key))}: {_provenance_html(item)}</li>" for key, item in value.items()
        )
    elif isinstance(value, (list, tuple)):
        items = "".join(f"<li>{_provenance_html(item)}</li>" for item in value)
    else:
        return html.escape(str(value))
    return f"<details><summary>{len(value)} entries</summary><ul>{items}</ul></details>"
