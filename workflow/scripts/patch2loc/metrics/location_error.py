"""Location error in healthy tissue, from the patches of a scan."""

import pandas as pd


def healthy_location_errors(patches: pd.DataFrame) -> pd.Series:
    """Mean location error of each subject's patches without any lesion, percent of the grid, by subject.

    Args:
        patches: columns subject, lesion_fraction and location_error.
    """
    healthy = patches[patches["lesion_fraction"] == 0]
    return healthy.groupby("subject")["location_error"].mean()
