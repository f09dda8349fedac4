"""The contrast of a scan is told by the order of its tissues, whatever the modality that it was given as."""

import shutil

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk
from contrasts import SIGNALS, atlas_and_grid, brain_of, preprocessed, tissue
from heads import COARSE, SETTINGS
from repository_paths import SHARED
from scipy import ndimage

from patch2loc.acquire.phantom import simulate_subject
from patch2loc.data import volumes
from patch2loc.data.modalities import MODALITIES
from patch2loc.errors import InputError
from patch2loc.preprocess.images import resample
from patch2loc.preprocess.modality import (
    CERTAIN,
    DISCRIMINANT,
    DOUBTFUL,
    OtherContrastError,
    check_modality,
    gradient_magnitude,
    log_odds,
    tissue_order,
    tissue_samples,
)
from patch2loc.preprocess.scan import preprocess_scan

DATA = SHARED / "data"
needs_data = pytest.mark.skipif(not DATA.is_dir(), reason=f"real scans are not there: {DATA}")


def on_grid(image, affine, grid):
    return resample(image, affine, grid, sitk.AffineTransform(3))


def checked(path, modality):
    """qc.json of a scan in atlas space, or the message it was refused with."""
    try:
        return preprocessed(path, modality, spacing=2.0).qc
    except InputError as error:
        return str(error)


@pytest.fixture
def write(tmp_path):
    def written(array, affine, name="scan.nii.gz"):
        volumes.write(tmp_path / name, array, affine)
        return tmp_path / name

    return written


@pytest.mark.parametrize("noise", [0.01, 0.06])
@pytest.mark.parametrize("contrast", SIGNALS)
def test_each_contrast_is_told_from_the_others(contrast, noise, write):
    path = write(*brain_of(contrast, noise))
    for modality in MODALITIES:
        found = checked(path, modality)
        if contrast == modality:
            assert found["looks_like"] == modality
            assert found["modality_log_odds"] > DOUBTFUL
            assert found["flags"] == []
        else:
            assert "this looks like a" in found or "the contrast may not be" in str(found["flags"])
        if (contrast, modality) not in ((contrast, contrast), ("PD", "T2")):
            assert f"a scan of the modality {modality} expected" in found


def test_tissues_that_are_alike_are_doubtful_and_not_refused(write):
    found = checked(write(*brain_of((0.3, 0.97, 1.0))), "T1")
    assert -CERTAIN < found["modality_log_odds"] < DOUBTFUL
    (flag,) = (flag for flag in found["flags"] if "contrast" in flag)
    assert "the contrast may not be T1" in flag


def test_the_order_does_not_depend_on_scale_and_offset():
    rng, shape = np.random.default_rng(1), (40, 40, 40)
    volume = rng.normal(500, 30, shape).astype(np.float32)
    mask = np.ones(shape, bool)
    places = rng.integers(0, 4, shape)
    samples = {name: places == number for number, name in enumerate(("csf", "gray", "white"))}
    volume[samples["white"]] += 300
    volume[samples["csf"]] -= 200
    order = tissue_order(volume, mask, samples)
    assert order["white"] > 0 > order["csf_high"] > order["csf_low"]
    for scaled in (volume * 1e-4, volume * 3000, volume + 10000):
        for name, value in tissue_order(scaled, mask, samples).items():
            assert value == pytest.approx(order[name], abs=2e-3)


def test_storage_and_scale_do_not_change_the_decision(write, tmp_path):
    array, affine = brain_of("T2")
    expected = checked(write(array, affine), "T2")
    stored = nib.Nifti1Image(array * 0.01, affine)
    turn = nib.orientations.ornt_transform(nib.io_orientation(affine), nib.orientations.axcodes2ornt("PSL"))
    nib.save(stored.as_reoriented(turn), tmp_path / "turned.nii.gz")
    found = checked(tmp_path / "turned.nii.gz", "T2")
    assert found["looks_like"] == "T2"
    assert found["modality_log_odds"] == pytest.approx(expected["modality_log_odds"], abs=0.05)


