"""Scans of sites that a network has not seen: location error and false positives, by the sites that it was trained on.

    python benchmarks/left_out_sites.py config/ixi2mm.yaml config/ixi2mm/sites.yaml [--trained-on ixi ixi_ds002748 ...]
        [--rows patch2loc_unpadded ...] [--patches 1228800] [--seeds 1 2 3 [--together]] [--averaging 0.99]

Takes the preprocessed scans of a run of config/ixi2mm/sites.yaml, and trains each row on each set of sites: the lists
splits/sites_{set}.csv.  Predictions are kept in the results folder, and what is there is not made again.  With
--together, all rows and seeds are also measured as one: by the mean of their heatmaps, and by the mixture of what they
predict.  Nothing here looks at lesions.
Writes benchmarks/left_out_sites.csv, one row for each training and scan, after each training.
"""

import argparse
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "workflow/scripts"))

import numpy as np
import pandas as pd
import torch
from finished_run import read_configurations
from matplotlib.figure import Figure
from site_predictions import (
    ROBUST,
    ROOT,
    ROWS,
    TOGETHER,
    Training,
    folder_of,
    has_network,
    location_error,
    read_answer,
    scans_of,
    site_of,
    store,
)

from patch2loc.files import read_json
from patch2loc.metrics.detection import healthy_quantiles
from patch2loc.metrics.resampling import bootstrap_interval

SETS = ("ixi", "ixi_ds002748", "ixi_ds000011", "ds002748_ds000011")
SHARE = 0.01  # of the healthy validation voxels of the training sites, which are above the threshold
TABLE = ROOT / "benchmarks/left_out_sites.csv"
COLORS = {"IXI Hammersmith": "0.6", "ds002748": "tab:blue", "ds000011": "tab:orange"}
AIMS = {"location_error": 5, "false_positive_times_home": 1.5}
KEYS = ["trained_on", "row", "patches", "averaging", "seed", "together"]


def main() -> None:
    """Train and predict what is not there yet, and measure it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("configuration", type=Path, nargs="+", help="later ones change keys of earlier ones")
    parser.add_argument("--trained-on", nargs="+", choices=SETS, default=list(SETS))
    parser.add_argument("--rows", nargs="+", choices=ROWS, default=list(ROWS))
    parser.add_argument("--patches", type=int)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1])
    parser.add_argument("--averaging", type=float)
    parser.add_argument("--together", action="store_true", help="all rows and seeds as one, too")
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    configuration = read_configurations(chosen.configuration)
    patches = chosen.patches or configuration["training"]["patches"]
    averaging = configuration["training"]["averaging"] if chosen.averaging is None else chosen.averaging
    for trained_on in chosen.trained_on:
        trainings = [
            # A row without a network draws nothing.
            Training(trained_on, row, *((patches, seed, averaging) if has_network(row) else (0, 0, 0.0)))
            for row in chosen.rows
            for seed in (chosen.seeds if has_network(row) else chosen.seeds[:1])
        ]
        for training in trainings:
            store(configuration, training)
            add_rows(measured(configuration, [training]))
        networks = [training for training in trainings if has_network(training.row)]
        if chosen.together and len(networks) > 1:
            for way in TOGETHER:
                add_rows(measured(configuration, networks, way))
    table = by_site(read_table())
    print(table.to_string())
    for key in ("trained_on", "row", "patches"):
        print(f"\nBy {key}:", differences(read_table(), key).to_string(), sep="\n")
    draw(table).savefig(TABLE.with_suffix(".png"), dpi=150)


def measured(
    configuration: Mapping[str, Any], trainings: Sequence[Training], together: str = ""
) -> pd.DataFrame:
    """Location error and false positives of the test scans, one row a scan.

    trainings: one, or several on the same sites, together in one of TOGETHER.
    """
    folders = [folder_of(configuration, training) for training in trainings]
    seconds = pd.DataFrame([read_json(folder / "seconds.json") for folder in folders]).sum()
    trained_on, width = trainings[0].trained_on, configuration["score"]["median_filter"]
    answers = {
        scan.subject: read_answer(folders, scan, width, together)
        for role, of_role in scans_of(configuration, trained_on).items()
        if role != "train"
        for scan in of_role
    }
    rows = rows_of(configuration, trained_on, answers)
    about = trainings[0]._asdict() | {
        "row": " + ".join(dict.fromkeys(training.row for training in trainings)),
        "seed": "+".join(dict.fromkeys(str(training.seed) for training in trainings)),
        "together": together,
    }
    cost = {"training_cpu_seconds": round(seconds["training"], 1)}
    return pd.DataFrame([about | row | cost for row in rows])


def rows_of(
    configuration: Mapping[str, Any],
    trained_on: str,
    answers: Mapping[str, tuple[np.ndarray, np.ndarray | None]],
) -> Iterator[dict[str, Any]]:
    """Rows of the test scans of a set of sites.

    Args:
        configuration: Of the run.
        trained_on: Set of sites.
        answers: Heatmap and patches of every validation and test scan.
    """
    scans, sites = scans_of(configuration, trained_on), site_of(trained_on)
    validation: dict[str, list[np.ndarray]] = {}
    for scan in scans["validation"]:
        validation.setdefault(sites[scan.subject], []).append(answers[scan.subject][0])
    of_sites = {site: healthy_quantiles(maps, [1 - SHARE])[0] for site, maps in validation.items()}
    pooled = healthy_quantiles([each for maps in validation.values() for each in maps], [1 - SHARE])[0]
    voxel_ml = configuration["grid"]["spacing"] ** 3 / 1000
    for scan in scans["test"]:
        scores, patches = answers[scan.subject]
        yield {
            "site": sites[scan.subject],
            "left_out": int(sites[scan.subject] not in validation),
            "subject": scan.subject,
            "location_error": np.nan if patches is None else round(location_error(patches, scores.shape), 3),
            # At the threshold of all sites together, and at the highest one of them.
            "false_positive_ml": round(np.count_nonzero(scores > pooled) * voxel_ml, 1),
            "false_positive_ml_highest": round(
                np.count_nonzero(scores > max(of_sites.values())) * voxel_ml, 1
            ),
        }


def read_table() -> pd.DataFrame:
    """The table that is there; without rows if there is none."""
    if not TABLE.exists():
        return pd.DataFrame(columns=[*KEYS])
    return pd.read_csv(TABLE, dtype={"seed": str, "together": str}).fillna({"together": ""})


def add_rows(rows: pd.DataFrame) -> None:
    """Put rows in the table, in place of earlier ones of the same trainings, and in order."""
    table, order = read_table(), {name: place for place, name in enumerate([*SETS, *ROWS])}
    known = set(rows[KEYS].itertuples(index=False, name=None))
    kept = [key not in known for key in table[KEYS].itertuples(index=False, name=None)]
    together = pd.concat([table[kept], rows], ignore_index=True) if any(kept) else rows
    together.sort_values(
        KEYS,
        key=lambda values: values.map(order) if values.name in ("trained_on", "row") else values,
        kind="stable",
    ).to_csv(TABLE, index=False)


def by_site(table: pd.DataFrame) -> pd.DataFrame:
    """Means over the scans of each site; false positives also as multiples of those at home, the training sites'."""
    values = ["location_error", "false_positive_ml", "false_positive_ml_highest"]
    means = table.groupby([*KEYS, "left_out", "site"], sort=False)[values].mean()
    home = table[table["left_out"] == 0].groupby(KEYS, sort=False)[values[1:]].mean()
    for name in home:
        of_group = home[name].reindex(means.droplevel(["left_out", "site"]).index)
        means[name.replace("_ml", "_times_home")] = means[name] / of_group.to_numpy()
    return means.round(2).reset_index()


