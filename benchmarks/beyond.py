"""What rows beyond the paper detect, where they place healthy tissue, what they cost: one table from those of a run.

    python benchmarks/beyond.py config/ixi2mm.yaml config/ixi2mm/beyond.yaml

Takes the tables of a finished run (targets table1, comparison, controlled, domain_shift, thresholds, cases) and the
benchmark files of its trainings, and nothing else.  False positives are at the score that 1 % of the voxels of the
healthy validation scans exceed.
Writes benchmarks/beyond_ixi2mm.csv and .png: one row a method, measure and dataset, with 95 % intervals where the run's
tables have them; and four tables of them into docs/explanation/beyond.md.
"""

import argparse
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "workflow/scripts"))

import pandas as pd
from finished_run import read_configurations
from marked_page import with_part
from matplotlib.figure import Figure

from patch2loc.estimate.page import markdown
from patch2loc.metrics.detection import HEALTHY
from patch2loc.tables.controlled import CONTROLS
from patch2loc.tables.inputs import QUANTILE

ROOT = Path(__file__).resolve().parents[1]
TABLE = ROOT / "benchmarks/beyond_ixi2mm.csv"
PAGE = ROOT / "docs/explanation/beyond.md"
REFERENCES = ("patch2loc", "zscore")  # rows that AUPRCs are compared with
CONTROLLED = "auprc of controlled lesions"  # against each control, and against the same places unchanged
LOCATION, HOME, TIMES = "location error", "false positives, ml", "false positives, times home"
TRAINING, SCAN = "processor seconds of a training", "seconds of a scan"
KEYS = ["method", "measure", "dataset", "against"]
INTERVAL = ["ci_low", "ci_high"]


