"""Rates by which a run's cost is estimated: seconds, memory and disk of a unit of each kind of work.

rates.csv beside this module holds them, gathered by benchmarks/rates.py from the benchmarks' tables and, where nobody
has measured, from estimates. A rate of a GPU that is measured takes the place of the estimated one there.
"""

import csv
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import NamedTuple

TABLE = Path(__file__).with_name("rates.csv")
COLUMNS = (
    "work",
    "unit",
    "device",
    "seconds",
    "memory_mb",
    "gpu_memory_mb",
    "disk_mb",
    "status",
    "source",
    "date",
    "machine",
)
MEASURED = "measured"


class Rate(NamedTuple):
    """What a unit of some kind of work takes.

    Attributes:
        work: Kind of work.
        unit: Unit of it, such as a scan.
        device: "cpu", whose seconds are of one core, or "cuda".
        seconds: Time of a unit.
        memory_mb: Largest memory of the process; None where nobody knows.
        gpu_memory_mb: Largest memory on the GPU, or None.
        disk_mb: Size of what a unit leaves on disk, or None.
        status: "measured" or "estimated".
        source: File of the repository that holds the measurement, or what the estimate was made from.
        date: Day of it, ISO 8601.
        machine: Processor or GPU of the measurement; that which was thought of, of an estimate.
    """

    work: str
    unit: str
    device: str
    seconds: float
    memory_mb: float | None
    gpu_memory_mb: float | None
    disk_mb: float | None
    status: str
    source: str
    date: str
    machine: str


@cache
def read_rates() -> Mapping[tuple[str, str], Rate]:
    """Read the table: rates by work and device."""
    with TABLE.open(encoding="utf-8", newline="") as stream:
        rates = [_rate(row) for row in csv.DictReader(stream)]
    return {(rate.work, rate.device): rate for rate in rates}


def find_rate(work: str, device: str = "cpu") -> Rate | None:
    """The rate of a kind of work on a device; None where there is none."""
    return read_rates().get((work, device))


def required_rate(work: str, device: str = "cpu") -> Rate:
    """As `find_rate`, of work that the package has a rate of.

    Raises:
        KeyError: It has none.
    """
    if rate := find_rate(work, device):
        return rate
    raise KeyError(f"{TABLE}: no rate of {work} found")


def _rate(row: Mapping[str, str]) -> Rate:
    numbers = {
        name: float(row[name]) if row[name] else None for name in ("memory_mb", "gpu_memory_mb", "disk_mb")
    }
    texts = {name: row[name] for name in ("work", "unit", "device", "status", "source", "date", "machine")}
    return Rate(seconds=float(row["seconds"]), **texts, **numbers)  # type: ignore[arg-type]  # by name
