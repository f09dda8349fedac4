"""Report of a run: one self-contained HTML file that needs no network, with links to the viewer beside it."""

import base64
import html
import io
from collections.abc import Mapping, Sequence
from dataclasses import KW_ONLY, dataclass
from pathlib import Path
from typing import Any, Literal

import pandas as pd
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from matplotlib.image import imread, imsave

from patch2loc.errors import InputError
from patch2loc.files import without_home, write_text
from patch2loc.report.dataset_section import dataset_section
from patch2loc.report.viewer.folder import read_index

TEMPLATE = "template.html.j2"
MOST_SCANS = 60
THUMBNAIL_WIDTH = 520  # pixels
MUCH_OUTSIDE = 0.05  # fraction of the lesion volume


@dataclass(frozen=True)
class ReportFigure:
    """A figure of the report.

    Attributes:
        title: heading.
        caption: plain text.
        png: file.
        main: true for a figure of the summary.
    """

    title: str
    caption: str
    png: Path
    main: bool = False


@dataclass(frozen=True)
class ScanQuality:
    """Quality control of one scan.

    Attributes:
        dataset: name.
        subject: name.
        png: picture of brain outline and grid; a scan that was left out has none.
        flags: suspicious findings, or why the scan was left out; empty if there are none.
        left_out: true if the scan could not be preprocessed.
    """

    dataset: str
    subject: str
    png: Path
    flags: str = ""
    _: KW_ONLY
    left_out: bool = False


def write_report(
    path: str | Path,
    *,
    title: str,
    tables: Sequence[str],
    metrics: pd.DataFrame,
    figures: Sequence[ReportFigure],
    learning_curves: Sequence[ReportFigure],
    quality: Sequence[ScanQuality],
    run: Mapping[str, object],
    datasets: Sequence[Mapping[str, Any]],
    provenance: Mapping[str, object],
    viewer: str | Path,
    more_figures: Sequence[ReportFigure] = (),
    warnings: Sequence[str] = (),
) -> None:
    """Write the report of a run as one self-contained HTML file, with links to the viewer beside it.

    Args:
        path: of the file.
        title: of the page.
        tables: HTML fragments (`patch2loc.tables.formats.to_html`); the first is in the summary.
        metrics: one row per method, dataset, fold and subject.
        figures: those of the paper.
        learning_curves: one per training.
        quality: of every scan. All are counted; at most 60 pictures are shown, those of scans that were left out or
            flagged first.
        run: {label: value}, for the summary.
        datasets: each with the keys name, title, modality, role and simulated; further ones are columns of the
            summary, too.
        provenance: {label: value}; mappings and lists are shown folded.
        viewer: its folder (`viewer.folder`), in the folder of `path`.
        more_figures: those that the paper does not have, in a section of their own.
        warnings: to be read before the numbers, in addition to those about scans and lesions.

    Raises:
        InputError: a picture or the viewer is missing or unreadable.
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
        scans=[_quality_entry(scan) for scan in ordered[:MOST_SCANS]],
        n_scans=len(quality),
        n_flagged=_count(quality, left_out=False),
        n_left_out=_count(quality, left_out=True),
        provenance=[(label, _provenance_html(value)) for label, value in provenance.items()],
    )
    write_text(path, text)


def _simulated(datasets: Sequence[Mapping[str, Any]]) -> Literal["all", "some", "none"]:
    """Amount of simulated datasets: "all", "some" or "none"."""
    flags = [bool(dataset["simulated"]) for dataset in datasets]
    if flags and all(flags):
        return "all"
    return "some" if any(flags) else "none"


def _count(quality: Sequence[ScanQuality], left_out: bool) -> int:
    """Number of scans that were left out, or else of those that are flagged."""
    return sum(bool(scan.flags) and scan.left_out == left_out for scan in quality)


def _warnings(
    metrics: pd.DataFrame, quality: Sequence[ScanQuality], datasets: Sequence[Mapping[str, Any]]
) -> list[str]:
    """Warnings about scans that were left out or flagged, and about lesions that no method can find."""
    warnings = []
    for count, problem in (
        (_count(quality, left_out=True), "could not be preprocessed and are in no table or figure"),
        (_count(quality, left_out=False), "flagged by quality control; look at their pictures below"),
    ):
        if count:
            warnings.append(f"{count} of {len(quality)} scans: {problem}.")
    if {"lesion_ml", "lesion_ml_outside"} <= set(metrics.columns):
        for dataset in datasets:
            # Lesion volumes are the same for every method and fold.
            rows = metrics[metrics["dataset"] == dataset["name"]].drop_duplicates("subject")
            lesion, outside = rows["lesion_ml"].sum(), rows["lesion_ml_outside"].sum()
            if outside > MUCH_OUTSIDE * lesion:
                warnings.append(
                    f"{dataset['title']}: {outside / lesion:.0%} of the lesion volume is outside brain mask or grid, "
                    "where no method scores; it counts as missed."
                )
    return warnings


def _embedded(figure: ReportFigure) -> dict[str, str]:
    try:
        content = Path(figure.png).read_bytes()
    except OSError as error:
        raise InputError(
            f"{figure.png}: figure of the report cannot be read ({error}); run its rule again"
        ) from error
    return {"title": figure.title, "caption": figure.caption, "data": base64.b64encode(content).decode()}


def _quality_entry(scan: ScanQuality) -> dict[str, object]:
    """A scan for the template, its picture reduced to a JPEG of the thumbnail width."""
    entry: dict[str, object] = {
        "dataset": scan.dataset,
        "subject": scan.subject,
        "flags": scan.flags,
        "left_out": scan.left_out,
    }
    if scan.left_out:
        return entry | {"data": ""}
    try:
        picture = imread(scan.png)[..., :3]
    except (OSError, SyntaxError) as error:
        raise InputError(f"{scan.png}: unreadable quality picture ({error}); preprocess it again") from error
    step = -(-picture.shape[1] // THUMBNAIL_WIDTH)
    rows, columns = (size // step for size in picture.shape[:2])
    blocks = picture[: rows * step, : columns * step].reshape(rows, step, columns, step, 3)
    buffer = io.BytesIO()
    imsave(buffer, blocks.mean(axis=(1, 3)), format="jpeg", pil_kwargs={"quality": 80})
    return entry | {"data": base64.b64encode(buffer.getvalue()).decode()}


def _provenance_html(value: object) -> str:
    """Plain values as text; mappings and sequences as folded lists, however deep."""
    if isinstance(value, Mapping):
        items = "".join(
            f"<li>{html.escape(str(key))}: {_provenance_html(item)}</li>" for key, item in value.items()
        )
    elif isinstance(value, (list, tuple)):
        items = "".join(f"<li>{_provenance_html(item)}</li>" for item in value)
    else:
        return html.escape(without_home(str(value)))
    return f"<details><summary>{len(value)} entries</summary><ul>{items}</ul></details>"
