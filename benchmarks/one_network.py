"""One network for T1 and T2 instead of one for each: what they place and find in real scans of both contrasts.

    python benchmarks/one_network.py config/ixi2mm.yaml config/ixi2mm/any_contrast.yaml

Takes the preprocessed scans of a finished run of each configuration: real T1 scans, and the same scans rendered
in T2 contrasts (simulated).  Scans of a contrast are standardized by landmarks of their own and leveled to a mean of
their own; the network is not told which contrast a patch is of.  One network for both is trained as long as the two
others together.  Tested on healthy scans and patients of other sources, and on test scans of the training cohorts.
A threshold is the score that 1 % of the voxels of the healthy validation scans of the contrast exceed.
Writes benchmarks/one_network.csv and .png, one row for each network and scan.
"""

import argparse
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "workflow/scripts"))

import numpy as np
import pandas as pd
import torch
from finished_run import (
    location_errors,
    model_of,
    network_settings,
    read_configurations,
    tested_scans,
    training_scans,
)
from matplotlib.figure import Figure
from tqdm import tqdm

from patch2loc.data import volumes
from patch2loc.data.scans import Scan
from patch2loc.method_interface import Volumes, declaration, method
from patch2loc.methods.patch2loc_robust.model import leveled_scans, leveling_of
from patch2loc.metrics.detection import healthy_quantiles
from patch2loc.metrics.ranking import evaluate_scores
from patch2loc.score.scoring import heatmap_of
from patch2loc.standardize import StandardizedScans

ROOT = Path(__file__).resolve().parents[1]
METHOD = "patch2loc_robust_unpadded"
NETWORKS = {"T1 alone": ["T1"], "T2 alone": ["T2"], "both": ["T1", "T2"]}
SHARE = 0.01  # of the healthy validation voxels, which are above the threshold
TESTED = 10  # test scans of each training cohort
PANELS = {  # numbers of a scan: what they are, and the factor that makes them it
    "location_error": ("location error in healthy tissue [% of the grid]", 1),
    "share_above": ("healthy voxels above the score\nthat 1 % at home exceed [%]", 100),
    "auprc": ("AUPRC, patients", 1),
}
COLORS = {"T1": "tab:blue", "T2": "tab:orange"}