def main() -> None:
    """Gather the tables of a run, and draw them."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("configuration", type=Path, nargs="+", help="later ones change keys of earlier ones")
    configuration = read_configurations(parser.parse_args().configuration)
    table = gathered(configuration)
    table.round(4).to_csv(TABLE, index=False)
    page = PAGE.read_text(encoding="utf-8")
    PAGE.write_text(with_tables(page, table), encoding="utf-8")
    print(summary(table).to_string())
    draw(table).savefig(TABLE.with_suffix(".png"), dpi=150)


def gathered(configuration: Mapping[str, Any]) -> pd.DataFrame:
    """All measures of a run in long form: KEYS, mean, INTERVAL, simulated."""
    folder = Path(configuration["results"]) / "tables"
    names = ("table1", "comparison", "controlled", "domain_shift", "thresholds", "cases")
    tables = {name: pd.read_csv(folder / f"{name}.csv") for name in names}
    home = next(iter(configuration["training_data"].values()))
    parts = [
        detection(tables["table1"], tables["comparison"], set(tables["controlled"]["dataset"])),
        patients(tables["cases"]),
        controlled(tables["controlled"]),
        places(tables["domain_shift"]),
        false_positives(tables["thresholds"], tables["domain_shift"], home),
        costs(configuration),
    ]
    return pd.concat(parts, ignore_index=True)[[*KEYS, "mean", *INTERVAL, "simulated"]]


def detection(table1: pd.DataFrame, comparison: pd.DataFrame, controlled_names: set[str]) -> pd.DataFrame:
    """AUPRC by dataset, and how far it is from those of REFERENCES on the same scans."""
    alone = table1[table1["metric"] == "auprc"].dropna(subset="mean").assign(against="")
    turned = comparison.assign(
        method=comparison["other"],
        other=comparison["method"],
        difference=-comparison["difference"],
        ci_low=-comparison["ci_high"],
        ci_high=-comparison["ci_low"],
    )
    pairs = pd.concat([comparison, turned]).rename(columns={"difference": "mean", "other": "against"})
    pairs = pairs[(pairs["metric"] == "auprc") & pairs["against"].isin(REFERENCES)]
    both = pd.concat([alone, pairs]).assign(measure="auprc")
    return both[~both["dataset"].isin(controlled_names)]


def patients(cases: pd.DataFrame) -> pd.DataFrame:
    """Mean AUPRC of the real patients together."""
    real = cases[cases["simulated"] == 0].dropna(subset="auprc")
    means = real.groupby("method", sort=False)["auprc"].mean().rename("mean").reset_index()
    return means.assign(measure="auprc", dataset="all patients", against="", simulated=0)


def controlled(table: pd.DataFrame) -> pd.DataFrame:
    """AUPRC of controlled lesions over all sizes and amounts, alone and against controls and unchanged places."""
    over_all = table[(table["metric"] == "auprc") & table["diameter_mm"].isna()]
    return over_all.fillna({"against": ""}).assign(measure=CONTROLLED)


def places(shift: pd.DataFrame) -> pd.DataFrame:
    """Location error in healthy scans, percent of the grid."""
    healthy = shift[shift["role"] == "healthy"]
    means = healthy.groupby(["method", "dataset", "simulated"], sort=False)["location_error"].mean()
    return means.rename("mean").reset_index().assign(measure=LOCATION, against="")


def false_positives(thresholds: pd.DataFrame, shift: pd.DataFrame, home: str) -> pd.DataFrame:
    """Volume above the threshold in healthy scans, ml; and over that in the test scans of the training data."""
    healthy = shift.loc[shift["role"] == "healthy", "dataset"].unique()
    chosen = thresholds[
        (thresholds["kind"] == HEALTHY)
        & (thresholds["quantile"].round(4) == QUANTILE)
        & (thresholds["metric"] == "false_positive_ml")
        & thresholds["dataset"].isin(healthy)
    ].assign(measure=HOME, against="")
    at_home = chosen[chosen["dataset"] == home].set_index("method")["mean"]
    times = chosen.assign(mean=chosen["mean"] / chosen["method"].map(at_home), measure=TIMES).drop(
        columns=INTERVAL
    )
    return pd.concat([chosen, times[times["dataset"] != home]])


def costs(configuration: Mapping[str, Any]) -> pd.DataFrame:
    """Processor seconds of a training, and of scoring a scan, means over folds and scans."""
    results, rows = Path(configuration["results"]), []
    for method in configuration["methods"]:
        trainings = [
            pd.read_csv(path, sep="\t")["cpu_time"].iloc[0]
            for path in sorted((results / "benchmarks/train").glob(f"{method}_T?_fold?.tsv"))
        ]
        scans = pd.concat([pd.read_csv(path) for path in results.glob(f"metrics/{method}/*/fold?.csv")])
        rows += [
            (method, TRAINING, sum(trainings) / len(trainings)),
            (method, SCAN, scans["seconds"].mean()),
        ]
    return pd.DataFrame(rows, columns=["method", "measure", "mean"]).assign(
        dataset="", against="", simulated=0
    )


def summary(table: pd.DataFrame) -> pd.DataFrame:
    """Means and intervals by method: columns are measures, datasets and what they are compared with."""
    text = [
        f"{mean:.3g}" + ("" if pd.isna(low) else f" ({low:.3g} to {high:.3g})")
        for mean, low, high in table[["mean", *INTERVAL]].itertuples(index=False)
    ]
    return table.assign(text=text).pivot(
        index=["measure", "dataset", "against"], columns="method", values="text"
    )


def with_tables(page: str, table: pd.DataFrame) -> str:
    """A page with the tables of a run between its marks."""
    tables = {
        "lesions": lesion_table,
        "changes": change_table,
        "controlled": controlled_table,
        "healthy": healthy_table,
    }
    for name, make in tables.items():
        page = with_part(page, f"beyond: {name}", make(table))
    return page


def lesion_table(table: pd.DataFrame) -> str:
    """AUPRC of lesions, percent, in each dataset and in all patients."""
    return by_dataset(table[(table["measure"] == "auprc") & (table["against"] == "")], percent)


def change_table(table: pd.DataFrame) -> str:
    """AUPRC of controlled lesions, percent, with intervals."""
    of_changes = table[(table["measure"] == CONTROLLED) & (table["against"] == "")]
    return by_dataset(of_changes, percent_with_interval)


def controlled_table(table: pd.DataFrame) -> str:
    """AUPRC of controlled lesions, points of percent above the control that is nearest or ahead."""
    return by_dataset(above_the_best_control(table), points)


def by_dataset(part: pd.DataFrame, written: Callable[[Any], str]) -> str:
    """A table with a column for each dataset."""
    datasets, cells = list(dict.fromkeys(part["dataset"])), texts(part, written)
    rows = (
        [name, *(cells.get((name, dataset), "") for dataset in datasets)]
        for name in dict.fromkeys(part["method"])
    )
    return markdown(["row", *datasets], rows)


def healthy_table(table: pd.DataFrame) -> str:
    """Where rows place the tissue of healthy scans, what they mark there, and what they cost."""
    at_home = table[table["measure"] == HOME]
    home, *others = dict.fromkeys(at_home["dataset"])
    columns = {
        **{f"error, {dataset}": (LOCATION, dataset, 1) for dataset in (home, *others)},
        f"marked, {home}, ml": (HOME, home, 1),
        **{f"times that, {dataset}": (TIMES, dataset, 2) for dataset in others},
        "training, s": (TRAINING, "", 0),
        "scan, s": (SCAN, "", 1),
    }
    cells = {
        (column, method): text
        for column, (measure, dataset, digits) in columns.items()
        for (method, of), text in texts(table[table["measure"] == measure], rounded(digits)).items()
        if of == dataset
    }
    rows = (
        [name, *(cells.get((column, name), "") for column in columns)]
        for name in dict.fromkeys(at_home["method"])
    )
    return markdown(["row", *columns], rows)


def texts(part: pd.DataFrame, written: Callable[[Any], str]) -> dict[tuple[str, str], str]:
    """The written row of each method and dataset that has a mean."""
    known = part.dropna(subset="mean")
    return {(row.method, row.dataset): written(row) for row in known.itertuples()}


def percent(row: Any) -> str:
    """A mean in percent."""
    return f"{100 * row.mean:.1f}"


def percent_with_interval(row: Any) -> str:
    """A mean in percent with its interval."""
    return f"{percent(row)} ({100 * row.ci_low:.1f} to {100 * row.ci_high:.1f})"


def points(row: Any) -> str:
    """A difference in points of percent with its interval, bold if all of that is above 0."""
    text = f"{100 * row.mean:+.1f} ({100 * row.ci_low:.1f} to {100 * row.ci_high:.1f})"
    return f"**{text}**" if row.ci_low > 0 else text


def rounded(digits: int) -> Callable[[Any], str]:
    """Function that writes a mean with so many digits."""
    return lambda row: f"{row.mean:,.{digits}f}"


def above_the_best_control(table: pd.DataFrame) -> pd.DataFrame:
    """Of each row and controlled change the difference from a control that has the least lower bound."""
    of_controls = table[(table["measure"] == CONTROLLED) & table["against"].isin(CONTROLS)]
    return of_controls.loc[of_controls.groupby(["method", "dataset"], sort=False)["ci_low"].idxmin()]


def draw(table: pd.DataFrame) -> Figure:
    """AUPRC, its distance from the best control in controlled lesions, and healthy tissue, by row."""
    methods = list(dict.fromkeys(table.loc[table["measure"] == "auprc", "method"]))
    at = {name: place for place, name in enumerate(methods)}
    panels = {
        "AUPRC": table[(table["measure"] == "auprc") & (table["against"] == "")],
        "AUPRC of controlled lesions (simulated)\nabove the best control": above_the_best_control(table),
        "location error, healthy [% of the grid]": table[table["measure"] == LOCATION],
        "false positives, times home": table[table["measure"] == TIMES],
    }
    figure = Figure(figsize=(15, 2 + 0.3 * len(methods)), layout="constrained")
    for axes, (title, part) in zip(figure.subplots(1, len(panels), sharey=True), panels.items(), strict=True):
        for number, (dataset, of_dataset) in enumerate(part.groupby("dataset", sort=False)):
            known = of_dataset[of_dataset["method"].isin(at)]
            told = " (simulated)" if known["simulated"].any() and "simulated" not in title else ""
            places_along = known["method"].map(at) + 0.12 * (number - 2)
            axes.plot(
                known["mean"], places_along, "o", color=f"C{number}", markersize=4, label=f"{dataset}{told}"
            )
            axes.hlines(places_along, known["ci_low"], known["ci_high"], color=f"C{number}", linewidth=1)
        if "above" in title:
            axes.axvline(0, color="0.5", linewidth=0.8)
        axes.grid(axis="x", color="0.9")
        axes.set_xlabel(title, fontsize=9)
        axes.legend(fontsize=6, ncols=2, loc="lower left", bbox_to_anchor=(0, 1), frameon=False)
    axes.set_yticks(range(len(methods)), methods, fontsize=8)
    axes.set_ylim(len(methods) - 0.5, -0.5)
    return figure


if __name__ == "__main__":
    main()
