"""What a detector finds, and what it finds in healthy scans: the numbers of a model card.

    python benchmarks/model_card.py DETECTOR CONFIGURATION --data FOLDER [--only healthy] [--name NAME]

Every scan goes the way that `patch2loc detect` takes: raw, preprocessed, scored, read by the healthy reference of the
detector.  Healthy: the test scans of the configuration's list, which neither the model nor its reference has seen, and
the healthy scans of config/ixi2mm.  Lesions: outlines of real strokes painted into healthy test scans at four contrasts
(simulated lesions), and the patients of config/ixi2mm.  Nothing is chosen here.
Writes benchmarks/model_card_{NAME}.csv, one row a scan and map, and prints the tables of the card.
"""

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "workflow/scripts"))

import numpy as np
import pandas as pd
import yaml
from tqdm import tqdm

from patch2loc.acquire.painted import paint_stroke
from patch2loc.data import volumes
from patch2loc.metrics.detection import Threshold, detections
from patch2loc.metrics.ranking import evaluate_scores
from patch2loc.own_scan import load_detector
from patch2loc.own_scan.sentence import expected_ml
from patch2loc.preprocess.atlas import load_atlas
from patch2loc.preprocess.brain_mask import brain_mask
from patch2loc.preprocess.images import one_thread, read_scan
from patch2loc.preprocess.register import matrix, register
from patch2loc.preprocess.scan import Preprocessed, preprocess_scan
from patch2loc.score.candidates import find_candidates
from patch2loc.score.reference import MAPS

ROOT = Path(__file__).resolve().parents[1]
CONTRASTS = (0.25, 0.5, 0.75, 1.0)  # shares of the way from tissue to fluid
HEALTHY_TABLES = {"Kirby21": "kirby21", "Colin27": "colin27", "MNI152": "mni152"}
PATIENT_TABLES = {"BraTS21": "brats21", "TCGA-LGG": "tcga", "MSLUB": "mslub"}


class Case(NamedTuple):
    """A scan to be answered: kind and group in the tables, file, and lesion mask if there is one."""

    kind: str
    group: str
    subject: str
    scan: Path
    lesion: Path | None = None


