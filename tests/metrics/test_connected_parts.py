import numpy as np
import pytest
from scipy.ndimage import label

from patch2loc.metrics.connected_parts import connected_parts


@pytest.mark.parametrize("share", [0.0, 0.02, 0.1, 0.3, 0.7, 1.0])
def test_parts_are_those_of_scipy(share):
    volume = np.pad(np.random.default_rng(3).random((17, 12, 9)) < share, 1)
    parts, labels = connected_parts(volume), label(volume, np.ones((3, 3, 3)))[0].ravel()
    np.testing.assert_array_equal(parts.voxels, np.flatnonzero(labels))
    assert len(set(zip(parts.part, labels[parts.voxels], strict=True))) == labels.max() == len(parts.sizes)
    np.testing.assert_array_equal(np.bincount(parts.part, minlength=len(parts.sizes)), parts.sizes)


def test_runs_at_the_ends_of_neighboring_lines_do_not_touch():
    volume = np.zeros((3, 5, 6), bool)
    volume[1, 1, 4] = volume[1, 2, 1] = True  # adjacent lines, one at the end and one at the beginning
    assert len(connected_parts(volume).sizes) == 2
