"""Answers about the participants of a BIDS dataset, as BIDS derivatives (bids-specification.readthedocs.io).

The result of each scan lies in sourcedata/patch2loc, as `detect` writes it; the files with BIDS names are made of it.
What BIDS has no name for yet, such as a map of a statistic, is listed in .bidsignore.
"""

import csv
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from patch2loc import __version__
from patch2loc.acquire.bids import Image
from patch2loc.acquire.participants import person
from patch2loc.data import volumes
from patch2loc.data.modalities import Modality
from patch2loc.data.scans import Scan
from patch2loc.data.subject_tables import participant
from patch2loc.errors import InputError
from patch2loc.files import read_json, replacing, write_json, write_text
from patch2loc.own_scan.answer import CUT_MM
from patch2loc.own_scan.result_folder import check_files, to_stderr
from patch2loc.provenance.trace import HASHES
from patch2loc.tables.patients import CANDIDATES, answer_row

BIDS_VERSION = "1.10.0"
DESCRIPTION, IGNORED, README, TABLE = "dataset_description.json", ".bidsignore", "README.md", "patients.tsv"
RESULTS = Path("sourcedata", "patch2loc")  # of the scans, below the output
SUMMARIES = f"{RESULTS.as_posix()}/*/summary.json"
RAW = "raw"  # name of the source dataset in BIDS URIs
# Names of the atlases in BIDS, and what an image in their space is aligned to.
SPACES = {
    "icbm152": ("MNI152NLin2009aSym", "https://www.bic.mni.mcgill.ca/ServicesAtlases/ICBM152NLin2009"),
    "sri24": ("SRI24", "https://www.nitrc.org/projects/sri24"),
}
LATE_ENTITIES = ("space", "split", "recording", "chunk", "label", "desc")  # in the order of names
IGNORED_CONTENT = """\
# Pages, pictures and the ranked table; and maps of a statistic, for which BIDS has no suffix yet.
*.html
figures
patients.*
*_statmap.*
"""
README_CONTENT = """\
# Abnormal places in brain scans, found by Patch2Loc

`patients.tsv` ranks the scans, most abnormal first; `sub-*.html` opens in a browser, one page for each. In
`sub-*/anat`, on the voxels of the scan (or of the atlas, `space-`):

- `desc-rarity_statmap`: how rare the score of each voxel is in healthy brains: 3 is one voxel in a thousand.
- `desc-candidates_dseg`: candidates for lesions by number, most conspicuous first; the .tsv has a row for each.
- `label-lesion_desc-candidates_mask`: all candidates. They are a computer's suggestion, and nobody has checked them.
- `desc-preproc`, `desc-brain_mask`: the scan as it was scored, and its brain.

`sourcedata/patch2loc` holds the same as `patch2loc detect` writes it for one scan, with how each result came about.
Not a medical device.
"""
COLUMNS = {
    "participant_id": "Participant",
    "session_id": "Session, if the dataset has sessions",
    "age": "Age by the source dataset, years",
    "sex": "Sex by the source dataset",
    "percentile": "Percent of the healthy scans that are less abnormal than this one",
    "abnormal_ml": "Volume of the candidates for lesions, ml",
    "candidates": "Number of candidates",
    "excess": "Rarity of the candidates above the threshold, summed over their volume, rarity x ml",
    "first_volume_ml": "Of the most conspicuous candidate: its volume, ml",
    "first_x_mm": "Place of its peak in the atlas, left to right, mm",
    "first_y_mm": "Place of its peak in the atlas, posterior to anterior, mm",
    "first_z_mm": "Place of its peak in the atlas, inferior to superior, mm",
    "first_side": "Side that its volume lies on: left, right, both sides or midline",
    "first_tissue": "What most of its volume is: fluid by the scan, else gray or white matter by the atlas",
    "first_percentile": "Percent of the healthy scans whose largest candidate has a smaller excess",
    "location_error": "Median error of the localization of patches, percent of the grid",
    "n_healthy": "Number of healthy scans that this one is compared with",
    "healthy_ml_median": "Volume of the candidates in a healthy scan, median, ml",
    "healthy_ml_most": "Volume of the candidates that 95 % of the healthy scans do not exceed, ml",
    "warnings": "Names of the warnings about this scan, which make its row doubtful",
    "flags": "What quality control found",
    "page": "Page of the scan",
}
# Columns of a table of candidates behind those of BIDS, with their meaning and unit.
CANDIDATE_COLUMNS = {
    "volume_ml": ("Volume", "mL"),
    "excess": ("Rarity above the threshold, times mL, summed over the volume", None),
    "peak": ("Highest rarity", None),
    "x_mm": ("Place of the peak in the atlas, left to right", "mm"),
    "y_mm": ("Place of the peak in the atlas, posterior to anterior", "mm"),
    "z_mm": ("Place of the peak in the atlas, inferior to superior", "mm"),
    "side": ("Side that the volume lies on: left, right, both sides or midline", None),
    "tissue": ("What most of the volume is: fluid by the scan, else gray or white matter by the atlas", None),
    "mirror_of": ("Number of the candidate that lies where this one's mirror image is", None),
    "at_cut": (
        f"1 within {CUT_MM:.0f} mm of a part of the brain that is not in the scan or its mask, else 0",
        None,
    ),
    "percentile": ("Healthy scans whose largest candidate has a smaller excess", "percent"),
    "native_voxels": ("Voxels of the scan in the candidate", None),
    "warnings": ("Names of the warnings about the scan", None),
}


