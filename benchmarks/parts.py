"""What the score of a model is made of, on real scans: its parts as detectors, and at the edge of healthy brains.

    python benchmarks/parts.py MODEL CONFIGURATION --data FOLDER [--healthy 6] [--work FOLDER]

As the target `parts` of a run, for a model without one.  Lesions: the patients of config/ixi2mm.  Healthy: the first
test scans of the configuration's list, which neither the model nor its reference has seen.  Nothing is chosen here.
Writes parts.csv, .md and .png to the folder of --work, which keeps the preprocessed scans, too.
"""

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "workflow/scripts"))

import pandas as pd
from model_card import PATIENT_TABLES, Case, from_tables, healthy_test_scans
from tqdm import tqdm

from patch2loc.data.scans import Scan
from patch2loc.evaluate.parts import analyze_parts
from patch2loc.figures.parts import parts_figure
from patch2loc.figures.style import save_figure
from patch2loc.files import write_csv, write_text
from patch2loc.metrics.parts import Setting
from patch2loc.metrics.released_code import OURS
from patch2loc.own_scan.scorer import Scorer, load_scorer
from patch2loc.preprocess.scan import preprocess_scan, write_preprocessed
from patch2loc.provenance.code import code_hash
from patch2loc.tables.formats import to_markdown
from patch2loc.tables.parts import parts_layout, parts_table

EPSILONS, MEDIAN_FILTERS, STRIDES = [1e-10, 0.01, 0.5, 5.0], [1, 3, 7], [1, 2, 4]


def main() -> None:
    """Score the scans by every part, and write table and figure."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("configuration", type=Path)
    parser.add_argument("--data", type=Path, default=Path("data"))
    parser.add_argument("--healthy", type=int, default=6, help="number of healthy scans; default: 6")
    parser.add_argument("--work", type=Path, default=Path("results/parts"))
    chosen = parser.parse_args()
    chosen.groups, chosen.split = None, None
    scorer = load_scorer(chosen.model)
    cases = {
        "patients": list(from_tables(chosen.data, "lesion", PATIENT_TABLES)),
        "healthy": healthy_test_scans(chosen)[: chosen.healthy],
    }
    scans = {
        name: [preprocessed(case, chosen.work / name, scorer) for case in tqdm(of_dataset, unit="scan")]
        for name, of_dataset in cases.items()
    }
    protocol = f"Model {chosen.model.stem}, {scorer.model['method']}, {scorer.grid.spacing:g} mm."
    write_parts(chosen.model, scans, scorer.median_filter, protocol, chosen.work)


def write_parts(
    model: Path, scans: Mapping[str, Sequence[Scan]], median_filter: int, protocol: str, work: Path
) -> None:
    """Table and figure of the parts of a model's score.

    Args:
        model: Its file.
        scans: Preprocessed T1 scans of each dataset.
        median_filter: That the model's heatmaps have.
        protocol: Words for the caption.
        work: Folder to write to.
    """
    own = dict.fromkeys(scans, Setting("score", 0.5, median_filter, 1))
    datasets = {name: {"title": name.capitalize(), "modality": "T1", "simulated": False} for name in scans}
    parts = {}
    for name, of_dataset in scans.items():
        analyze(model, of_dataset, table := work / f"{name}.parquet")
        parts["patch2loc", name] = [pd.read_parquet(table)]
    result = parts_table(parts, datasets, own)
    write_csv(work / "parts.csv", result)
    write_text(work / "parts.md", to_markdown(parts_layout(result, datasets, own, protocol)))
    save_figure(parts_figure(result, datasets, own), [work / "parts.png"])


def preprocessed(case: Case, folder: Path, scorer: Scorer) -> Scan:
    """The scan of a case on the model's grid, made once."""
    scan = Scan(case.subject, folder / case.subject, scorer.model["modality"])
    if not scan.folder.exists():
        settings = {**scorer.model["preprocess"], "skull_strip": "auto"}
        result = preprocess_scan(
            case.scan,
            scan.modality,
            scorer.atlas,
            scorer.grid,
            lesion_path=case.lesion,
            settings=settings,
        )
        write_preprocessed(scan.folder, result)
    return scan


def analyze(model: Path, scans: Sequence[Scan], table: Path) -> None:
    """Measure the parts of the score in scans."""
    analyze_parts(
        model,
        scans,
        table,
        settings={"epsilons": EPSILONS, "median_filters": MEDIAN_FILTERS, "strides": STRIDES},
        truth="half",
        choices=OURS,
        device="cpu",
        precision="float32",
        code=code_hash("patch2loc.evaluate.parts"),
    )


if __name__ == "__main__":
    main()
