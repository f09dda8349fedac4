import hashlib

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk
from poses import distance, moved_brain, rigid
from scipy import ndimage

from patch2loc.data import volumes
from patch2loc.data.content import content_hash
from patch2loc.data.scans import Scan
from patch2loc.data.volumes import Grid
from patch2loc.errors import InputError
from patch2loc.preprocess import picture, quality
from patch2loc.preprocess.atlas import common_grid, load_atlas
from patch2loc.preprocess.bias import correct_bias
from patch2loc.preprocess.images import coarser, read_scan, resample, to_array, to_image
from patch2loc.preprocess.lesions import carry_lesion
from patch2loc.preprocess.masks import largest_part_filled
from patch2loc.preprocess.register import matrix
from patch2loc.preprocess.released_code import template
from patch2loc.preprocess.scan import (
    preprocess_scan,
    read_transform,
    to_native_space,
    write_left_out,
    write_preprocessed,
)

STRIPPED = {"skull_strip": "none"}
FILES = {
    "T1.nii.gz",
    "mask.nii.gz",
    "lesion.nii.gz",
    "lesion_any.nii.gz",
    "transform.tfm",
    "qc.json",
    "qc.png",
}


@pytest.fixture(scope="module")
def atlas():
    return load_atlas("icbm152", "T1")


@pytest.fixture(scope="module")
def grid(atlas):
    return common_grid(atlas, (96, 96, 50), 2.0)


@pytest.fixture(scope="module")
def moved(atlas):
    """A simulated scan: the atlas brain at 2 mm, turned, shifted and stretched by its affine, with noise."""
    move = rigid((16, -8, 12), (15, -10, 20)) @ np.diag([0.92, 0.95, 0.88, 1.0])
    return *moved_brain(atlas, move), move


@pytest.fixture(scope="module")
def scan(moved, tmp_path_factory):
    path = tmp_path_factory.mktemp("scan") / "T1.nii.gz"
    volumes.write(path, *moved[:2])
    return path


@pytest.fixture(scope="module")
def result(scan, atlas, grid):
    return preprocess_scan(scan, "T1", atlas, grid, settings=STRIPPED)


def test_the_content_of_a_scan_is_kept_and_that_of_the_scan_it_was_painted_into(scan, moved, atlas, tmp_path):
    grid = common_grid(atlas, (48, 48, 25), 4.0)
    painted = moved[0].copy()
    painted[20:30, 20:30, 20:30] *= 0.5
    volumes.write(tmp_path / "painted.nii.gz", painted, moved[1])
    path = tmp_path / "painted.nii.gz"
    settings = STRIPPED | {"bias_correction": False}
    found = preprocess_scan(path, "T1", atlas, grid, acquired_path=scan, settings=settings)
    write_preprocessed(tmp_path / "p", found)
    contents = Scan("p", tmp_path / "p", "T1").contents()
    assert contents.stored == content_hash(painted, moved[1])
    assert contents.acquired == content_hash(*moved[:2]) != contents.stored


def test_known_affine_is_recovered(result, moved, atlas):
    assert distance(matrix(result.transform), moved[2], atlas) < 1.0
    np.testing.assert_allclose(result.qc["scale"], 1 / np.array([0.92, 0.95, 0.88]), atol=0.03)
    assert result.qc["flags"] == []
    assert result.qc["atlas_dice"] > 0.95


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


def test_small_lesion_survives_and_milliliters_add_up(grid):
    affine = np.diag([0.8, 0.8, 0.8, 1.0])
    affine[:3, 3] = np.array(grid.center) - 0.8 * 119.5
    lesion = np.zeros((240, 240, 240), bool)
    lesion[100, 100, 100] = True  # 0.5 ul, a sixteenth of a grid voxel
    lesion[110:130, 110:130, 110:130] = True
    lesion[60:70, 120:130, 120:130] = True  # outside the mask below
    lesion[118:122, 118:122, 175:200] = True  # the grid ends at 182
    mask = np.ones(grid.shape, bool)
    mask[:35] = False
    carried, _, report = carry_lesion(lesion, affine, grid, transform=sitk.AffineTransform(3), mask=mask)
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


