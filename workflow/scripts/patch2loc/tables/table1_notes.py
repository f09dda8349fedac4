"""Notes of Table 1: what its numbers are, what the published ones are, and what was not run."""

from collections.abc import Set

import pandas as pd

from patch2loc.configuration.method_names import (
    display_name,
    is_as_published,
    is_calibrated,
    is_control,
    needs_truth,
)
from patch2loc.data.labels import Datasets
from patch2loc.tables.layout import row_records

# Configuration of the methods of every published row, on top of another one, and the command that runs it.
ALL_ROWS = "config/table1.yaml"
ALL_ROWS_COMMAND = f"snakemake --cores 8 --configfile config/config.yaml {ALL_ROWS}"
ANY = "_any"  # end of a metric's name whose truth is every voxel that lesion touches
TABLE1_NOTE = "Mean ± standard deviation over folds. A random score's AUPRC is the lesion prevalence."
NEAREST_NOTE = (
    "Nearest protocol: every voxel that lesion touches is lesion, as in the code of the published rows, and the method "
    "has the post-processing of its authors, where that is a row here; the line to hold against the published one."
)
CALIBRATED_NOTE = (
    "Calibrated: a second score, which is not the paper's, in units of what healthy validation scans score at the "
    "same place, and then of the scan itself."
)
AS_PUBLISHED_NOTE = (
    "As published: with the post-processing of the published rows instead of the common one: brain mask eroded by 3 "
    "voxels, median filter of 5 voxels in each direction, of 2 mm or of a coarser grid; lesion in the eroded rim "
    "scores 0. Of ra and phanes: the score of their authors."
)
CONTROL_NOTE = "Control: a simple score that others must beat, no row of the paper."
TRUTH_NOTE = (
    "Oracle: the true share of lesion in the patch around a voxel, which needs the lesion mask; out of "
    "competition."
)


def few_subjects(table: pd.DataFrame, datasets: Datasets) -> list[str]:
    """A warning where fewer subjects of a dataset were scored than any of its published numbers rests on."""
    published = table.dropna(subset="published_mean")
    fewest = published.groupby("dataset")["published_n_subjects"].transform("min")
    few = published[published["n_subjects"].between(1, fewest, inclusive="left")]
    if few.empty:
        return []
    return [
        f"Only a part of the subjects was scored: {_counts(few, datasets, 'n_subjects')}. These numbers cannot be held "
        "against the published ones."
    ]


def notes(table: pd.DataFrame, datasets: Datasets, not_run: Set[str]) -> list[str]:
    """Sentences on the numbers, and on the rows that a table has.

    Args:
        table: of `table1.table1`.
        datasets: as tables describe them.
        not_run: methods of published rows that were not run.
    """
    concerned_methods = {
        CALIBRATED_NOTE: is_calibrated,
        AS_PUBLISHED_NOTE: is_as_published,
        CONTROL_NOTE: is_control,
        TRUTH_NOTE: needs_truth,
    }
    rows = [note for note, concerns in concerned_methods.items() if any(map(concerns, table["method"]))]
    sentences = [TABLE1_NOTE, *rows]
    published = table.dropna(subset="published_mean")
    if published.empty:
        return sentences
    if table["metric"].str.endswith(ANY).any():
        sentences.append(NEAREST_NOTE)
    own = published[published["method"].str.casefold() == "patch2loc"]
    others = published.drop(own.index)
    column = "published_n_subjects"
    sentences.append(
        f"Published numbers are of other subjects: {_counts(own, datasets, column)} for patch2loc; "
        f"{_counts(others, datasets, column)} for all other rows, which the paper took from work at 2 mm, in a brain "
        "mask eroded by 3 voxels, with a median filter of 5 voxels in each direction."
    )
    if not_run:
        names = [display_name(method) for method in published["method"].unique() if method in not_run]
        sentences.append(
            f"Not run: {'; '.join(names)}. {ALL_ROWS}, given after the run's own configuration, runs them: "
            f"{ALL_ROWS_COMMAND}"
        )
    return sentences


def _counts(rows: pd.DataFrame, datasets: Datasets, column: str) -> str:
    """Subjects by dataset, from a column: "1,152 of BraTS21, 30 of MSLUB"."""
    return ", ".join(
        f"{row[column]:,.0f} of {datasets[row['dataset']]['title']}"
        for row in row_records(rows.drop_duplicates("dataset"))
    )
