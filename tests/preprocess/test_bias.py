import numpy as np
import pytest
import SimpleITK as sitk

from patch2loc.preprocess.atlas import common_grid, load_atlas
from patch2loc.preprocess.bias import correct_bias
from patch2loc.preprocess.images import one_thread, resample


@pytest.fixture(scope="module", params=["T1", "T2"])
def brain(request):
    """The atlas brain on the grid, its mask, the grid, and the field that is found in it as it is."""
    atlas = load_atlas("icbm152", request.param)
    grid = common_grid(atlas, (96, 96, 50), 2.0)
    with one_thread():
        clean = resample(atlas.image, atlas.affine, grid, sitk.AffineTransform(3))
        _, own = correct_bias(clean, clean > 20, grid.affine)
    return clean, clean > 20, grid, own


def field(name, shape):
    x, y, z = np.meshgrid(*[np.linspace(-1, 1, size) for size in shape], indexing="ij")
    return {
        "slanted": 0.3 * x - 0.25 * y**2 + 0.15 * z * x,
        "falling to all sides": -0.3 * (x**2 + y**2 + z**2),
    }[name]


@pytest.mark.parametrize("name", ["slanted", "falling to all sides"])
def test_a_simulated_field_is_recovered(name, brain):
    """What is found in the shaded brain, beyond what its anatomy looks like, is the field."""
    clean, mask, grid, own = brain
    log_field = field(name, grid.shape)
    with one_thread():
        _, found = correct_bias((clean * np.exp(log_field)).astype(np.float32), mask, grid.affine)
    assert np.corrcoef((found - own)[mask], log_field[mask])[0, 1] > 0.95
    assert abs(found[mask].mean()) < 1e-4


def test_white_matter_becomes_even(brain):
    clean, mask, grid, _ = brain
    shaded = (clean * np.exp(field("slanted", grid.shape))).astype(np.float32)
    tissue = mask & (np.abs(clean - np.median(clean[mask])) < 0.05 * np.median(clean[mask]))
    with one_thread():
        corrected, _ = correct_bias(shaded, mask, grid.affine)
    variation = [np.std(image[tissue]) / np.mean(image[tissue]) for image in (shaded, corrected)]
    assert variation[1] < 0.6 * variation[0]


def test_too_little_brain_stays_as_it_is(brain):
    clean, mask, grid, _ = brain
    few = mask & (np.cumsum(mask).reshape(mask.shape) < 900)
    corrected, found = correct_bias(clean, few, grid.affine)
    assert corrected is clean
    assert not found.any()
