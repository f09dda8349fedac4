"""The report of a run: one HTML file that holds everything it shows, asks nothing of a network, links the viewer."""

import base64
import html
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from matplotlib.image import imread, imsave

from patch2loc.errors import InputError
from patch2loc.files import write_text
from patch2loc.report.dataset_section import dataset_section
from patch2loc.report.viewer.folder import read_index

TEMPLATE = "template.html.j2"
MOST_SCANS = 60
THUMBNAIL_WIDTH = 520
MUCH_OUTSIDE = 0.05  # share of the lesion volume


@dataclass(frozen=True)
class ReportFigure:
    """A figure of the report: its title, its caption, its PNG file, and whether the summary shows it."""

    title: str
    caption: str
    png: Path
    main: bool = False


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
    viewer: str | Path,
    more_figures: Sequence[ReportFigure] = (),
    warnings: Sequence[str] = (),
) -> None:
    """Write the report of a run as one self-contained HTML file, with links to the viewer beside it.

    tables: HTML fragments (`table_formats.to_html`); the first is in the summary. metrics: one row per method,
    dataset, fold and subject. run: what was computed, label to value. datasets: name, title, modality, role and
    simulated of each, and what else there is to show. provenance: label to value; values that are mappings or lists
    are shown folded. Of the pictures of quality control, those of scans left out and flagged first, at most 60 are
    shown; all are counted. viewer: its folder (`viewer.folder`), in the folder of `path`. more_figures: those that
    the paper does not have, in a section of their own. warnings: what else a reader has to know before the numbers.
    Raises InputError when a picture is missing or unreadable, or the viewer is.
    """
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    ordered = sorted(quality, key=lambda scan: (not scan.left_out, not scan.flags))
    scored = read_index(viewer)["scans"]
    text = environment.get_template(TEMPLATE).render(
        title=title,
        simulated=_simulated(datasets),
        warnings=[*_warnings(metrics, quality, datasets), *warnings],
        run=dict(run),
        datasets=[dict(dataset) for dataset in datasets],
        tables=list(tables),
        sections=[dataset_section(dict(dataset), metrics, scored, Path(viewer)) for dataset in datasets],
        main_figures=[_embedded(figure) for figure in figures if figure.main],
        figures=[_embedded(figure) for figure in figures if not figure.main],
        more_figures=[_embedded(figure) for figure in more_figures],
        learning_curves=[_embedded(figure) for figure in learning_curves],
        scans=[_scan(scan) for scan in ordered[:MOST_SCANS]],
        n_scans=len(quality),
        n_flagged=_count(quality, left_out=False),
        n_left_out=_count(quality, left_out=True),
        provenance=[(label, _provenance_html(value)) for label, value in provenance.items()],
    )
    write_text(path, text)


def _simulated(datasets: Sequence[Mapping[str, Any]]) -> str:
    """How many of the datasets are simulated: "all", "some" or "none"."""
    flags = [bool(dataset["simulated"]) for dataset in datasets]
    if flags and all(flags):
        return "all"
    return "some" if any(flags) else "none"


def _count(quality: Sequence[ScanQuality], left_out: bool) -> int:
    """Scans that were left out, or that are flagged and were not."""
    return sum(bool(scan.flags) and scan.left_out == left_out for scan in quality)


def _warnings(
    metrics: pd.DataFrame, quality: Sequence[ScanQuality], datasets: Sequence[Mapping[str, Any]]
) -> list[str]:
    """What a reader has to know before the numbers."""
    found = []
    for count, what in (
        (_count(quality, left_out=True), "could not be preprocessed; no table or figure holds them"),
        (_count(quality, left_out=False), "flagged by quality control; look at their pictures below"),
    ):
        if count:
            found.append(f"{count} of {len(quality)} scans: {what}.")
    if {"lesion_ml", "lesion_ml_outside"} <= set(metrics.columns):
        for dataset in datasets:
            # The same for every method and fold.
            rows = metrics[metrics["dataset"] == dataset["name"]].drop_duplicates("subject")
            lesion, outside = rows["lesion_ml"].sum(), rows["lesion_ml_outside"].sum()
            if outside > MUCH_OUTSIDE * lesion:
                found.append(
                    f"{dataset['title']}: {outside / lesion:.0%} of the lesion volume is outside brain mask or grid, "
                    "where no method scores; it counts as missed."
                )
    return found


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
