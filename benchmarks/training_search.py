"""Learning rate, schedule, averaging and precision by the negative log-likelihood on healthy validation scans.

    python benchmarks/training_search.py config/ixi2mm.yaml [--patches 409600] [--rates 0.001 0.004 ...] [--seeds 1 2]

Takes the preprocessed scans of a finished run of the configuration, its network, batch and fold 0.  No scan with a
lesion is looked at.  Writes benchmarks/training_search_{run}.csv, the best first, after each training anew; what it has
already is not done again.
"""

import argparse
import sys
from itertools import product
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "workflow/scripts"))

import pandas as pd
import yaml
from finished_run import network_settings, patch_pools
from tqdm import tqdm

from patch2loc.engine import device
from patch2loc.network.training import Settings, train

ROOT = Path(__file__).resolve().parents[1]
KEYS = ("precision", "averaging", "schedule", "learning_rate", "seed")


def main() -> None:
    """Train with every combination and write what each reached."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("configuration", type=Path)
    parser.add_argument("--patches", type=int, default=409600, help="training patches of each run")
    parser.add_argument("--rates", type=float, nargs="+", default=[0.001, 0.002, 0.004, 0.008, 0.016])
    parser.add_argument("--schedules", nargs="+", default=["constant", "one_cycle"])
    parser.add_argument("--averaging", type=float, nargs="+", default=[0, 0.99])
    parser.add_argument("--precisions", nargs="+", default=["float32"])
    parser.add_argument("--seeds", type=int, nargs="+", default=[1])
    parser.add_argument("--modality", default="T1")
    parser.add_argument("--threads", type=int, default=1)
    chosen = parser.parse_args()
    configuration = yaml.safe_load(chosen.configuration.read_text(encoding="utf-8"))
    where = device.select_device(configuration["device"], chosen.threads)
    pools = patch_pools(configuration, chosen.modality, where)
    path = ROOT / f"benchmarks/training_search_{Path(configuration['results']).name}.csv"
    rows = pd.read_csv(path).to_dict("records") if path.exists() else []
    known = {tuple(row[key] for key in (*KEYS, "budget")) for row in rows}
    combinations = list(
        product(chosen.precisions, chosen.averaging, chosen.schedules, chosen.rates, chosen.seeds)
    )
    for precision, averaging, schedule, rate, seed in tqdm(combinations, unit="training"):
        if (precision, averaging, schedule, rate, seed, chosen.patches) in known:
            continue
        tried = {
            "patches": chosen.patches,
            "learning_rate": rate,
            "schedule": schedule,
            "averaging": averaging,
            "validations": 5,
            "seed": seed,
            "precision": precision,
        }
        settings = Settings(**network_settings(configuration) | tried)
        history = pd.DataFrame(train(*pools, settings, progress=lambda text: None)[1])
        best = history.loc[history["validation_nll"].idxmin()]
        rows.append(
            {
                "budget": chosen.patches,
                "precision": precision,
                "schedule": schedule,
                "averaging": averaging,
                "learning_rate": rate,
                "seed": seed,
                "patches": int(best["patches"]),
                "validation_nll": round(best["validation_nll"], 4),
                "validation_error_mm": round(best["validation_error_mm"], 2),
                "last_validation_nll": round(history["validation_nll"].iloc[-1], 4),
            }
        )
        table = pd.DataFrame(rows).sort_values("validation_nll", kind="stable")
        table.to_csv(path, index=False)
    print(pd.read_csv(path).to_string(index=False))


if __name__ == "__main__":
    main()
