"""Results of a small scored run: random brains with heatmaps of two methods, for the tests of viewer and report."""

from pathlib import Path

import numpy as np
import pandas as pd
from scipy.ndimage import binary_dilation

from patch2loc.data.scans import Scan
from patch2loc.data.volumes import Grid, write
from patch2loc.files import write_json
from patch2loc.metrics.ranking import evaluate_scores
from patch2loc.report.viewer.folder import ScoredDataset
from patch2loc.score.calibration import Calibration, write_calibration
from patch2loc.score.stored_heatmaps import heatmaps_of

GRID = Grid((20, 24, 16), 2.0, (1.0, -3.0, 7.0))
METHODS = ("patch2loc", "patch2loc_calibrated", "zscore")
LOST_ML = 0.08  # 10 voxels of every lesion are off the grid
MISSED = 10 + 4
ROLES = {"tumors": ("lesion", 6), "healthy": ("healthy", 3), "own_scans": ("unlabeled", 2)}


def brain() -> np.ndarray:
    """An ellipsoid with a notch in front on the subject's right, (x, y, z) boolean."""
    x, y, z = np.indices(GRID.shape)
    inside = ((x - 9.5) / 8) ** 2 + ((y - 11.5) / 10) ** 2 + ((z - 7.5) / 6) ** 2 < 1
    return inside & ~((x > 14) & (y > 16))


def scored_results(folder: Path) -> list[ScoredDataset]:
    """Write preprocessed scans, heatmaps and a calibration of fold 0 under `folder`; the datasets, patch2loc first."""
    usual = np.linspace(4, 8, GRID.shape[0], dtype=np.float32)[:, None, None] * np.ones(
        GRID.shape, np.float32
    )
    write_calibration(
        folder / "calibration/patch2loc/T1/fold0", Calibration(usual, np.sqrt(usual)), GRID.affine
    )
    return [_dataset(folder, name, role, count) for name, (role, count) in ROLES.items()]


def _dataset(folder: Path, name: str, role: str, count: int) -> ScoredDataset:
    scans, rows = [], []
    for number in range(count):
        scan = Scan(f"sub {number}", folder / "preprocessed" / name / f"sub {number}", "T1")
        random = np.random.default_rng([len(name), number])
        mask, lesion = brain(), np.zeros(GRID.shape, bool)
        if role == "lesion":
            lesion[4 : 7 + number, 8:12, 6:9] = True
            lesion[0, 0, :4] = True  # outside the brain
        score = (random.normal(6, 2, GRID.shape) + 3 * lesion + number / 4).astype(np.float32)
        write(scan.volume_path, random.uniform(50, 400, GRID.shape) * mask, GRID.affine)
        write(scan.mask_path, mask, GRID.affine)
        write(scan.lesion_path, lesion, GRID.affine)
        write(scan.lesion_any_path, binary_dilation(lesion), GRID.affine)
        lost = LOST_ML / 2 if role == "lesion" else 0.0
        write_json(
            scan.qc_path,
            {"lesion": {"lost_to_grid_ml": lost, "scale": 2.0, "lesions_source": 1, "lesions_in_view": 1}},
        )
        for method, shown in {"patch2loc": score, "zscore": np.abs(score - 5)}.items():
            path = heatmaps_of(folder, method, name, "T1", fold=0).path(scan.subject)
            write(path, np.where(mask, shown, np.nan), GRID.affine)
        row = evaluate_scores(score[mask], lesion[mask], MISSED if role == "lesion" else 0)
        rows.append({"subject": scan.subject, **row, "lesion_ml": lesion.sum() * 0.008 + 2 * lost})
        scans.append(scan)
    heatmaps = {method: heatmaps_of(folder, method, name, "T1", fold=0) for method in METHODS}
    metrics = None if role == "unlabeled" else pd.DataFrame(rows)
    return ScoredDataset(name, name.capitalize(), role, True, scans, heatmaps, metrics)