def differences(table: pd.DataFrame, by: str) -> pd.DataFrame:
    """How far each training is from the first one that differs from it in one key alone, at sites both leave out.

    Args:
        table: As `read_table` gives it.
        by: The key, of KEYS.

    Returns:
        A row for each training and site. location_error: mean over the scans of the difference, percent of the grid.
        false_positives: the ratio, by the mean of its logarithm. Both with 95 % intervals over scans, _low and _high.
    """
    same = [key for key in [*KEYS, "site"] if key != by]
    rows = []
    for keys, part in table[table["left_out"] == 1].groupby(same, sort=False):
        (first, before), *others = (
            (each, of.set_index("subject")) for each, of in part.groupby(by, sort=False)
        )
        for each, now in others:
            now = now.loc[before.index]
            error = (now["location_error"] - before["location_error"]).to_numpy()
            ratio = np.log(now["false_positive_ml"] / before["false_positive_ml"]).to_numpy()
            rows.append(
                dict(zip(same, keys, strict=True))
                | {"before": first, "now": each, "location_error": error.mean()}
                | dict(zip(("error_low", "error_high"), bootstrap_interval(error), strict=True))
                | {"false_positives": np.exp(ratio.mean())}
                | dict(zip(("false_low", "false_high"), np.exp(bootstrap_interval(ratio)), strict=True))
            )
    return pd.DataFrame(rows).round(2)


def draw(table: pd.DataFrame) -> Figure:
    """Location error and false positives of every training, by site: a line each, filled where the site is left out."""
    trainings = [*table.groupby(KEYS, sort=False)]
    figure = Figure(figsize=(11, 1 + 0.28 * len(trainings)), layout="constrained")
    panels = figure.subplots(1, 2, sharey=True)
    for axes, (name, aim) in zip(panels, AIMS.items(), strict=True):
        for place, (_, part) in enumerate(trainings):
            for site, left_out, value in part[["site", "left_out", name]].itertuples(index=False):
                color = COLORS[site]
                axes.plot(value, place, "o", color=color, markerfacecolor=color if left_out else "white")
        axes.axvline(aim, color="0.7", linewidth=0.8, zorder=0)
        axes.set_xlim(left=0)
    panels[0].set_yticks(range(len(trainings)), [label(key) for key, _ in trainings], fontsize=8)
    panels[0].invert_yaxis()
    panels[0].set_xlabel("location error\n[% of the grid]")
    panels[1].set_xlabel("false positives,\ntimes those at home")
    for site, color in COLORS.items():
        panels[1].plot([], [], "o", color=color, label=site)
    figure.legend(
        loc="outside upper right", ncols=3, fontsize=7, title="open: a training site", title_fontsize=7
    )
    return figure


def label(key: tuple[Any, ...]) -> str:
    """A training in words: its sites, row, length, and how many are taken together."""
    about = dict(zip(KEYS, key, strict=True))
    row = about["row"].replace(ROBUST, "robust_unpadded").replace("patch2loc_", "")
    name = f"{about['trained_on'].replace('_', ' + ')}: {row}"
    if not about["patches"]:  # no network
        return name
    return f"{name}, {about['patches'] / 1e6:.2g} M, {about['together'] or 'seed ' + about['seed']}"


if __name__ == "__main__":
    main()
