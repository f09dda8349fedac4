"""The viewer's folder: its page, an index of every scored scan, and the files of some of them."""

import base64
import json
import math
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import matplotlib as mpl
import numpy as np
import pandas as pd

from patch2loc.configuration.method_names import shown
from patch2loc.data.scans import Scan
from patch2loc.errors import InputError
from patch2loc.figures.style import COLOR_BLIND_SAFE, COLOR_MAP
from patch2loc.files import replacing, replacing_folder, write_text
from patch2loc.report.viewer import PAGE
from patch2loc.report.viewer.scan_file import color_range, read_heatmaps, scan_file, scan_score, thumbnail
from patch2loc.score.stored_heatmaps import Heatmaps

INDEX = "index.js"
SHOWN_METRICS = ("auprc", "best_dice", "lesion_ml")


@dataclass(frozen=True)
class ScoredDataset:
    """A dataset that was scored.

    name: in paths.  title, role ("lesion", "healthy" or "unlabeled"), simulated: of the configuration.  scans: those
    scored.  heatmaps: of each method, the one that scans are ranked by first.  metrics: of that method, one
    row a subject; None without truth.
    """

    name: str
    title: str
    role: str
    simulated: bool
    scans: Sequence[Scan]
    heatmaps: Mapping[str, Heatmaps]
    metrics: pd.DataFrame | None = None


def write_viewer(
    folder: str | Path, datasets: Sequence[ScoredDataset], count: int, fold: int, color_map: str
) -> None:
    """Write the viewer's folder: viewer.html, index.js, scans/ and thumbnails/.

    count: scans of each dataset that get a file, by `chosen`; all others are in the index, and `serve` makes
    their files on request.  fold: whose heatmaps these are.  color_map: that the page starts with.
    Raises InputError as `scan_file`.
    """
    entries = []
    with replacing_folder(folder) as partial:
        for name in PAGE:
            shutil.copyfile(Path(__file__).parent / name, partial / name)
        for dataset in datasets:
            entries += _write_dataset(partial, dataset, count, color_map)
        maps = {name: _colors(name) for name in (COLOR_MAP, COLOR_BLIND_SAFE)}
        methods = list(datasets[0].heatmaps) if datasets else []
        index = {
            "methods": methods,
            "labels": [shown(method) for method in methods],
            "fold": fold,
            "color_map": color_map,
            "color_maps": maps,
            "scans": entries,
        }
        write_text(partial / INDEX, f"patch2loc.index({json.dumps(index, indent=0, allow_nan=False)});\n")


def read_index(folder: str | Path) -> dict[str, Any]:
    """The index of a viewer's folder: methods, fold, and scans, one mapping each.

    Keys of a scan: dataset, title, subject, modality, role, simulated, file (relative to the folder), written (whether
    the file is there), why (it was chosen), score (of the scan as a whole, `scan_score`), auprc, best_dice,
    lesion_ml; None for what does not apply. Raises InputError when there is no viewer.
    """
    path = Path(folder, INDEX)
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise InputError(
            f"{path}: no viewer there ({error}); make the report of the run first, target report_page"
        ) from error
    return json.loads(text[text.index("(") + 1 : text.rindex(")")])


def file_of(dataset: str, subject: str) -> str:
    """Path of a scan's file in the viewer's folder."""
    return f"scans/{dataset}/{subject}.js"


def link_to(dataset: str, subject: str) -> str:
    """Address of a scan in the viewer, relative to its folder."""
    return f"viewer.html#scan={quote(dataset)}/{quote(subject, safe='')}"


