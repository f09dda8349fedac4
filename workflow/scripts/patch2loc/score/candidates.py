"""Candidates for lesions: the connected parts of a map above a threshold, most conspicuous first."""

from typing import NamedTuple

import numpy as np
from scipy import ndimage

SMALLEST_ML = 0.2  # smaller parts are noise in healthy scans, and no reader looks at them
CONNECTIVITY_26 = np.ones((3, 3, 3), bool)


class Candidate(NamedTuple):
    """A connected part of a map above a threshold.

    Attributes:
        volume_ml: Its volume.
        excess: What the map has above the threshold, summed over its volume, ml: extent and height in one number.
        peak: Highest value of the map in it.
        peak_voxel: Place of the peak.
    """

    volume_ml: float
    excess: float
    peak: float
    peak_voxel: tuple[int, int, int]


def find_candidates(
    rarity: np.ndarray, threshold: float, voxel_ml: float, smallest_ml: float = SMALLEST_ML
) -> tuple[np.ndarray, list[Candidate]]:
    """Find the 26-connected parts of a map above a threshold.

    Args:
        rarity: (x, y, z), NaN outside the brain.
        threshold: Values above it belong to candidates.
        voxel_ml: Volume of a voxel, ml.
        smallest_ml: Smaller parts are left out.

    Returns:
        Labels, (x, y, z) int16, 0 where there is no candidate and the candidate's place in the list, from 1, elsewhere;
        and the candidates, by falling excess.
    """
    with np.errstate(invalid="ignore"):
        above = rarity > threshold
    parts, count = ndimage.label(above, structure=CONNECTIVITY_26)
    found: list[tuple[int, Candidate]] = []
    for number, box in enumerate(ndimage.find_objects(parts, count), start=1):
        inside = parts[box] == number
        volume_ml = float(np.count_nonzero(inside) * voxel_ml)
        if volume_ml < smallest_ml:
            continue
        values = np.where(inside, rarity[box], -np.inf)
        place = np.unravel_index(int(np.argmax(values)), values.shape)
        x, y, z = (int(edge.start + offset) for edge, offset in zip(box, place, strict=True))
        excess = float((rarity[box][inside] - threshold).sum() * voxel_ml)
        found.append((number, Candidate(volume_ml, excess, float(values[place]), (x, y, z))))
    found.sort(key=lambda pair: (-pair[1].excess, pair[1].peak_voxel))
    ranks = np.zeros(count + 1, np.int16)
    for rank, (number, _) in enumerate(found, start=1):
        ranks[number] = rank
    return ranks[parts], [candidate for _, candidate in found]
