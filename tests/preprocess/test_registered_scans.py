"""Scans that others have registered: left where they are, or moved by whole voxels; what lies elsewhere is told."""

import numpy as np
import pytest
import SimpleITK as sitk
from contrasts import IN_ATLAS_SPACE, brain_of

from patch2loc.data import volumes
from patch2loc.data.volumes import Grid
from patch2loc.errors import InputError
from patch2loc.preprocess.atlas import common_grid, load_atlas
from patch2loc.preprocess.images import resample
from patch2loc.preprocess.register import in_whole_voxels, matrix
from patch2loc.preprocess.scan import preprocess_scan

WHOLE, SHAPE = (48, 56, 48), (48, 48, 24)  # voxels of 4 mm, on the same lattice
CROP = (slice(None), slice(4, 52), slice(12, 36))  # of the grid in the whole
CUT = (slice(7, 41), slice(5, 52), slice(4, 44))  # the brain in the whole
TRANSLATED = IN_ATLAS_SPACE | {"registration": "translation"}


@pytest.fixture(scope="module")
def atlas():
    return load_atlas("icbm152", "T1")


@pytest.fixture(scope="module")
def whole(atlas):
    """A brain on the voxels of the grid, further up and down than it: the volume and its affine."""
    grid = common_grid(atlas, WHOLE, 4.0)
    brain, affine = brain_of("T1")
    return resample(brain, affine, grid, sitk.AffineTransform(3)), grid.affine


@pytest.fixture
def preprocessed(atlas, tmp_path):
    def result(volume, affine, settings, **masks):
        paths = {}
        for name, array in {"scan": volume, **masks}.items():
            paths[name] = tmp_path / f"{name}.nii.gz"
            volumes.write(paths[name], array, affine)
        given = {f"{name}_path": paths[name] for name in masks}
        grid = common_grid(atlas, SHAPE, 4.0)
        interpolated = {"interpolated_masks": True} if masks else {}
        return preprocess_scan(paths["scan"], "T1", atlas, grid, settings=settings, **given, **interpolated)

    return result


def test_a_scan_that_lies_on_the_atlas_stays_as_it_is(preprocessed, whole):
    result = preprocessed(*whole, IN_ATLAS_SPACE)
    expected = np.where(result.mask, whole[0][CROP], 0)
    np.testing.assert_allclose(result.volume, expected, rtol=1e-5, atol=1e-3)
    assert result.qc["offset_mm"] < 2
    assert not any("atlas" in flag for flag in result.qc["flags"])


@pytest.mark.parametrize("turned", [False, True])
def test_an_array_that_was_cut_under_the_whole_header_goes_back_to_its_voxels(turned, preprocessed, whole):
    volume, affine = whole
    if turned:  # from right to left and from anterior to posterior
        volume = volume[::-1, ::-1]
        turn = np.diag([-1.0, -1.0, 1.0, 1.0])
        turn[:2, 3] = np.array(WHOLE[:2]) - 1
        affine = affine @ turn
    first = (slice(None, None, -1),) * 2 if turned else ()
    box = tuple(
        slice(WHOLE[i] - s.stop, WHOLE[i] - s.start) if turned and i < 2 else s for i, s in enumerate(CUT)
    )
    cut = volume[box]
    with pytest.raises(InputError, match="`registration: translation` finds it"):
        preprocessed(cut, affine, IN_ATLAS_SPACE)
    result = preprocessed(cut, affine, TRANSLATED)
    kept = np.zeros(WHOLE, np.float32)
    kept[CUT] = cut[first]
    np.testing.assert_allclose(result.volume, np.where(result.mask, kept[CROP], 0), rtol=1e-5, atol=1e-3)
    assert result.qc["scale"] == [1, 1, 1]
    assert "offset_mm" not in result.qc


@pytest.mark.parametrize("settings", [IN_ATLAS_SPACE, TRANSLATED], ids=["none", "translation"])
@pytest.mark.parametrize("axes", [(0, 1), (1,), (2,), (1, 2)])
def test_an_array_that_lost_its_orientation_is_refused(axes, settings, preprocessed, whole):
    with pytest.raises(InputError, match=r"back to front or upside down|registration to the atlas failed"):
        preprocessed(np.flip(whole[0], axes), whole[1], settings)


def test_a_scan_some_millimeters_off_the_atlas_is_flagged(preprocessed, whole):
    affine = whole[1].copy()
    affine[1, 3] += 9
    qc = preprocessed(whole[0], affine, IN_ATLAS_SPACE).qc
    assert qc["offset_mm"] == pytest.approx(9, abs=1.5)
    assert any(flag.startswith("lies 9 mm off the atlas") for flag in qc["flags"])


def test_only_scans_with_the_voxels_of_the_grid_are_moved_by_whole_ones():
    grid = Grid((10, 10, 10), 2.0, (1.0, 2.0, 3.0))
    shift = sitk.AffineTransform(3)
    shift.SetTranslation((5.3, -4.2, 0.7))
    for spacing in (2.0, 1.5):
        affine = np.diag([-spacing, spacing, spacing, 1.0])
        affine[:3, 3] = (31.0, -7.0, 12.0)
        rounded, snapped = in_whole_voxels(shift, affine, grid)
        on_grid = np.linalg.inv(grid.affine) @ np.linalg.inv(matrix(rounded)) @ snapped
        moved = np.abs(matrix(rounded) - matrix(shift)).max()
        if spacing == 2.0:
            np.testing.assert_allclose(on_grid, np.rint(on_grid), atol=1e-9)
            np.testing.assert_allclose(snapped, affine, atol=1e-9)
            assert 0 < moved <= 1
        else:
            assert moved == 0


def test_interpolated_masks_are_brain_and_lesion_from_half_a_voxel_on(preprocessed, whole):
    volume, affine = whole
    shares = {name: np.zeros(WHOLE, np.float32) for name in ("brain", "lesion")}
    shares["brain"][volume > 0] = 1
    edge = (slice(20, 24), slice(30, 34), slice(20, 22))
    shares["brain"][edge], shares["brain"][20, 30, 20] = 0.5, 0.49
    shares["lesion"][20:23, 28:31, 24:27] = 0.3
    shares["lesion"][21, 29, 25:27] = (0.5, 4.0)  # label 4 of BraTS
    given = IN_ATLAS_SPACE | {"skull_strip": "given"}
    result = preprocessed(volume, affine, given, **shares)
    np.testing.assert_array_equal(result.mask, (shares["brain"] >= 0.5)[CROP])
    np.testing.assert_array_equal(result.lesion, (shares["lesion"] >= 0.5)[CROP])
    np.testing.assert_array_equal(result.lesion_any, (shares["lesion"] > 0)[CROP])
    assert result.qc["lesion"]["labels"] == [1]
    assert result.qc["lesion"]["source_ml"] == pytest.approx(2 * 0.064)


def test_a_scan_in_the_place_of_an_interpolated_lesion_is_refused(preprocessed, whole):
    volume, affine = whole
    other = (volume * 3).astype(np.float32)
    with pytest.raises(InputError, match=r"lesion\.nii\.gz: a value of [0-9.]+ found, shares of lesion"):
        preprocessed(volume, affine, IN_ATLAS_SPACE, lesion=other)
