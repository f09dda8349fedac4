"""The midsagittal plane of a brain in atlas space: where its left half mirrors its right one.

Coordinates do not say where it is: ICBM152 has it at x = 0 mm, SRI24 has its origin at a corner.
"""

import numpy as np

from patch2loc.data.volumes import Grid

SEARCH_MM = 10.0  # how far from the middle of the array the plane may be


def midsagittal_plane(volume: np.ndarray, spacing: float) -> float:
    """The plane of constant x about which a volume differs least from its mirror image, to half a voxel.

    Args:
        volume: (x, y, z), x from left to right, 0 outside the brain.
        spacing: Voxel size, mm.

    Returns:
        Index along x: whole on a voxel, half between two; no further than SEARCH_MM from the middle of the array.
    """
    middle = volume.shape[0] - 1  # in half voxels, as the planes below
    reach = round(2 * SEARCH_MM / spacing)
    planes: list[float] = [(middle + offset) / 2 for offset in range(-reach, reach + 1)]

    def difference(plane: float) -> float:
        return float(np.abs(volume - mirrored(volume, plane)).sum())

    return min(planes, key=difference)


def mirrored(volume: np.ndarray, plane: float) -> np.ndarray:
    """A volume, (x, y, z), mirrored about a plane of constant x (`midsagittal_plane`); 0 from beyond the grid."""
    size = len(volume)
    counterpart = round(2 * plane) - np.arange(size)
    inside = (counterpart >= 0) & (counterpart < size)
    mirror_image = np.zeros_like(volume)
    mirror_image[inside] = volume[counterpart[inside]]
    return mirror_image


def midline_location(image: np.ndarray, affine: np.ndarray, grid: Grid) -> float:
    """Location along x of the midsagittal plane of an atlas, in percent of the grid (as `heatmap.true_location`).

    Args:
        image: The atlas, (x, y, z), x from left to right, 0 outside the brain.
        affine: 4 x 4, voxel indices of the atlas to mm, axis-aligned.
        grid: The grid in the same space.
    """
    spacing, origin = float(affine[0, 0]), float(affine[0, 3])
    millimeters = origin + spacing * midsagittal_plane(image, spacing)
    voxel = (millimeters - float(grid.affine[0, 3])) / grid.spacing
    return 100 * voxel / grid.shape[0]
