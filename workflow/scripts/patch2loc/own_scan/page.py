"""Pages of answers: one of a scan, which opens alone, with the viewer in it; and the index of several scans."""

import base64
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from patch2loc import __version__
from patch2loc.data.scans import Scan
from patch2loc.data.volumes import read
from patch2loc.disclaimer import DISCLAIMER
from patch2loc.errors import InputError
from patch2loc.figures.style import COLOR_BLIND_SAFE, RARITY_COLOR_MAP, RARITY_RANGE
from patch2loc.files import MAKE_AGAIN, NUMBER_OR_NULL, misfit, read_json, readable, write_text
from patch2loc.own_scan.among_healthy import among_healthy
from patch2loc.own_scan.answer import Answer
from patch2loc.own_scan.picture import thumbnail
from patch2loc.own_scan.places import Voxel, middle, voxel_of
from patch2loc.own_scan.result_folder import check_files, to_stderr
from patch2loc.own_scan.wording import (
    CANDIDATE_NOTE,
    MAPS,
    SIMULATED,
    SIMULATED_NOTE,
    brain_line,
    candidate_headings,
    candidate_texts,
    one_in,
    warnings_heading,
)
from patch2loc.process import printable
from patch2loc.provenance.trace import HASHES, SUMMARY
from patch2loc.report.viewer import INDEX_OF_SCANS, PAGE_OF_SCAN
from patch2loc.report.viewer.alone import page_alone, source_hash, viewer_style
from patch2loc.report.viewer.folder import color_table
from patch2loc.report.viewer.scan_file import RARITY_UNIT, packed_labels, packed_scores, packed_volumes
from patch2loc.score.candidates import SMALLEST_ML

OPACITY = 0.6  # of colors over the scan
# What the index reads of a summary, as a form of `files.misfit`.
INDEXED = {
    "answer": str,
    "warnings": [{"message": str}],
    "modality": str,
    "judged": bool,
    "percentile": NUMBER_OR_NULL,
    "abnormal_ml": NUMBER_OR_NULL,
    "candidates": NUMBER_OR_NULL,
    HASHES: dict,
}
PLOT_WIDTH, PLOT_HEIGHT, PLOT_AXIS = 760, 96, 74  # of the plot of healthy scans, with its axis below the top


def write_page(path: str | Path, answer: Answer) -> None:
    """Write the page of an answer: one HTML file that needs no other file and no network, whole or not at all.

    The answer and its warnings stand above the viewer, which starts at the answer's threshold and at the first
    candidate; each row of the table of candidates is a link to its place there.

    Args:
        path: File to write, .html.
        answer: What a detector says about a scan.
    """
    places = [voxel_of(answer, row) for _, row in answer.candidates.iterrows()]
    top = (
        _environment()
        .get_template("answer.html.j2")
        .render(
            title=printable(answer.title),
            sentence=printable(answer.sentence),
            brain=brain_line(answer),
            warnings=[printable(warning.message) for warning in answer.warnings],
            warnings_heading=warnings_heading(len(answer.warnings)),
            simulated=answer.simulated,
            simulated_heading=SIMULATED,
            simulated_note=SIMULATED_NOTE,
            headings=candidate_headings(answer),
            candidates=list(zip(places, candidate_texts(answer), strict=True)),
            candidate_note=CANDIDATE_NOTE,
            judged=answer.judged,
            plot=_plot(answer) if answer.judged else None,
            threshold=one_in(answer.threshold),
            smallest=SMALLEST_ML,
            footer=f"{DISCLAIMER} patch2loc {__version__}.",
        )
    )
    maps = answer.maps or {answer.map_name: answer.rarity}
    text = page_alone(
        title=printable(answer.title),
        index=_index(answer, maps),
        scan=_scan(answer, maps, places),
        style=_own_style(),
        top=top,
    )
    write_text(path, text)


def write_index(folder: str | Path, *, notify: Callable[[str], object] = to_stderr) -> None:
    """Write index.html: the scans that have an answer in the folders of a folder, the most abnormal first.

    Args:
        folder: With a result of `detect_scan` in each of some of its folders.
        notify: Called with a sentence on each result that is left out, as its files are damaged or missing.

    Raises:
        InputError: There is no such result.
        OSError: The index cannot be written.
    """
    rows = []
    for path in sorted(Path(folder).glob(f"*/{SUMMARY}")):
        try:
            summary = read_json(path, dict)
            if "answer" in summary:  # otherwise it is of `score`
                rows.append(_index_row(path.parent, summary))
        except (InputError, OSError) as error:
            notify(f"{error}; it is left out of {INDEX_OF_SCANS}")
    if not rows:
        raise InputError(f"{folder}: no {SUMMARY} of `detect` found in a folder there, at least one expected")
    rows.sort(
        key=lambda row: (
            not row["judged"],
            -(row["percentile"] or 0),
            -(row["abnormal_ml"] or 0),
            row["name"],
        )
    )
    style = f"{viewer_style()}{_own_style()}"
    text = (
        _environment()
        .get_template("index.html.j2")
        .render(
            rows=rows,
            style=Markup(style),
            style_hash=Markup(source_hash(style)),
            footer=f"{DISCLAIMER} patch2loc {__version__}.",
        )
    )
    write_text(Path(folder, INDEX_OF_SCANS), text)


