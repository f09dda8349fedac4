"""Times of scoring: the table that lies beside the heatmaps of a folder."""

from pathlib import Path

import pandas as pd

from patch2loc.files import read_csv, write_csv

TIMES = "seconds.csv"  # columns subject, seconds, device, precision


def read_times(folder: str | Path) -> pd.DataFrame:
    """Read the times of scoring the scans whose heatmaps are in `folder`."""
    return read_csv(Path(folder, TIMES))


def write_times(folder: str | Path, times: pd.DataFrame) -> None:
    """Write the times of scoring the scans whose heatmaps are in `folder`."""
    write_csv(Path(folder, TIMES), times)
