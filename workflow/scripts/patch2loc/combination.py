"""Combinations of methods: one score from the ranks that several give to the voxels of a scan.

The ranks bring scores of different scales together without a weight that would have to be chosen on lesions.  A
combination is made of finished heatmaps, so it has no model and no training of its own.
"""

import math
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import rankdata

from patch2loc import volumes
from patch2loc.errors import InputError
from patch2loc.files import replacing_folder, write_csv
from patch2loc.method_names import NATIVE_SUFFIX, SUFFIX, TRUTH
from patch2loc.methods import METHODS

NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
TIMES = "seconds.csv"
# What is made of the ranks of a voxel, (methods, voxels) from 0 to 1.
RULES: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "rank_average": lambda ranks: ranks.mean(axis=0),
    "rank_product": lambda ranks: ranks.prod(axis=0),
}


def check_combinations(combinations: Mapping[str, Mapping[str, Any]]) -> None:
    """Raise InputError for a name that cannot be a combination's, or parts that are no methods.

    combinations: {name: {"of": names of methods, "by": a name of RULES}}, as configured.
    """
    for name, declared in combinations.items():
        if not NAME.fullmatch(name) or name.endswith((SUFFIX, NATIVE_SUFFIX)):
            raise InputError(
                f"combinations: the name {name!r} found, letters, digits and _ expected, no digit first, and no "
                f"{SUFFIX} or {NATIVE_SUFFIX} last, which other rows have; rename it"
            )
        if name in METHODS:
            raise InputError(f"combinations.{name}: a method has this name, another one expected; rename it")
        unknown = [part for part in declared["of"] if part not in METHODS and "." not in part]
        if unknown:
            raise InputError(
                f"combinations.{name}.of: {', '.join(unknown)} found, methods expected: {', '.join(METHODS)}, or "
                "modules of your own; correct the name"
            )
        if TRUTH in declared["of"]:
            raise InputError(
                f"combinations.{name}.of: {TRUTH} found, which is given the lesions, methods that are not expected; "
                "leave it out"
            )
        if len(set(declared["of"])) < 2:
            raise InputError(
                f"combinations.{name}.of: {', '.join(declared['of'])} found, at least two methods expected; add one, "
                "or leave the combination out"
            )


def possible(
    combinations: Mapping[str, Mapping[str, Any]], methods: Sequence[str]
) -> dict[str, Mapping[str, Any]]:
    """The combinations all of whose parts are among the methods that run."""
    return {name: declared for name, declared in combinations.items() if set(declared["of"]) <= set(methods)}


def left_out_note(combinations: Mapping[str, Mapping[str, Any]], methods: Sequence[str]) -> str:
    """What to tell a person of the combinations that are not possible; "" when all are."""
    absent = {
        name: [part for part in combinations[name]["of"] if part not in methods]
        for name in combinations
        if name not in possible(combinations, methods)
    }
    said = "; ".join(f"{name} needs {', '.join(parts)}" for name, parts in absent.items())
    return said and f"Combinations left out, whose methods are not all among `methods`: {said}."


def described(combinations: Mapping[str, Mapping[str, Any]]) -> str:
    """One sentence that says what each combination is made of, for the notes of tables; "" without any."""
    said = "; ".join(
        f"{name}, {declared['by'].removeprefix('rank_')} of {' and '.join(declared['of'])}"
        for name, declared in combinations.items()
    )
    return said and f"Combinations, of a voxel's ranks within its scan: {said}."


def ranks(heatmap: np.ndarray) -> np.ndarray:
    """The rank of each score among those of its scan, 0 the lowest, 1 the highest; ties have the mean of theirs.

    heatmap: (x, y, z) score, NaN outside the mask.  Returns (voxels of the mask,) float64.
    """
    scores = heatmap[~np.isnan(heatmap)]
    return (rankdata(scores) - 1) / max(scores.size - 1, 1)


def combine(heatmaps: Sequence[np.ndarray], by: str) -> np.ndarray:
    """One heatmap from those of several methods of the same scan.

    heatmaps: (x, y, z) scores, NaN outside the same mask.  by: a name of RULES.
    Returns (x, y, z) float32, NaN outside the mask.  Raises ValueError when shapes or masks differ.
    """
    known = ~np.isnan(heatmaps[0])
    if not all(np.array_equal(known, ~np.isnan(heatmap)) for heatmap in heatmaps):
        raise ValueError(
            "scores of other voxels than those of the first method found, of the same ones expected"
        )
    combined = np.full(known.shape, np.nan, np.float32)
    combined[known] = RULES[by](np.stack([ranks(heatmap) for heatmap in heatmaps]))
    return combined


def combine_folders(parts: Sequence[str | Path], by: str, folder: str | Path) -> None:
    """Write the combination of every scan to `folder`/{subject}.nii.gz, and seconds.csv; the folder appears whole.

    parts: folders of heatmaps of the same scans, as `score.score_scans` writes them.  by: a name of RULES.
    seconds: those of all parts together.  device, precision: those of the parts, each once.
    Raises InputError, naming the heatmap, when parts do not have the same scans or voxels.
    """
    times = [pd.read_csv(Path(part, TIMES)) for part in parts]
    first = times[0]["subject"].tolist()
    for part, table in zip(parts, times, strict=True):
        if table["subject"].tolist() != first:
            raise InputError(
                f"{part}: other scans found than in {parts[0]}, the same ones expected; remove both and run again"
            )
    with replacing_folder(folder) as partial:
        for subject in first:
            paths = [Path(part, f"{subject}.nii.gz") for part in parts]
            read = [volumes.read(path) for path in paths]
            try:
                combined = combine([heatmap for heatmap, _ in read], by)
            except ValueError as problem:
                names = ", ".join(map(str, paths))
                raise InputError(f"{names}: {problem}; score the scan again") from problem
            volumes.write(partial / f"{subject}.nii.gz", combined, read[0][1])
        write_csv(partial / TIMES, _together(times))


def _together(times: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """One table of seconds, device and precision from those of the parts."""
    together = times[0].copy()
    together["seconds"] = [
        round(math.fsum(seconds), 2) for seconds in zip(*(table["seconds"] for table in times), strict=True)
    ]
    for column in ("device", "precision"):
        together[column] = [
            " + ".join(dict.fromkeys(values))
            for values in zip(*(table[column] for table in times), strict=True)
        ]
    return together
