import hashlib
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk
from scipy.spatial.transform import Rotation

from patch2loc import volumes
from patch2loc.acquire.phantom import simulate_subject
from patch2loc.atlas import common_grid, load_atlas
from patch2loc.errors import InputError
from patch2loc.preprocess import (
    preprocess_scan,
    quality,
    read_transform,
    to_scan_space,
    write_left_out,
    write_preprocessed,
)
from patch2loc.preprocess.bias import correct_bias
from patch2loc.preprocess.images import coarser, resample, to_image
from patch2loc.preprocess.lesions import carry_lesion
from patch2loc.preprocess.register import matrix, register
from patch2loc.scans import Scan
from patch2loc.volumes import Grid

DATA = Path(__file__).parents[2] / "shared" / "data"
needs_data = pytest.mark.skipif(not DATA.is_dir(), reason=f"real scans are not there: {DATA}")
STRIPPED = {"skull_strip": "none"}
FILES = {"T1.nii.gz", "mask.nii.gz", "lesion.nii.gz", "transform.tfm", "qc.json", "qc.png"}


def rigid(degrees, millimetres):
    move = np.eye(4)
    move[:3, :3] = Rotation.from_euler("xyz", degrees, degrees=True).as_matrix()
    move[:3, 3] = millimetres
    return move


@pytest.fixture(scope="module")
def atlas():
    return load_atlas("icbm152", "T1")


@pytest.fixture(scope="module")
def grid(atlas):
    return common_grid(atlas, (96, 96, 50), 2.0)


@pytest.fixture(scope="module")
def moved(atlas):
    """A simulated scan: the atlas brain at 2 mm, turned, shifted and stretched by its affine, with noise."""
    image, affine = coarser(atlas.image, atlas.affine, 2.0)
    noise = np.random.default_rng(1).normal(0, 4, image.shape)
    image = np.where(image > 20, np.maximum(image + noise, 1) * 3 + 50, 0).astype(np.float32)
    move = rigid((16, -8, 12), (15, -10, 20)) @ np.diag([0.92, 0.95, 0.88, 1.0])
    return image, move @ affine, move


@pytest.fixture(scope="module")
def scan(moved, tmp_path_factory):
    path = tmp_path_factory.mktemp("scan") / "T1.nii.gz"
    volumes.write(path, *moved[:2])
    return path


@pytest.fixture(scope="module")
def result(scan, atlas, grid):
    return preprocess_scan(scan, "T1", atlas, grid, settings=STRIPPED)


def distance(first, second, atlas):
    """Mean distance in mm between where two maps send the voxels of the atlas brain."""
    voxels = np.argwhere(atlas.mask)[::997]
    points = np.c_[voxels, np.ones(len(voxels))] @ atlas.affine.T
    return np.linalg.norm(points @ (first - second).T, axis=1).mean()


def test_known_affine_is_recovered(result, moved, atlas):
    assert distance(matrix(result.transform), moved[2], atlas) < 1.0
    np.testing.assert_allclose(result.qc["scale"], 1 / np.array([0.92, 0.95, 0.88]), atol=0.03)
    assert result.qc["flags"] == []
    assert result.qc["atlas_dice"] > 0.95


def test_rigid_recovers_a_pose_and_stays_rigid(atlas, moved):
    image, affine, _ = moved
    pose = rigid((-20, 5, 10), (-20, 15, 5))
    placed = pose @ np.linalg.inv(moved[2]) @ affine
    transform, _ = register(image, image > 0, placed, atlas, "rigid")
    assert distance(matrix(transform), pose, atlas) < 1.0
    np.testing.assert_allclose(np.linalg.svd(matrix(transform)[:3, :3])[1], 1.0, atol=1e-6)


def test_storage_order_does_not_matter(result, moved, atlas, grid, tmp_path):
    stored = nib.Nifti1Image(moved[0], moved[1])
    turn = nib.orientations.ornt_transform(nib.io_orientation(moved[1]), nib.orientations.axcodes2ornt("PSL"))
    nib.save(stored.as_reoriented(turn), tmp_path / "psl.nii.gz")
    other = preprocess_scan(tmp_path / "psl.nii.gz", "T1", atlas, grid, settings=STRIPPED)
    assert distance(matrix(other.transform), matrix(result.transform), atlas) < 0.2
    both = other.mask & result.mask
    assert np.corrcoef(other.volume[both], result.volume[both])[0, 1] > 0.99


