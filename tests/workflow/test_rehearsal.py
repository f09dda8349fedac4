"""The paper's first day in a clean clone, on archives with simulated heads: `make rehearsal`, in less time."""

import nibabel as nib
import pytest
import rehearsal_checks
from rehearsal import QUICK, rehearse
from rehearsal_checks import (
    heatmaps_lie_on_the_voxels_of_the_scans,
    lesions_are_where_they_were_in_the_head,
    lesions_lie_on_their_lesions,
    viewer_shows_lesions_on_their_lesions,
)
from rehearsal_variants import VARIANTS

pytestmark = [pytest.mark.workflow, pytest.mark.slow]


@pytest.fixture(scope="module")
def rehearsal(tmp_path_factory):
    """The day as `make rehearsal` has it, with fewer patches and a coarser stride."""
    return rehearse(tmp_path_factory.mktemp("rehearsal"), 2, QUICK)


def test_the_day_ends_with_tables_figures_report_scan_space_and_crate(rehearsal):
    assert (rehearsal.results / "report.html").is_file()


@pytest.mark.parametrize(
    ("result", "check"),
    [
        ("preprocessed/{}/lesion.nii.gz", lesions_lie_on_their_lesions),
        ("preprocessed/{}/lesion.nii.gz", lesions_are_where_they_were_in_the_head),
        ("heatmaps_native_space/patch2loc/{}.nii.gz", heatmaps_lie_on_the_voxels_of_the_scans),
    ],
)
def test_a_result_that_is_mirrored_is_noticed(rehearsal, result, check):
    folder = "mslub/patient01" if "preprocessed" in result else "mslub/fold0/patient01"
    path = rehearsal.results / result.format(folder)
    whole = path.read_bytes()
    image = nib.load(path)
    try:
        nib.Nifti1Image(image.get_fdata()[::-1], image.affine, image.header).to_filename(path)
        with pytest.raises(AssertionError):
            check(rehearsal)
    finally:
        path.write_bytes(whole)


def test_a_lesion_that_is_mirrored_in_the_viewer_is_noticed(rehearsal, monkeypatch):
    viewer_scan = rehearsal_checks.viewer_scan

    def mirrored(*arguments):
        lesion, affine = viewer_scan(*arguments)
        return lesion[::-1], affine

    monkeypatch.setattr(rehearsal_checks, "viewer_scan", mirrored)
    with pytest.raises(AssertionError):
        viewer_shows_lesions_on_their_lesions(rehearsal)


@pytest.mark.parametrize("name", VARIANTS)
def test_a_day_that_goes_otherwise(rehearsal, name):
    VARIANTS[name](rehearsal)
