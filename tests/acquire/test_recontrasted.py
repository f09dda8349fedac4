"""T1 scans rendered as T2: what is drawn, what stays of the scan, and where it stays, on brains of known tissues."""

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
from contrasts import atlas_and_grid, brain_of, preprocessed, tissue
from repository_paths import ROOT, SHARED
from scipy import ndimage
from whole_runs import planned_run

from patch2loc.acquire import recontrasted, sources
from patch2loc.acquire.recontrasted import Contrast
from patch2loc.acquire.tissues import TISSUES, Mixture, fit_tissues
from patch2loc.data import volumes
from patch2loc.errors import InputError
from patch2loc.plan.outputs import Outputs
from patch2loc.preprocess.modality import DOUBTFUL
from patch2loc.preprocess.scan import DEFAULTS, preprocess_scan

DATA = SHARED / "data"
VOXEL = np.full(3, 2.0)
PLAIN = Contrast(
    echo_ms=100.0,
    repetition_ms=5000.0,
    means=[1.0, 0.5, 0.35],
    spreads=[0.0, 0.0, 0.0],
    kept=1.0,
    bias=0.0,
    blur_mm=0.0,
    axis=2,
    slice_mm=0.0,
    noise=0.0,
)
SEEDS = range(8)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A T1 brain of the atlas's tissues, shaded, with a skull around it, of 8 bits and a slope; and its mask."""
    folder = tmp_path_factory.mktemp("t1")
    array, affine = brain_of("T1", noise=0.03)
    _, brain, _ = tissue()
    shading = np.exp(0.3 * (np.indices(brain.shape)[1] / brain.shape[1] - 0.5))
    skull = ndimage.binary_dilation(brain, iterations=4) & ~ndimage.binary_dilation(brain, iterations=2)
    volume = np.where(skull, 900, array * shading)
    image = nib.Nifti1Image(np.rint(volume / 8).clip(0, 255).astype(np.uint8), affine)
    image.header.set_slope_inter(8, 0)
    image.to_filename(folder / "scan.nii.gz")
    volumes.write(folder / "brain.nii.gz", brain, affine)
    return folder


def rendered(folder, seed):
    """The scan of a seed, what was drawn for it, and its path."""
    outputs = {part: folder / str(seed) / f"{part}.nii.gz" for part in ("scan", "brain")}
    drawn = recontrasted.recontrast_scan(
        folder / "scan.nii.gz", folder / "brain.nii.gz", seed=seed, outputs=outputs
    )
    return volumes.read(outputs["scan"])[0], drawn, outputs["scan"]


@pytest.fixture(scope="module")
def scans(folder):
    return [rendered(folder, seed) for seed in SEEDS]


def pure(iterations=0):
    """Voxels of one tissue alone, (3, x, y, z) bool, in the order of TISSUES."""
    fractions, brain, _ = tissue()
    alone = (fractions > 0.9) & brain
    return np.stack(
        [ndimage.binary_erosion(each, iterations=iterations) if iterations else each for each in alone]
    )


def test_a_seed_gives_one_scan_and_another_seed_another_contrast(folder, scans):
    first = scans[0][2].read_bytes()
    again, drawn, path = rendered(folder, SEEDS[0])
    assert path.read_bytes() == first
    assert drawn == scans[0][1]
    assert len({scan[1]["echo_ms"] for scan in scans}) == len(SEEDS)
    assert np.corrcoef(again.ravel(), scans[1][0].ravel())[0, 1] < 0.999


def test_the_prior_is_of_t2_contrasts_and_of_its_ranges():
    random = np.random.default_rng(0)
    drawn = [recontrasted.draw_contrast(random) for _ in range(400)]
    means = np.array([each["means"] for each in drawn])
    assert (means[:, 0] == 1).all()
    assert (means[:, :-1] >= recontrasted.LEAST_RATIO * means[:, 1:]).all()
    # As wide as T2 scans are: gray over white matter, and fluid over gray matter.
    ratios = means[:, :-1] / means[:, 1:]
    assert (np.percentile(ratios, 5, axis=0) < [1.7, 1.25]).all()
    assert (np.percentile(ratios, 95, axis=0) > [2.8, 1.8]).all()
    for name, (low, high) in {
        "echo_ms": recontrasted.ECHO_MS,
        "kept": recontrasted.KEPT,
        "bias": recontrasted.BIAS,
        "blur_mm": recontrasted.BLUR_MM,
    }.items():
        values = np.array([each[name] for each in drawn])
        assert low <= values.min() <= low + 0.1 * (high - low)
        assert high - 0.1 * (high - low) <= values.max() <= high
    slices = np.array([each["slice_mm"] for each in drawn])
    assert 0.4 < (slices > 0).mean() < 0.6
    assert {each["axis"] for each in drawn} == {0, 1, 2}