def test_a_ramp_stays_the_ramp_after_resampling(grid):
    affine = rigid((10, 20, 30), (60, -90, -60)) @ np.diag([-1.5, 1.1, 3.0, 1.0])
    shape = (150, 180, 80)
    places = np.indices(shape).reshape(3, -1)
    slope, offset = np.array([0.5, -1.0, 2.0]), 500.0
    ramp = (slope @ (affine[:3, :3] @ places + affine[:3, 3:]) + offset).reshape(shape).astype(np.float32)
    small = Grid((9, 8, 7), 2.0, tuple((affine @ [75, 90, 40, 1])[:3]))
    transform = sitk.AffineTransform(3)
    transform.SetTranslation((3.0, 4.0, 5.0))  # LPS
    found = resample(ramp, affine, small, transform)
    points = small.affine[:3, :3] @ np.indices(small.shape).reshape(3, -1) + small.affine[:3, 3:]
    expected = slope @ (points + np.array([[-3.0], [-4.0], [5.0]])) + offset
    np.testing.assert_allclose(found.ravel(), expected, atol=0.01)


def test_small_lesion_survives_and_millilitres_add_up(grid):
    affine = np.diag([0.8, 0.8, 0.8, 1.0])
    affine[:3, 3] = np.array(grid.centre) - 0.8 * 119.5
    lesion = np.zeros((240, 240, 240), bool)
    lesion[100, 100, 100] = True  # 0.5 ul, a sixteenth of a grid voxel
    lesion[110:130, 110:130, 110:130] = True
    lesion[60:70, 120:130, 120:130] = True  # outside the mask below
    lesion[118:122, 118:122, 175:200] = True  # the grid ends at 182
    mask = np.ones(grid.shape, bool)
    mask[:35] = False
    carried, report = carry_lesion(lesion, affine, grid, sitk.AffineTransform(3), mask)
    parts = report["lost_to_grid_ml"] + report["lost_to_mask_ml"] + report["kept_ml"]
    assert parts == pytest.approx(report["source_ml"], abs=1e-5)
    assert report["source_ml"] == pytest.approx(lesion.sum() * 0.8**3 / 1000, abs=1e-5)
    top = grid.affine[2, 3] + grid.spacing * (grid.shape[2] - 0.5)
    above = (np.arange(240) * 0.8 + affine[2, 3] > top)[None, None] & lesion
    assert report["lost_to_grid_ml"] == pytest.approx(above.sum() * 0.8**3 / 1000, abs=1e-5)
    assert report["lost_to_mask_ml"] == pytest.approx(0.512, abs=0.06)
    assert report["grid_ml"] == pytest.approx(report["expected_grid_ml"], rel=0.05)
    assert (report["lesions_source"], report["lesions_in_view"]) == (4, 4)
    assert report["lesions_kept_as_one_voxel"] == 1
    place = np.rint(np.linalg.inv(grid.affine) @ affine @ [100, 100, 100, 1]).astype(int)[:3]
    assert carried[tuple(place)]
    assert carried[:35].any()  # lesion outside the mask stays lesion


def test_no_lesion_is_an_empty_mask(result):
    assert not result.lesion.any()
    assert result.qc["lesion"]["source_ml"] == 0


def test_bias_field_is_removed(atlas, grid):
    clean = resample(atlas.image, atlas.affine, grid, sitk.AffineTransform(3))
    mask = clean > 20
    x, y, z = np.meshgrid(*[np.linspace(-1, 1, size) for size in grid.shape], indexing="ij")
    field = 0.3 * x - 0.25 * y**2 + 0.15 * z * x
    white = clean > np.percentile(clean[mask], 75)
    corrected, found = correct_bias((clean * np.exp(field)).astype(np.float32), mask, grid.affine)
    variation = [np.std(image[white]) / np.mean(image[white]) for image in (clean * np.exp(field), corrected)]
    assert variation[1] < 0.5 * variation[0]
    assert np.corrcoef(found[mask], field[mask])[0, 1] > 0.9
    assert abs(found[mask].mean()) < 1e-4


