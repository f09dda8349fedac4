"""Missing parts of the brain are measured by region, and the flag names the region that lost most."""

import numpy as np
import pytest
import SimpleITK as sitk
from contrasts import atlas_and_grid

from patch2loc.data.volumes import Grid
from patch2loc.preprocess.coverage import coverage, is_cut, missing_brain
from patch2loc.preprocess.images import voxel_size
from patch2loc.preprocess.masks import box_around, within

IDENTITY = sitk.AffineTransform(3)


@pytest.fixture(scope="module")
def atlas():
    return atlas_and_grid("T1", 2.0)[0]


def brain_and_box(atlas):
    """The atlas's brain as that of a scan, at 2 mm, (x, y, z) bool; its affine, and the edges of its box."""
    brain, affine = atlas.mask[::2, ::2, ::2].copy(), atlas.affine @ np.diag([2, 2, 2, 1.0])
    return brain, affine, box_around(brain)


def test_a_whole_brain_is_all_there(atlas):
    brain, affine, _ = brain_and_box(atlas)
    found, flags = coverage(brain, affine, atlas, IDENTITY)
    assert flags == []
    assert set(found["outside_scan"].values()) == set(found["deep_outside_mask"].values()) == {0.0}
    assert found["atlas_volume_ratio"] == pytest.approx(1, abs=0.02)
    assert found["atlas_dice"] > 0.98


CUTS = {  # axis, end, and the region that is lost there
    "left half": (0, 0),
    "right half": (0, 1),
    "back": (1, 0),
    "front": (1, 1),
    "top": (2, 1),
}


@pytest.mark.parametrize("region", CUTS)
@pytest.mark.parametrize("how", ["outside", "empty"])
def test_what_is_cut_off_is_measured_and_named(region, how, atlas):
    brain, affine, box = brain_and_box(atlas)
    axis, end = CUTS[region]
    lost = 15  # slices of 2 mm
    start = box[axis].start + lost if end == 0 else 0
    stop = box[axis].stop - lost if end == 1 else brain.shape[axis]
    kept = (slice(None),) * axis + (slice(start, stop),)
    share = 1 - brain[kept].sum() / brain.sum()
    part = np.zeros_like(brain)
    part[kept] = brain[kept]
    if how == "outside":
        part, affine = part[kept], affine.copy()
        affine[:3, 3] += affine[:3, axis] * start
    found, (flag,) = coverage(part, affine, atlas, IDENTITY)
    assert found["outside_scan"]["brain"] == pytest.approx(share if how == "outside" else 0, abs=0.02)
    shares = found["outside_scan" if how == "outside" else "deep_outside_mask"]
    assert max(shares, key=lambda name: shares[name]) == region
    words = "outside the scan" if how == "outside" else "empty or not in the brain mask"
    assert f"of its {region}" in flag
    assert words in flag


def test_a_brain_without_cerebellum_is_named_so(atlas):
    brain, affine, (_, rows, slices) = brain_and_box(atlas)
    back = slice(rows.start, rows.start + round(0.4 * (rows.stop - rows.start)))
    low = slice(slices.start, slices.start + round(0.35 * (slices.stop - slices.start)))
    brain[:, back, low] = False
    _, (flag,) = coverage(brain, affine, atlas, IDENTITY)
    assert "of its cerebellum" in flag


def test_a_tight_mask_is_not_a_missing_part(atlas):
    brain, affine, _ = brain_and_box(atlas)
    tight = ~within(~brain, 4.0, voxel_size(affine))
    found, (flag,) = coverage(tight, affine, atlas, IDENTITY)
    assert found["deep_outside_mask"]["brain"] == 0
    assert "the mask is too tight" in flag


def test_what_is_missing_is_shown_on_the_grid(atlas):
    """The top that is outside the scan, and a hole of the mask, but not what its rim lacks."""
    brain, affine, (_, _, slices) = brain_and_box(atlas)
    grid = Grid.of(brain.shape, affine)
    cut = slices.stop - 10
    scan = brain[:, :, :cut]
    hole = tuple(slice(size // 2 - 5, size // 2 + 5) for size in brain.shape)
    mask = brain.copy()
    mask[:, :, cut:] = mask[hole] = False
    mask[: box_around(brain)[0].start + 1] = False
    found, _ = coverage(mask[:, :, :cut], affine, atlas, IDENTITY)
    missing = missing_brain(mask, grid, atlas, IDENTITY, scan.shape, affine)
    assert is_cut(found)
    assert np.array_equal(missing[:, :, cut:], brain[:, :, cut:])
    assert missing[hole].all()
    missing[hole] = False
    assert not missing[:, :, : cut - 4].any()
