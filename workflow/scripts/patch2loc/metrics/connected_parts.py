"""26-connected parts of the few true voxels of a volume, from its runs of them along z: others are not looked at."""

from typing import NamedTuple

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

# To the lines of voxels along z beside a line; those on the other side find it.
NEIGHBORING_LINES = ((0, 1), (1, -1), (1, 0), (1, 1))


class Parts(NamedTuple):
    """The 26-connected parts of a set of voxels, numbered from 0.

    Attributes:
        voxels: (n,) indices of the set's voxels in the flattened volume, ascending.
        part: (n,) part of each of them.
        sizes: (parts,) number of voxels of each part.
    """

    voxels: np.ndarray
    part: np.ndarray
    sizes: np.ndarray


def connected_parts(volume: np.ndarray) -> Parts:
    """Find the 26-connected parts of (x, y, z) boolean, whose outermost voxels have to be false.

    Several times quicker than scipy.ndimage.label, which goes through the whole volume, where few voxels are true.
    """
    voxels = np.flatnonzero(volume)
    first = np.flatnonzero(np.diff(voxels, prepend=-2) != 1)  # of each run; none goes on in the next line
    lengths = np.diff(first, append=len(voxels))
    begin, end = voxels[first], voxels[first] + lengths - 1
    _, depth, height = volume.shape
    pairs = [_touching(begin, end, (x * depth + y) * height) for x, y in NEIGHBORING_LINES]
    runs, others = (np.concatenate(each) for each in zip(*pairs, strict=True))
    graph = coo_array((np.ones(len(runs), bool), (runs, others)), shape=(len(first), len(first)))
    count, part_of_run = connected_components(graph, directed=False)
    sizes = np.bincount(part_of_run, lengths, minlength=count).astype(np.int64)
    return Parts(voxels, np.repeat(part_of_run, lengths), sizes)


def _touching(begin: np.ndarray, end: np.ndarray, offset: int) -> tuple[np.ndarray, np.ndarray]:
    """Pairs of runs of which the second is in the line `offset` voxels on and touches the first, be it by a corner."""
    low = np.searchsorted(end, begin + (offset - 1))
    count = np.searchsorted(begin, end + (offset + 1), side="right") - low
    runs = np.repeat(np.arange(len(begin)), count)
    place = np.arange(len(runs)) - np.repeat(np.cumsum(count) - count, count)
    return runs, np.repeat(low, count) + place