class _Derivative(NamedTuple):
    """An image of a result, with its name in BIDS.

    Attributes:
        name: Path below the output, without the extension.
        source: File of the result.
        metadata: Content of the JSON beside it.
        is_mask: True to write where the image is above 0, False to write the image as it is.
        table: Table of the result to write beside it.
    """

    name: str
    source: str
    metadata: dict[str, Any]
    is_mask: bool = False
    table: str | None = None


def result_folder(output: Path, scan: Image) -> Path:
    """Folder of the result of a scan below an output."""
    return output / RESULTS / _stem(scan.path)


def write_description(output: Path, root: Path, model: str, model_sha256: str) -> None:
    """Write what describes an output as a BIDS dataset, unless it is there.

    Args:
        output: Folder of the derivatives.
        root: The source dataset.
        model: Name of the model.
        model_sha256: Hash of its file.

    Raises:
        InputError: The output is the source dataset, or holds results of another dataset or model, or of anything else.
    """
    if output.resolve() == root.resolve():
        raise InputError(f"{output}: the dataset itself found, another folder for the output expected")
    description = _description(output, root, model, model_sha256)
    path = output / DESCRIPTION
    if path.is_file():
        _refuse_other(path, description)
    else:
        write_json(path, description)
    for name, content in ((IGNORED, IGNORED_CONTENT), (README, README_CONTENT)):
        if not (output / name).exists():
            write_text(output / name, content)


def _description(output: Path, root: Path, model: str, model_sha256: str) -> dict[str, Any]:
    try:
        raw: Mapping[str, Any] = read_json(root / DESCRIPTION, dict)
    except (OSError, InputError):
        raw = {}
    link = _link(output, root)
    doi = raw.get("DatasetDOI")
    return {
        "Name": f"Patch2Loc: {raw.get('Name') or root.resolve().name}",
        "BIDSVersion": BIDS_VERSION,
        "DatasetType": "derivative",
        "GeneratedBy": [
            {
                "Name": "patch2loc",
                "Version": __version__,
                "Description": f"patch2loc detect with the model {model}",
                "ModelSHA256": model_sha256,
            }
        ],
        "SourceDatasets": [{"DOI": doi} if doi else {"URL": root.resolve().as_uri()}],
        "DatasetLinks": {RAW: link},
    }


def _link(output: Path, root: Path) -> str:
    """Where the source dataset is, as seen from the output."""
    return os.path.relpath(root.resolve(), output.resolve())


def _refuse_other(path: Path, expected: Mapping[str, Any]) -> None:
    """Refuse an output that something else describes."""
    try:
        found = read_json(path, {"GeneratedBy": [{"Name": str, "ModelSHA256": str}], "DatasetLinks": dict})
        generator, links = found["GeneratedBy"][0], found["DatasetLinks"]
    except (OSError, InputError, IndexError):
        raise InputError(
            f"{path}: not of this command; give another folder for the output, which nothing else has written"
        ) from None
    ours = expected["GeneratedBy"][0]
    if (
        any(generator[key] != ours[key] for key in ("Name", "ModelSHA256"))
        or links != expected["DatasetLinks"]
    ):
        raise InputError(
            f"{path}: {generator.get('Description', generator['Name'])} of the dataset {links.get(RAW)} found, "
            f"{ours['Description']} of {expected['DatasetLinks'][RAW]} expected; give another folder for the output"
        )


