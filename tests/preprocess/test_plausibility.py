"""Damage of known strength is measured as that strength, and flagged where it matters; what is whole is not flagged."""

import re
import time

import numpy as np
import pytest
from contrasts import atlas_and_grid, brain_of, preprocessed
from heads import SETTINGS
from repository_paths import SHARED
from scipy import ndimage

from patch2loc.acquire.phantom import simulate_subject
from patch2loc.data import volumes
from patch2loc.errors import InputError
from patch2loc.preprocess import plausibility
from patch2loc.preprocess.images import read_mask_of, read_scan
from patch2loc.preprocess.plausibility import (
    BACKGROUND,
    BRIGHT_RIM,
    EVEN_DETAIL,
    FINE_DETAIL,
    GHOST,
    MASK_PORES,
    SHADING,
    STRIPES,
    background_level,
    empty_and_repeated_slices,
    equal_neighbors,
    fine_detail,
    ghost_strength,
    gray_levels,
    mask_pores,
    rim_brightness,
    shading,
    stop_if_label_map,
    stripe_strength,
)
from patch2loc.preprocess.scan import preprocess_scan

DATA = SHARED / "data"
needs_data = pytest.mark.skipif(not DATA.is_dir(), reason=f"real scans are not there: {DATA}")


@pytest.fixture(scope="module")
def head():
    """A simulated T1 head with background: voxels, affine, brain."""
    scan = simulate_subject("healthy", 1, 7, SETTINGS)["T1"]
    return scan.array.astype(np.float32), scan.affine, scan.brain > 0


def checked(array, affine, brain, modality="T1"):
    """Flags of a scan that is its own grid."""
    options = {"volume": array, "mask": brain, "spacing": 2.0, "modality": modality}
    return plausibility.check_image(array, affine, brain, **options)[1]


def smoothed(array, inside, spacing, fwhm):
    sigma = fwhm / 2.3548 / np.asarray(spacing)
    weight = ndimage.gaussian_filter(inside.astype(np.float32), sigma)
    return ndimage.gaussian_filter(np.where(inside, array, 0), sigma) / np.maximum(weight, 1e-3)


def wave(shape, period):
    x, y, _ = np.indices(shape, sparse=True)
    return np.sin(2 * np.pi * (x + 0.5 * y) / period)


@pytest.mark.parametrize(("counts", "levels"), [([90, 10], 1), ([50, 45, 5], 2), ([1] * 100, 90)])
def test_gray_levels_are_the_values_of_nine_tenths_of_the_voxels(counts, levels):
    values = np.repeat(np.arange(len(counts)), counts).astype(np.float32)
    assert gray_levels(np.random.default_rng(0).permutation(values)) == levels


