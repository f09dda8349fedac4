"""Folder of the viewer: its page, an index of all scored scans, and the files of some of them."""

import base64
import json
import math
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict
from urllib.parse import quote

import matplotlib as mpl
import numpy as np
import pandas as pd

from patch2loc.configuration.method_names import display_name
from patch2loc.data.modalities import Modality
from patch2loc.data.scans import Scan
from patch2loc.data.vocabulary import DatasetRole, Truth
from patch2loc.errors import InputError
from patch2loc.figures.style import COLOR_BLIND_SAFE, COLOR_MAP
from patch2loc.files import json_content, replacing, replacing_folder, write_text
from patch2loc.report.viewer import PAGE
from patch2loc.report.viewer.scan_file import read_heatmaps, scan_file, scan_score, thumbnail, viewer_range
from patch2loc.score.stored_heatmaps import Heatmaps

INDEX = "index.js"
# What the server reads of it, as a form of `files.misfit`.
INDEX_FORM = {
    "methods": [str],
    "fold": int,
    "truth": str,
    "scans": [{"dataset": str, "subject": str, "modality": str, "role": str}],
}
SHOWN_METRICS = ("auprc", "best_dice", "lesion_ml")


@dataclass(frozen=True)
class ScoredDataset:
    """A dataset with its scored scans.

    Attributes:
        name: in paths.
        title: of the configuration, as role and simulated.
        role: of the dataset.
        simulated: true for simulated scans.
        scans: the scored ones.
        heatmaps: {method: stored heatmaps}; scans are ranked by the first method.
        metrics: of the first method, one row per subject; None without truth.
    """

    name: str
    title: str
    role: DatasetRole
    simulated: bool
    scans: Sequence[Scan]
    heatmaps: Mapping[str, Heatmaps]
    metrics: pd.DataFrame | None = None


class ViewerEntry(TypedDict):
    """A scored scan in the viewer's index.

    Attributes:
        file: path relative to the viewer's folder.
        written: true if the file is there.
        why: reason for which the scan was selected, if it was.
        score: of the scan as a whole (`scan_score`), as the next three None if it does not apply.
    """

    dataset: str
    title: str
    subject: str
    modality: Modality
    role: DatasetRole
    simulated: bool
    file: str
    written: bool
    why: str | None
    score: float | None
    auprc: float | None
    best_dice: float | None
    lesion_ml: float | None


class ViewerIndex(TypedDict):
    """Index of a viewer's folder.

    Attributes:
        labels: of the methods.
        fold: of the models that scored.
        truth: which of the lesion masks of scans is the truth.
        color_map: that the page starts with.
        color_maps: {name: base64 of 256 colors, red, green and blue bytes}.
    """

    methods: list[str]
    labels: list[str]
    fold: int
    truth: Truth
    color_map: str
    color_maps: dict[str, str]
    scans: list[ViewerEntry]


def write_viewer(
    folder: str | Path,
    datasets: Sequence[ScoredDataset],
    *,
    count: int,
    fold: int,
    color_map: str,
    truth: Truth = "half",
) -> None:
    """Write the viewer's folder: viewer.html, index.js, scans/ and thumbnails/.

    Args:
        folder: to be written.
        datasets: in the order of the page's list, all with the same methods.
        count: number of scans of each dataset that get a file, by `select_scans`; all others are in the index, and
            `serve` makes their files on request.
        fold: of the models that scored.
        color_map: that the page starts with.
        truth: which of the lesion masks of scans is the truth.

    Raises:
        InputError: as `scan_file`.
    """
    entries: list[ViewerEntry] = []
    with replacing_folder(folder) as partial:
        for name in PAGE:
            shutil.copyfile(Path(__file__).parent / name, partial / name)
        for dataset in datasets:
            entries += _write_dataset(partial, dataset, count, color_map, truth=truth)
        maps = {name: color_table(name) for name in (COLOR_MAP, COLOR_BLIND_SAFE)}
        methods = list(datasets[0].heatmaps) if datasets else []
        index: ViewerIndex = {
            "methods": methods,
            "labels": [display_name(method) for method in methods],
            "fold": fold,
            "truth": truth,
            "color_map": color_map,
            "color_maps": maps,
            "scans": entries,
        }
        write_text(partial / INDEX, f"patch2loc.index({json.dumps(index, indent=0, allow_nan=False)});\n")


def read_index(folder: str | Path) -> ViewerIndex:
    """Read the index of a viewer's folder.

    Raises:
        InputError: there is no viewer, or its index is damaged.
    """
    path = Path(folder, INDEX)
    try:
        text = path.read_bytes()
    except OSError as error:
        raise InputError(
            f"{path}: no viewer there ({error}); make the report of the run first, target report_page"
        ) from error
    content = text.strip().removeprefix(b"patch2loc.index(").removesuffix(b");")
    index: ViewerIndex = json_content(content, path, INDEX_FORM)
    return index


