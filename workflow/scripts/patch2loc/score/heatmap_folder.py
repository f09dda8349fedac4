"""What a folder of heatmaps holds beside {subject}.nii.gz; a module of its own, because it decides nothing."""

from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from patch2loc.files import read_csv, replacing, write_csv

AS_PUBLISHED = "as_published"  # folder of the heatmaps with the post-processing of the method's authors
PATCH_PREDICTIONS = "patch_predictions.parquet"  # of methods that predict locations: one row per patch
TIMES = "seconds.csv"  # one row per scan: subject, seconds, device, precision


def read_times(folder: str | Path) -> pd.DataFrame:
    """Read the times of scoring the scans whose heatmaps are in `folder`."""
    return read_csv(Path(folder, TIMES))


def read_patch_predictions(folder: str | Path) -> pd.DataFrame:
    """Read what a method that predicts locations predicted for the patches of the scans (`patch_predictions`)."""
    return pd.read_parquet(Path(folder, PATCH_PREDICTIONS))


def write_times(folder: str | Path, times: pd.DataFrame) -> None:
    """Write the times of scoring the scans whose heatmaps are in `folder`."""
    write_csv(Path(folder, TIMES), times)


def part_path(heatmap_path: Path) -> Path:
    """File of a scan's predictions while its dataset is scored, beside that of its heatmap."""
    return heatmap_path.with_suffix(".parquet")


def write_part(heatmap_path: Path, predictions: pd.DataFrame) -> None:
    """Write a scan's predictions, whole or not at all."""
    _write_parquet(part_path(heatmap_path), predictions)


def gather_parts(folder: Path, subjects: Mapping[Path, str]) -> None:
    """Write the predictions of all scans, {file of the heatmap: subject}, to one file of a folder, if there are any."""
    tables = [
        pd.read_parquet(part_path(path)).assign(subject=subject)
        for path, subject in subjects.items()
        if part_path(path).exists()
    ]
    if tables:
        _write_parquet(folder / PATCH_PREDICTIONS, pd.concat(tables, ignore_index=True))


def _write_parquet(path: Path, table: pd.DataFrame) -> None:
    with replacing(path) as partial:
        table.to_parquet(partial, index=False)
