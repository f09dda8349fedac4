"""A network of the paper's authors sees scans as their code shows them: their array, their crop, their patches."""

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk
import torch
from networks import randomized
from scipy import ndimage

import patch2loc.methods.patch2loc.model as patch2loc
from patch2loc.data import volumes
from patch2loc.data.volumes import Grid
from patch2loc.engine.weights import weights_of
from patch2loc.errors import InputError
from patch2loc.files import write_json
from patch2loc.models import load_model, save_model
from patch2loc.network.location import LocationNetwork
from patch2loc.own_scan import load_scorer, score_own_scan
from patch2loc.preprocess.atlas import common_grid, load_atlas
from patch2loc.preprocess.released_code import crop_start, grid_around_brain
from patch2loc.score.job import score_scans
from patch2loc.score.scoring import heatmaps_with
from patch2loc.standardize import standardize

SHAPE, PATCH, WIDTHS = (192, 192, 100), 24, (4, 4, 8, 8)
LANDMARKS = {"percentiles": [1, 50, 99], "standard_scale": [0.0, 60.0, 100.0], "scale": "range"}
ATLAS_SHAPE = (90, 104, 140)
SLICES = [0, 1, 49, 98, 99]  # of the crop, for a patch-by-patch heatmap


def cut_to_brain(array, brain):
    """Array and brain in the box of the brain, whose last voxel along each axis the released code leaves out."""
    for axis in range(3):
        indices = np.nonzero(brain.any(axis=tuple({0, 1, 2} - {axis})))[0]
        within = range(indices[0], indices[-1])
        array, brain = array.take(within, axis), brain.take(within, axis)
    return array, brain


def crop_or_pad(array, shape, fill):
    """TorchIO's CropOrPad: half of the difference at the beginning, rounded up, and half at the end, rounded down."""
    for axis, size in enumerate(shape):
        difference = array.shape[axis] - size
        begin, end = (abs(difference) + 1) // 2, abs(difference) // 2
        if difference > 0:
            array = array.take(range(begin, array.shape[axis] - end), axis)
        else:
            widths = [(begin, end) if each == axis else (0, 0) for each in range(3)]
            array = np.pad(array, widths, constant_values=fill)
    return array


def released_window(brain, shape):
    """Index of each voxel of the released code's crop in the flat RAS array of the brain, -1 for padding: LPS."""
    index = np.arange(brain.size).reshape(brain.shape)
    return crop_or_pad(cut_to_brain(index[::-1, ::-1], brain[::-1, ::-1])[0], shape, -1)


def whole_window(brain, shape):
    """As `released_window`, with the box's last voxels, which are counted alike but not cut off."""
    window = released_window(brain, shape)
    taken = np.argwhere(window >= 0)[0]
    first = np.array(np.unravel_index(window[tuple(taken)], brain.shape))
    steps = np.moveaxis(np.indices(shape), 0, -1) - taken
    voxels = first + steps * (-1, -1, 1)
    inside = ((voxels >= 0) & (voxels < brain.shape)).all(axis=-1)
    return np.where(inside, np.ravel_multi_index(np.moveaxis(voxels, -1, 0), brain.shape, mode="clip"), -1)