def write_derivatives(
    output: Path, root: Path, scan: Image, summary: Mapping[str, Any], *, modality: Modality, atlas: str
) -> Path:
    """Write the result of a scan under its names in BIDS, unless they are there and of this result; its page.

    Args:
        output: Folder of the derivatives; the result is in its `result_folder`.
        root: The source dataset.
        scan: The scan in it.
        summary: Content of the result's summary.json.
        modality: Of the model.
        atlas: icbm152 or sri24.
    """
    result = result_folder(output, scan)
    derivatives = list(_derivatives(root, scan, summary, modality=modality, atlas=atlas))
    page = output / f"{_participant_and_session(scan)}.html"
    figure = output / _name(scan, root, {"desc": "candidates"}, scan.suffix, folder="figures")
    figure = figure.with_name(f"{figure.name}.png")
    if page.is_file() and figure.is_file() and all(_is_there(output, one) for one in derivatives):
        return page
    for one in derivatives:
        _write(output, result, one)
    for source, path in (("picture.png", figure), ("report.html", page)):
        _copy(result / source, path)
    return page


def _derivatives(
    root: Path, scan: Image, summary: Mapping[str, Any], *, modality: Modality, atlas: str
) -> Iterator[_Derivative]:
    raw = f"bids:{RAW}:{scan.path.relative_to(root).as_posix()}"
    space, reference = SPACES[atlas]
    answer = {
        "Answer": summary["answer"],
        "Warnings": [warning["message"] for warning in summary["warnings"]],
        "Model": summary["model"],
    }
    prepared = Scan("", Path("preprocessed"), modality)
    for entities, aligned_to, ending in (({}, raw, ""), ({"space": space}, reference, "_atlas")):

        def name(suffix: str, entities: Mapping[str, str] = entities, **others: str) -> str:
            return _name(scan, root, {**entities, **others}, suffix).as_posix()

        statmap, dseg = name("statmap", desc="rarity"), name("dseg", desc="candidates")
        common = {"SpatialReference": aligned_to} | answer
        yield _Derivative(
            statmap,
            f"heatmap{ending}.nii.gz",
            {
                "Description": "Rarity: -log10 of the share of healthy voxels that score at least as high; "
                f"map {summary['map']}; NaN outside the brain",
                "Sources": [raw],
                "SkullStripped": True,
                "Threshold": summary["threshold"],
            }
            | common,
        )
        yield _Derivative(
            dseg,
            f"candidates{ending}.nii.gz",
            {
                "Description": "Candidates for lesions: connected voxels above the threshold of rarity, by number",
                "Sources": [f"bids::{statmap}.nii.gz"],
                "Manual": False,
            }
            | common
            | _column_descriptions(),
            table=CANDIDATES,
        )
        yield _Derivative(
            name("mask", label="lesion", desc="candidates"),
            f"candidates{ending}.nii.gz",
            {
                "Description": "All candidates for lesions, found by a computer and not checked by anybody",
                "Type": "Lesion",
                "Sources": [f"bids::{dseg}.nii.gz"],
                "Manual": False,
            }
            | common,
            is_mask=True,
        )
    registered = {"Sources": [raw], "SpatialReference": reference}
    yield _Derivative(
        name(scan.suffix, desc="preproc"),
        prepared.volume_path.as_posix(),
        {"Description": "The scan as it was scored", "SkullStripped": True} | registered,
    )
    yield _Derivative(
        name("mask", desc="brain"),
        prepared.mask_path.as_posix(),
        {"Description": "The brain as it was scored", "Type": "Brain"} | registered,
    )


def _column_descriptions() -> dict[str, dict[str, str]]:
    return {
        column: {"Description": text} | ({"Units": unit} if unit else {})
        for column, (text, unit) in CANDIDATE_COLUMNS.items()
    }


def _name(scan: Image, root: Path, entities: Mapping[str, str], suffix: str, folder: str = "anat") -> Path:
    """Path of a derivative of a scan below the output, without the extension."""
    every = {**scan.entities, **entities}
    order = [key for key in every if key not in LATE_ENTITIES] + [
        key for key in LATE_ENTITIES if key in every
    ]
    stem = "_".join([*(f"{key}-{every[key]}" for key in order), suffix])
    place = scan.path.relative_to(root).parent  # sub-01/ses-2/anat
    return (place if folder == "anat" else Path(place.parts[0], folder)) / stem


def _stem(path: Path) -> str:
    return path.name.removesuffix(".gz").removesuffix(".nii")


def _participant_and_session(scan: Image) -> str:
    return "_".join(f"{key}-{scan.entities[key]}" for key in ("sub", "ses") if key in scan.entities)


