import nibabel as nib
import numpy as np
import pytest
from written_models import SHAPE, SPACING, write_model

from patch2loc.errors import InputError
from patch2loc.own_scan.scorer import load_scorer, median_filter_width
from patch2loc.preprocess.atlas import common_grid, load_atlas


@pytest.fixture(scope="module")
def atlas():
    return load_atlas("icbm152", "T1")


@pytest.mark.parametrize(("spacing", "width"), [(1.0, 7), (2.0, 3), (1.4, 5), (4.0, 1), (7.0, 1)])
def test_the_median_filter_is_about_7_mm(spacing, width):
    assert median_filter_width(spacing) == width


@pytest.mark.parametrize(("stored", "width"), [({"median_filter": 5}, 5), ({}, 1)])
def test_a_scan_is_filtered_as_the_healthy_scans_of_the_detector(stored, width, atlas, tmp_path):
    cohort = {"title": "boxes", "simulated": True, "n_training": 1, "sites": []}
    path = write_model(
        tmp_path / "m.safetensors", atlas, reference={"cohort": cohort, "scans": [{}], **stored}
    )
    assert load_scorer(path).median_filter == width


def test_models_that_do_not_fit_are_refused(atlas, tmp_path):
    shifted = common_grid(atlas, SHAPE, SPACING).affine
    shifted[:3, 3] += 1
    grid = {"shape": list(SHAPE), "spacing": SPACING}
    for others, said in (
        ({"grid": grid | {"affine": shifted.tolist()}}, "its grid is not that of the atlas icbm152"),
        ({"grid": grid}, "the atlas icbm152 found, sri24 expected"),
        ({"atlas": None}, r"stores no atlas; give the folder of SRI24 \(--atlas\)"),
        ({"grid": {"spacing": SPACING}}, r"no grid\.shape found, three whole numbers"),
    ):
        with pytest.raises(InputError, match=said):
            load_scorer(write_model(tmp_path / "model.safetensors", atlas, **others))


def test_a_model_without_affine_lies_on_the_center_of_sri24(atlas, tmp_path):
    nib.save(nib.Nifti1Image(atlas.image, atlas.affine), tmp_path / "spgr.nii")
    grid = {"shape": [192, 192, 100], "spacing": 1.0}
    path = write_model(tmp_path / "model.safetensors", atlas, grid=grid, atlas=None)
    scorer = load_scorer(path, atlas=tmp_path)
    assert (scorer.grid.shape, scorer.median_filter) == ((192, 192, 100), 7)
    first = np.linalg.inv(atlas.affine) @ scorer.grid.affine[:, 3]
    np.testing.assert_allclose(first[:3], np.array(atlas.image.shape) // 2 - (96, 96, 50), atol=1e-9)


def test_a_model_of_scans_cropped_around_their_brains_has_no_affine_and_lies_on_its_atlas(atlas, tmp_path):
    grid, settings = {"shape": list(SHAPE), "spacing": SPACING}, {"crop": "brain", "registration": "affine"}
    path = write_model(tmp_path / "model.safetensors", atlas, grid=grid, preprocess=settings)
    scorer = load_scorer(path)
    np.testing.assert_array_equal(scorer.grid.affine, common_grid(atlas, SHAPE, SPACING).affine)
    nib.save(nib.Nifti1Image(atlas.image, atlas.affine), tmp_path / "spgr.nii")
    with pytest.raises(InputError, match=r"the atlas sri24 found, icbm152 expected"):
        load_scorer(path, atlas=tmp_path)
    other = write_model(
        tmp_path / "sri24.safetensors", atlas, grid=grid, preprocess=settings, atlas="data/sri24"
    )
    assert load_scorer(other, atlas=tmp_path).atlas.name == "sri24"
    with pytest.raises(InputError, match=r"the atlas icbm152 found, sri24 expected.*--atlas"):
        load_scorer(other, atlas="icbm152")
