"""Masks: the box around one, its connected parts, and what is within a distance of it."""

import numpy as np
from scipy import ndimage

Box = tuple[slice, ...]
ROUNDING = 1e-6  # of voxels' edges in headers: it must not decide about a distance of whole voxels


def box_around(mask: np.ndarray) -> Box:
    """The smallest box around the true voxels of an (x, y, z) bool mask, which holds any."""
    flat = np.asarray(mask.any(axis=2))
    edges: list[slice] = []
    for line in (flat.any(axis=1), flat.any(axis=0), mask.any(axis=(0, 1))):
        places = np.flatnonzero(line)
        edges.append(slice(int(places[0]), int(places[-1]) + 1))
    return tuple(edges)


def center_of(mask: np.ndarray) -> np.ndarray:
    """The mean index of the true voxels of an (x, y, z) bool mask, which holds any: (3,)."""
    flat = np.count_nonzero(mask, axis=2)
    counts = (flat.sum(axis=1), flat.sum(axis=0), np.count_nonzero(mask, axis=0).sum(axis=0))
    return np.array([np.arange(len(each)) @ each / each.sum() for each in counts])


def largest_part(mask: np.ndarray) -> np.ndarray:
    """The largest connected part (6 neighbors) of an (x, y, z) bool mask; an empty mask stays empty."""
    parts, count = ndimage.label(mask)
    if count < 2:
        return mask
    part: np.ndarray = parts == np.argmax(np.bincount(parts.ravel())[1:]) + 1
    return part


def fill_holes(mask: np.ndarray) -> np.ndarray:
    """An (x, y, z) bool mask without the holes (6 neighbors) in it, as scipy's `binary_fill_holes`, in less time."""
    parts, _ = ndimage.label(np.pad(~mask, 1, constant_values=True))
    filled: np.ndarray = (parts != parts[0, 0, 0])[1:-1, 1:-1, 1:-1]
    return filled


def share_of_holes(mask: np.ndarray) -> float:
    """Share of an (x, y, z) bool mask, its holes filled, that is holes; of an empty mask none."""
    if not mask.any():
        return 0.0
    inside = mask[box_around(mask)]
    return 1 - np.count_nonzero(inside) / np.count_nonzero(fill_holes(inside))


def largest_part_filled(mask: np.ndarray) -> np.ndarray:
    """The largest connected part of an (x, y, z) bool mask with its holes filled; an empty mask stays empty."""
    filled = np.zeros_like(mask)
    if mask.any():
        # Within the smallest box around the mask, which gives the same in less time.
        box = box_around(mask)
        filled[box] = fill_holes(largest_part(mask[box]))
    return filled


def eroded(mask: np.ndarray, voxels: int) -> np.ndarray:
    """An (x, y, z) bool mask without what is at most so many steps to one of 6 neighbors from outside it.

    As scipy's `binary_erosion` with as many iterations, in less time. Beyond the end of the array is outside.
    """
    result = np.zeros_like(mask)
    if not mask.any():
        return result
    box = box_around(mask)
    # What lies beyond the box is outside, and so is a margin of a voxel.
    inside = np.pad(mask[box], 1)
    middle = (slice(1, -1),) * 3
    for _ in range(voxels):
        smaller = inside[middle].copy()
        for axis in range(3):
            for side in (slice(None, -2), slice(2, None)):
                smaller &= inside[(*middle[:axis], side, *middle[axis + 1 :])]
        inside[middle] = smaller
    result[box] = inside[middle]
    return result


def closed_by_a_voxel(mask: np.ndarray) -> np.ndarray:
    """An (x, y, z) bool mask, dilated and eroded by a cube of 3 x 3 x 3 voxels, with a margin of two voxels added."""
    closed = np.pad(mask, 2)
    for combine in (np.logical_or, np.logical_and):  # along one axis after the other: the same as by a cube
        for axis in range(3):
            along = np.moveaxis(closed, axis, 0)
            combined = along.copy()
            combine(combined[1:], along[:-1], out=combined[1:])
            combine(combined[:-1], along[1:], out=combined[:-1])
            closed = np.moveaxis(combined, 0, axis)
    return closed


def within(mask: np.ndarray, distance: float, spacing: np.ndarray) -> np.ndarray:
    """The voxels whose centers are at most a distance from the center of a true voxel.

    The mask is drawn out along z as far as a ball reaches beside each line, and lines are laid over each other, eight
    voxels of a line in a byte: in a tenth of the time of a distance map.

    Args:
        mask: (x, y, z) bool.
        distance: mm.
        spacing: Edges of a voxel, mm.

    Returns:
        (x, y, z) bool.
    """
    distance = distance * (1 + ROUNDING)
    reach = (distance / spacing).astype(int)
    steps = np.stack(np.meshgrid(*(np.arange(-most, most + 1) for most in reach), indexing="ij"), axis=-1)
    ball = ((steps * spacing) ** 2).sum(axis=-1) <= distance**2
    heights = ball.sum(axis=2) // 2  # of the ball's lines along z, to either side
    drawn = np.ascontiguousarray(mask)
    result = np.zeros((*mask.shape[:2], -(-mask.shape[2] // 8)), np.uint8)
    for height in range(int(heights.max()) + 1):
        if height:
            longer = drawn.copy()
            longer[..., 1:] |= drawn[..., :-1]
            longer[..., :-1] |= drawn[..., 1:]
            drawn = longer
        lines = ball.any(axis=2) & (heights == height)
        packed = np.packbits(drawn, axis=2) if lines.any() else None
        for x, y in np.argwhere(lines) - reach[:2]:
            if packed is not None and abs(x) < mask.shape[0] and abs(y) < mask.shape[1]:
                result[_shifted(x), :][:, _shifted(y)] |= packed[_shifted(-x), :][:, _shifted(-y)]
    return np.unpackbits(result, axis=2, count=mask.shape[2]).view(bool)


def _shifted(steps: int) -> slice:
    """The part of an axis that remains after a shift by so many voxels."""
    return slice(steps, None) if steps >= 0 else slice(None, steps)
