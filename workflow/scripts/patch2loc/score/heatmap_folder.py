"""What a folder of heatmaps holds beside {subject}.nii.gz; a module of its own, because it decides nothing."""

from pathlib import Path

import pandas as pd

from patch2loc.files import read_csv, write_csv

AS_PUBLISHED = "as_published"  # folder of the heatmaps with the post-processing of the method's authors
TIMES = "seconds.csv"  # one row per scan: subject, seconds, device, precision


def read_times(folder: str | Path) -> pd.DataFrame:
    """Read the times of scoring the scans whose heatmaps are in `folder`."""
    return read_csv(Path(folder, TIMES))


def write_times(folder: str | Path, times: pd.DataFrame) -> None:
    """Write the times of scoring the scans whose heatmaps are in `folder`."""
    write_csv(Path(folder, TIMES), times)