def chosen(scans: pd.DataFrame, role: str, count: int) -> dict[str, str]:
    """At most `count` subjects of a dataset that are worth a look, and why, each once.

    scans: columns subject, score, auprc and lesion_ml. Of a lesion dataset the median (lower of two), best and
    worst AUPRC, then the largest lesions; of a healthy one the median, highest and lowest score, then the highest;
    of unlabeled scans the highest scores. Equals are taken in the order of names.
    """
    if len(scans) == 1:
        return dict.fromkeys(scans["subject"].head(count), "only scan")
    by = "auprc" if role == "lesion" else "score"
    filler, word = ("lesion_ml", "large lesion") if role == "lesion" else ("score", "high score")
    largest = _falling(scans, filler)
    if role == "unlabeled":
        return {subject: f"rank {rank}" for rank, subject in enumerate(largest[:count], start=1)}
    falling = _falling(scans, by)
    label = "AUPRC" if role == "lesion" else "score"
    wanted = []
    if falling:
        wanted = [
            (falling[len(falling) // 2], f"median {label}"),
            (falling[0], f"highest {label}"),
            (falling[-1], f"lowest {label}"),
        ]
    if role == "lesion" and largest:
        wanted.append((largest[0], "largest lesion"))
    reasons: dict[str, list[str]] = {}
    for subject, reason in wanted:
        reasons.setdefault(subject, []).append(reason)
    for subject in largest:
        reasons.setdefault(subject, [word])
    return {subject: ", ".join(why) for subject, why in list(reasons.items())[:count]}


def _write_dataset(folder: Path, dataset: ScoredDataset, count: int, color_map: str) -> list[dict[str, Any]]:
    """Write the files of a dataset's chosen scans; the entries of all its scans for the index."""
    method, heatmaps = next(iter(dataset.heatmaps.items()))
    truth = dataset.role == "lesion"
    rows = pd.DataFrame({"subject": [scan.subject for scan in dataset.scans]})
    # Scans with lesions are ranked by their metrics, which spares reading thousands of heatmaps.
    rows["score"] = [np.nan if truth else scan_score(heatmaps.read(subject)) for subject in rows["subject"]]
    if dataset.metrics is None:
        rows = rows.assign(**dict.fromkeys(SHOWN_METRICS, np.nan))
    else:
        rows = rows.merge(dataset.metrics[["subject", *SHOWN_METRICS]], on="subject", how="left")
    why = chosen(rows, dataset.role, count)
    entries = []
    for scan, row in zip(dataset.scans, rows.to_dict("records"), strict=True):
        wanted = dataset.heatmaps if scan.subject in why else {method: heatmaps}
        if scan.subject in why or dataset.role == "unlabeled":
            read = read_heatmaps(wanted, scan.subject)  # once, for both
            heatmap = read[method].score
            picture = thumbnail(scan, heatmap, truth, color_map, color_range(method, heatmap))
            with replacing(folder / "thumbnails" / dataset.name / f"{scan.subject}.jpg") as partial:
                partial.write_bytes(picture)
        if scan.subject in why:
            text = scan_file(scan, dataset.name, read, truth)
            write_text(folder / file_of(dataset.name, scan.subject), text)
        numbers = {key: _plain(row[key]) for key in ("score", *SHOWN_METRICS)}
        entries.append(
            {
                "dataset": dataset.name,
                "title": dataset.title,
                "subject": scan.subject,
                "modality": scan.modality,
                "role": dataset.role,
                "simulated": dataset.simulated,
                "file": quote(file_of(dataset.name, scan.subject)),
                "written": scan.subject in why,
                "why": why.get(scan.subject),
                **numbers,
            }
        )
    return entries


def _falling(scans: pd.DataFrame, column: str) -> list[str]:
    """Subjects with a value, the highest first, equals in the order of names."""
    known = scans.dropna(subset=[column])
    return known.sort_values([column, "subject"], ascending=[False, True])["subject"].tolist()


def _plain(value: float) -> float | None:
    return None if math.isnan(value) else float(value)


def _colors(name: str) -> str:
    """256 colors of a map, red, green and blue bytes."""
    return base64.b64encode(mpl.colormaps[name](np.arange(256), bytes=True)[:, :3].tobytes()).decode()
