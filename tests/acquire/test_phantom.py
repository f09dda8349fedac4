"""The simulated cohort as it is written: determinism, scanner geometry, cohorts."""

import nibabel as nib
import numpy as np
import pytest
from heads import COARSE, SETTINGS, milliliters, scans
from scipy import ndimage

from patch2loc.acquire import phantom
from patch2loc.acquire.phantom import cohort
from patch2loc.errors import InputError

# --- determinism ---


def test_same_subject_same_bytes_whatever_came_before(tmp_path):
    for folder, warm_up in (("a", []), ("b", [("stroke", 4), ("healthy", 1)])):
        for name, index in warm_up:
            phantom.simulate_subject(name, index, 3, COARSE)
        phantom.write_subject(tmp_path / folder, "tumor", 2, seed=3, settings=COARSE)
    names = phantom.subject_files()
    assert sorted(path.name for path in (tmp_path / "a").iterdir()) == sorted(names)
    for name in names:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes(), name


def test_index_cohort_and_seed_each_make_another_subject():
    def brain(name, index, seed):
        scan = phantom.simulate_subject(name, index, seed, COARSE)["T1"]
        return round(milliliters(scan.brain, scan.affine), 3)

    volumes = {brain("healthy", 0, 3), brain("healthy", 1, 3), brain("ms", 0, 3), brain("healthy", 0, 4)}
    assert len(volumes) == 4


def test_noise_setting_changes_noise_and_nothing_else():
    quiet = phantom.simulate_subject("healthy", 0, 3, COARSE | {"noise": 0.0})["T1"]
    noisy = phantom.simulate_subject("healthy", 0, 3, COARSE | {"noise": 0.05})["T1"]
    np.testing.assert_array_equal(quiet.brain, noisy.brain)
    np.testing.assert_array_equal(quiet.affine, noisy.affine)
    inside = quiet.brain > 0
    residual = (noisy.array[inside].astype(float) - quiet.array[inside]).std()
    white = np.percentile(quiet.array[inside], 80)
    # White matter is brighter than the 80th percentile by bias and texture only.
    assert residual / white == pytest.approx(0.05, rel=0.25)


def test_unknown_cohort_and_settings_are_refused():
    with pytest.raises(InputError, match="glioma"):
        phantom.simulate_subject("glioma", 0, 1, COARSE)
    with pytest.raises(InputError, match="color"):
        phantom.simulate_subject("healthy", 0, 1, COARSE | {"color": 1})
    with pytest.raises(InputError, match="voxel_size"):
        phantom.simulate_subject("healthy", 0, 1, COARSE | {"voxel_size": [1.0, 1.0]})


# --- the scan ---


@pytest.mark.parametrize("name", phantom.COHORTS)
def test_types_geometry_and_brain_volume(subjects, name):
    for _, scan in scans(subjects, name):
        assert scan.array.dtype == np.int16
        assert scan.lesion.dtype == scan.brain.dtype == np.uint8
        assert scan.array.shape == scan.lesion.shape == scan.brain.shape
        assert set(np.unique(scan.brain)) == {0, 1}
        np.testing.assert_allclose(nib.affines.voxel_sizes(scan.affine), SETTINGS["voxel_size"])
        assert 1000 < milliliters(scan.brain, scan.affine) < 1900
        assert 400 < scan.array.max() < 3000
        assert scan.array.min() >= 0


def test_brain_is_one_piece_and_not_cut_by_the_field_of_view(subjects):
    for name in phantom.COHORTS:
        for _, scan in scans(subjects, name):
            labels, count = ndimage.label(scan.brain)
            assert np.bincount(labels.ravel())[1:].max() > 0.995 * scan.brain.sum(), count
            for axis in range(3):
                edge = np.take(scan.brain, [0, -1], axis=axis)
                assert not edge.any()