def test_map_comes_back_to_the_scan(result, scan, moved, grid):
    """A known point of the scan is marked on the grid and found again on the scan's voxels."""
    voxel = np.array([45, 60, 40, 1])
    point = np.linalg.inv(matrix(result.transform)) @ moved[1] @ voxel
    place = np.indices(grid.shape).reshape(3, -1)
    away = np.linalg.norm((grid.affine[:3, :3] @ place + grid.affine[:3, 3:]).T - point[:3], axis=1)
    blob = np.exp(-(away**2) / (2 * 5**2)).reshape(grid.shape)
    carried = to_scan_space(np.where(result.mask, blob, np.nan), grid, result.transform, scan)
    assert carried.shape == moved[0].shape
    assert np.linalg.norm(np.unravel_index(np.nanargmax(carried), carried.shape) - voxel[:3]) <= 1.0
    assert np.isnan(carried[0, 0, 0])
    assert np.nanmin(carried) >= 0


def test_output_is_on_the_grid_masked_and_not_negative(result, grid):
    assert result.volume.shape == result.mask.shape == result.lesion.shape == grid.shape
    assert result.volume.dtype == np.float32
    assert result.volume.min() == 0
    assert not result.volume[~result.mask].any()
    assert np.median(result.volume[result.mask]) > 50


def test_same_input_same_bytes_on_any_number_of_threads(result, scan, atlas, grid, tmp_path):
    write_preprocessed(tmp_path / "a", result)
    before = sitk.ProcessObject.GetGlobalDefaultNumberOfThreads()
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(3)
    try:
        write_preprocessed(tmp_path / "b", preprocess_scan(scan, "T1", atlas, grid, settings=STRIPPED))
        assert sitk.ProcessObject.GetGlobalDefaultNumberOfThreads() == 3
    finally:
        sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(before)
    digests = [
        {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in (tmp_path / name).iterdir()}
        for name in "ab"
    ]
    assert set(digests[0]) == FILES
    assert digests[0] == digests[1]
    again = read_transform(tmp_path / "a" / "transform.tfm")
    np.testing.assert_allclose(matrix(again), matrix(result.transform), atol=1e-9)


def test_folder_is_written_whole_or_not_at_all(result, tmp_path, monkeypatch):
    def fail(*_):
        raise OSError("disk full")

    folder = tmp_path / "subject"
    folder.mkdir()
    (folder / "T1.nii.gz").write_text("old")
    with monkeypatch.context() as patch:
        patch.setattr(quality, "picture", fail)
        with pytest.raises(OSError, match="disk full"):
            write_preprocessed(folder, result)
    assert [path.name for path in tmp_path.iterdir()] == ["subject"]
    assert (folder / "T1.nii.gz").read_text() == "old"
    write_preprocessed(folder, result)
    assert {path.name for path in folder.iterdir()} == FILES
    assert (volumes.read(folder / "T1.nii.gz")[0] == result.volume).all()
    write_left_out(folder, "T1", "no brain")
    assert [path.name for path in folder.iterdir()] == ["qc.json"]
    assert Scan("subject", folder, "T1").left_out() == "no brain"


def broken(name, image, affine, folder):
    path = folder / f"{name}.nii.gz"
    if name == "truncated":
        volumes.write(path, image, affine)
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    elif name == "nan":
        image = image.copy()
        image[50, 50, 50] = np.nan
        volumes.write(path, image, affine)
    elif name == "empty":
        volumes.write(path, np.zeros_like(image), affine)
    elif name == "flat affine":
        stored = nib.Nifti1Image(image, affine)
        stored.header.set_qform(None, 0)
        stored.header["sform_code"] = 1
        stored.header["srow_z"] = 0
        nib.save(nib.Nifti1Image(image, None, stored.header), path)
    elif name == "metres":
        volumes.write(path, image, np.diag([0.001, 0.001, 0.001, 1]) @ affine)
    return path


@pytest.mark.parametrize("name", ["truncated", "nan", "empty", "flat affine", "metres", "missing"])
def test_bad_scan_is_named(name, moved, atlas, grid, tmp_path):
    path = broken(name, *moved[:2], tmp_path)
    with pytest.raises(InputError, match=path.name):
        preprocess_scan(path, "T1", atlas, grid, settings=STRIPPED)


