"""Answers about the scans without truth, most conspicuous first: one row per scan, beside healthy controls."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from patch2loc.data.labels import Datasets
from patch2loc.errors import InputError
from patch2loc.files import MAKE_AGAIN, NUMBER, NUMBER_OR_NULL, misfit, read_csv, read_json
from patch2loc.tables.layout import NO_VALUE, Cell, Layout, Row, number, row_records
from patch2loc.tables.made import Made, settings_of

SUMMARY, CANDIDATES, PAGE = "summary.json", "candidates.csv", "report.html"  # of a folder of `detect`
LEFT_OUT = "left_out"  # in the summary of a scan that no answer can be given about: why
# What a row is made of, as a form of `files.misfit`.
ANSWER = {
    "percentile": NUMBER_OR_NULL,
    "abnormal_ml": NUMBER_OR_NULL,
    "candidates": NUMBER_OR_NULL,
    "expected_healthy_ml": {"median": NUMBER, "most": NUMBER},
    "location_error": {"scan": NUMBER, "healthy_median": NUMBER},
    "n_healthy": int,
    "map": str,
    "threshold": NUMBER,
    "warnings": [{"name": str}],
    "flags": [str],
}
OF_FIRST = ("volume_ml", "x_mm", "y_mm", "z_mm", "side", "tissue", "percentile")
COLUMNS = [
    "rank",
    "dataset",
    "modality",
    "subject",
    "percentile",
    "abnormal_ml",
    "candidates",
    "excess",
    *(f"first_{name}" for name in OF_FIRST),
    "location_error",
    "n_healthy",
    "healthy_ml_median",
    "healthy_ml_most",
    "healthy_location_error",
    "map",
    "threshold",
    "warnings",
    "flags",
    LEFT_OUT,
    "page",
    "simulated",
]
NOTE = (
    "Ranked by the percentile: the share of the healthy scans that are less abnormal than the scan; equal ones by the "
    "excess of their candidates. A candidate is a connected part of the map above the threshold; its place is that of "
    "its peak, mm from the origin of the atlas to the right, the front and the top. Expected in a healthy scan: the "
    "last rows. A candidate is no diagnosis: look at patients/DATASET/SUBJECT/report.html."
)


def patient_table(folders: Sequence[tuple[str, Path]], datasets: Datasets, root: Path) -> pd.DataFrame:
    """Answers about scans, one row per scan.

    Args:
        folders: Dataset and folder of each scan, as `own_scan.detect_scan` wrote it; one of a scan that it could not
            read has nothing but a summary with the key LEFT_OUT.
        datasets: Their descriptions.
        root: Folder of the table, which the pages' paths start from.

    Returns:
        Table with the columns COLUMNS, by falling percentile and excess, scans without an answer last. Volumes in ml,
        percentiles and location errors in percent, places in mm of the atlas (RAS).
    """
    rows = [
        {**answer_row(folder), "dataset": dataset, "subject": folder.name}
        | {key: datasets[dataset][key] for key in ("modality", "simulated")}
        | {"page": Path(folder, PAGE).relative_to(root.parent).as_posix()}
        for dataset, folder in folders
    ]
    table = pd.DataFrame(rows, columns=COLUMNS)
    table = table.sort_values(
        ["percentile", "excess", "dataset", "subject"],
        ascending=[False, False, True, True],
        na_position="last",
    ).reset_index(drop=True)
    table["rank"] = table.index + 1
    table["simulated"] = table["simulated"].astype(int)
    table.loc[table[LEFT_OUT] != "", "page"] = ""
    return table


def answer_row(folder: Path) -> dict[str, Any]:
    """Answer about a scan, in the columns of COLUMNS that it fills; folder: as of `patient_table`.

    Raises:
        InputError: Its summary is damaged.
    """
    path = folder / SUMMARY
    summary = read_json(path, dict)
    if LEFT_OUT in summary:
        return {"warnings": "", "flags": "", LEFT_OUT: summary[LEFT_OUT]}
    problem = misfit(summary, ANSWER)
    if problem:
        raise InputError(f"{path}: {problem}; {MAKE_AGAIN}")
    candidates = read_csv(folder / CANDIDATES)
    candidates = candidates[candidates["label"] > 0]  # without the row that has nothing but warnings
    first = row_records(candidates.head(1))[0] if len(candidates) else {}
    expected, location = summary["expected_healthy_ml"], summary["location_error"]
    return {
        "percentile": summary["percentile"],
        "abnormal_ml": summary["abnormal_ml"],
        "candidates": summary["candidates"],
        "excess": round(float(candidates["excess"].sum()), 3),
        **{f"first_{name}": first.get(name) for name in OF_FIRST},
        "location_error": location["scan"],
        "n_healthy": summary["n_healthy"],
        "healthy_ml_median": expected["median"],
        "healthy_ml_most": expected["most"],
        "healthy_location_error": location["healthy_median"],
        "map": summary["map"],
        "threshold": summary["threshold"],
        "warnings": "; ".join(warning["name"] for warning in summary["warnings"]),
        "flags": "; ".join(summary["flags"]),
        LEFT_OUT: "",
    }


def patient_layout(table: pd.DataFrame, datasets: Datasets, controls: Mapping[str, str]) -> Layout:
    """Layout of a `patient_table`, a row per scan and, below, what is expected in a healthy one.

    Args:
        table: Of `patient_table`.
        datasets: Descriptions of the datasets.
        controls: Of each modality, whom the healthy scans are: a phrase.
    """
    rows: list[Row] = []
    for record in row_records(table):
        label = f"{record['rank']}. {datasets[record['dataset']]['title']}: {record['subject']}"
        if record[LEFT_OUT]:
            rows.append((label, [Cell(NO_VALUE)] * 7 + [Cell(f"left out: {record[LEFT_OUT]}")]))
            continue
        cells = [
            number(record["percentile"], 0),
            number(record["abnormal_ml"], 1),
            number(record["candidates"], 0),
            *_first_candidate(record),
            number(record["location_error"], 1),
            "; ".join(text for text in (record["warnings"], record["flags"]) if text) or NO_VALUE,
        ]
        rows.append((label, [Cell(text) for text in cells]))
    footer: list[Row] = []
    for modality, part in table[table[LEFT_OUT] == ""].groupby("modality", sort=False):
        of_model = row_records(part)[0]
        for name, ml, error in (
            ("median", of_model["healthy_ml_median"], of_model["healthy_location_error"]),
            ("95 % have at most", of_model["healthy_ml_most"], math.nan),
        ):
            texts = [NO_VALUE, number(ml, 1), *[NO_VALUE] * 4, number(error, 1), NO_VALUE]
            label = f"{of_model['n_healthy']:.0f} healthy scans, {modality}: {name}"
            footer.append((label, [Cell(text) for text in texts]))
    healthy = " ".join(f"Healthy scans, {modality}: {phrase}." for modality, phrase in controls.items())
    return Layout(
        number="Patients",
        title="Answers about scans without truth",
        stub="Scan",
        groups=[("Answer", 3), ("First candidate", 3), ("Scan", 2)],
        columns=[
            "more abnormal than [% of healthy scans]",
            "abnormal [ml]",
            "candidates",
            "ml",
            "place [mm]",
            "tissue",
            "location error [%]",
            "warnings",
        ],
        rows=rows,
        footer=footer,
        note=f"{healthy} {NOTE}",
    )


def _first_candidate(record: Mapping[str, Any]) -> list[str]:
    """Volume, place and tissue of a scan's first candidate."""
    if pd.isna(record["candidates"]) or not record["candidates"]:
        return [NO_VALUE] * 3
    place = ", ".join(number(record[f"first_{axis}_mm"], 0) for axis in "xyz")
    return [
        number(record["first_volume_ml"], 1),
        f"{place} ({record['first_side']})",
        str(record["first_tissue"]),
    ]


def make(inputs: Any, params: Any) -> Made:
    """Make the result; `plan.outputs` lists its inputs and parameters."""
    folders = [Path(folder) for folder in inputs.patients]
    table = patient_table(
        [(folder.parent.name, folder) for folder in folders], params.datasets, Path(params.root)
    )
    return Made(
        table,
        patient_layout(table, params.datasets, params.controls),
        subjects=list(table["subject"]),
        settings=settings_of(params, "controls"),
        files=[str(folder / SUMMARY) for folder in folders],
    )