def test_storage_orders_and_poses_vary():
    found = [
        scan
        for index in range(8)
        for _, scan in phantom.simulate_subject("healthy", index, 2, COARSE).items()
    ]
    codes = {"".join(nib.aff2axcodes(scan.affine)) for scan in found}
    assert len(codes) >= 5
    assert any("S" in code[:2] or "I" in code[:2] for code in codes), "no sagittal or coronal scan"
    centers = np.array(
        [nib.affines.apply_affine(scan.affine, np.argwhere(scan.brain).mean(0)) for scan in found]
    )
    assert (centers.std(0) > 1.5).all()
    assert np.abs(centers - centers.mean(0)).max() < 30


def test_t1_and_t2_show_the_same_brain_in_different_poses(subjects):
    for name in phantom.COHORTS:
        for subject in subjects[name]:
            t1, t2 = subject["T1"], subject["T2"]
            volume = [milliliters(scan.brain, scan.affine) for scan in (t1, t2)]
            assert volume[0] == pytest.approx(volume[1], rel=0.01)
            assert not np.allclose(t1.affine, t2.affine)


def test_scalp_is_bright_in_t1_and_eyes_in_t2(subjects):
    for modality, scan in scans(subjects, "healthy"):
        if modality == "FLAIR":  # fat is about as bright as gray matter, and eyes are dark
            continue
        outside = scan.array[(scan.brain == 0)]
        inside = np.median(scan.array[scan.brain > 0])
        assert (outside > 1.2 * inside).mean() > 0.005, modality
        assert np.median(outside) < 0.3 * inside


# --- cohorts ---


def test_cohort_resumes_and_equals_single_subjects(tmp_path):
    folders = cohort.write_cohort(tmp_path / "c", "ms", range(2), seed=9, settings=COARSE, workers=2)
    assert [folder.name for folder in folders] == ["phantom_ms_000", "phantom_ms_001"]
    phantom.write_subject(tmp_path / "single", "ms", 1, seed=9, settings=COARSE)
    for name in phantom.subject_files():
        assert (folders[1] / name).read_bytes() == (tmp_path / "single" / name).read_bytes(), name

    stamp = (folders[0] / "T1.nii.gz").stat().st_mtime_ns
    (folders[1] / "T2_lesion.nii.gz").unlink()
    cohort.write_cohort(tmp_path / "c", "ms", range(2), seed=9, settings=COARSE)
    assert (folders[0] / "T1.nii.gz").stat().st_mtime_ns == stamp, "a whole subject was made again"
    assert (folders[1] / "T2_lesion.nii.gz").read_bytes() == (
        tmp_path / "single" / "T2_lesion.nii.gz"
    ).read_bytes()


def test_cohort_with_other_settings_is_made_again(tmp_path):
    (folder,) = cohort.write_cohort(tmp_path, "healthy", [0], seed=9, settings=COARSE)
    before = (folder / "T1.nii.gz").read_bytes()
    assert cohort.is_whole(folder, "healthy", 0, seed=9, settings=COARSE)
    assert not cohort.is_whole(folder, "healthy", 0, seed=10, settings=COARSE)
    cohort.write_cohort(tmp_path, "healthy", [0], seed=9, settings=COARSE | {"noise": 0.1})
    assert (folder / "T1.nii.gz").read_bytes() != before


def test_a_cohort_from_the_command_line(tmp_path):
    from patch2loc.commands import main

    chosen = ["--cohort", "ms", "--subjects", "1", "--seed", "5", "--spacing", "3", "--workers", "1"]
    assert main(["simulate", str(tmp_path / "cohort"), *chosen]) == 0
    settings = {"anatomy_spacing": 3.0, "voxel_size": [3.0, 3.0, 3.0], "noise": 0.03}
    phantom.write_subject(tmp_path / "alone", "ms", 0, seed=5, settings=settings)
    for name in ("T1.nii.gz", "T2_lesion.nii.gz"):
        made = (tmp_path / "cohort/phantom_ms_000" / name).read_bytes()
        assert made == (tmp_path / "alone" / name).read_bytes()