def file_of(dataset: str, subject: str) -> str:
    """Path of a scan's file in the viewer's folder."""
    return f"scans/{dataset}/{subject}.js"


def link_to(dataset: str, subject: str) -> str:
    """Address of a scan in the viewer, relative to its folder."""
    return f"viewer.html#scan={quote(dataset)}/{quote(subject, safe='')}"


def select_scans(scans: pd.DataFrame, role: DatasetRole, count: int) -> dict[str, str]:
    """Select scans of a dataset that are worth a look.

    Of a lesion dataset the median (lower of two), best and worst AUPRC, then the largest lesions; of a healthy one the
    median, highest and lowest score, then the highest; of unlabeled scans the highest scores. Ties are broken by name.

    Args:
        scans: columns subject, score, auprc and lesion_ml.
        role: of the dataset.
        count: most scans.

    Returns:
        {subject: reason}.
    """
    if len(scans) == 1:
        return dict.fromkeys(scans["subject"].head(count), "only scan")
    if role == "lesion":
        falling, label = _falling(scans, "auprc"), "AUPRC"
        largest, filler = _falling(scans, "lesion_ml"), "large lesion"
    else:
        falling, label = _falling(scans, "score"), "score"
        largest, filler = falling, "high score"
    if role == "unlabeled":
        return {subject: f"rank {rank}" for rank, subject in enumerate(largest[:count], start=1)}
    examples = []
    if falling:
        examples = [
            (falling[len(falling) // 2], f"median {label}"),
            (falling[0], f"highest {label}"),
            (falling[-1], f"lowest {label}"),
        ]
    if role == "lesion" and largest:
        examples.append((largest[0], "largest lesion"))
    reasons: dict[str, list[str]] = {}
    for subject, reason in examples:
        reasons.setdefault(subject, []).append(reason)
    for subject in largest:
        reasons.setdefault(subject, [filler])
    return {subject: ", ".join(parts) for subject, parts in list(reasons.items())[:count]}


def _write_dataset(
    folder: Path, dataset: ScoredDataset, count: int, color_map: str, *, truth: Truth
) -> list[ViewerEntry]:
    """Write the files of a dataset's selected scans and return the index entries of all its scans."""
    method, stored = next(iter(dataset.heatmaps.items()))
    truth_here = truth if dataset.role == "lesion" else None
    rows = pd.DataFrame({"subject": [scan.subject for scan in dataset.scans]})
    # Scans with lesions are ranked by their metrics, which spares reading thousands of heatmaps.
    rows["score"] = [
        np.nan if truth_here else scan_score(stored.read(subject)) for subject in rows["subject"]
    ]
    if dataset.metrics is None:
        rows = rows.assign(**dict.fromkeys(SHOWN_METRICS, np.nan))
    else:
        rows = rows.merge(dataset.metrics[["subject", *SHOWN_METRICS]], on="subject", how="left")
    reasons = select_scans(rows, dataset.role, count)
    entries: list[ViewerEntry] = []
    for scan, row in zip(dataset.scans, rows.to_dict("records"), strict=True):
        selected = scan.subject in reasons
        if selected or dataset.role == "unlabeled":
            # Read once, for thumbnail and file.
            heatmaps = read_heatmaps(dataset.heatmaps if selected else {method: stored}, scan.subject)
            heatmap = heatmaps[method].score
            picture = thumbnail(
                scan,
                heatmap,
                truth=truth_here,
                color_map=color_map,
                score_range=viewer_range(method, heatmap),
            )
            with replacing(folder / "thumbnails" / dataset.name / f"{scan.subject}.jpg") as partial:
                partial.write_bytes(picture)
        if selected:
            text = scan_file(scan, dataset.name, heatmaps, truth_here)
            write_text(folder / file_of(dataset.name, scan.subject), text)
        entries.append(
            {
                "dataset": dataset.name,
                "title": dataset.title,
                "subject": scan.subject,
                "modality": scan.modality,
                "role": dataset.role,
                "simulated": dataset.simulated,
                "file": quote(file_of(dataset.name, scan.subject)),
                "written": selected,
                "why": reasons.get(scan.subject),
                "score": _json_number(row["score"]),
                "auprc": _json_number(row["auprc"]),
                "best_dice": _json_number(row["best_dice"]),
                "lesion_ml": _json_number(row["lesion_ml"]),
            }
        )
    return entries


def _falling(scans: pd.DataFrame, column: str) -> list[str]:
    """Subjects with a value, the highest first, equals in the order of names."""
    ranked = scans.dropna(subset=[column]).sort_values([column, "subject"], ascending=[False, True])
    subjects: list[str] = ranked["subject"].tolist()
    return subjects


def _json_number(value: float) -> float | None:
    return None if math.isnan(value) else float(value)


def color_table(name: str) -> str:
    """256 colors of a map, red, green and blue bytes."""
    return base64.b64encode(mpl.colormaps[name](np.arange(256), bytes=True)[:, :3].tobytes()).decode()