def test_tissues_are_told_apart_and_the_shading_of_the_scan_is_taken_off():
    array, _ = brain_of("T1", noise=0.03)
    _, brain, _ = tissue()
    shading = np.exp(0.4 * (np.indices(brain.shape)[1] / brain.shape[1] - 0.5))
    volume = (array * shading).astype(np.float32)
    evened, mixture = fit_tissues(volume, brain, VOXEL, "scan")
    white = pure()[2]
    assert evened[white].std() < 0.7 * volume[white].std()
    assert mixture.means / mixture.means[2] == pytest.approx([0.4, 0.74, 1.0], abs=0.12)
    assert mixture.weights.sum() == pytest.approx(1)


def test_brightness_is_as_drawn_and_between_two_tissues_a_voxel_has_shares_of_both():
    mixture = Mixture(np.array([300.0, 700.0, 1000.0]), np.full(3, 50.0), np.full(3, 1 / 3))
    volume = np.array([0, 300, 500, 600, 700, 850, 1000, 1500], np.float32).reshape(8, 1, 1)
    brain = np.ones_like(volume, bool)
    result = recontrasted.render(
        volume, brain, mixture, contrast=PLAIN, voxel=VOXEL, random=np.random.default_rng(0)
    )
    np.testing.assert_allclose(result.ravel(), [1, 1, 0.75, 0.625, 0.5, 0.425, 0.35, 0.35], atol=1e-6)
    # Less texture: nearer to the means, and halfway as before.
    less = mixture.shares(volume.ravel(), 0.0)
    np.testing.assert_allclose(less.sum(axis=0), 1, atol=1e-6)
    assert less[0, 2] == pytest.approx(0.5)
    assert less[0, 3] < mixture.shares(volume.ravel(), 1.0)[0, 3]


def test_tissues_have_the_order_that_was_drawn(scans):
    for scan, drawn, _ in scans:
        medians = [np.median(scan[where]) for where in pure()]
        assert medians[0] > medians[1] > medians[2]
        deep = pure(iterations=2)[2]
        # Thick slices and blur mix tissues, and an uneven coil changes all of them.
        assert np.median(scan[deep]) == pytest.approx(1000 * drawn["means"][2], rel=0.4)


def test_nothing_is_outside_the_brain_and_voxels_stay_where_they_are(folder, scans):
    _, brain, affine = tissue()
    for scan, _, path in scans:
        assert (scan[~brain] == 0).all()
        assert (scan[brain] >= 1).all()
        np.testing.assert_allclose(nib.load(path).affine, affine)
        assert nib.load(path).get_data_dtype() == np.int16
        mask = volumes.read(path.with_name("brain.nii.gz"))[0] > 0
        np.testing.assert_array_equal(mask, brain)
    assert sorted(each.name for each in (folder / "0").iterdir()) == ["brain.nii.gz", "scan.nii.gz"]


def test_structures_stay_in_their_place(scans):
    fractions, brain, _ = tissue()
    inner = ndimage.binary_erosion(brain, iterations=3)
    for scan, drawn, _ in scans:
        expected = np.tensordot(drawn["means"], fractions, 1)
        matches = {}
        for axis in range(3):
            for step in (-1, 0, 1):
                moved = np.roll(scan, step, axis)
                matches[axis, step] = np.corrcoef(moved[inner], expected[inner])[0, 1]
            assert matches[axis, 0] == max(matches[axis, step] for step in (-1, 0, 1))
        assert matches[0, 0] > 0.6