def test_a_scan_of_eight_bits_is_no_label_map(head, tmp_path):
    array = head[0]
    eight_bits = np.rint(array / np.percentile(array, 99.9) * 120)
    stop_if_label_map(eight_bits, tmp_path)
    with pytest.raises(InputError, match=r"1 distinct value in 90% .*mask or a label map"):
        stop_if_label_map((array > 300).astype(np.float32), tmp_path)


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("strength", [0.0, 0.05, 0.1, 0.2, 0.3])
def test_the_strength_of_a_ghost_is_measured(strength, axis, head):
    array, affine, _ = head
    ghost = strength * np.roll(array, array.shape[axis] // 2, axis)
    measured = ghost_strength(array + ghost, affine)
    assert measured == pytest.approx(strength, abs=0.02 + 0.3 * strength)
    assert (measured > GHOST) == (strength >= 0.1)


def test_without_background_there_is_no_ghost_to_see(head):
    array, affine, brain = head
    box = ndimage.find_objects(brain.astype(np.uint8))[0]
    assert ghost_strength(array[box], affine) < GHOST


@pytest.mark.parametrize("period", [2.5, 5])
def test_stripes_of_a_tenth_of_the_brightness_stand_out(period, head):
    array, _, brain = head
    stripes = 0.1 * np.median(array[brain]) * wave(array.shape, period)
    assert stripe_strength(array, brain) < STRIPES < stripe_strength(array + stripes, brain)
    assert stripe_strength(array * (1 + 0.1 * wave(array.shape, period)), brain) > STRIPES


def test_blur_takes_fine_detail(head):
    array, affine, brain = head
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    box = ndimage.find_objects(brain.astype(np.uint8))[0]
    isotropic = [ndimage.zoom(part[box].astype(np.float32), spacing / 2, order=1) for part in (array, brain)]
    volume, mask = isotropic[0], isotropic[1] > 0.5
    detail = [fine_detail(smoothed(volume, mask, 2.0, fwhm), mask, 2.0) for fwhm in (0.5, 4, 6, 8, 12)]
    assert detail == sorted(detail, reverse=True)
    assert detail[0] > FINE_DETAIL[0] > detail[2]
    assert detail[-1] < FINE_DETAIL[0] / 5


@pytest.mark.parametrize(("share", "flagged"), [(0.02, False), (0.5, True), (2.0, True)])
def test_noise_is_fine_detail(share, flagged, head):
    """Noise with a standard deviation of a share of the brain's median."""
    array, affine, brain = head
    noise = np.random.default_rng(0).normal(0, share * np.median(array[brain]), array.shape)
    measured = fine_detail((array + noise).astype(np.float32), brain, float(affine[0, 0]))
    assert (measured > FINE_DETAIL[1]) == flagged


def test_pores_are_what_a_closing_by_a_cube_fills():
    brain = np.random.default_rng(1).random((14, 15, 16)) < 0.6  # up to the edges of the array, too
    closed = ndimage.binary_closing(np.pad(brain, 2), np.ones((3, 3, 3), bool))
    assert mask_pores(brain) == 1 - brain.sum() / closed.sum()


@pytest.mark.parametrize("share", [0.0, 0.05, 0.3])
def test_pores_are_the_share_of_a_mask_that_is_missing(share, head):
    brain = head[2]
    porous = brain & (np.random.default_rng(0).random(brain.shape) >= share)
    measured = mask_pores(porous)
    assert measured == pytest.approx(share, abs=0.02)
    assert (measured > MASK_PORES) == (share > 0)


@pytest.mark.parametrize("factor", [0.25, 1.0, 1.5, 4.0])
@pytest.mark.parametrize("axis", [0, 1, 2])
def test_shading_is_the_factor_across_the_brain(axis, factor):
    mask = np.zeros((40, 36, 30), bool)
    mask[4:37, 3:34, 5:26] = True
    places = np.indices(mask.shape)[axis]
    low, high = np.percentile(places[mask], (5, 95))
    volume = 500 * factor ** ((places - low) / (high - low))
    measured = shading(np.where(mask, volume, 0).astype(np.float32), mask)
    assert measured == pytest.approx(max(factor, 1 / factor), rel=0.06)
    assert (measured > SHADING) == (factor in (0.25, 4.0))


def test_equal_neighbors_are_counted_within_the_brain():
    brain = np.zeros((20, 20, 20), bool)
    brain[2:18, 2:18, 2:18] = True
    array = np.random.default_rng(0).random(brain.shape).astype(np.float32)
    assert equal_neighbors(array, brain) == 0
    array[5:11, 5:11, 5:11] = 0.5
    assert equal_neighbors(array, brain) == pytest.approx(4**3 / 14**3)
    array[:2] = 0.25  # outside: not counted
    assert equal_neighbors(array, brain) == pytest.approx(4**3 / 14**3)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_one_slice_without_content_or_equal_to_a_distant_one_is_counted(axis):
    array = np.random.default_rng(0).random((20, 18, 16)).astype(np.float32)
    brain = np.zeros(array.shape, bool)
    brain[2:18, 2:16, 3:13] = True
    slices = np.moveaxis(array, axis, 0)
    slices[-2:] = 0  # outside of the brain
    assert empty_and_repeated_slices(array, brain) == (0, 0)
    slices[5] = 0.5
    assert empty_and_repeated_slices(array, brain) == (1, 0)
    slices[9:12] = slices[4]
    assert empty_and_repeated_slices(array, brain) == (1, 3)
    slices[7][np.moveaxis(brain, axis, 0)[7]] = 0.5  # as in a scan that was stripped since
    assert empty_and_repeated_slices(array, brain) == (2, 3)


def test_the_level_of_the_background_is_what_was_added(head):
    array, _, brain = head
    median = np.median(array[brain])
    levels = [background_level(array + share * median, brain) for share in (0, 0.5, -0.4)]
    assert abs(levels[0]) < 0.05 < BACKGROUND
    assert levels[1:] == pytest.approx([0.5 / 1.5, -0.4 / 0.6], abs=0.07)
    assert background_level(array[brain][:, None, None], np.ones((brain.sum(), 1, 1), bool)) == 0


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_thick_slices_that_were_interpolated_lack_detail_along_one_axis(axis, tmp_path):
    array, affine = brain_of("T1")
    slices = np.moveaxis(array.astype(np.float32), axis, 0)[: array.shape[axis] // 4 * 4]
    thick = slices.reshape(-1, 4, *slices.shape[1:]).mean(axis=1)
    places = np.linspace(0, len(thick) - 1, len(slices)).astype(int)
    weight = (np.linspace(0, len(thick) - 1, len(slices)) - places)[:, None, None]
    thin = (1 - weight) * thick[places] + weight * thick[np.minimum(places + 1, len(thick) - 1)]
    volumes.write(tmp_path / "thin.nii.gz", np.moveaxis(np.where(slices > 0, thin, 0), 0, axis), affine)
    qc = preprocessed(tmp_path / "thin.nii.gz", "T1", 2.0).qc
    assert np.argmin(qc["fine_detail_axes"]) == axis
    assert min(qc["fine_detail_axes"]) < EVEN_DETAIL * max(qc["fine_detail_axes"])
    assert any(flag.startswith(f"fine detail along {'xyz'[axis]}") for flag in qc["flags"])


def test_an_empty_slice_is_not_taken_for_thick_slices_along_the_other_axes(head):
    array, affine, brain = head
    array = array.copy()
    array[:, :, int(np.median(np.nonzero(brain)[2]))] = 0
    flags = checked(array, affine, brain)
    assert flags[0].startswith("1 slice through the brain with one single value")
    assert not any(flag.startswith("fine detail along") for flag in flags)


@pytest.mark.parametrize(("modality", "flagged"), [("T1", True), ("T2", False)])
def test_a_tight_mask_of_a_t1_scan_has_a_bright_rim(head, modality, flagged):
    array, affine, brain = head
    tight = ndimage.distance_transform_edt(brain, SETTINGS["voxel_size"]) > 6
    for mask, expected in ((brain, False), (tight, flagged)):
        flags = checked(array, affine, mask, modality)
        assert any(flag.startswith("outer 2 mm of the brain mask") for flag in flags) == expected
    coarse = checked(array, affine @ np.diag([3, 3, 2, 1]), tight, modality)
    assert not any(flag.startswith("outer") for flag in coarse)


def test_the_end_of_a_scan_that_is_cut_is_no_rim_of_its_mask(head):
    array, affine, brain = head
    middle = int(np.median(np.nonzero(brain)[2]))
    cut = [part[:, :, middle - 4 : middle + 4] for part in (array, brain)]
    assert rim_brightness(*cut, affine) < BRIGHT_RIM
    assert rim_brightness(array[brain][:, None, None], np.ones((brain.sum(), 1, 1), bool), affine) == 0


def clipped(array):
    return np.minimum(array, np.percentile(array[array > 0], 90))


def with_hot_voxel(array):
    changed = array.copy()
    changed[49, 60, 45] = 50 * array.max()
    return changed


def with_hole(array):
    """Two parts of constant brightness: one as large would be refused for equal percentiles."""
    changed = array.copy()
    for part, value in ((np.s_[14:44, 38:82, 32:47], 450), (np.s_[14:44, 38:82, 47:62], 900)):
        changed[part] = np.where(array[part] > 0, value, 0)
    return changed


def with_few_levels(array):
    return np.where(array > 0, np.ceil(40 * array / np.percentile(array, 99.5)), 0)


def with_stripes(array):
    return np.where(array > 0, array + 150 * wave(array.shape, 4), 0)


def blurred(array):
    return np.where(array > 0, smoothed(array, array > 0, 2.0, 12), 0)


DAMAGE = {
    clipped: r"10\.\d% of the brain at the highest brightness, at most 1% expected: the scan is saturated",
    with_hot_voxel: r"brightest voxel \d\d.* times the 99.9th percentile, at most 10 expected",
    with_hole: r"\d\d% of the brain's voxels equal to all neighbors, at most 12% expected: part of",
    with_few_levels: r"[23]\d gray levels in 90% of the brain, more than 32 expected",
    with_stripes: r"stripes: a frequency \d+.\d times as strong as those around it, at most 8 expected",
    blurred: r"fine detail of 0\.0\d+ of the variance, at least 0.05 expected: the scan is blurred",
}


@pytest.mark.parametrize("damage", DAMAGE, ids=lambda damage: damage.__name__)
def test_a_damaged_scan_is_flagged(damage, tmp_path):
    array, affine = brain_of("T1")
    volumes.write(tmp_path / "whole.nii.gz", array, affine)
    volumes.write(tmp_path / "damaged.nii.gz", damage(array.astype(np.float32)), affine)
    assert preprocessed(tmp_path / "whole.nii.gz", "T1", 2.0).qc["flags"] == []
    flag, *_ = preprocessed(tmp_path / "damaged.nii.gz", "T1", 2.0).qc["flags"]
    assert re.match(DAMAGE[damage], flag)


def test_numbers_do_not_depend_on_the_scale_of_brightness(head):
    array, affine, brain = head
    for factor in (1e-20, 1e6):
        scaled = (array * np.float32(factor)).astype(np.float32)
        assert gray_levels(scaled[brain]) == gray_levels(array[brain])
        assert ghost_strength(scaled, affine) == pytest.approx(ghost_strength(array, affine), abs=1e-3)
        assert stripe_strength(scaled, brain) == pytest.approx(stripe_strength(array, brain), rel=1e-3)


def test_the_checks_take_little_time(head):
    """At 2 mm; a bound far above what they take, since other work runs beside tests."""
    array, affine, brain = head
    _, grid = atlas_and_grid("T1", 2.0)
    volume = np.random.default_rng(0).random(grid.shape).astype(np.float32)
    begun = time.process_time()
    plausibility.check_image(
        array, affine, brain, volume=volume, mask=volume > 0.1, spacing=2.0, modality="T1"
    )
    assert time.process_time() - begun < 2


@needs_data
@pytest.mark.parametrize("subject", ["IXI014-HH-1236", "IXI253-HH-1694"])
def test_a_real_scan_has_no_flags_and_its_damaged_copy_has(subject, tmp_path):
    path, brain_path = (DATA / f"ixi_t1_2mm/{subject}_{part}.nii.gz" for part in ("t1", "brain"))
    atlas, grid = atlas_and_grid("T1", 2.0)
    assert preprocess_scan(path, "T1", atlas, grid, brain_path=brain_path).qc["flags"] == []
    array, affine = read_scan(path)
    brain = read_mask_of(brain_path, path, array, affine)
    assert ghost_strength(array + 0.2 * np.roll(array, 60, 1), affine) > GHOST
    assert stripe_strength(array + 0.1 * np.median(array[brain]) * wave(array.shape, 4), brain) > STRIPES
    with pytest.raises(InputError, match="distinct values"):
        stop_if_label_map(np.ceil(6 * array / np.percentile(array[brain], 99)), path)