def test_a_lesion_that_shrinks_on_its_way_to_the_grid_is_accounted_for():
    lesion = np.zeros((40, 40, 40), bool)
    lesion[10:30, 10:30, 10:30] = True
    affine = np.eye(4)
    affine[:3, 3] = -19.5
    larger = sitk.AffineTransform(
        3
    )  # from the grid to the scan: a grid voxel takes more of the scan along each axis
    larger.Scale(1.25)
    grid = Grid((40, 40, 40), 1.0, (0.0, 0.0, 0.0))
    *_, report = carry_lesion(lesion, affine, grid, transform=larger, mask=np.ones(grid.shape, bool))
    assert report["scale"] == pytest.approx(1.25**-3, abs=1e-6)
    assert report["grid_ml"] == pytest.approx(report["source_ml"] * report["scale"], rel=0.1)
    assert report["lesions_source"] == report["lesions_in_view"] == 1


def test_no_lesion_is_an_empty_mask(result):
    assert not result.lesion.any()
    assert result.qc["lesion"]["source_ml"] == 0


def test_map_comes_back_to_the_scan(result, scan, moved, grid):
    """A known point of the scan is marked on the grid and found again on the scan's voxels."""
    voxel = np.array([45, 60, 40, 1])
    point = np.linalg.inv(matrix(result.transform)) @ moved[1] @ voxel
    place = np.indices(grid.shape).reshape(3, -1)
    away = np.linalg.norm((grid.affine[:3, :3] @ place + grid.affine[:3, 3:]).T - point[:3], axis=1)
    blob = np.exp(-(away**2) / (2 * 5**2)).reshape(grid.shape)
    carried = to_native_space(np.where(result.mask, blob, np.nan), grid, result.transform, scan)
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
    def fail(*_, **__):
        raise OSError("disk full")

    folder = tmp_path / "subject"
    folder.mkdir()
    (folder / "T1.nii.gz").write_text("old")
    with monkeypatch.context() as patch:
        patch.setattr(picture, "write_picture", fail)
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
        image[46:54, 46:54, 46:54] = np.nan
        volumes.write(path, image, affine)
    elif name == "empty":
        volumes.write(path, np.zeros_like(image), affine)
    elif name == "flat affine":
        stored = nib.Nifti1Image(image, affine)
        stored.header.set_qform(None, 0)
        stored.header["sform_code"] = 1
        stored.header["srow_z"] = 0
        nib.save(nib.Nifti1Image(image, None, stored.header), path)
    elif name == "meters":
        volumes.write(path, image, np.diag([0.001, 0.001, 0.001, 1]) @ affine)
    return path


@pytest.mark.parametrize("name", ["truncated", "nan", "empty", "flat affine", "meters", "missing"])
def test_bad_scan_is_named(name, moved, atlas, grid, tmp_path):
    path = broken(name, *moved[:2], tmp_path)
    with pytest.raises(InputError, match=path.name):
        preprocess_scan(path, "T1", atlas, grid, settings=STRIPPED)


@pytest.mark.parametrize(
    ("part", "message"),
    [
        (np.s_[:6, :6, :6], "nothing found to lay on the atlas"),
        (np.s_[:3], r"brain mask of [0-9.]+ ml found"),
        (np.s_[30:33, 30:33, 30:33], r"one brightness \(0\) in the whole brain mask"),
    ],
    ids=["corner", "edge", "spot"],
)
def test_a_scan_that_is_black_but_for_a_part_is_named(part, message, atlas, grid, tmp_path):
    image = np.zeros((64, 64, 64), np.float32)
    image[part] = np.random.default_rng(0).uniform(50, 100, image[part].shape)
    affine = np.diag([3.0, 3, 3, 1])
    affine[:3, 3] = -96
    volumes.write(tmp_path / "scan.nii.gz", image, affine)
    with pytest.raises(InputError, match=rf"scan\.nii\.gz: {message}"):
        preprocess_scan(tmp_path / "scan.nii.gz", "T1", atlas, grid, settings={"skull_strip": "atlas"})


@pytest.mark.parametrize("exponent", [-100, 60])
def test_brightness_may_have_any_unit(exponent, result, moved, atlas, grid, tmp_path):
    volumes.write(tmp_path / "scan.nii.gz", np.ldexp(moved[0], exponent), moved[1])
    scaled = preprocess_scan(tmp_path / "scan.nii.gz", "T1", atlas, grid, settings=STRIPPED)
    assert (scaled.mask == result.mask).all()
    assert scaled.qc["flags"] == []
    ratio = scaled.volume[result.mask] / np.maximum(result.volume[result.mask], 1)
    np.testing.assert_allclose(ratio, np.median(ratio), rtol=0.01)
    assert np.log2(np.median(ratio)) == pytest.approx(round(np.log2(np.median(ratio))), abs=1e-3)


