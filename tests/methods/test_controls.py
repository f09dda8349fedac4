"""The simple controls: known answers on small brains."""

import numpy as np
import pytest
from scans import save_scan
from written_models import complete_model

import patch2loc.methods.asymmetry.model as asymmetry
import patch2loc.methods.oracle.model as oracle
import patch2loc.methods.random.model as random
import patch2loc.methods.texture_z.model as texture_z
import patch2loc.methods.zscore.model as zscore
from patch2loc.configuration.method_registry import METHODS
from patch2loc.data import volumes
from patch2loc.data.midsagittal import midsagittal_plane, mirrored
from patch2loc.errors import InputError
from patch2loc.files import write_json
from patch2loc.method_interface import declaration, method
from patch2loc.metrics.ranking import rank, ranking_metrics
from patch2loc.models import save_model
from patch2loc.own_scan import load_scorer
from patch2loc.preprocess.atlas import common_grid, load_atlas
from patch2loc.score.job import score_scans
from patch2loc.standardize import fit_landmarks
from patch2loc.train import FitJob, fit_model, write_model

CPU = "cpu"
SETTINGS = {"patch": 4, "seed": 5, "spacing": 2.0, "precision": "float32"}


def fitted(module, training):
    return module.fit(training, training[:1], SETTINGS, None, device=CPU)[0]


def ball(shape, center, radius):
    """A round mask whose center, in voxels, may lie between two."""
    place = np.indices(shape) - np.asarray(center).reshape(3, 1, 1, 1)
    return (place**2).sum(0) <= radius**2


def textured(mask, plane, seed):
    """A brain that is its own mirror image about a plane of constant x."""
    noise = np.random.default_rng(seed).uniform(0.2, 1, mask.shape).astype(np.float32)
    return np.where(mask, noise + mirrored(noise, plane), 0).astype(np.float32)


@pytest.mark.parametrize(
    ("names", "minimum_spread"),
    [
        (("zscore", "zscore_bright", "zscore_dark"), zscore.MINIMUM_SPREAD),
        (("texture_z", "texture_z_high", "texture_z_low"), texture_z.MINIMUM_SPREAD),
    ],
)
def test_the_signed_z_scores_are_the_two_sides_of_the_absolute_one(names, minimum_spread):
    generator = np.random.default_rng(0)
    mask = np.ones((4, 3, 2), bool)
    training = [(generator.normal(1, 0.3, mask.shape).astype(np.float32), mask) for _ in range(5)]
    volume = generator.normal(1, 1, mask.shape).astype(np.float32)
    wanted = volume > 0

    def values(scan):
        window = texture_z.WINDOW_MM / SETTINGS["spacing"]
        return scan if names[0] == "zscore" else texture_z.local_spread(scan, mask, window)

    absolute, high, low = (
        method(name).scorer(fitted(method(name), training), CPU)(volume, mask, wanted)["score"]
        for name in names
    )
    stack = np.stack([values(scan) for scan, _ in training])
    expected = (values(volume) - stack.mean(0)) / np.maximum(stack.std(0, ddof=1), minimum_spread)
    np.testing.assert_allclose(high[wanted], expected[wanted], rtol=1e-4, atol=1e-4)
    np.testing.assert_array_equal(low, -high)
    np.testing.assert_array_equal(absolute, np.abs(high))
    for score in (absolute, high, low):
        assert np.array_equal(np.isnan(score), ~wanted)


def test_the_texture_of_a_chessboard_is_half_its_contrast_and_that_of_a_flat_brain_is_0():
    mask = ball((32, 28, 20), (15, 13, 9), 9)
    board = np.indices(mask.shape).sum(0) % 2
    chessboard = np.where(mask, 0.6 + 0.4 * board, 0).astype(np.float32)
    np.testing.assert_allclose(texture_z.local_spread(chessboard, mask, 2.0)[mask], 0.2, atol=0.005)
    # The border of the brain is no texture.
    assert texture_z.local_spread(np.where(mask, 0.8, 0), mask, 2.0).max() < 1e-3


def test_lost_texture_is_found_by_texture_z_low_and_by_no_other_sign():
    mask = ball((32, 28, 20), (15, 13, 9), 12)
    scans = [(textured(mask, 15.5, seed), mask) for seed in range(8)]
    state = fitted(texture_z, scans[:7])
    lesion = ball(mask.shape, (15, 13, 9), 5)
    flat = np.where(lesion, scans[7][0][lesion].mean(), scans[7][0]).astype(np.float32)

    def gain(name):
        score = method(name).scorer(state, CPU)
        return (score(flat, mask, mask)["score"] - score(scans[7][0], mask, mask)["score"])[15, 13, 9]

    assert gain("texture_z_low") > 5
    assert gain("texture_z") > 5
    assert gain("texture_z_high") < -5


