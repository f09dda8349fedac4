"""Quality control of all scans as one table, and the check that no scan was left out."""

from collections import defaultdict
from collections.abc import Sequence
from itertools import permutations
from typing import Any

import pandas as pd

from patch2loc.data.scans import Scan
from patch2loc.errors import InputError
from patch2loc.files import read_json

FIRST_COLUMNS = ("dataset", "subject", "modality", "left_out", "flags", "outlier")
SMALLEST_COHORT = 10  # scans of a dataset, to compare each of them with
DEVIATIONS = 5.0  # robust standard deviations from the median, above which a number is an outlier
NOT_COMPARED = "lesion_"  # start of columns on lesions, which differ in size by their nature
MAD_TO_DEVIATION = 1.4826  # of a normal distribution


def quality_table(scans: Sequence[tuple[str, Scan]]) -> pd.DataFrame:
    """Quality control of scans, one row per scan.

    Args:
        scans: pairs of dataset and scan.

    Returns:
        Table with the columns FIRST_COLUMNS, then the numbers of the scan's qc.json, nested names joined by "_";
        numbers along x, y, z are columns of their own, labels are joined by " ". left_out: why the scan could not be
        preprocessed, or empty. flags: what is suspicious, joined by "; ", such as that another scan has the same
        voxels. outlier: see `outliers`.
    """
    reports = {(dataset, scan.subject): read_json(scan.qc_path) for dataset, scan in scans}
    copies: dict[str, list[tuple[str, str]]] = defaultdict(list)
    for name, report in reports.items():
        report.pop("acquired_content", None)
        report.pop("intensity_percentiles", None)
        if content := report.pop("content", None):
            copies[content].append(name)
    for names in copies.values():
        for name, (dataset, subject) in permutations(names, 2):
            reports[name]["flags"].append(f"the same voxels as {subject} of {dataset}")
    rows = []
    for dataset, scan in scans:
        report = reports[dataset, scan.subject]
        row = {"dataset": dataset, "subject": scan.subject, "modality": scan.modality}
        row |= {"left_out": report.pop("left_out", ""), "flags": "; ".join(report.pop("flags"))}
        rows.append(row | _flat(report))
    table = pd.DataFrame(rows)
    table["outlier"] = outliers(table)
    return table[[*FIRST_COLUMNS, *table.columns.drop(list(FIRST_COLUMNS))]]


def outliers(table: pd.DataFrame) -> pd.Series:
    """Columns of a quality table in which a scan is far from the others of its dataset, joined by "; ", of each scan.

    Far is more than DEVIATIONS robust standard deviations (1.4826 times the median absolute deviation) from the
    median. Not compared are datasets of fewer than SMALLEST_COHORT scans, numbers that most scans share, and those on
    lesions.
    """
    numbers = table.select_dtypes("number")
    numbers = numbers[[name for name in numbers.columns if not name.startswith(NOT_COMPARED)]]
    columns = pd.Series("", index=table.index)
    for _, cohort in numbers.groupby(table["dataset"]):
        distance = (cohort - cohort.median()).abs()
        deviation = MAD_TO_DEVIATION * distance.median()
        compared = (deviation > 0) & (cohort.notna().sum() >= SMALLEST_COHORT)
        far = (distance > DEVIATIONS * deviation) & compared
        columns.update(far.apply(lambda row: "; ".join(row.index[row]), axis=1))
    return columns


def check_every_scan_is_used(table: pd.DataFrame, path: str) -> None:
    """Check that a quality table has no scan that was left out.

    Args:
        table: of `quality_table`.
        path: of the table, for the message.

    Raises:
        InputError: naming the scans that were left out.
    """
    left_out = table[table["left_out"] != ""]
    if len(left_out):
        reasons = "".join(
            f"\n  {row.dataset}, {row.subject}: {row.left_out}" for row in left_out.itertuples()
        )
        raise InputError(
            f"{path}: {len(left_out)} of {len(table)} scans were left out. All other results are complete, without "
            "them. Mend the scans, or list them under `leave_out` of their dataset, and run again."
            f"{reasons}"
        )


def _flat(report: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Numbers of a nested report by one name each."""
    flat: dict[str, Any] = {}
    for name, value in report.items():
        if isinstance(value, dict):
            flat |= _flat(value, f"{prefix}{name}_")
        elif isinstance(value, list) and all(isinstance(part, int) for part in value):
            flat[prefix + name] = " ".join(map(str, value))
        elif isinstance(value, list) and len(value) == 3:
            flat |= {f"{prefix}{name}_{axis}": part for axis, part in zip("xyz", value, strict=True)}
        else:
            flat[prefix + name] = value
    return flat