def test_without_noise_blur_and_coil_a_brain_is_acquired_as_it_is(scans):
    _, brain, _ = tissue()
    brightness = np.where(brain, scans[0][0], 0).astype(np.float32)
    acquired = recontrasted.acquire(
        brightness, brain, contrast=PLAIN, voxel=VOXEL, random=np.random.default_rng(0)
    )
    np.testing.assert_allclose(acquired, brightness, rtol=1e-5)


@pytest.mark.parametrize("axis", range(3))
def test_thick_slices_and_blur_neither_darken_the_edge_nor_move_a_ramp(axis):
    _, brain, _ = tissue()
    contrast = Contrast(**{**PLAIN, "axis": axis, "slice_mm": 5.0, "blur_mm": 2.0})
    ramp = np.where(brain, 100.0 + np.indices(brain.shape)[axis], 0).astype(np.float32)
    for volume, inside, tolerance in (
        (brain * np.float32(100), brain, 1e-3),
        (ramp, ndimage.binary_erosion(brain, iterations=6), 0.05),
    ):
        acquired = recontrasted.acquire(
            volume, brain, contrast=contrast, voxel=VOXEL, random=np.random.default_rng(1)
        )
        np.testing.assert_allclose(acquired[inside], volume[inside], rtol=0, atol=100 * tolerance)
        assert (acquired[~brain] == 0).all()


def test_thick_slices_lose_detail_along_their_axis_alone():
    _, brain, _ = tissue()
    fine = (brain * np.random.default_rng(2).uniform(50, 150, brain.shape)).astype(np.float32)
    contrast = Contrast(**{**PLAIN, "axis": 1, "slice_mm": 6.0})
    acquired = recontrasted.acquire(
        fine, brain, contrast=contrast, voxel=VOXEL, random=np.random.default_rng(1)
    )
    inner = ndimage.binary_erosion(brain, iterations=4)

    def step(volume, axis):
        return np.abs(np.diff(volume, axis=axis, append=0))[inner].mean()

    assert step(acquired, 1) < 0.6 * step(acquired, 0)
    assert step(acquired, 1) < 0.3 * step(fine, 1)


def test_noise_is_as_drawn_and_rician():
    brain = np.ones((40, 40, 40), bool)
    contrast = Contrast(**{**PLAIN, "noise": 0.05})
    bright, dark = (
        recontrasted.acquire(
            np.full(brain.shape, level, np.float32),
            brain,
            contrast=contrast,
            voxel=VOXEL,
            random=np.random.default_rng(3),
        )
        for level in (1.0, 0.0)
    )
    assert bright.std() == pytest.approx(0.05, rel=0.02)
    # Where there is no signal, the magnitude of noise has a mean of its own (Rayleigh).
    assert dark.mean() == pytest.approx(0.05 * np.sqrt(np.pi / 2), rel=0.02)


def test_the_scans_are_accepted_as_t2(scans):
    odds = [preprocessed(path, "T2", spacing=2.0).qc["modality_log_odds"] for *_, path in scans]
    assert np.median(odds) > DOUBTFUL
    assert min(odds) > 0  # T2 is the likeliest contrast of each


def test_the_t1_scan_itself_is_refused_as_t2(folder):
    with pytest.raises(InputError, match="a scan of the modality T2 expected"):
        atlas, grid = atlas_and_grid("T2", 2.0)
        settings = DEFAULTS | {"registration": "none", "bias_correction": False}
        preprocess_scan(
            folder / "scan.nii.gz", "T2", atlas, grid, brain_path=folder / "brain.nii.gz", settings=settings
        )


