"""Why the validation of a location network swings: the statistics of its batch normalization, and what helps.

    python benchmarks/batch_statistics.py config/ixi2mm.yaml [--seeds 1 2 3] [--patches N] [--schedule constant ...]

Takes the preprocessed scans of a finished run of the configuration, its training and fold 0.  At every validation, the
same network is measured on the same healthy validation patches in four ways (WAYS), by negative log-likelihood, value
of beta-NLL and location error.  No scan with a lesion is looked at.
Writes benchmarks/batch_statistics_{run}.csv, a row for each training, step and way, and a figure of the first training.
"""

import argparse
import sys
from copy import deepcopy
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "workflow/scripts"))

import pandas as pd
import torch
import yaml
from finished_run import network_settings, patch_pools
from matplotlib.figure import Figure
from torch import nn

from patch2loc.engine import device
from patch2loc.network.sampling import PatchPool
from patch2loc.network.training import (
    CENTER,
    SPREAD,
    Settings,
    beta_nll,
    negative_log_likelihood,
    paper_network,
    train,
)

ROOT = Path(__file__).resolve().parents[1]
RUNNING = "running statistics"  # of the last batches, as torch keeps them
ESTIMATED = "estimated anew"  # over ESTIMATION batches of training patches, by the weights as they are
BATCH = "of the patches"  # of the validation patches themselves, for comparison: a scan has no such batch
AVERAGED = "weights and statistics averaged"  # training.averaging
WAYS = {RUNNING: "0.6", ESTIMATED: "C0", BATCH: "C2", AVERAGED: "C3"}
ESTIMATION = 30