def test_one_bright_voxel_does_not_change_the_unit(moved, tmp_path):
    image = moved[0].copy()
    image[0, 0, 0] = 1e30
    volumes.write(tmp_path / "scan.nii.gz", image, moved[1])
    np.testing.assert_array_equal(read_scan(tmp_path / "scan.nii.gz")[0], image)


def test_bad_masks_are_named(scan, moved, atlas, grid, tmp_path):
    image, affine, _ = moved
    volumes.write(tmp_path / "shape.nii.gz", image[:-1] > 0, affine)
    volumes.write(tmp_path / "shifted.nii.gz", image > 0, rigid((0, 0, 0), (0, 0, 4)) @ affine)
    volumes.write(tmp_path / "nothing.nii.gz", image < 0, affine)
    for name in ("shape", "shifted"):
        for kind in ("brain", "lesion"):
            with pytest.raises(InputError, match=name):
                preprocess_scan(scan, "T1", atlas, grid, **{f"{kind}_path": tmp_path / f"{name}.nii.gz"})
    with pytest.raises(InputError, match="brain mask of 0"):
        preprocess_scan(scan, "T1", atlas, grid, brain_path=tmp_path / "nothing.nii.gz")
    with pytest.raises(InputError, match="no brain mask"):
        preprocess_scan(scan, "T1", atlas, grid)


@pytest.mark.parametrize(
    "settings",
    [
        {"skull_strip": "magic"},
        {"registration": "elastic"},
        {"bias": True},
        {"protocol": "mine"},
        {"crop": "head"},
    ],
)
def test_unknown_settings_are_refused(settings, scan, atlas, grid):
    with pytest.raises(InputError, match=f"{next(iter(settings))}"):
        preprocess_scan(scan, "T1", atlas, grid, settings=settings)


def scrambled(name, image, affine):
    """Scans that lie nowhere on the atlas: noise in the brain's outline, a wrong header, a brain of another size."""
    if name == "noise":
        noise = np.random.default_rng(2).uniform(50, 500, image.shape).astype(np.float32)
        return np.where(image > 0, noise, 0), affine
    if name == "upside down":
        return image, rigid((180, 0, 0), (0, 0, 0)) @ affine
    return image, np.diag([3.0, 3.0, 3.0, 1.0]) @ affine


@pytest.mark.parametrize(
    ("name", "message"),
    [("noise", "registration to the atlas failed"), ("size", "brain mask of .* ml found")],
)
def test_a_scan_that_is_no_brain_or_fits_no_atlas_is_left_out(name, message, moved, atlas, grid, tmp_path):
    volumes.write(tmp_path / "T1.nii.gz", *scrambled(name, *moved[:2]))
    with pytest.raises(InputError, match=rf"T1\.nii\.gz: {message}"):
        preprocess_scan(tmp_path / "T1.nii.gz", "T1", atlas, grid, settings=STRIPPED)


def test_a_doubtful_registration_is_flagged(moved, atlas, grid, tmp_path):
    volumes.write(tmp_path / "T1.nii.gz", *scrambled("upside down", *moved[:2]))
    try:
        flags = preprocess_scan(tmp_path / "T1.nii.gz", "T1", atlas, grid, settings=STRIPPED).qc["flags"]
    except InputError as error:
        flags = [str(error)]
    assert any("brightness" in flag for flag in flags)


def test_an_error_of_itk_names_the_scan(scan, atlas, grid, monkeypatch):
    def fail(*_, **__):
        raise RuntimeError("ITK ERROR\nitk::ERROR: all samples map outside the moving image")

    monkeypatch.setattr("patch2loc.preprocess.scan.register", fail)
    with pytest.raises(InputError, match=r"T1\.nii\.gz: SimpleITK stopped .*all samples map outside"):
        preprocess_scan(scan, "T1", atlas, grid, settings=STRIPPED)


def test_the_atlas_explains_a_registered_brain_and_not_a_shuffled_one(result, atlas, grid):
    likeness = quality.correlation_ratio(result.volume, result.mask, result.atlas_on_grid, grid)
    assert likeness == pytest.approx(result.qc["correlation_ratio"], abs=0.02)
    assert likeness > 0.8
    shuffled = result.volume.copy()
    shuffled[result.mask] = np.random.default_rng(0).permutation(shuffled[result.mask])
    assert quality.correlation_ratio(shuffled, result.mask, result.atlas_on_grid, grid) < 0.02