def main() -> None:
    """Answer every scan, and print the tables of the card."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("detector", type=Path)
    parser.add_argument("configuration", type=Path)
    parser.add_argument("--data", type=Path, default=Path("data"))
    parser.add_argument("--only", choices=["healthy", "painted", "patients"])
    parser.add_argument("--groups", nargs="*", help="sites of the healthy test scans; default: all")
    parser.add_argument("--split", type=Path, help="another list of who is tested than the configuration's")
    parser.add_argument("--name", default="t1_2mm")
    chosen = parser.parse_args()
    answer = answering(chosen.detector)
    rows: list[dict[str, Any]] = []
    with TemporaryDirectory() as folder:
        for case in tqdm(list(cases(chosen, Path(folder))), unit="scan"):
            rows += answer(case)
    table = pd.DataFrame(rows)
    table.to_csv(ROOT / f"benchmarks/model_card_{chosen.name}.csv", index=False, float_format="%.4g")
    summarize(table)


def cases(chosen: argparse.Namespace, folder: Path) -> Iterator[Case]:
    """All scans that are asked for; painted ones are written to the folder."""
    tested = [case for case in healthy_test_scans(chosen) if not chosen.groups or case.group in chosen.groups]
    if chosen.only in (None, "healthy"):
        yield from tested
        if not chosen.groups:
            yield from from_tables(chosen.data, "healthy", HEALTHY_TABLES)
    if chosen.only in (None, "painted"):
        yield from painted(chosen.data, folder)
    if chosen.only in (None, "patients"):
        yield from from_tables(chosen.data, "lesion", PATIENT_TABLES)


def healthy_test_scans(chosen: argparse.Namespace) -> list[Case]:
    """Healthy scans that neither training nor reference has seen."""
    configuration = yaml.safe_load(chosen.configuration.read_text(encoding="utf-8"))
    (dataset,) = configuration["datasets"].values()
    subjects = pd.read_csv(chosen.split or ROOT / dataset["split"], dtype=str)
    scans = pd.read_csv(ROOT / dataset["source"]["table"], dtype=str).set_index("subject")["scan"]
    tested = subjects[subjects["fold0"] == "test"]
    return [
        Case("healthy", site, subject, chosen.data / scans[subject])
        for subject, site in zip(tested["subject"], tested["site"], strict=True)
    ]


def from_tables(data: Path, kind: str, tables: dict[str, str]) -> Iterator[Case]:
    """Scans of tables in config/ixi2mm."""
    for group, name in tables.items():
        for row in pd.read_csv(ROOT / f"config/ixi2mm/{name}.csv", dtype=str).itertuples():
            lesion = None if pd.isna(row.lesion) else data / row.lesion
            yield Case(kind, group, row.subject, data / row.scan, lesion)


def painted(data: Path, folder: Path) -> Iterator[Case]:
    """Strokes painted into healthy test scans at every contrast; the brain is found as for any scan."""
    atlas = load_atlas("icbm152", "T1")
    for pair in pd.read_csv(ROOT / "config/ixi2mm/painted.csv", dtype=str).itertuples():
        scan_path = data / pair.scan
        array, affine = read_scan(scan_path)
        with one_thread():
            brain, start, _ = brain_mask(
                scan_path, array, affine, method="auto", given_mask=None, atlas=atlas
            )
            transform, _ = register(array, brain, affine, atlas, start=start)
        brain_path = folder / f"{pair.subject}_brain.nii.gz"
        volumes.write(brain_path, brain, affine)
        for contrast in CONTRASTS:
            outputs = {
                part: folder / f"{pair.subject}_{contrast}_{part}.nii.gz"
                for part in ("scan", "brain", "lesion")
            }
            paint_stroke(
                scan_path,
                brain_path,
                data / pair.mask,
                matrix(transform),
                seed=int(pair.seed),
                outputs=outputs,
                mirrored=pair.mirrored == "1",
                strength=contrast,
            )
            yield Case("painted", f"contrast {contrast:g}", pair.subject, outputs["scan"], outputs["lesion"])


def answering(path: Path) -> Any:
    """A function of a case: rows of numbers, one for each map."""
    detector = load_detector(path)
    scorer, reference = detector.scorer, detector.reference
    settings = {**scorer.model["preprocess"], "skull_strip": "auto"}

    def answer(case: Case) -> list[dict[str, Any]]:
        scan = preprocess_scan(
            case.scan,
            scorer.model["modality"],
            scorer.atlas,
            scorer.grid,
            lesion_path=case.lesion,
            settings=settings,
        )
        maps = detector.maps(scan.volume, scan.mask, str(case.scan))
        rarity = reference.rarity_maps(maps)
        rows = []
        for name in MAPS:
            labels, found = find_candidates(rarity[name], reference.threshold, scan.grid.voxel_ml)
            excess = sum(one.excess for one in found)
            row = {
                **case._asdict(),
                "scan": case.scan.name,
                "map": name,
                "location_error": maps.location_error,
                "abnormal_ml": sum(one.volume_ml for one in found),
                "candidates": len(found),
                "percentile": reference.percentile(excess, "excess", name),
                "flags": len(scan.qc["flags"]),
            }
            row.pop("lesion")
            rows.append(
                row | (with_truth(scan, rarity[name], labels, reference.threshold) if case.lesion else {})
            )
        return rows

    return answer


def with_truth(
    scan: Preprocessed, rarity: np.ndarray, labels: np.ndarray, threshold: float
) -> dict[str, Any]:
    """Ranking and detection of a lesion; lesion that the mask or the grid lost is missed."""
    lesion = scan.lesion
    lost = int(np.count_nonzero(lesion & ~scan.mask))
    ranking = evaluate_scores(rarity[scan.mask], lesion[scan.mask], lost)
    at = Threshold("healthy quantile", 1 - 10.0**-threshold, threshold)
    (detected,) = detections(
        np.where(labels > 0, rarity, -1), scan.mask, lesion, [at], spacing=scan.grid.spacing
    )
    hits = np.unique(labels[lesion & (labels > 0)])
    return {
        "lesion_ml": np.count_nonzero(lesion) * scan.grid.voxel_ml,
        "auprc": ranking["auprc"],
        "auroc": ranking["auroc"],
        "best_dice": ranking["best_dice"],
        "prevalence": ranking["prevalence"],
        **{
            key: detected[key]
            for key in (
                "dice",
                "sensitivity",
                "false_positive_ml",
                "lesions",
                "lesions_found",
                "false_positives",
            )
        },
        "first_hit": int(hits.min()) if hits.size else np.nan,  # rank of the first candidate in the lesion
    }


def summarize(table: pd.DataFrame) -> None:
    """Print the tables of the card."""
    healthy = table[table["kind"] == "healthy"].groupby(["map", "group"], sort=False)
    if len(healthy):
        print(
            healthy.agg(
                scans=("subject", "count"),
                median_ml=("abnormal_ml", "median"),
                p95_ml=("abnormal_ml", lambda values: expected_ml(np.asarray(values))["most"]),
                most_ml=("abnormal_ml", "max"),
                candidates=("candidates", "median"),
                percentile=("percentile", "median"),
                location_error=("location_error", "median"),
            )
            .round(2)
            .to_string()
        )
    lesions = table[table["kind"] != "healthy"]
    if len(lesions):
        print(
            lesions.assign(found=lesions["first_hit"].notna(), first=lesions["first_hit"] == 1)
            .groupby(["map", "kind", "group"], sort=False)
            .agg(
                scans=("subject", "count"),
                lesion_ml=("lesion_ml", "mean"),
                auprc=("auprc", "mean"),
                prevalence=("prevalence", "mean"),
                dice=("dice", "mean"),
                best_dice=("best_dice", "mean"),
                found=("found", "mean"),
                first=("first", "mean"),
                percentile=("percentile", "median"),
                false_ml=("false_positive_ml", "mean"),
                location_error=("location_error", "median"),
            )
            .round(3)
            .to_string()
        )


if __name__ == "__main__":
    main()
