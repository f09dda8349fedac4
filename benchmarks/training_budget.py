"""Results of `make real` over training budgets: one run of the workflow for each, in the order given.

    python benchmarks/training_budget.py FOLDER 500000 2000000 8000000

FOLDER holds the data (config/ixi2mm/README.md).  Only training and what follows is done again for each budget; the
last one stays in results/real.  Writes benchmarks/training_budget.csv and .png, after each run anew.
"""

import subprocess
import sys
from pathlib import Path

import pandas as pd
import yaml
from matplotlib.figure import Figure

ROOT = Path(__file__).resolve().parents[1]
RESULTS = Path("results/real")
SHOWN = {"painted": "painted strokes (simulated)", "brats21": "BraTS21, one case", "tcga": "TCGA, one case"}


def main(data: str, *budgets: str) -> None:
    """Run the budgets and gather their tables."""
    configuration = yaml.safe_load((ROOT / "config/ixi2mm.yaml").read_text(encoding="utf-8")) | {"data": data}
    changed = ROOT / RESULTS / "training_budget.yaml"
    changed.parent.mkdir(parents=True, exist_ok=True)
    rows = []
    for budget in map(int, budgets):
        configuration["training"]["patches"] = budget
        changed.write_text(yaml.safe_dump(configuration), encoding="utf-8")
        subprocess.run([sys.executable, str(ROOT / "workflow/run.py"), str(changed)], check=True, cwd=ROOT)
        table = pd.read_csv(ROOT / RESULTS / "tables/table1.csv").query("method == 'patch2loc'")
        healthy = pd.read_csv(ROOT / RESULTS / "metrics/patch2loc/ixi/fold0.csv")
        timing = pd.read_csv(ROOT / RESULTS / "benchmarks/train/patch2loc_T1_fold0.tsv", sep="\t")
        table = table[
            ["dataset", "metric", "mean", "ci_low", "ci_high", "n_subjects", "prevalence", "simulated"]
        ]
        rows.append(
            table.assign(
                patches=budget,
                location_error_healthy=healthy["location_error"].mean(),
                training_cpu_seconds=timing["cpu_time"].iloc[0],
            )
        )
        gathered = pd.concat(rows, ignore_index=True).sort_values("patches", kind="stable")
        gathered.to_csv(ROOT / "benchmarks/training_budget.csv", index=False)
        draw(gathered).savefig(ROOT / "benchmarks/training_budget.png", dpi=150)


def draw(table: pd.DataFrame) -> Figure:
    """AUPRC over prevalence, AUROC, and location error in healthy test scans against the budget."""
    figure = Figure(figsize=(9, 2.9), layout="constrained")
    error, auroc, ratio = figure.subplots(1, 3)
    healthy = table.drop_duplicates("patches")
    error.plot(healthy["patches"], healthy["location_error_healthy"], "o-", color="0.3")
    error.set_ylabel("location error, healthy test scans\n[% of the grid]")
    for name, label in SHOWN.items():
        rows = table[table["dataset"] == name]
        by_metric = {metric: part.sort_values("patches") for metric, part in rows.groupby("metric")}
        auroc.plot(by_metric["auroc"]["patches"], by_metric["auroc"]["mean"], "o-", label=label)
        part = by_metric["auprc"]
        ratio.plot(part["patches"], part["mean"] / part["prevalence"], "o-", label=label)
    auroc.axhline(0.5, color="0.6", linestyle=":")
    auroc.set_ylabel("AUROC in the brain")
    ratio.axhline(1, color="0.6", linestyle=":")
    ratio.set_ylabel("AUPRC over prevalence")
    for axes in (error, auroc, ratio):
        axes.set_xscale("log")
        axes.set_xlabel("training patches")
    auroc.legend(fontsize=7)
    figure.suptitle("One T1 model on 108 IXI scans at 2 mm: results over the training budget", fontsize=9)
    return figure


if __name__ == "__main__":
    main(*sys.argv[1:])