@dataclass(frozen=True)
class Together:
    """Scans of several contrasts as `method_interface.Volumes`, one contrast after another."""

    parts: Sequence[Volumes]

    def __len__(self) -> int:
        return sum(map(len, self.parts))

    def __iter__(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        return chain.from_iterable(self.parts)


class Contrast(NamedTuple):
    """Scans of a contrast, and what makes them a network's input."""

    configuration: dict[str, Any]
    cohort: str  # the dataset that is trained on
    training: StandardizedScans
    validation: StandardizedScans
    tested: dict[str, list[Scan]]  # by dataset
    leveling: dict[str, Any]

    def inputs(self) -> list[Volumes]:
        """Scans of training and validation as a network sees them."""
        return [leveled_scans(scans, self.leveling) for scans in (self.training, self.validation)]


def main() -> None:
    """Train the networks, and measure each in the contrasts that it was trained on."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("t1", type=Path)
    parser.add_argument("t2", type=Path)
    parser.add_argument(
        "--patches", type=int, help="of a network of one contrast; default: the configuration's"
    )
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    contrasts = {name: contrast(name, path) for name, path in (("T1", chosen.t1), ("T2", chosen.t2))}
    patches = chosen.patches or contrasts["T1"].configuration["training"]["patches"]
    path = ROOT / "benchmarks/one_network.csv"
    rows: list[dict[str, Any]] = []
    for network in NETWORKS:
        rows += measured(network, contrasts, patches)
        pd.DataFrame(rows).to_csv(path, index=False, float_format="%.4g")
    table = pd.DataFrame(rows)
    print(means(table).to_string())
    draw(table).savefig(path.with_suffix(".png"), dpi=150)


def contrast(modality: str, path: Path) -> Contrast:
    """Scans of a finished preprocessing, and what was fitted to those that are trained on."""
    configuration = read_configurations([path])
    cohort = configuration["training_data"][modality]
    (training, validation), _ = training_scans(configuration, modality)
    tested = tested_scans(configuration, cohort)
    tested[cohort] = tested[cohort][:TESTED]
    leveling = leveling_of(training, network_settings(configuration) | {"leveled": True})
    return Contrast(configuration, cohort, training, validation, tested, leveling)


def measured(network: str, contrasts: Mapping[str, Contrast], patches: int) -> list[dict[str, Any]]:
    """Train a network, and measure it in its contrasts: one row a scan."""
    trained = {name: contrasts[name] for name in NETWORKS[network]}
    patches *= len(trained)
    first = next(iter(trained.values()))
    settings = network_settings(first.configuration) | {
        **declaration(METHOD).own_settings,
        "leveled": False,  # again: scans come leveled, those of each contrast to their own mean
        "patches": patches,
        "precision": "float32",
        "seed": 1,
    }
    pools = map(Together, zip(*(each.inputs() for each in trained.values()), strict=True))
    state, _ = method(METHOD).fit(*pools, settings, None, device="cpu")
    about = {"network": network, "patches": patches}
    return [about | row for name, each in trained.items() for row in in_contrast(state, name, each)]


def in_contrast(state: Mapping[str, Any], modality: str, scans: Contrast) -> Iterator[dict[str, Any]]:
    """Location error, false positives and AUPRC of the tested scans of a contrast."""
    configuration = scans.configuration
    landmarks = scans.training.landmarks
    model = model_of(configuration, METHOD, modality, state={**state, **scans.leveling}, landmarks=landmarks)
    score = heatmap_of(model, "cpu", median_filter=configuration["score"]["median_filter"])

    def heatmap(scan: Scan) -> np.ndarray:
        return score(*scan.read(), scan.subject)

    (threshold,) = healthy_quantiles(map(heatmap, scans.validation.scans), [1 - SHARE])
    for dataset, tested in scans.tested.items():
        errors = location_errors(model, tested)
        for scan in tqdm(tested, desc=f"{modality} {dataset}", unit="scan"):
            scores, about = heatmap(scan), configuration["datasets"][dataset]
            row = {
                "modality": modality,
                "dataset": dataset,
                "trained_on": int(dataset == scans.cohort),
                "simulated": int(about.get("simulated", False)),
                "role": about["role"],
                "subject": scan.subject,
                "location_error": errors[scan.subject],
                "share_above": np.mean(scores[~np.isnan(scores)] > threshold),
            }
            yield row | (ranking(scan, scores) if row["role"] == "lesion" else {})


def ranking(scan: Scan, scores: np.ndarray) -> dict[str, float]:
    """AUPRC of a scan's lesion; what lies outside the brain mask is missed."""
    mask, lesion = ~np.isnan(scores), volumes.read_mask(scan.lesion_path)
    found = evaluate_scores(scores[mask], lesion[mask], int(np.count_nonzero(lesion & ~mask)))
    return {"auprc": found["auprc"], "prevalence": found["prevalence"]}


def means(table: pd.DataFrame) -> pd.DataFrame:
    """Means over the scans of each dataset, for each network."""
    return table.groupby(["modality", "dataset", "network"], sort=False)[[*PANELS]].mean().round(4)


def draw(table: pd.DataFrame) -> Figure:
    """Each scan as a dot, the network of its contrast alone against the one for both: error, false positives, AUPRC."""
    keys = ["modality", "dataset", "subject"]
    both, alone = (part.set_index(keys) for _, part in table.groupby(table["network"] != "both"))
    pairs = alone.join(both[[*PANELS]], rsuffix="_both").assign(
        # Of a patient the lesion is above the threshold, too.
        share_above=lambda rows: rows["share_above"].where(rows["role"] == "healthy")
    )
    figure = Figure(figsize=(11, 4), layout="constrained")
    panels = figure.subplots(1, 3)
    for axes, (value, (title, factor)) in zip(panels, PANELS.items(), strict=True):
        shown = pairs[pairs[value].notna()]
        for (modality, trained_on), rows in shown.groupby(["modality", "trained_on"]):
            axes.plot(
                factor * rows[value],
                factor * rows[f"{value}_both"],
                "o",
                color=COLORS[modality],
                markerfacecolor="white" if trained_on else COLORS[modality],
                markersize=4,
                label=f"{modality}, {'test scans of the training cohort' if trained_on else 'other sources'}",
            )
        most = 1.05 * factor * shown[[value, f"{value}_both"]].max(axis=None)
        axes.plot([0, most], [0, most], color="0.8", linewidth=0.8, zorder=0)
        axes.set(xlim=(0, most), ylim=(0, most))
        axes.set_title(title, fontsize=9)
        axes.set_xlabel("network of this contrast alone")
        axes.set_ylabel("one network for both")
    panels[0].legend(fontsize=7)
    figure.suptitle(
        "T1 scans are real; the T2 training scans are T1 scans rendered in T2 contrasts (simulated)",
        fontsize=10,
    )
    return figure


if __name__ == "__main__":
    main()