def _is_there(output: Path, derivative: _Derivative) -> bool:
    """True if a derivative is there, and the JSON beside it, which is written last, is of this result."""
    path = output / derivative.name
    try:
        written = read_json(path.with_name(f"{path.name}.json"))
    except (OSError, InputError):
        return False
    extensions = [".nii.gz", *([".tsv"] if derivative.table else [])]
    files_are_there = all(path.with_name(path.name + extension).is_file() for extension in extensions)
    return files_are_there and written == derivative.metadata


def _write(output: Path, result: Path, derivative: _Derivative) -> None:
    path = output / derivative.name
    image = path.with_name(f"{path.name}.nii.gz")
    if derivative.is_mask:
        labels, affine = volumes.read(result / derivative.source)
        volumes.write(image, labels > 0, affine)
    else:
        _copy(result / derivative.source, image)
    if derivative.table:
        with open(result / derivative.table, encoding="utf-8", newline="") as stream:
            rows = list(csv.DictReader(stream))
        lookup = [
            {
                "index": row["label"],
                "name": "no candidate" if row["label"] == "0" else f"candidate {row['label']}",
            }
            | {column: row[column] for column in CANDIDATE_COLUMNS if column in row}
            for row in rows
        ]
        columns = [
            "index",
            "name",
            *(column for column in CANDIDATE_COLUMNS if not rows or column in rows[0]),
        ]
        write_text(path.with_name(f"{path.name}.tsv"), _tsv(columns, lookup))
    write_json(path.with_name(f"{path.name}.json"), derivative.metadata)


def _copy(source: Path, path: Path) -> None:
    with replacing(path) as partial:
        shutil.copyfile(source, partial)


def write_table(output: Path, root: Path, *, notify: Callable[[str], object] = to_stderr) -> Path:
    """Write the ranked table of the scans whose results are in an output, most abnormal first; its path.

    Of several processes that work there, the last one writes the rows of all.

    Args:
        output: Folder of the derivatives.
        root: The source dataset.
        notify: Called with a sentence on each result that is left out, as its files are damaged or missing.

    Raises:
        InputError: There is no result.
    """
    path = output / TABLE
    rows: list[dict[str, Any]] = []
    problems: list[str] = []
    written: list[Path] | None = None
    while (summaries := sorted(output.glob(SUMMARIES))) != written:
        rows, problems = [], []
        for summary_path in summaries:
            try:
                rows.append(_row(root, summary_path))
            except (InputError, OSError) as error:
                problems.append(f"{error}; it is left out of {TABLE}")
        # Scans that cannot be judged have no percentile, and come last.
        rows.sort(
            key=lambda row: (
                row["percentile"] is None,
                -(row["percentile"] or 0),
                -row["excess"],
                row["page"],
            )
        )
        if rows:
            write_text(path, _tsv(COLUMNS, rows))
        written = summaries
    for problem in problems:
        notify(problem)
    if not rows:
        raise InputError(
            f"{output / RESULTS}: no result found, those of `patch2loc detect BIDS_DIR OUT participant` expected; run "
            "it first"
        )
    write_json(path.with_suffix(".json"), {name: {"Description": text} for name, text in COLUMNS.items()})
    return path


def _row(root: Path, summary_path: Path) -> dict[str, Any]:
    """A row of the ranked table; an InputError names what is damaged of the result."""
    folder = summary_path.parent
    hashes = read_json(summary_path, {HASHES: dict})[HASHES]
    check_files(folder, hashes, [CANDIDATES])
    entities = {key: label for key, _, label in (part.partition("-") for part in folder.name.split("_")[:-1])}
    if not entities.get("sub"):
        raise InputError(
            f"{folder}: a result that is not of a participant found, one in sub-* expected; move it away"
        )
    scan_id = "_".join(f"{key}-{entities[key]}" for key in ("sub", "ses") if key in entities)
    session = f"ses-{entities['ses']}" if "ses" in entities else None
    known = person(root, participant(scan_id), session)
    return {
        "participant_id": participant(scan_id),
        "session_id": session,
        "age": known.age,
        "sex": known.sex,
        **answer_row(folder),
        "page": f"{scan_id}.html",
    }


def _tsv(columns: Iterable[str], rows: Iterable[Mapping[str, Any]]) -> str:
    """A table of BIDS: tabs between cells, n/a where nothing is known."""
    columns = list(columns)
    lines = [columns, *([_cell(row[column]) for column in columns] for row in rows)]
    return "".join("\t".join(line) + "\n" for line in lines)


def _cell(value: object) -> str:
    text = "" if value is None or value != value else " ".join(str(value).split())  # NaN is not itself
    return text or "n/a"
