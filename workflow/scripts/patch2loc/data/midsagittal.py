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
    size = volume.shape[0]
    reach = round(2 * SEARCH_MM / spacing)
    sums = [0.0, *np.cumsum(np.abs(volume).sum(axis=(1, 2), dtype=float))]  # of all slices before each

    def difference(double: int) -> float:
        """Of the volume from its mirror image about the plane at half of `double`; a pair of slices counts twice."""
        first, last = max(0, double - size + 1), min(size - 1, double)  # those that have a counterpart
        half = (last - first + 1) // 2
        left, right = volume[first : first + half], volume[last + 1 - half : last + 1][::-1]
        alone = sums[size] - sums[last + 1] + sums[first]
        return float(2 * np.abs(left - right).sum(dtype=float) + alone)

    doubles = range(max(0, size - 1 - reach), min(2 * size - 1, size + reach))  # no plane outside the array
    return min(doubles, key=difference) / 2


def mirrored(volume: np.ndarray, plane: float) -> np.ndarray:
    """A volume, (x, y, z), mirrored about a plane of constant x (`midsagittal_plane`); 0 from beyond the grid."""
    size = len(volume)
    counterpart = round(2 * plane) - np.arange(size)
    inside = (counterpart >= 0) & (counterpart < size)
    mirror_image = np.zeros_like(volume)
    mirror_image[inside] = volume[counterpart[inside]]
    return mirror_image


def midline_mm(image: np.ndarray, affine: np.ndarray) -> float:
    """Coordinate along x, mm, of the midsagittal plane of an atlas.

    Args:
        image: The atlas, (x, y, z), x from left to right, 0 outside the brain.
        affine: 4 x 4, voxel indices of the atlas to mm, axis-aligned.
    """
    spacing, origin = float(affine[0, 0]), float(affine[0, 3])
    return origin + spacing * midsagittal_plane(image, spacing)


def midline_location(image: np.ndarray, affine: np.ndarray, grid: Grid) -> float:
    """Location along x of the midsagittal plane of an atlas, in percent of the grid (as `heatmap.true_location`).

    Args:
        image: The atlas, (x, y, z), x from left to right, 0 outside the brain.
        affine: Affine of the atlas, 4 x 4, voxel indices to mm, axis-aligned.
        grid: The grid in the same space.
    """
    voxel = (midline_mm(image, affine) - float(grid.affine[0, 3])) / grid.spacing
    return 100 * voxel / grid.shape[0]
