"""Each part of patch2loc_robust, by either network: location error in healthy tissue near to and far from the training.

    python benchmarks/domain_shift.py config/ixi2mm.yaml [--patches 614400] [--seeds 1 2 3] [--processes 2]

Takes the preprocessed scans of a finished run (make real).  Trains each of VARIANTS and places the patches without
lesion of every scan that is not trained on.  Nothing here looks at scores of lesions.
Writes benchmarks/domain_shift_{run}.csv, one row for each variant, seed and scan, and a figure,
domain_shift_{run}_{patches}.png; what the table has already is not done again.
"""

import argparse
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "workflow/scripts"))

import pandas as pd
import torch
import yaml
from finished_run import (
    extended_table,
    location_errors,
    model_of,
    network_settings,
    tested_scans,
    training_scans,
)
from matplotlib.figure import Figure

from patch2loc.method_interface import method

ROOT = Path(__file__).resolve().parents[1]
CHANGES = ["pose", "contrast", "edge"]
PADDED = {
    "paper's recipe": {"leveled": False, "changes": []},
    "leveled": {"leveled": True, "changes": []},
    **{f"leveled, {change}": {"leveled": True, "changes": [change]} for change in CHANGES},
    "leveled, pose, contrast": {"leveled": True, "changes": ["pose", "contrast"]},
    "leveled, contrast, edge": {"leveled": True, "changes": ["contrast", "edge"]},
    "leveled, all changes": {"leveled": True, "changes": CHANGES},
    "all changes": {"leveled": False, "changes": CHANGES},
}
VARIANTS = {name: ("patch2loc_robust", own) for name, own in PADDED.items()} | {
    f"unpadded network, {name}": ("patch2loc_robust_unpadded", own) for name, own in PADDED.items()
}
NEAR = "test scans of the training cohort"
ELSEWHERE = "healthy scans of other sources"
PATIENTS = "patients, away from the lesion"


def main() -> None:
    """Train and measure what the table does not have yet."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("configuration", type=Path)
    parser.add_argument("--patches", type=int, default=614400)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1])
    parser.add_argument("--variants", nargs="+", choices=VARIANTS, default=list(PADDED))
    parser.add_argument("--processes", type=int, default=2)
    chosen = parser.parse_args()
    configuration = yaml.safe_load(chosen.configuration.read_text(encoding="utf-8"))
    path = ROOT / f"benchmarks/domain_shift_{Path(configuration['results']).name}.csv"
    table = extended_table(
        path,
        "variant",
        list(VARIANTS),
        measured,
        configuration,
        chosen=chosen.variants,
        seeds=chosen.seeds,
        patches=chosen.patches,
        processes=chosen.processes,
    )
    figure = path.with_name(f"{path.stem}_{chosen.patches}.png")
    draw(table[table["patches"] == chosen.patches]).savefig(figure, dpi=150)
    print(means(table).to_string())


def measured(configuration: dict, variant: str, seed: int, patches: int) -> pd.DataFrame:
    """Train a variant and place the patches without lesion: one row a scan."""
    torch.set_num_threads(1)
    (modality, cohort), *_ = configuration["training_data"].items()
    scans, landmarks = training_scans(configuration, modality)
    name, own = VARIANTS[variant]
    settings = network_settings(configuration) | {
        "patches": patches,
        "precision": "float32",
        "seed": seed,
        **own,
    }
    begin = time.process_time()
    state, _ = method(name).fit(*scans, settings, None, device="cpu")
    seconds = time.process_time() - begin
    model = model_of(configuration, name, modality, state=state, landmarks=landmarks)
    rows = []
    for dataset, tested in tested_scans(configuration, cohort).items():
        errors = location_errors(model, tested)
        kind = PATIENTS if configuration["datasets"][dataset]["role"] == "lesion" else ELSEWHERE
        rows += [
            {
                "variant": variant,
                "seed": seed,
                "patches": patches,
                "kind": NEAR if dataset == cohort else kind,
                "dataset": dataset,
                "subject": subject,
                "location_error": round(error, 3),
                "training_cpu_seconds": round(seconds, 1),
            }
            for subject, error in errors.items()
        ]
    return pd.DataFrame(rows)


def means(table: pd.DataFrame) -> pd.DataFrame:
    """Mean location error over scans and seeds, and processor seconds of a training, by variant."""
    by_kind = table.pivot_table(
        index=["patches", "variant"], columns="kind", values="location_error", sort=False
    )
    seconds = table.groupby(["patches", "variant"], sort=False)["training_cpu_seconds"].mean()
    return by_kind.round(2).assign(training_cpu_seconds=seconds.round())


def draw(table: pd.DataFrame) -> Figure:
    """A line a variant: its scans as dots, and their mean, for each kind of scan."""
    kinds = [NEAR, ELSEWHERE, PATIENTS]
    variants = list(dict.fromkeys(table["variant"]))
    figure = Figure(figsize=(9.5, 0.4 * len(variants) + 1.3), layout="constrained")
    for axes, kind in zip(figure.subplots(1, 3, sharex=True, sharey=True), kinds, strict=True):
        rows = table[table["kind"] == kind]
        for place, variant in enumerate(variants):
            errors = rows.loc[rows["variant"] == variant, "location_error"]
            axes.plot(errors, [place] * len(errors), "o", color="0.6", markersize=3)
            axes.plot(errors.mean(), place, "d", color="C3", markersize=7)
        axes.set_title(f"{kind}\n({rows['subject'].nunique()} scans)", fontsize=9)
        axes.set_xlabel("location error [% of the grid]")
        axes.grid(axis="x", color="0.9")
    figure.axes[0].set_yticks(range(len(variants)), variants)
    figure.axes[0].invert_yaxis()
    figure.axes[0].set_xlim(left=0)
    figure.suptitle(
        f"Where healthy tissue is placed: {table['patches'].iloc[0]:,} training patches, "
        f"seeds: {', '.join(map(str, sorted(table['seed'].unique())))}; diamonds are means",
        fontsize=9,
    )
    return figure


if __name__ == "__main__":
    main()