@pytest.mark.parametrize("plane", [15.5, 16.0, 13.5])
def test_the_midsagittal_plane_is_found_wherever_the_grid_lies(plane):
    """In the middle of the grid (ICBM152), on a voxel, and beside the middle, as in the crop of another atlas."""
    mask = ball((32, 28, 10), (plane, 13, 4.5), 11)
    training = [(textured(mask, plane, seed), mask) for seed in range(3)]
    assert fitted(asymmetry, training)["plane"] == plane
    rough = [
        (volume + 0.1 * np.random.default_rng(9).random(mask.shape) * mask, mask) for volume, _ in training
    ]
    assert fitted(asymmetry, rough)["plane"] == plane


def test_the_plane_of_the_atlas_icbm152_is_that_of_its_coordinates():
    atlas = load_atlas("icbm152", "T1")
    grid = common_grid(atlas, (96, 96, 50), 2.0)
    start = np.linalg.inv(atlas.affine) @ grid.affine @ [0, 0, 0, 1]
    first = np.round(start[:3]).astype(int)
    inside = tuple(slice(max(low, 0), low + 2 * size, 2) for low, size in zip(first, grid.shape, strict=True))
    # Every other voxel of the atlas, from the voxel that is nearest to the grid's first one.
    brain = atlas.image[inside]
    found = midsagittal_plane(brain, 2.0)
    millimeters = atlas.affine[0, 3] + (inside[0].start + 2 * found) * atlas.affine[0, 0]
    assert abs(millimeters) <= 0.5  # x = 0 halves the symmetric atlas


def test_asymmetry_is_0_in_a_symmetric_brain_and_marks_a_lesion_and_its_counterpart():
    plane, shape = 15.5, (32, 28, 10)
    mask = ball(shape, (plane, 13, 4.5), 12)
    state = {"plane": plane, "smoothing": asymmetry.SMOOTHING_MM / 2.0}
    score = asymmetry.scorer(state, CPU)
    volume = textured(mask, plane, 1)
    assert np.nanmax(score(volume, mask, mask)["score"]) < 1e-5
    lesion = ball(shape, (9, 13, 4), 2)
    found = score(volume + lesion, mask, mask)["score"]
    highest = np.unravel_index(np.nanargmax(found), shape)
    assert abs(highest[0] - 9) <= 1 or abs(highest[0] - 22) <= 1
    np.testing.assert_allclose(found[9, 13, 4], found[22, 13, 4])
    assert found[9, 13, 4] > 10 * np.nanmedian(found) + 0.1
    flat = np.where(mask, 1, 0).astype(np.float32)
    assert np.nanmax(score(flat, mask, mask)["score"]) < 1e-5  # the border of the brain is no difference
    half = mask & (np.arange(32)[:, None, None] < 14)
    alone = score(textured(mask, plane, 1) * half, half, half)["score"]
    assert np.nanmax(alone) == 0  # nothing to compare with


def test_a_random_score_follows_from_the_seed_and_the_scan_alone():
    mask = np.ones((20, 20, 10), bool)
    volumes_ = [np.random.default_rng(seed).random(mask.shape).astype(np.float32) for seed in range(2)]

    def scores(order, seed=5):
        score = random.scorer(random.fit([], [], SETTINGS | {"seed": seed}, None, device=CPU)[0], CPU)
        return {place: score(volumes_[place], mask, mask)["score"] for place in order}

    first, turned = scores([0, 1]), scores([1, 0])
    for place in (0, 1):
        np.testing.assert_array_equal(first[place], turned[place])
    assert not np.array_equal(first[0], first[1])
    assert not np.array_equal(first[0], scores([0], seed=6)[0])
    few = random.scorer({"seed": 5}, CPU)(volumes_[0], mask, mask & (volumes_[0] > 0.5))["score"]
    chosen = volumes_[0] > 0.5
    np.testing.assert_array_equal(few[chosen], first[0][chosen])  # whichever voxels are asked for
    assert np.isnan(few[~chosen]).all()
    lesion = volumes_[1] > 0.9
    assert ranking_metrics(rank(first[0].ravel(), lesion.ravel()))["auprc"] == pytest.approx(
        lesion.mean(), abs=0.02
    )


