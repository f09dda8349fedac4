"""Connected parts of masks."""

import numpy as np
from scipy import ndimage


def largest_part(mask: np.ndarray) -> np.ndarray:
    """The largest connected part (6 neighbors) of an (x, y, z) bool mask; an empty mask stays empty."""
    labels, count = ndimage.label(mask)
    part: np.ndarray = labels == np.argmax(np.bincount(labels.ravel())[1:]) + 1 if count else mask
    return part


def fill_holes(mask: np.ndarray) -> np.ndarray:
    """An (x, y, z) bool mask without the holes (6 neighbors) in it, as scipy's `binary_fill_holes`, in less time."""
    parts, _ = ndimage.label(np.pad(~mask, 1, constant_values=True))
    filled: np.ndarray = (parts != parts[0, 0, 0])[1:-1, 1:-1, 1:-1]
    return filled


def largest_part_filled(mask: np.ndarray) -> np.ndarray:
    """The largest connected part of an (x, y, z) bool mask with its holes filled; an empty mask stays empty."""
    filled = np.zeros(mask.shape, bool)
    # Within the smallest box around the mask, which gives the same in less time.
    for box in ndimage.find_objects(mask.astype(np.uint8)):
        filled[box] = fill_holes(largest_part(mask[box]))
    return filled
