"""What a model trained on rendered contrasts does on real T2 scans: places, false positives, lesions, scan by scan.

    python benchmarks/any_contrast.py config/ixi2mm/any_contrast.yaml

Takes the metrics of a finished run and nothing else.  The threshold is the score that 1 % of the voxels of the healthy
validation scans exceed, which are rendered as the training scans are.
Writes benchmarks/any_contrast_ixi2mm.csv and .png, one row a method and scan, means over the folds that are there.
"""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "workflow/scripts"))

import pandas as pd
import yaml
from matplotlib.figure import Figure

from patch2loc.data.vocabulary import QUALITY
from patch2loc.files import read_json
from patch2loc.tables.inputs import QUANTILE, with_detections

ROOT = Path(__file__).resolve().parents[1]


def main() -> None:
    """Gather the metrics of a run and draw them."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("configuration", type=Path)
    chosen = parser.parse_args()
    configuration = yaml.safe_load(chosen.configuration.read_text(encoding="utf-8"))
    table = measured(configuration)
    table.to_csv(ROOT / "benchmarks/any_contrast_ixi2mm.csv", index=False)
    draw(table).savefig(ROOT / "benchmarks/any_contrast_ixi2mm.png", dpi=150)
    columns = ["location_error", "share_above", "auprc", "prevalence"]
    means = table.groupby(["method", "dataset"], sort=False)[columns].mean()
    print(means.round(4).to_string())


def measured(configuration: dict) -> pd.DataFrame:
    """One row a method and scan, means over folds."""
    results = Path(configuration["results"])
    rows = []
    for path in sorted(results.glob("metrics/*/*/fold?.csv")):
        method, dataset = path.parts[-3:-1]
        about = configuration["datasets"][dataset]
        thresholds = pd.read_csv(path.with_name(f"{path.stem}_thresholds.csv"))
        (metrics,) = with_detections([pd.read_csv(path)], [thresholds], ["predicted_ml"])
        for row in metrics.to_dict("records"):
            quality = read_json(results / f"preprocessed/{dataset}/{row['subject']}" / QUALITY)
            brain_ml = quality["brain_grid_ml"]
            rows.append(
                {
                    "method": method,
                    "dataset": dataset,
                    "role": about["role"],
                    "simulated": int(about.get("simulated", False)),
                    "subject": row["subject"],
                    "location_error": row.get("location_error"),
                    "share_above": row["predicted_ml"] / brain_ml,
                    "auprc": row["auprc"],
                    "prevalence": row["prevalence"],
                    "lesion_ml": row["lesion_ml"],
                    "fold": path.stem.removeprefix("fold"),
                }
            )
    table = pd.DataFrame(rows)
    keys = ["method", "dataset", "role", "simulated", "subject"]
    means = table.groupby(keys, sort=False).mean(numeric_only=True)
    folds = table.groupby(keys, sort=False)["fold"].nunique().rename("folds")
    order = {name: place for place, name in enumerate(configuration["datasets"])}
    means = means.join(folds).round(4).reset_index()
    return means.sort_values("dataset", key=lambda names: names.map(order), kind="stable").sort_values(
        "method", kind="stable"
    )


def draw(table: pd.DataFrame) -> Figure:
    """Location error and false positives of each scan by dataset, and AUPRC of each patient by row."""
    figure = Figure(figsize=(12, 4.2), layout="constrained")
    places, positives, lesions = figure.subplots(1, 3)
    datasets = list(dict.fromkeys(table["dataset"]))
    located = table[table["location_error"].notna()]
    rows = [name for name in dict.fromkeys(located["method"]) if not name.endswith("_calibrated")]
    names = [f"{name}{' (simulated)' if name in simulated(table) else ''}" for name in datasets]
    for panel, column, factor in ((places, "location_error", 1), (positives, "share_above", 100)):
        for number, method in enumerate(rows):
            of_method = located[located["method"] == method]
            if column == "share_above":
                of_method = of_method[of_method["role"] == "healthy"]
            height = [datasets.index(name) + 0.2 * (number - 0.5) for name in of_method["dataset"]]
            panel.plot(
                factor * of_method[column], height, "o", color=f"C{number}", markersize=3, label=method
            )
        panel.set_yticks(range(len(datasets)), names if panel is places else [])
        panel.set_ylim(len(datasets) - 0.5, -0.5)
        panel.set_xlim(left=0)
        panel.grid(axis="x", color="0.9")
    places.set_xlabel("location error outside lesions [% of the grid]")
    positives.set_xlabel(
        f"healthy voxels above the score that\n{100 * (1 - QUANTILE):.0f} % at home exceed [%]"
    )
    places.legend(fontsize=7)
    patients = table[table["role"] == "lesion"]
    methods = list(dict.fromkeys(patients["method"]))
    for number, subject in enumerate(dict.fromkeys(patients["subject"])):
        of_subject = patients[patients["subject"] == subject].set_index("method")["auprc"]
        prevalence = patients.loc[patients["subject"] == subject, "prevalence"].iloc[0]
        lesions.plot(
            of_subject.reindex(methods) / prevalence,
            range(len(methods)),
            "o",
            color=f"C{number + 2}",
            label=subject,
        )
    lesions.axvline(1, color="0.5", linewidth=0.8)
    lesions.set_xscale("log")
    lesions.set_yticks(range(len(methods)), methods, fontsize=7)
    lesions.invert_yaxis()
    lesions.set_xlabel("AUPRC over prevalence (1: chance)")
    lesions.legend(fontsize=7)
    figure.suptitle("Real T2 scans, model trained on T1 scans rendered in T2 contrasts", fontsize=10)
    return figure


def simulated(table: pd.DataFrame) -> set[str]:
    """Datasets whose scans are simulated."""
    return set(table.loc[table["simulated"] == 1, "dataset"])


if __name__ == "__main__":
    main()