def test_the_oracle_is_the_share_of_lesion_in_the_patch_around_a_voxel():
    lesion = np.zeros((12, 12, 3), bool)
    lesion[5:8, 6:9, 1] = True
    mask = np.ones_like(lesion)
    found = oracle.scorer({"patch": 4}, CPU)(np.zeros(mask.shape, np.float32), mask, mask, lesion)["score"]
    expected = np.zeros(mask.shape)
    for x, y, z in np.ndindex(*mask.shape):
        patch = lesion[max(x - 2, 0) : x + 2, max(y - 2, 0) : y + 2, z]
        expected[x, y, z] = patch.sum() / 16
    np.testing.assert_allclose(found, expected, atol=1e-6)
    assert found.max() == pytest.approx(9 / 16)
    empty = oracle.scorer({"patch": 4}, CPU)(found, mask, mask, np.zeros_like(lesion))["score"]
    assert (empty == 0).all()


def write_scan(folder, subject, seed, lesion):
    mask = ball(lesion.shape, (11.5, 11.5, 3.5), 9)
    volume = np.where(mask, np.random.default_rng(seed).uniform(50, 100, mask.shape), 0)
    return save_scan(folder, subject, volume, mask, affine=np.diag([2.0, 2, 2, 1]), lesion=lesion)


def test_the_oracle_is_scored_again_when_a_lesion_has_changed_and_others_are_not(tmp_path, monkeypatch):
    """Finished scans of a killed job are kept under a name that follows from all that their scores depend on."""
    lesion = ball((24, 24, 8), (11, 12, 4), 3)
    scans = [write_scan(tmp_path, f"s{n}", n, lesion) for n in range(2)]
    write_json(tmp_path / "landmarks.json", fit_landmarks(scans))
    changed = {}
    for name in ("oracle", "thresh_dark"):
        write_scan(tmp_path, "s0", 0, lesion)
        model = tmp_path / name / "model.safetensors"
        fitted = fit_model(
            FitJob(name, "T1", 0, SETTINGS, {"atlas": "icbm152", "preprocess": {}}, "code", CPU),
            training=scans,
            validation=scans[:1],
            landmarks_path=tmp_path / "landmarks.json",
            checkpoint_folder=model.parent,
        )
        write_model(fitted, model, model.with_name("history.csv"))
        original, written = volumes.write, []

        def stopping(path, array, affine, original=original, written=written):
            written.append(path)
            original(path, array, affine)
            if len(written) == 2:
                raise KeyboardInterrupt

        with monkeypatch.context() as patched:
            patched.setattr(volumes, "write", stopping)
            with pytest.raises(KeyboardInterrupt):
                score_scans(
                    model,
                    scans,
                    tmp_path / name / "fold0",
                    device=CPU,
                    stride=1,
                    median_filter=1,
                    code="code",
                    same_dataset=True,
                )
        write_scan(tmp_path, "s0", 0, ~lesion & ball(lesion.shape, (11, 5, 4), 2))
        again = []
        with monkeypatch.context() as patched:
            patched.setattr(
                volumes,
                "write",
                lambda path, *rest, to=again, do=original: (to.append(path), do(path, *rest)),
            )
            score_scans(
                model,
                scans,
                tmp_path / name / "fold0",
                device=CPU,
                stride=1,
                median_filter=1,
                code="code",
                same_dataset=True,
            )
        changed[name] = len(again)
    assert changed == {"oracle": 1, "thresh_dark": 0}
    found, _ = volumes.read(tmp_path / "oracle" / "fold0" / "s1.nii.gz")
    mask = volumes.read_mask(scans[1].mask_path)
    share = oracle.scorer({"patch": 4}, CPU)(found, mask, mask, lesion)["score"]
    np.testing.assert_array_equal(found, share)


def test_the_oracle_is_refused_for_a_scan_of_ones_own(tmp_path):
    save_model(tmp_path / "model.safetensors", complete_model(method="oracle", state={"patch": 4}))
    with pytest.raises(InputError, match=r"model\.safetensors: the method oracle found.*lesion mask"):
        load_scorer(tmp_path / "model.safetensors")


def test_no_other_method_is_given_the_lesion():
    assert [name for name in METHODS if declaration(name).needs_lesion] == ["oracle"]