def main() -> None:
    """Train, measure at every validation, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("configuration", type=Path)
    parser.add_argument("--patches", type=int, help="training patches, where not the configuration's")
    parser.add_argument("--schedule", choices=["constant", "one_cycle"])
    parser.add_argument("--learning-rate", type=float)
    parser.add_argument("--averaging", type=float, default=0.99)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1])
    parser.add_argument("--modality", default="T1")
    parser.add_argument("--threads", type=int, default=1)
    chosen = parser.parse_args()
    configuration = yaml.safe_load(chosen.configuration.read_text(encoding="utf-8"))
    where = device.select_device(configuration["device"], chosen.threads)
    pools = patch_pools(configuration, chosen.modality, where)
    given = {key: getattr(chosen, key) for key in ("patches", "schedule", "learning_rate", "averaging")}
    settings = network_settings(configuration) | {
        key: value for key, value in given.items() if value is not None
    }
    path = ROOT / f"benchmarks/batch_statistics_{Path(configuration['results']).name}.csv"
    table = pd.read_csv(path) if path.exists() else pd.DataFrame()
    for seed in chosen.seeds:
        table = pd.concat([table, measured(pools, Settings(**settings, seed=seed))], ignore_index=True)
        key = ["schedule", "learning_rate", "patches_in_all", "averaging", "seed", "step", "statistics"]
        table = table.drop_duplicates(key, keep="last")
        table.to_csv(path, index=False, float_format="%.5g")
    first = table[table["schedule"] == "one_cycle"] if "one_cycle" in set(table["schedule"]) else table
    first = first[first["patches_in_all"] == first["patches_in_all"].max()]
    draw(first[first["seed"] == first["seed"].iloc[0]]).savefig(path.with_suffix(".png"), dpi=150)
    last = table[table["step"] == table.groupby(["schedule", "patches_in_all"])["step"].transform("max")]
    print(
        last.pivot_table(
            index=["schedule", "patches_in_all", "learning_rate", "averaging", "seed"],
            columns="statistics",
            values=["nll", "location_error"],
        )
        .round(3)
        .to_string()
    )


def measured(pools: list[PatchPool], settings: Settings) -> pd.DataFrame:
    """Train once; a row for each validation and way."""
    training, validation = pools
    fixed = validation.draw(validation.generator(settings.seed, 2), settings.validation_patches)
    networks: list[nn.Module] = []
    rows: list[dict[str, object]] = []

    def build(settings: Settings) -> nn.Module:
        networks.append(paper_network(settings))
        return networks[0]

    def measure_now(text: str) -> None:
        print(text, flush=True)
        network = networks[0]
        estimated = with_statistics_of(network, training, settings, len(rows))
        for way, (candidate, in_training) in {
            RUNNING: (network, False),
            ESTIMATED: (estimated, False),
            BATCH: (deepcopy(network), True),
        }.items():
            rows.append({"statistics": way, **measures(candidate, fixed, in_training, settings.batch)})

    _, history = train(training, validation, settings, progress=measure_now, build=build)
    for number, row in enumerate(history):
        for each in rows[3 * number : 3 * number + 3]:
            each |= {"step": row["step"], "training_loss": row["training_loss"]}
        rows.append(
            {
                "statistics": AVERAGED,
                "nll": row["validation_nll"],
                "beta_nll": row["validation_loss"],
                "location_error": row["validation_error"],
                "step": row["step"],
                "training_loss": row["training_loss"],
            }
        )
    fixed_columns = {
        "schedule": settings.schedule,
        "learning_rate": settings.learning_rate,
        "patches_in_all": settings.patches,
        "averaging": settings.averaging,
        "seed": settings.seed,
    }
    return pd.DataFrame([fixed_columns | row for row in rows]).sort_values(["step", "statistics"])


def with_statistics_of(network: nn.Module, training: PatchPool, settings: Settings, number: int) -> nn.Module:
    """A copy of a network, whose normalization has the mean statistics of ESTIMATION batches."""
    copy = deepcopy(network).train()
    for module in copy.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.reset_running_stats()
            module.momentum = None  # the plain mean
    with torch.no_grad():
        for batch in range(ESTIMATION):
            generator = training.generator(settings.seed, 3, number, batch)
            patch, _, slice_location = training.draw(
                generator, settings.batch, training.one_slice_each(generator)
            )
            copy(patch, slice_location)
    return copy


def measures(network: nn.Module, fixed: tuple, in_training: bool, batch: int) -> dict[str, float]:
    """Likelihood, loss and error of a network that predicts standardized locations."""
    patch, place, slice_location = fixed
    network.train(in_training)
    with torch.no_grad():
        outputs = [
            network(*part) for part in zip(patch.split(batch), slice_location.split(batch), strict=True)
        ]
    network.train()
    mean, log_variance = (torch.cat(output) for output in zip(*outputs, strict=True))
    location = mean * SPREAD + CENTER
    return {
        "nll": negative_log_likelihood(location, log_variance + 2 * SPREAD.log(), place).item(),
        "beta_nll": beta_nll(mean, log_variance, (place - CENTER) / SPREAD).item(),
        "location_error": (location - place).norm(dim=1).mean().item(),
    }


def draw(table: pd.DataFrame) -> Figure:
    """Likelihood, loss and error against the step, a line for each way."""
    figure = Figure(figsize=(10, 3.2), layout="constrained")
    panels = {
        "nll": "validation NLL [nats]",
        "beta_nll": "value of beta-NLL",
        "location_error": "location error [% of the grid]",
    }
    for axes, (column, label) in zip(figure.subplots(1, 3), panels.items(), strict=True):
        for way, color in WAYS.items():
            rows = table[table["statistics"] == way]
            axes.plot(rows["step"], rows[column], ".-", color=color, label=way, linewidth=1)
            if column == "beta_nll" and way == AVERAGED:
                least = rows.loc[rows[column].idxmin()]
                axes.plot(least["step"], least[column], "o", color=color, markersize=7, fillstyle="none")
        if column == "beta_nll":
            rows = table[table["statistics"] == RUNNING]
            axes.plot(rows["step"], rows["training_loss"], color="k", linestyle=":", label="training batches")
        axes.set_xlabel("step")
        axes.set_ylabel(label)
        axes.grid(color="0.9")
    figure.axes[2].legend(fontsize=7)
    figure.axes[1].legend(*[each[-1:] for each in figure.axes[1].get_legend_handles_labels()], fontsize=7)
    row = table.iloc[0]
    figure.suptitle(
        f"Statistics of batch normalization: {row['schedule']}, rate {row['learning_rate']:g}, "
        f"{row['patches_in_all']:,} patches, seed {row['seed']}; healthy validation scans",
        fontsize=9,
    )
    return figure


if __name__ == "__main__":
    main()