def _index_row(folder: Path, summary: Mapping[str, Any]) -> dict[str, Any]:
    """A scan of the index.

    Raises:
        InputError: The summary is not of `detect_scan`, or a file of the result is not as it was written.
    """
    problem = misfit(summary, INDEXED)
    if problem:
        raise InputError(f"{folder / SUMMARY}: {problem}; {MAKE_AGAIN}")
    scan = Scan("", Path("preprocessed"), summary["modality"]).volume_path.as_posix()
    files = (scan, "heatmap_atlas.nii.gz", "candidates_atlas.nii.gz")
    check_files(folder, summary[HASHES], files)
    volume, heatmap, labels = (read(folder / name)[0] for name in files)
    picture = thumbnail(volume, heatmap, labels.astype(np.int16))
    name = readable(folder.name)
    return {
        "name": printable(name),
        "link": quote(os.fsencode(f"{folder.name}/{PAGE_OF_SCAN}")),
        "picture": base64.b64encode(picture).decode(),
        "answer": printable(summary["answer"]),
        "warnings": [printable(warning["message"]) for warning in summary["warnings"]],
        "judged": summary["judged"],
        "percentile": summary["percentile"],
        "abnormal_ml": summary["abnormal_ml"],
        "candidates": summary["candidates"],
    }


def _own_style() -> str:
    return Path(__file__).with_name("answer.css").read_text(encoding="utf-8")


def _environment() -> Environment:
    return Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def _plot(answer: Answer) -> dict[str, Any]:
    """The plot of this scan among healthy ones, in pixels."""
    plot = among_healthy(answer.healthy_ml, answer.abnormal_ml)
    edge = 12
    across = PLOT_WIDTH - 2 * edge
    return {
        "width": PLOT_WIDTH,
        "height": PLOT_HEIGHT,
        "axis": PLOT_AXIS,
        "label": f"Volume of candidates, ml: this scan ({answer.abnormal_ml:.1f} ml) among {len(plot.dots)} healthy "
        "scans",
        "dots": [(round(edge + across * x, 1), round(PLOT_AXIS * (1 - y), 1)) for x, y in plot.dots],
        "own": round(edge + across * plot.own, 1),
        "ticks": [(round(edge + across * place, 1), text) for place, text in plot.ticks],
    }


def _index(answer: Answer, maps: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """What the viewer reads of index.js in a run."""
    entry = {
        "dataset": "own",
        "subject": "scan",
        "title": printable(answer.title),
        "modality": "",
        "role": "unlabeled",
        "simulated": answer.simulated,
        "file": "",
        "written": True,
        "why": None,
        "auprc": None,
    }
    return {
        "methods": list(maps),
        "labels": [MAPS[name] for name in maps],
        "color_map": RARITY_COLOR_MAP,
        "color_maps": {name: color_table(name) for name in (RARITY_COLOR_MAP, COLOR_BLIND_SAFE)},
        "opacity": OPACITY,
        "scans": [entry],
    }


def _scan(answer: Answer, maps: Mapping[str, np.ndarray], places: Sequence[Voxel]) -> dict[str, Any]:
    """What the viewer reads of a scan's file in a run, with the candidates in the place of a true lesion."""
    inside = answer.mask.ravel("F")
    methods = {
        name: {
            **packed_scores(rarity.ravel("F")[inside], answer.threshold),
            "start": "Threshold of the answer",
            "range": RARITY_RANGE,
            "unit": RARITY_UNIT,
            "rarity": True,
        }
        for name, rarity in maps.items()
    }
    return {
        "dataset": "own",
        "subject": "scan",
        "modality": "",
        "truth": False,
        **packed_volumes(answer.scan, answer.mask, answer.affine, name=answer.title),
        "missed": 0,
        "labels": packed_labels(answer.labels),
        "at": places[0] if places else middle(answer.mask),
        "methods": methods,
    }
