"""The numbers that this version of preprocessing makes of a simulated head: others need another version."""

import numpy as np
import pytest
from heads import COARSE

from patch2loc.acquire import phantom
from patch2loc.data import volumes
from patch2loc.preprocess.atlas import common_grid, load_atlas
from patch2loc.preprocess.register import matrix
from patch2loc.preprocess.scan import preprocess_scan
from patch2loc.preprocess.version import PREPROCESSING_VERSION

MEAN_OF_HEAD = 147.972
# By version: all steps, from the whole head to the corrected brain on a grid of 4 mm.
NUMBERS = {
    1: {
        "voxels of the brain": 30082,
        "percentiles 1, 25, 50, 75, 99": [185.10, 370.57, 460.18, 544.77, 691.77],
        "center of the brain, voxels": [22.419, 25.362, 22.558],
        "scan point of the atlas's origin, mm": [5.922, 11.708, -7.989],
    }
}
# Other versions of the libraries round otherwise; whatever a model would notice changes more.
TOLERANCE = {"rel": 5e-3, "abs": 0.1}


@pytest.fixture(scope="module")
def numbers(tmp_path_factory):
    head = phantom.simulate_subject("healthy", 0, 3, COARSE)["T1"]
    assert head.array.mean() == pytest.approx(MEAN_OF_HEAD, rel=1e-4), "another head: store its numbers"
    path = tmp_path_factory.mktemp("head") / "head.nii.gz"
    volumes.write(path, head.array, head.affine)
    atlas = load_atlas("icbm152", "T1")
    grid = common_grid(atlas, (46, 54, 44), 4.0)
    result = preprocess_scan(path, "T1", atlas, grid, settings={"skull_strip": "atlas"})
    return {
        "voxels of the brain": np.count_nonzero(result.mask),
        "percentiles 1, 25, 50, 75, 99": np.percentile(result.volume[result.mask], (1, 25, 50, 75, 99)),
        "center of the brain, voxels": np.argwhere(result.mask).mean(axis=0),
        "scan point of the atlas's origin, mm": matrix(result.transform)[:3, 3],
    }


@pytest.mark.parametrize("name", NUMBERS[PREPROCESSING_VERSION])
def test_the_numbers_are_those_of_the_version(name, numbers):
    stored = NUMBERS[PREPROCESSING_VERSION][name]
    assert numbers[name] == pytest.approx(stored, **TOLERANCE), (
        f"{name}: {numbers[name]} found, {stored} expected of version {PREPROCESSING_VERSION}; if preprocessing is to "
        "make other numbers, raise PREPROCESSING_VERSION (patch2loc/preprocess/version.py) and store them here"
    )
