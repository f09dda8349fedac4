"""Places in an answer: the box and the middle of its brain, the voxels of its candidates."""

import numpy as np
import pandas as pd

from patch2loc.own_scan.answer import Answer

FRAME_MM = 6.0  # around the brain
Box = tuple[int, int]  # first index and the one after the last
Voxel = tuple[int, int, int]


def brain_box(mask: np.ndarray, spacing: float) -> tuple[Box, Box, Box]:
    """Box of a brain with a margin; the whole grid if there is no brain."""
    margin = int(np.ceil(FRAME_MM / spacing))
    boxes: list[Box] = []
    for axis, size in enumerate(mask.shape):
        inside = np.flatnonzero(mask.any(axis=tuple({0, 1, 2} - {axis})))
        first, last = (inside[0], inside[-1]) if inside.size else (0, size - 1)
        boxes.append((max(0, int(first) - margin), min(size, int(last) + 1 + margin)))
    return boxes[0], boxes[1], boxes[2]


def centers(answer: Answer, count: int) -> list[Voxel]:
    """For each of the first candidates its voxel that is nearest to its center of excess."""
    places = []
    for label in answer.candidates["label"][:count]:
        voxels = np.argwhere(answer.labels == label)
        if not len(voxels):
            continue
        excess = answer.rarity[tuple(voxels.T)] - answer.threshold
        center = np.average(voxels, axis=0, weights=np.maximum(excess, 0) + 1e-6)
        x, y, z = voxels[int(np.argmin(((voxels - center) ** 2).sum(axis=1)))]
        places.append((int(x), int(y), int(z)))
    return places


def middle(mask: np.ndarray) -> Voxel:
    """Middle of the box of a brain; of the grid if there is no brain."""
    x, y, z = ((first + end) // 2 for first, end in brain_box(mask, 1.0))
    return x, y, z


def voxel_of(answer: Answer, row: "pd.Series[float]") -> Voxel:
    """Voxel of the grid that a candidate's place is in."""
    place = np.array([row["x_mm"], row["y_mm"], row["z_mm"], 1.0])
    nearest = np.rint(np.linalg.inv(answer.affine) @ place)[:3].astype(int)
    x, y, z = np.clip(nearest, 0, np.array(answer.mask.shape) - 1)
    return int(x), int(y), int(z)
