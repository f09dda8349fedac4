import nibabel as nib
import numpy as np
import pytest

from patch2loc.data.modalities import MODALITIES
from patch2loc.errors import InputError
from patch2loc.preprocess.atlas import common_grid, load_atlas


@pytest.fixture(scope="module")
def icbm():
    return {modality: load_atlas("icbm152", modality) for modality in MODALITIES}


@pytest.fixture
def sri24_folder(tmp_path):
    """A stand-in with the shape and the storage (left, posterior, superior) of SRI24."""
    image = np.zeros((240, 240, 155), np.int16)
    image[60:180, 40:200, 10:140] = 100
    image[60:80, 40:200, 10:140] = 300
    image[100:110, 100:110, 70:80] = 0
    affine = np.array([[-1.0, 0, 0, 0], [0, -1, 0, 239], [0, 0, 1, 0], [0, 0, 0, 1]])
    nib.save(nib.Nifti1Image(image, affine), tmp_path / "spgr.nii")
    return tmp_path


def test_icbm152_is_a_stripped_brain_of_plausible_size(icbm):
    for atlas in icbm.values():
        assert atlas.image.shape == (197, 233, 189)
        assert atlas.image.dtype == np.float32
        assert not atlas.image[~atlas.mask].any()
        assert 1700 < atlas.mask.sum() / 1000 < 2000  # ml; the published intracranial mask has 1886
        assert nib.aff2axcodes(atlas.affine) == ("R", "A", "S")


@pytest.mark.parametrize("modality", MODALITIES)
def test_an_atlas_shows_the_tissues_in_the_order_of_its_modality(icbm, modality):
    t1, image = icbm["T1"], icbm[modality].image[icbm[modality].mask]
    inside = t1.image[t1.mask]
    brightness = {
        "csf": np.median(image[inside < np.percentile(inside, 2)]),
        "gray": np.median(image[(inside > np.percentile(inside, 40)) & (inside < np.percentile(inside, 50))]),
        "white": np.median(image[inside > np.percentile(inside, 90)]),
    }
    assert tuple(sorted(brightness, key=brightness.get)) == MODALITIES[modality].order


def test_grid_is_centered_on_the_brain_of_icbm152(icbm):
    atlas = icbm["T1"]
    grid = common_grid(atlas, (96, 96, 50), 2.0)
    places = np.argwhere(atlas.mask)
    middle = (places.min(axis=0) + places.max(axis=0)) / 2
    np.testing.assert_allclose(grid.center, middle + atlas.affine[:3, 3])
    np.testing.assert_allclose(common_grid(atlas, (192, 192, 100), 1.0).center, grid.center)


def test_grid_is_the_center_crop_of_sri24(sri24_folder):
    atlas = load_atlas(sri24_folder, "T1")
    grid = common_grid(atlas, (192, 192, 100), 1.0)
    first = np.linalg.inv(atlas.affine) @ grid.affine[:, 3]
    np.testing.assert_allclose(first[:3], (24, 24, 27), atol=1e-9)
    assert common_grid(atlas, (96, 96, 50), 2.0).center == grid.center


def test_sri24_is_turned_to_ras_and_its_holes_are_brain(sri24_folder):
    atlas = load_atlas(sri24_folder, "T1")
    assert nib.aff2axcodes(atlas.affine) == ("R", "A", "S")
    assert atlas.image[165, 100, 70] == 300  # stored left to right the other way round: 239 - 165 = 74
    assert atlas.mask[134, 134, 75]
    assert atlas.image[134, 134, 75] == 0


def test_missing_atlas_and_unknown_modality_are_named(sri24_folder):
    with pytest.raises(InputError, match=r"late\.nii.*sri24_anatomy_nifti"):
        load_atlas(sri24_folder, "T2")
    with pytest.raises(InputError, match="no FLAIR contrast"):
        load_atlas(sri24_folder, "FLAIR")
    with pytest.raises(InputError, match="PD"):
        load_atlas("icbm152", "PD")


def test_empty_atlas_is_refused(tmp_path):
    nib.save(nib.Nifti1Image(np.zeros((9, 9, 9), np.float32), np.eye(4)), tmp_path / "late.nii")
    with pytest.raises(InputError, match=r"late\.nii"):
        load_atlas(tmp_path, "T2")