def test_scans_without_three_tissues_and_masks_of_other_scans_are_refused(folder, tmp_path):
    def attempt(scan="scan.nii.gz", brain="brain.nii.gz", of=tmp_path):
        outputs = {part: tmp_path / "out" / f"{part}.nii.gz" for part in ("scan", "brain")}
        recontrasted.recontrast_scan(of / scan, of / brain, seed=1, outputs=outputs)

    _, brain, affine = tissue()
    volumes.write(tmp_path / "brain.nii.gz", brain, affine)
    for name, content in (("one", brain), ("two", brain + (np.indices(brain.shape)[0] > 40))):
        volumes.write(tmp_path / f"{name}.nii.gz", content.astype(np.float32), affine)
        with pytest.raises(InputError, match=rf"{name}.nii.gz: no three tissues found .* look at the scan"):
            attempt(f"{name}.nii.gz")
    volumes.write(tmp_path / "other.nii.gz", np.ones((4, 4, 4), bool), affine)
    with pytest.raises(
        InputError, match=r"other.nii.gz: shape \(4, 4, 4\) found, .* expected; give the brain"
    ):
        recontrasted.recontrast_scan(
            folder / "scan.nii.gz", tmp_path / "other.nii.gz", seed=1, outputs={"scan": "x", "brain": "y"}
        )
    volumes.write(tmp_path / "empty.nii.gz", np.zeros(brain.shape, bool), affine)
    with pytest.raises(InputError, match="no three tissues found"):
        attempt("one.nii.gz", "empty.nii.gz")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("row", "modality", "found"),
    [
        ("s1,a.nii,b.nii,x", "T2", "subject s1: seed 'x' found, a whole number expected; correct the row"),
        ("s1,a.nii,b.nii,", "T2", "subject s1 has no seed"),
        ("s1,a.nii,b.nii,3", "T1", "dataset own: modality T1 found, T2 expected .* or take kind table"),
    ],
)
def test_a_row_that_is_none_and_another_modality_are_refused(tmp_path, row, modality, found):
    table = tmp_path / "scans.csv"
    dataset = {
        "kind": "recontrasted",
        "name": "own",
        "table": table,
        "data": tmp_path,
        "root": tmp_path / "raw",
    }
    table.write_text("subject,scan,brain,seed\ns1,a.nii,b.nii,3\n")
    dataset["modality"] = "T2"
    assert sources.sources(dataset)["s1"] == {
        "scan": tmp_path / "raw/s1/T2.nii.gz",
        "brain": tmp_path / "raw/s1/T2_brain.nii.gz",
        "lesion": None,
    }
    assert sources.missing(dataset) == [tmp_path / "a.nii", tmp_path / "b.nii"]
    table.write_text(f"subject,scan,brain,seed\n{row}\n")
    with pytest.raises(InputError, match=found):
        sources.sources(dataset | {"modality": modality})


def test_the_shipped_configuration_trains_on_every_scan_of_the_split_and_tests_on_real_t2_scans():
    table = pd.read_csv(ROOT / "config/ixi2mm/recontrasted.csv")
    ixi = pd.read_csv(ROOT / "config/ixi2mm/ixi.csv")
    pd.testing.assert_frame_equal(table[["subject", "scan", "brain"]], ixi[["subject", "scan", "brain"]])
    assert table["seed"].is_unique
    run = planned_run(ROOT / "config/ixi2mm/any_contrast.yaml")
    roles = run.datasets["recontrasted"].roles(0)
    assert {role: len(scans) for role, scans in roles.items()} == {"train": 108, "validation": 15, "test": 28}
    assert {each.modality for each in run.datasets.values()} == {"T2"}
    assert [name for name, each in run.datasets.items() if each.settings["simulated"]] == ["recontrasted"]
    tested = {name: len(each.scans) for name, each in run.datasets.items() if name != "recontrasted"}
    assert tested == {
        "ds000011": 10,
        "kirby21": 1,
        "mni152": 1,
        "sri24": 1,
        "brats21": 1,
        "mslub": 2,
        "tcga": 1,
    }
    assert Outputs(run).tables[0] == "table1"


@pytest.mark.skipif(not DATA.is_dir(), reason="real scans are not here: no ../shared/data")
def test_a_real_t1_scan_becomes_a_t2_scan(tmp_path):
    path = DATA / "ixi_t1_2mm"
    subject = "IXI014-HH-1236"
    outputs = {part: tmp_path / f"{part}.nii.gz" for part in ("scan", "brain")}
    recontrasted.recontrast_scan(
        path / f"{subject}_t1.nii.gz", path / f"{subject}_brain.nii.gz", seed=1, outputs=outputs
    )
    atlas, grid = atlas_and_grid("T2", 2.0)
    qc = preprocess_scan(
        outputs["scan"], "T2", atlas, grid, brain_path=outputs["brain"], settings=DEFAULTS
    ).qc
    assert qc["looks_like"] == "T2"
    assert qc["atlas_dice"] > 0.9
    assert len(TISSUES) == 3
