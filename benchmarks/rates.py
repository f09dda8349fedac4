"""Gather the rates that a run's cost is estimated by: `python workflow/run.py CONFIGURATION --estimate`.

    python benchmarks/rates.py

Measured rates come from the tables of the benchmarks, of a processor and, as soon as one has been run there, of a GPU
(engine_cuda.csv, engine_narrow_cuda.csv, methods_cuda.csv, stages_cuda.csv). What nobody has measured comes from
estimates.csv, which is kept by hand; a measured rate of the same work and device takes the place of an estimated one.
Writes workflow/scripts/patch2loc/estimate/rates.csv, and the cost of the paper by these rates into
docs/explanation/scale.md.
"""

import csv
import runpy
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "workflow/scripts"))

from marked_page import with_part

from patch2loc.configuration.method_registry import runs_network
from patch2loc.engine.choices import Device
from patch2loc.estimate.costs import SMALL, Stage, run_costs
from patch2loc.estimate.hours import NARROW, PAPER
from patch2loc.estimate.page import (
    Machine,
    cost_summary,
    hours_in_words,
    markdown,
    seconds_in_words,
)
from patch2loc.estimate.rates import COLUMNS, MEASURED, TABLE, read_rates
from patch2loc.plan.jobs import jobs
from patch2loc.plan.plan import Plan

FOLDER = Path(__file__).resolve().parent
ROOT = FOLDER.parent
PAGE = ROOT / "docs/explanation/scale.md"
RUNS = {"config.yaml": ("config",), "and table1.yaml": ("config", "table1")}
DEVICES: tuple[Device, ...] = ("cpu", "cuda")
VOXELS = {NARROW.name: 96 * 96 * 50, PAPER.name: 192 * 192 * 100}
VOLUME = "volume, background skipped"
TASKS = {"training": "train", "pretraining": "pretrain", "scoring": "score"}
PRECISION = {"cpu": "float32", "cuda": "bfloat16"}  # of `precision: auto`
Row = dict[str, str]


def main() -> None:
    """Write the table, and by its rates the cost of the paper."""
    with TABLE.open("w", encoding="utf-8", newline="") as stream:
        table = csv.DictWriter(stream, COLUMNS, restval="", lineterminator="\n")
        table.writeheader()
        table.writerows(gathered())
    print(f"{TABLE}: {len(gathered())} rates")
    read_rates.cache_clear()
    PAGE.write_text(with_tables(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
    print(cost_of_the_paper(), cost_by_method(), sep="\n\n")


def with_tables(page: str) -> str:
    """A page with the tables of today between its marks."""
    for name, table in (("paper", cost_of_the_paper()), ("methods", cost_by_method())):
        page = with_part(page, f"cost: {name}", table)
    return page


@cache
def planned(*names: str) -> Plan:
    """The plan of configurations, one on top of the other."""
    planned_run = runpy.run_path(str(ROOT / "workflow/run.py"))["planned_run"]
    plan: Plan = planned_run([ROOT / f"config/{name}.yaml" for name in names], [])
    return plan


def cost_of_the_paper() -> str:
    """Table of what the paper costs, with Patch2Loc alone and with every row of Table 1."""
    columns = []
    for names in RUNS.values():
        plan = planned(*names)
        with_gpu = cost_summary(run_costs(plan, "cuda"), Machine(16, 1, 50))
        without = cost_summary(run_costs(plan, "cpu"), Machine(16, 0, 50))
        told = ("hours of a core", "time on 16 cores", "memory of the largest job")
        columns.append(with_gpu | {f"without a GPU: {name}": without[name] for name in told})
    rows = [(name, *(column[name] for column in columns)) for name in columns[0]]
    return markdown(("", *RUNS), rows)


def cost_by_method() -> str:
    """Table of what a training and a scored scan take, of each method of config/table1.yaml."""
    plan = planned("config", "table1")
    # Of a network: what scores without one may do it once for several folds.
    scored = [job for job in jobs(plan) if job.wildcards.method == "patch2loc"]
    scans = sum(job.scans for job in scored if job.rule in ("score", "score_validation"))
    costs = {device: {stage.name: stage for stage in run_costs(plan, device)} for device in DEVICES}
    rows = [
        (
            name,
            hours_in_words(costs["cpu"][f"train {name}"].longest_hours),
            minutes(costs["cuda"][f"train {name}"]),
            seconds_in_words(costs["cpu"][f"score {name}"].core_hours * 3600 / scans),
            seconds_in_words(costs["cuda"][f"score {name}"].core_hours * 3600 / scans),
        )
        for name in plan.methods
        if runs_network(name)
    ]
    header = ("training, hours of a core", "minutes of a GPU", "scan, a core", "a GPU")
    return markdown(("method", *header), rows)


def minutes(stage: Stage) -> str:
    """Minutes of the longest job of a stage."""
    return f"{60 * stage.longest_hours:.0f}"


def gathered() -> list[Row]:
    """Rates by work and device: estimated ones, or measured ones in their place, with the sizes that these lack."""
    rates = {(row["work"], row["device"]): row for row in read("estimates.csv")}
    for device in DEVICES:
        for row in measured(device):
            key = row["work"], row["device"]
            rates[key] = rates.get(key, {}) | {name: value for name, value in row.items() if value}
    return [{name: row.get(name, "") for name in COLUMNS} for row in rates.values()]


def measured(device: str) -> Iterator[Row]:
    """Rates that the benchmarks have measured on a device."""
    yield from networks(device)
    yield from slice_methods(device)
    for row in read(name := f"stages_{device}.csv"):
        yield rate(row["work"], row["unit"], device, float(row["seconds"]), name, row)


def networks(device: str) -> Iterator[Row]:
    """Rates of location networks: of a core, in tables whose threads share the work; or of a GPU."""
    tables = {PAPER.name: f"engine_{device}.csv", NARROW.name: f"engine_narrow_{device}.csv"}
    for network, name in tables.items():
        for row in read(name):
            if (row["way"], row["precision"]) != ("engine", PRECISION[device]):
                continue
            threads = int(row["threads"]) if device == "cpu" else 1
            if row["task"] == "training":
                seconds = threads / float(row["value"])
                yield rate(f"train {network}", "patch", device, seconds, name, row)
            elif row["task"] == VOLUME:
                seconds = threads * float(row["value"]) / VOXELS[network]
                yield rate(f"score {network}", "voxel", device, seconds, name, row)


def slice_methods(device: str) -> Iterator[Row]:
    """Rates of the methods that see slices."""
    for row in read(name := f"methods_{device}.csv"):
        work = f"{TASKS[row['task']]} {row['method']}{SMALL if row['budget'] == 'smoke' else ''}"
        yield rate(work, row["unit"], device, float(row["seconds"]), name, row)


def rate(work: str, unit: str, device: str, seconds: float, table: str, row: Row) -> Row:
    """A measured rate from the row of a table."""
    memory = row.get("memory_mb") or row.get("peak_memory_mb") or ""
    return {
        "work": work,
        "unit": unit,
        "device": device,
        "seconds": f"{seconds:.4g}",
        "memory_mb" if device == "cpu" else "gpu_memory_mb": memory,
        "disk_mb": row.get("disk_mb", ""),
        "status": MEASURED,
        "source": f"benchmarks/{table}",
        "date": row["date"],
        "machine": row["machine"],
    }


def read(name: str) -> list[Row]:
    """Rows of a table of the benchmarks; none where it has not been written."""
    path = FOLDER / name
    if not path.exists():
        return []
    with path.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


if __name__ == "__main__":
    main()