def released_heatmap(image, brain_share, network, shape=SHAPE, slices=SLICES):
    """Step by step on a scan in the atlas's array, RAS: the heatmap of some slices there, NaN outside the brain."""
    window = whole_window(brain_share > 0, shape)
    taken = window >= 0
    mask = taken & (brain_share.ravel()[window] > 0)
    volume = np.where(mask, image.ravel()[window], 0).astype(np.float32)
    smooth = sitk.GetArrayFromImage(sitk.CurvatureFlow(sitk.GetImageFromArray(volume), 0.125, 3))
    volume = standardize(np.where(mask, smooth, 0), mask, LANDMARKS)
    padded = np.pad(volume, [(PATCH // 2, PATCH // 2)] * 2 + [(0, 0)])
    shown = np.zeros(shape, bool)
    shown[:, :, slices] = mask[:, :, slices]
    voxels = np.argwhere(ndimage.maximum_filter(shown, size=7))
    scores = np.zeros(shape, np.float32)
    for part in np.array_split(voxels, len(voxels) // 4000 + 1):
        patches = torch.from_numpy(np.stack([padded[x : x + PATCH, y : y + PATCH, z] for x, y, z in part]))
        with torch.no_grad():
            mean, log_variance = network(patches[:, None], torch.from_numpy(100.0 * part[:, 2] / shape[2]))
        error = ((100.0 * part[:, :2] / shape[:2] - mean.numpy()) ** 2).sum(axis=1)
        scores[tuple(part.T)] = np.log(error + 1e-10) + log_variance.numpy().mean(axis=1)
    (left, front, _), (right, back, _) = voxels.min(axis=0), voxels.max(axis=0) + 1
    filtered = np.zeros(shape, np.float32)
    filtered[left:right, front:back] = ndimage.median_filter(
        scores[left:right, front:back], 7, mode="reflect"
    )
    heatmap = np.full(image.shape, np.nan, np.float32)
    heatmap.flat[window[shown]] = filtered[shown]
    return heatmap


@pytest.fixture(scope="module")
def brain():
    """A long brain off the center of an atlas, with a lobe on one side only: intensity, 0 outside."""
    x, y, z = np.meshgrid(*map(np.arange, ATLAS_SHAPE), indexing="ij")
    inside = ((x - 38) / 12) ** 2 + ((y - 61) / 17) ** 2 + ((z - 65) / 62) ** 2 < 1
    inside |= (x - 50) ** 2 + (y - 74) ** 2 + (z - 55) ** 2 < 64
    texture = ndimage.gaussian_filter(np.random.default_rng(4).normal(size=ATLAS_SHAPE), 3)
    return np.where(inside, (100 + 60 * texture / texture.std()).clip(5), 0).astype(np.float32)


@pytest.fixture(scope="module")
def sri24(brain, tmp_path_factory):
    """Folder of an atlas stored as SRI24 is, from left to right and front to back."""
    folder = tmp_path_factory.mktemp("sri24")
    image = nib.Nifti1Image(brain, np.eye(4)).as_reoriented([[0, -1], [1, -1], [2, 1]])
    nib.save(image, folder / "spgr.nii")
    return folder


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    """Model of a checkpoint with the weights of no training."""
    folder = tmp_path_factory.mktemp("checkpoint")
    torch.manual_seed(0)
    state = {f"model.{name}": value for name, value in LocationNetwork().state_dict().items()}
    torch.save({"state_dict": state}, folder / "last.ckpt")
    write_json(folder / "landmarks.json", LANDMARKS)
    return load_model(folder / "last.ckpt", "T1", folder / "landmarks.json")


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(5)
    network = LocationNetwork(WIDTHS)
    network.rescale_output_(torch.tensor([50.0, 50.0]), torch.tensor([20.0, 20.0]))
    return randomized(network)


@pytest.fixture
def own_model(checkpoint, network, tmp_path):
    """The checkpoint's model with a network that is quick, in a file of ours; its scans are in atlas space."""
    state = checkpoint["state"] | {"weights": weights_of(network), "widths": list(WIDTHS)}
    preprocess = checkpoint["preprocess"] | {"registration": "none", "bias_correction": False}
    save_model(tmp_path / "own.safetensors", checkpoint | {"state": state, "preprocess": preprocess})
    return tmp_path / "own.safetensors"


def test_the_heatmap_of_a_scan_is_that_of_the_released_codes_steps(
    brain, sri24, own_model, network, tmp_path
):
    # Between the atlas's voxels, so that voxels at the border hold some brain: the box counts those too.
    offset = np.array([-0.3, -0.3, 0.3])
    rng = np.random.default_rng(1)
    noisy = (brain * 7 + rng.normal(0, 20, ATLAS_SHAPE)).clip(1)
    image = np.where(brain > 0, noisy, 0).astype(np.float32)
    affine = np.eye(4)
    affine[:3, 3] = offset
    stored = nib.Nifti1Image(image, affine).as_reoriented([[2, 1], [0, -1], [1, 1]])
    nib.save(stored, tmp_path / "scan.nii.gz")

    score_own_scan(
        load_scorer(own_model, atlas=sri24), tmp_path / "scan.nii.gz", tmp_path / "out", skull_strip="none"
    )

    on_atlas, share = (ndimage.shift(array.astype(float), offset, order=1) for array in (image, image > 0))
    expected = released_heatmap(on_atlas, share, network)
    found = np.full(ATLAS_SHAPE, np.nan)
    heatmap, to_mm = volumes.read(tmp_path / "out" / "heatmap_atlas.nii.gz")
    assert heatmap.shape == SHAPE
    voxels = np.argwhere(np.isfinite(heatmap))
    places = (nib.affines.apply_affine(to_mm, voxels) + 1e-6).astype(int)
    np.testing.assert_allclose(places, nib.affines.apply_affine(to_mm, voxels), atol=1e-5)
    found[tuple(places.T)] = heatmap[tuple(voxels.T)]
    window = np.isin(np.arange(np.prod(ATLAS_SHAPE)), whole_window(share > 0, SHAPE)).reshape(ATLAS_SHAPE)
    np.testing.assert_array_equal(np.isfinite(found), window & (share > 0))
    compared = np.isfinite(expected)
    assert compared.sum() > 1000
    np.testing.assert_allclose(found[compared], expected[compared], rtol=1e-3, atol=2e-3)

    native, native_affine = volumes.read(tmp_path / "out" / "heatmap.nii.gz")
    assert native.shape == stored.shape
    np.testing.assert_allclose(native_affine, stored.affine, atol=1e-6)
    carried = nib.as_closest_canonical(nib.Nifti1Image(native, native_affine)).get_fdata()
    weight = ndimage.shift(np.isfinite(found).astype(float), -offset, order=1)
    total = ndimage.shift(np.nan_to_num(found), -offset, order=1)
    inside = weight > 0.5 + 1e-6
    assert np.isnan(carried[weight == 0]).all()
    np.testing.assert_allclose(carried[inside], total[inside] / weight[inside], rtol=1e-3, atol=3e-3)


class ReadsItsPlace:
    """Stands for a network that has learned its location: reads it from the middle voxel of the patch.

    The log-variance is 0 if the slice that it is told is the patch's own.
    """

    patch, device, one_shape, sparse = PATCH, "cpu", False, 0.0  # 0: always by whole slices

    def __init__(self, shape):
        self.shape = shape

    def predict_slices(self, slices, progress):
        centers = slices.centers
        place = slices.padded[centers.z, centers.x + PATCH // 2, centers.y + PATCH // 2].long()
        columns, rows, depth = self.shape
        mean = [100 * (place % columns).float() / columns, 100 * (place // columns % rows).float() / rows]
        wrong_slice = 100 * (place // (columns * rows)).float() / depth - slices.location[centers.z]
        return torch.stack([*mean, wrong_slice, wrong_slice], 1)


@pytest.mark.parametrize(("axes", "flipped"), [("LPS", np.s_[::-1, ::-1]), ("RAS", np.s_[:, :])])
def test_a_network_that_knows_its_place_in_its_own_axes_makes_no_error(
    checkpoint, axes, flipped, monkeypatch
):
    shape = (30, 26, 5)
    places = np.arange(np.prod(shape), dtype=np.float32).reshape(shape, order="F")[flipped].copy()
    monkeypatch.setattr(patch2loc, "_ready", lambda *_: ReadsItsPlace(shape))
    mask = np.zeros(shape, bool)
    mask[3:20, 5:25, 1:] = True

    def heatmap(of_axes):
        model = checkpoint | {"grid": checkpoint["grid"] | {"axes": of_axes}}
        heatmaps = heatmaps_with(model, "cpu", stride=1, median_filter=3, precision="float32")
        return heatmaps(places, mask)[0]

    found = heatmap(axes)
    np.testing.assert_array_equal(np.isfinite(found), mask)
    np.testing.assert_allclose(found[mask], np.log(1e-10), rtol=1e-6)
    assert heatmap({"LPS": "RAS", "RAS": "LPS"}[axes])[mask].min() > np.log(1e-10) + 10


@pytest.mark.parametrize(
    ("first", "last", "start"),
    [(0, 135, 18), (8, 136, 22)],  # BraTS2021_00006 and TCGA-FG-6692 by the released code
)
def test_slices_of_known_scans_are_those_of_the_released_code(first, last, start):
    brain = np.zeros((240, 240, 155), bool)
    brain[60:180, 40:200, first : last + 1] = True
    assert crop_start(brain, SHAPE)[2] == start


def test_the_crop_begins_where_the_released_codes_does():
    rng = np.random.default_rng(2)
    for _ in range(60):
        size = rng.integers(9, 24, 3)
        corner = rng.integers(0, size - 5)
        brain = np.zeros(size, bool)
        end = rng.integers(corner + 3, size + 1)
        brain[tuple(map(slice, corner, end))] = True
        shape = tuple(rng.integers(1, 20, 3).tolist())
        window = released_window(brain, shape)[::-1, ::-1]
        taken = np.argwhere(window >= 0)[0]
        first = np.array(np.unravel_index(window[tuple(taken)], size)) - taken
        np.testing.assert_array_equal(crop_start(brain, shape), first)


@pytest.mark.parametrize(("shape", "spacing"), [(SHAPE, 1.0), ((96, 96, 50), 2.0)])
def test_the_grid_moves_by_whole_voxels_onto_the_brain(shape, spacing):
    atlas = load_atlas("icbm152", "T1")
    grid = common_grid(atlas, shape, spacing)
    brain = ndimage.binary_erosion(atlas.mask, iterations=3)
    brain[:, :90], brain[:, :, 140:] = False, False  # no brain of any atlas
    moved = grid_around_brain(
        grid, brain, atlas.affine, atlas=atlas, transform=sitk.Transform(3, sitk.sitkIdentity)
    )
    assert (moved.shape, moved.spacing) == (grid.shape, grid.spacing)
    steps = (np.array(moved.center) - grid.center) / spacing
    np.testing.assert_allclose(steps, steps.round(), atol=1e-9)
    voxels = np.argwhere(brain)
    middle = nib.affines.apply_affine(atlas.affine, (voxels.min(axis=0) + voxels.max(axis=0)) / 2)
    assert abs(middle - grid.center).max() > 10
    assert abs(middle - moved.center).max() <= 1.5 * spacing


def test_a_grid_stays_where_no_brain_is():
    atlas = load_atlas("icbm152", "T1")
    grid = Grid((4, 4, 4), 2.0, (0.0, 0.0, 0.0))
    nothing = np.zeros(atlas.image.shape, bool)
    identity = sitk.Transform(3, sitk.sitkIdentity)
    assert grid_around_brain(grid, nothing, atlas.affine, atlas=atlas, transform=identity) == grid


def test_scans_of_a_run_are_not_given_to_such_a_network(own_model, tmp_path):
    said = r"the axes LPS found, the axes RAS, RSA, SAR of a run's scans expected"
    with pytest.raises(InputError, match=rf"own\.safetensors: .*{said}"):
        score_scans(own_model, [], tmp_path / "heatmaps", device="cpu", stride=1, median_filter=7, code="")


def test_unknown_axes_are_refused(checkpoint, tmp_path):
    save_model(tmp_path / "own.safetensors", checkpoint | {"grid": checkpoint["grid"] | {"axes": "RAI"}})
    with pytest.raises(
        InputError, match=r"own\.safetensors: grid\.axes: 'RAI' found, one of RAS, RSA, SAR, LPS expected"
    ):
        load_model(tmp_path / "own.safetensors")