def test_the_released_code_smooths_along_edges(scan, result, atlas, grid):
    """Curvature flow: noise falls, edges stay, nothing leaves the mask; the rest is as in the paper's protocol."""
    settings = {**STRIPPED, "smoothing": "curvature-flow"}
    flowed = preprocess_scan(scan, "T1", atlas, grid, settings=settings)
    assert flowed.qc["smoothing"] == "curvature-flow"
    assert (flowed.mask == result.mask).all()
    assert not flowed.volume[~flowed.mask].any()
    image = to_image(result.volume, grid.affine)
    expected = to_array(sitk.CurvatureFlow(image, 0.125, 3))
    np.testing.assert_allclose(flowed.volume[result.mask], expected[result.mask], rtol=1e-5)
    inside = ndimage.binary_erosion(result.mask, iterations=3)
    rough = [np.abs(ndimage.laplace(volume))[inside].mean() for volume in (result.volume, flowed.volume)]
    assert rough[1] < 0.9 * rough[0]


def test_the_released_code_registers_every_modality_to_t1():
    assert [template(modality, "same-contrast") for modality in ("T1", "T2")] == ["T1", "T2"]
    assert [template(modality, "T1") for modality in ("T1", "T2")] == ["T1", "T1"]


def test_a_brain_mask_by_any_holds_all_that_the_interpolated_mask_touches(scan, moved, result, atlas, grid):
    """Above 0 at the center of a voxel: wider than by half, and nothing of what is around the brain shows in it."""
    wide = preprocess_scan(scan, "T1", atlas, grid, settings={**STRIPPED, "brain_mask": "any"})
    image, affine, _ = moved
    brain = largest_part_filled(image > 0)
    share = resample(brain, affine, grid, wide.transform)
    assert (wide.mask == (share > 1e-6)).all()
    assert (result.mask == (share >= 0.5)).all()
    assert wide.mask.sum() > 1.04 * result.mask.sum()  # less than half a voxel of 2 mm around a brain


def test_a_bias_field_of_all_voxels_is_that_of_the_released_code():
    """N4 by four levels of 200 iterations on the voxels themselves: a field that varies by a half is taken away."""
    shape = (32, 32, 24)
    x, y, z = np.indices(shape)
    mask = ((x - 15.5) ** 2 + (y - 15.5) ** 2) / 13**2 + (z - 11.5) ** 2 / 10**2 < 1
    tissue = np.where((x // 4 + y // 4 + z // 4) % 2, 100.0, 60.0)
    field = np.exp(0.25 * np.sin(x / 12) + 0.15 * np.cos(z / 10))
    volume = (tissue * field * mask).astype(np.float32)
    affine = np.diag([4.0, 4.0, 4.0, 1.0])
    corrected, log_field = correct_bias(volume, mask, affine, resolution="full")
    coarse, _ = correct_bias(volume, mask, affine)

    def spread(values):
        return max(np.log(values[mask & (tissue == level)]).std() for level in (60, 100))

    assert spread(corrected) < 0.25 * spread(volume)
    assert not np.allclose(corrected[mask], coarse[mask], rtol=1e-3)
    np.testing.assert_allclose(corrected[mask] * np.exp(log_field[mask]), volume[mask], rtol=1e-5)
    method = sitk.N4BiasFieldCorrectionImageFilter()
    method.SetMaximumNumberOfIterations((200, 200, 200, 200))
    method.SetConvergenceThreshold(5e-4)
    expected = to_array(method.Execute(to_image(volume, affine), to_image(mask & (volume > 0), affine)))
    ratio = corrected[mask] / expected[mask]
    np.testing.assert_allclose(ratio, ratio[0], rtol=1e-3)


def test_coarser_copy_keeps_its_place():
    array = np.random.default_rng(0).random((40, 30, 20)).astype(np.float32)
    affine = rigid((5, 10, 15), (3, 2, 1)) @ np.diag([1.0, 1.5, 3.0, 1.0])
    small, placed = coarser(array, affine, 3.0)
    assert small.shape == (13, 15, 20)
    assert small[2, 3, 4] == pytest.approx(array[6:9, 6:8, 4].mean(), rel=1e-5)
    np.testing.assert_allclose(placed @ [2, 3, 4, 1], affine @ [7, 6.5, 4, 1])
    point = to_image(array, affine).TransformIndexToPhysicalPoint((7, 6, 4))
    np.testing.assert_allclose(np.array(point) * (-1, -1, 1), (affine @ [7, 6, 4, 1])[:3], atol=1e-5)