@pytest.mark.parametrize("place", ["deep", "at the ventricles", "scattered"])
@pytest.mark.parametrize("modality", ["T1", "T2"])
def test_a_lesion_of_a_tenth_of_the_brain_changes_nothing(modality, place, write):
    """As bright as fluid, which is the most that edema and cysts do."""
    array, affine = brain_of(modality)
    _, brain, _ = tissue()
    index = np.indices(brain.shape)
    center = {"deep": (30, 70, 55), "at the ventricles": (44, 62, 45), "scattered": (44, 62, 45)}[place]
    distance = np.sqrt(sum((axis - middle) ** 2 for axis, middle in zip(index, center, strict=True)))
    if place == "scattered":
        distance = np.random.default_rng(0).random(brain.shape)
    distance[~brain] = np.inf
    lesion = distance <= np.partition(distance[brain], brain.sum() // 10)[brain.sum() // 10]
    assert lesion.sum() / brain.sum() == pytest.approx(0.1, abs=0.01)
    array[lesion] = 1000 * SIGNALS[modality][0] * np.random.default_rng(1).normal(1, 0.05, lesion.sum())
    found = checked(write(array, affine), modality)
    assert found["modality_log_odds"] > DOUBTFUL
    assert not [flag for flag in found["flags"] if "contrast" in flag]


def test_samples_are_pure_tissue():
    """Against the tissue maps of the atlas, of which the samples know nothing."""
    for modality in ("T1", "T2"):
        atlas, grid = atlas_and_grid(modality, 2.0)
        fractions = {
            name: on_grid(fraction, tissue()[2], grid)
            for name, fraction in zip(("csf", "gray", "white"), tissue()[0], strict=True)
        }
        samples = tissue_samples(on_grid(atlas.image, atlas.affine, grid), modality, grid)
        assert np.mean(fractions["csf"][samples["csf"]]) > 0.5
        assert np.mean(fractions["gray"][samples["gray"]]) > 0.8
        assert np.mean(fractions["white"][samples["white"]]) > 0.9
        assert not (samples["gray"] & samples["white"]).any()


def test_too_little_brain_says_so():
    atlas, grid = atlas_and_grid("T1", 4.0)
    mask = np.zeros(grid.shape, bool)
    mask[:3, :3, :3] = True
    check, flags = check_modality(
        np.ones(grid.shape, np.float32),
        mask,
        modality="T1",
        atlas_on_grid=on_grid(atlas.image, atlas.affine, grid),
        atlas_contrast="T1",
        grid=grid,
    )
    assert check["looks_like"] is None
    assert flags == ["too little of the brain on the grid to check the modality"]


def test_log_odds_compare_with_the_likeliest_other_contrast():
    order = {"white": 0.4, "csf_low": -0.9, "csf_high": 0.0}
    scores = {
        name: 0.4 * white - 0.9 * low + 0.0 * high + constant
        for name, (white, low, high, constant) in DISCRIMINANT.items()
    }
    others = sorted((score for name, score in scores.items() if name != "T1"), reverse=True)
    assert log_odds(order, "T1") == ("T1", pytest.approx(scores["T1"] - others[0]))
    assert log_odds(order, "T2")[1] == pytest.approx(scores["T2"] - scores["T1"])


SLOW_COHORTS = [pytest.param(name, marks=pytest.mark.slow) for name in ("healthy", "ms", "stroke", "wmh")]


@pytest.mark.parametrize("cohort", ["tumor", *SLOW_COHORTS])
def test_simulated_patients_are_what_they_are(cohort, tmp_path):
    for modality, scan in simulate_subject(cohort, 0, 3141, SETTINGS).items():
        atlas, grid = atlas_and_grid(modality, 2.0)
        volumes.write(tmp_path / f"{modality}.nii.gz", scan.array, scan.affine)
        volumes.write(tmp_path / f"{modality}_brain.nii.gz", scan.brain, scan.affine)
        path, brain = tmp_path / f"{modality}.nii.gz", tmp_path / f"{modality}_brain.nii.gz"
        qc = preprocess_scan(path, modality, atlas, grid, brain_path=brain).qc
        assert qc["flags"] == []
        assert qc["looks_like"] == modality


@pytest.mark.parametrize("modality", MODALITIES)
def test_a_simulated_scan_given_as_another_modality_is_refused(modality, tmp_path):
    scan = simulate_subject("ms", 0, 3141, COARSE, [modality])[modality]
    path, brain = tmp_path / "scan.nii.gz", tmp_path / "brain.nii.gz"
    volumes.write(path, scan.array, scan.affine)
    volumes.write(brain, scan.brain, scan.affine)
    for given in MODALITIES:
        if given != modality:
            message = f"{MODALITIES[modality].scan} .* a scan of the modality {given} expected"
            with pytest.raises(OtherContrastError, match=message):
                preprocess_scan(path, given, *atlas_and_grid(given, 4.0), brain_path=brain)


REAL = {
    "T1": [
        ("templates/MNI152_T1_1mm_brain.nii.gz", None),
        ("kirby21_113/t1.nii.gz", None),
        ("brats21/BraTS2021_00006/BraTS2021_00006_t1.nii.gz", None),
        ("mslub/patient07/t1_mni.nii.gz", None),
        ("tcga/TCGA-FG-6692/t1_sri24.nii.gz", None),
        ("ixi_t1_2mm/IXI014-HH-1236_t1.nii.gz", "ixi_t1_2mm/IXI014-HH-1236_brain.nii.gz"),
    ],
    "T2": [
        ("templates/MNI152_T2_1mm_brain.nii.gz", None),
        ("kirby21_113/t2.nii.gz", None),
        ("brats21/BraTS2021_00006/BraTS2021_00006_t2.nii.gz", None),
        ("mslub/patient07/t2_mni.nii.gz", None),
        ("tcga/TCGA-FG-6692/t2_sri24.nii.gz", None),
    ],
    "PD": [("sri24/pd_brain.nii.gz", None)],
}
QUICK = ("ixi", "kirby21_113/t2")  # the others are run by `make test-slow`
SCANS = [
    pytest.param(
        contrast,
        *row,
        source,
        marks=[] if row[0].startswith(QUICK) and source == "icbm152" else pytest.mark.slow,
    )
    for contrast, rows in REAL.items()
    for row in rows
    for source in ("icbm152", "sri24")
]


@needs_data
@pytest.mark.parametrize(("contrast", "scan", "brain", "source"), SCANS)
def test_real_scans_are_told_by_both_atlases(contrast, scan, brain, source, tmp_path):
    if source == "sri24":
        for name, stored in (("spgr.nii.gz", "t1_brain.nii.gz"), ("late.nii.gz", "t2_brain.nii.gz")):
            shutil.copy(DATA / "sri24" / stored, tmp_path / name)
    brain_path = DATA / brain if brain else None
    settings = {"skull_strip": "given" if brain else "none"}
    for modality in ("T1", "T2"):
        atlas, grid = atlas_and_grid(modality, 2.0, tmp_path if source == "sri24" else source)

        def preprocess(atlas=atlas, grid=grid, modality=modality):
            return preprocess_scan(
                DATA / scan, modality, atlas, grid, brain_path=brain_path, settings=settings
            ).qc["flags"]

        if contrast == modality:
            assert not [flag for flag in preprocess() if "contrast" in flag]
        elif (contrast, modality) == ("PD", "T2"):
            assert [
                flag
                for flag in preprocess()
                if "the contrast may not be T2: it looks like a proton-density" in flag
            ]
        else:
            with pytest.raises(InputError, match=f"a scan of the modality {modality} expected"):
                preprocess()


@pytest.mark.parametrize("spacing", [2.0, 4.0])
def test_pure_tissue_in_the_box_of_what_is_deep_is_that_of_the_whole_grid(spacing):
    atlas, grid = atlas_and_grid("T1", spacing)
    image = on_grid(atlas.image, atlas.affine, grid)
    samples = tissue_samples(image, "T1", grid)
    deep = ndimage.binary_erosion(image > 0, iterations=round(6 / spacing))
    gradient = ndimage.gaussian_gradient_magnitude(image, 2 / spacing)
    np.testing.assert_array_equal(gradient_magnitude(image, 2 / spacing), gradient)
    low, high = np.percentile(image[deep], (85, 100))
    white = deep & (image >= low) & (image <= high)
    np.testing.assert_array_equal(samples["white"], white & (gradient <= np.median(gradient[white])))
    empty = tissue_samples(np.zeros_like(image), "T1", grid)
    assert not any(sample.any() for sample in empty.values())