def test_bad_masks_are_named(scan, moved, atlas, grid, tmp_path):
    image, affine, _ = moved
    volumes.write(tmp_path / "shape.nii.gz", image[:-1] > 0, affine)
    volumes.write(tmp_path / "shifted.nii.gz", image > 0, rigid((0, 0, 0), (0, 0, 4)) @ affine)
    volumes.write(tmp_path / "nothing.nii.gz", image < 0, affine)
    for name in ("shape", "shifted"):
        for kind in ("brain", "lesion"):
            with pytest.raises(InputError, match=name):
                preprocess_scan(scan, "T1", atlas, grid, **{kind: tmp_path / f"{name}.nii.gz"})
    with pytest.raises(InputError, match="brain mask of 0"):
        preprocess_scan(scan, "T1", atlas, grid, brain=tmp_path / "nothing.nii.gz")
    with pytest.raises(InputError, match="no brain mask"):
        preprocess_scan(scan, "T1", atlas, grid)


@pytest.mark.parametrize("settings", [{"skull_strip": "magic"}, {"registration": "elastic"}, {"bias": True}])
def test_unknown_settings_are_refused(settings, scan, atlas, grid):
    with pytest.raises(InputError, match=f"{next(iter(settings))}"):
        preprocess_scan(scan, "T1", atlas, grid, settings=settings)


def test_polar_parts_of_a_known_map():
    move = rigid((10, 0, 0), (5, 6, 7)) @ np.diag([0.8, 1.0, 1.25, 1.0])
    rotation, scale, shear = quality.parts(move)
    np.testing.assert_allclose(rotation, (-10, 0, 0), atol=1e-6)
    np.testing.assert_allclose(scale, (1.25, 1.0, 0.8), atol=1e-6)
    np.testing.assert_allclose(shear, 0, atol=1e-6)


def test_coarser_copy_keeps_its_place():
    array = np.random.default_rng(0).random((40, 30, 20)).astype(np.float32)
    affine = rigid((5, 10, 15), (3, 2, 1)) @ np.diag([1.0, 1.5, 3.0, 1.0])
    small, placed = coarser(array, affine, 3.0)
    assert small.shape == (13, 15, 20)
    assert small[2, 3, 4] == pytest.approx(array[6:9, 6:8, 4].mean(), rel=1e-5)
    np.testing.assert_allclose(placed @ [2, 3, 4, 1], affine @ [7, 6.5, 4, 1])
    point = to_image(array, affine).TransformIndexToPhysicalPoint((7, 6, 4))
    np.testing.assert_allclose(np.array(point) * (-1, -1, 1), (affine @ [7, 6, 4, 1])[:3], atol=1e-5)


def test_brain_of_a_simulated_t2_head_is_found(tmp_path):
    settings = {"anatomy_spacing": 2.0, "voxel_size": [1.6, 1.6, 2.5], "noise": 0.03}
    head = simulate_subject("healthy", 3, 7, settings)["T2"]
    volumes.write(tmp_path / "T2.nii.gz", head.array, head.affine)
    volumes.write(tmp_path / "brain.nii.gz", head.brain, head.affine)
    t2 = load_atlas("icbm152", "T2")
    found = preprocess_scan(
        tmp_path / "T2.nii.gz",
        "T2",
        t2,
        common_grid(t2, (96, 96, 50), 2.0),
        tmp_path / "brain.nii.gz",
        settings={"skull_strip": "atlas"},
    )
    assert found.qc["brain_dice_with_truth"] > 0.92
    assert found.qc["flags"] == []


@needs_data
@pytest.mark.parametrize("subject", ["IXI034-HH-1260", "IXI329-HH-1908"])
def test_brain_of_a_real_head_is_found(subject, atlas, grid):
    folder = DATA / "ixi_t1_2mm"
    scan, brain = (folder / f"{subject}_{name}.nii.gz" for name in ("t1", "brain"))
    found = preprocess_scan(scan, "T1", atlas, grid, brain, settings={"skull_strip": "atlas"})
    assert found.qc["brain_dice_with_truth"] > 0.93
    assert found.qc["flags"] == []
