"""Quality control of all scans as one table, and the scans that were left out."""

from collections.abc import Sequence
from typing import Any

import pandas as pd

from patch2loc.data.scans import Scan
from patch2loc.errors import InputError
from patch2loc.files import read_json

FIRST = ("dataset", "subject", "modality", "left_out", "flags", "outlier")
# A dataset of so many scans is a cohort to compare a scan with; lesions differ in size by their nature.
COHORT, DEVIATIONS, NOT_COMPARED = 10, 5.0, "lesion_"
MAD_TO_DEVIATION = 1.4826  # of a normal distribution


def quality_table(scans: Sequence[tuple[str, Scan]]) -> pd.DataFrame:
    """One row per scan: FIRST, then the numbers of its qc.json, nested names joined by "_".

    scans: pairs of dataset and scan.  left_out: why the scan could not be preprocessed, or empty.  flags: what is
    suspicious, joined by "; ".  outlier: see `outliers`.  Numbers along x, y, z are columns of their own.
    """
    rows = []
    for dataset, scan in scans:
        report = read_json(scan.qc)
        row = {"dataset": dataset, "subject": scan.subject, "modality": scan.modality}
        row |= {"left_out": report.pop("left_out", ""), "flags": "; ".join(report.pop("flags"))}
        rows.append(row | _flat(report))
    table = pd.DataFrame(rows)
    table["outlier"] = outliers(table)
    return table[[*FIRST, *table.columns.drop(list(FIRST))]]


def outliers(table: pd.DataFrame) -> pd.Series:
    """For each scan of a quality table the names of numbers that are far from those of its dataset, joined by "; ".

    Far is more than DEVIATIONS robust standard deviations (1.4826 times the median absolute deviation) from the
    median. Datasets of fewer than COHORT scans, numbers that most scans share, and those on lesions are not compared.
    """
    numbers = table.select_dtypes("number")
    numbers = numbers[[name for name in numbers if not name.startswith(NOT_COMPARED)]]
    found = pd.Series("", index=table.index)
    for _, cohort in numbers.groupby(table["dataset"]):
        away = (cohort - cohort.median()).abs()
        deviation = MAD_TO_DEVIATION * away.median()
        far = (away > DEVIATIONS * deviation) & (deviation > 0) & (cohort.notna().sum() >= COHORT)
        found.update(far.apply(lambda row: "; ".join(row.index[row]), axis=1))
    return found


def check_every_scan_is_used(table: pd.DataFrame, path: str) -> None:
    """Raise InputError naming the scans of a quality table that were left out, if there are any.

    path: of the table, for the message.
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
    flat = {}
    for name, value in report.items():
        if isinstance(value, dict):
            flat |= _flat(value, f"{prefix}{name}_")
        elif isinstance(value, list) and len(value) == 3:
            flat |= {f"{prefix}{name}_{axis}": part for axis, part in zip("xyz", value, strict=True)}
        else:
            flat[prefix + name] = value
    return flat
