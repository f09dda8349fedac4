import nibabel as nib
import numpy as np
import pandas as pd
import pytest
from repository_paths import ROOT, SHARED
from scipy import ndimage

from patch2loc.acquire import painted, sources
from patch2loc.data import volumes
from patch2loc.errors import InputError
from patch2loc.preprocess import atlas
from patch2loc.preprocess.register import matrix, register

DATA = SHARED / "data"
SHAPE = (40, 44, 36)
# Stored front to back, bottom to top, left to right, as IXI is: nothing may assume RAS+.
SCAN_AFFINE = np.array([[0, 0, 2.0, -36], [-2.0, 0, 0, 40], [0, 2.0, 0, -44], [0, 0, 0, 1]])
MNI_AFFINE = np.array([[1.0, 0, 0, -40], [0, 1.0, 0, -44], [0, 0, 1.0, -40], [0, 0, 0, 1]])
SLOPE, INTERCEPT = 4.0, 10.0


def ball(shape, affine, center, radius):
    """True where a voxel center lies within `radius` mm of `center` (mm)."""
    index = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), axis=-1)
    return np.linalg.norm(index @ affine[:3, :3].T + affine[:3, 3] - center, axis=-1) <= radius


@pytest.fixture
def pair(tmp_path):
    """A ball of tissue with a dark rim as the scan, uint8 and scaled; a ball on the left as the outline."""
    random = np.random.default_rng(0)
    brain = ball(SHAPE, SCAN_AFFINE, (0, 0, 0), 30)
    tissue = ball(SHAPE, SCAN_AFFINE, (0, 0, 0), 27)
    stored = np.where(tissue, 120, np.where(brain, 40, 0)) + brain * random.integers(-8, 9, SHAPE)
    image = nib.Nifti1Image(stored.astype(np.uint8), SCAN_AFFINE)
    image.header["descrip"] = b"as the scanner wrote it"
    image.header.set_slope_inter(SLOPE, INTERCEPT)
    image.to_filename(tmp_path / "scan.nii.gz")
    volumes.write(tmp_path / "brain.nii.gz", brain, SCAN_AFFINE)
    volumes.write(tmp_path / "mask.nii.gz", ball((80, 88, 80), MNI_AFFINE, (-12, 4, 6), 9), MNI_AFFINE)
    return tmp_path


def paint(folder, name="out", seed=3, to_scan=None, **options):
    outputs = {part: folder / name / f"{part}.nii.gz" for part in ("scan", "brain", "lesion")}
    inputs = [folder / f"{part}.nii.gz" for part in ("scan", "brain", "mask")]
    numbers = painted.paint_stroke(
        *inputs, np.eye(4) if to_scan is None else to_scan, seed=seed, outputs=outputs, **options
    )
    return outputs, numbers


def center_mm(path):
    mask, affine = volumes.read(path)
    return affine[:3, :3] @ ndimage.center_of_mass(mask) + affine[:3, 3]


def test_lesion_has_the_place_and_volume_of_the_outline(pair):
    outputs, numbers = paint(pair)
    np.testing.assert_allclose(center_mm(outputs["lesion"]), (-12, 4, 6), atol=0.3)
    sphere_ml = 4 / 3 * np.pi * 9**3 / 1000
    assert numbers["mask_ml"] == pytest.approx(sphere_ml, rel=0.02)
    assert numbers["lesion_ml"] == pytest.approx(
        sphere_ml, rel=0.08
    )  # a ball in 2 mm voxels, its edge blurred


def test_lesion_follows_the_registration(pair):
    to_scan = np.diag([1.2, 1.0, 1.0, 1.0])
    to_scan[:3, 3] = (2, -6, 0)
    outputs, numbers = paint(pair, to_scan=to_scan)
    np.testing.assert_allclose(center_mm(outputs["lesion"]), (-12.4, -2, 6), atol=0.3)
    assert numbers["lesion_ml"] == pytest.approx(1.2 * 4 / 3 * np.pi * 9**3 / 1000, rel=0.08)


def test_mirrored_lesion_is_on_the_other_side(pair):
    outputs, _ = paint(pair, mirrored=True)
    np.testing.assert_allclose(center_mm(outputs["lesion"]), (12, 4, 6), atol=0.3)


def test_scan_is_darker_inside_and_the_same_far_outside(pair):
    outputs, numbers = paint(pair)
    before, affine = volumes.read(pair / "scan.nii.gz")
    after, _ = volumes.read(outputs["scan"])
    core = ball(SHAPE, affine, (-12, 4, 6), 6)
    far = ~ball(SHAPE, affine, (-12, 4, 6), 9 + 5)
    np.testing.assert_array_equal(after[far], before[far])
    assert (after <= before).all()
    # Tissue is at 490 and fluid at 138: darkened by `strength` of the way, give or take the unevenness.
    reached = (490 - after[core].mean()) / (490 - 138)
    assert reached == pytest.approx(numbers["strength"], abs=2 * painted.UNEVENNESS)
    texture = after[core].std() / before[core].std()
    assert 0.1 < texture < 1.5


def test_header_type_and_scaling_stay(pair):
    outputs, _ = paint(pair)
    before, after = nib.load(pair / "scan.nii.gz"), nib.load(outputs["scan"])
    assert after.get_data_dtype() == np.uint8
    assert (after.dataobj.slope, after.dataobj.inter) == (SLOPE, INTERCEPT)
    assert bytes(after.header["descrip"]) == bytes(before.header["descrip"])
    np.testing.assert_array_equal(after.affine, before.affine)
    for part in ("brain", "lesion"):
        mask = nib.load(outputs[part])
        assert mask.get_data_dtype() == np.uint8
        np.testing.assert_array_equal(np.unique(np.asarray(mask.dataobj)), [0, 1])
    np.testing.assert_array_equal(volumes.read(outputs["brain"])[0], volumes.read(pair / "brain.nii.gz")[0])


def test_fluid_is_not_made_a_lesion(pair):
    volumes.write(pair / "mask.nii.gz", ball((80, 88, 80), MNI_AFFINE, (-25, 0, 0), 9), MNI_AFFINE)
    outputs, _ = paint(pair)
    lesion, affine = volumes.read(outputs["lesion"])
    assert lesion.sum() > 100
    assert not lesion[~ball(SHAPE, affine, (0, 0, 0), 28)].any()


def test_same_seed_same_bytes_other_seed_other_scan(pair):
    one, _ = paint(pair, "one")
    two, _ = paint(pair, "two")
    other, _ = paint(pair, "other", seed=4)
    for part in ("scan", "brain", "lesion"):
        assert one[part].read_bytes() == two[part].read_bytes()
    assert one["scan"].read_bytes() != other["scan"].read_bytes()


def test_outline_that_misses_the_brain_is_refused(pair):
    away = np.eye(4)
    away[0, 3] = 60
    with pytest.raises(InputError, match=r"0\.00 ml of it lie in the brain"):
        paint(pair, to_scan=away)
    assert not (pair / "out").exists()
    volumes.write(pair / "brain.nii.gz", np.ones((4, 4, 4), bool), SCAN_AFFINE)
    with pytest.raises(InputError, match=r"shape \(4, 4, 4\) found"):
        paint(pair)


def test_pairs_spread_volumes_and_use_no_outline_twice_on_a_side():
    mask_ml = {f"m{index}": float(ml) for index, ml in enumerate([3, 6, 9, 14, 22, 40, 70, 95, 200])}
    table = painted.choose_pairs(
        [f"s{index}" for index in range(30)], mask_ml, count=10, seed=7, volumes_ml=(5, 100)
    )
    assert not table.duplicated(["mask", "mirrored"]).any()
    assert table["subject"].is_unique
    assert not table["mask"].isin(["m0", "m8"]).any()
    logs = np.sort(np.log(table["mask"].map(mask_ml)))
    np.testing.assert_allclose(logs, np.log(np.geomspace(5, 100, 10)), atol=0.5)
    with pytest.raises(InputError, match="ask for fewer pairs"):
        painted.choose_pairs(["s0"], mask_ml, count=2, seed=7, volumes_ml=(5, 100))


@pytest.mark.skipif(not DATA.is_dir(), reason="real scans are not here: no ../shared/data")
def test_shipped_pairs_are_the_chosen_ones():
    mask_ml = {}
    for path in (DATA / "stroke_masks_mni").glob("*.nii.gz"):
        mask_ml[f"stroke_masks_mni/{path.name}"] = float(volumes.read_mask(path).sum() / 1000)
    split = pd.read_csv(ROOT / "splits" / "ixi2mm.csv")
    tested = split.loc[split["fold0"] == "test", "subject"]
    chosen = painted.choose_pairs(list(tested), mask_ml, count=20, seed=1, volumes_ml=(5, 100))
    shipped = pd.read_csv(ROOT / "config" / "ixi2mm" / "painted.csv")
    shipped["subject"] = shipped["subject"].str.removeprefix("painted_")
    pd.testing.assert_frame_equal(shipped[chosen.columns], chosen, check_dtype=False)


@pytest.mark.skipif(not DATA.is_dir(), reason="real scans are not here: no ../shared/data")
def test_stroke_in_a_real_scan(tmp_path):
    dataset = {
        "kind": "painted",
        "modality": "T1",
        "table": str(ROOT / "config" / "ixi2mm" / "painted.csv"),
        "data": str(DATA),
        "root": str(tmp_path),
    }
    pair = sources.pairs(dataset)["painted_IXI453-HH-2214"]
    outputs = sources.sources(dataset)["painted_IXI453-HH-2214"]
    scan, affine = volumes.read(pair["scan"])
    brain = volumes.read_mask(pair["brain"])
    transform, _ = register(scan, brain, affine, atlas.load_atlas("icbm152", "T1"))
    numbers = painted.paint_stroke(
        pair["scan"],
        pair["brain"],
        pair["mask"],
        matrix(transform),
        seed=pair["seed"],
        outputs=outputs,
        mirrored=pair["mirrored"],
    )
    after, _ = volumes.read(outputs["scan"])
    lesion = volumes.read_mask(outputs["lesion"])
    assert 0.5 < numbers["lesion_ml"] / numbers["mask_ml"] < 1.2
    assert after[lesion].mean() < 0.7 * scan[lesion].mean()
    # The outline is mirrored: on the right, which is the end of the stored third axis.
    assert center_mm(outputs["lesion"])[0] > np.median(
        (np.argwhere(brain) @ affine[:3, :3].T + affine[:3, 3])[:, 0]
    )


# The soft edge takes more of a small ball, whose surface is larger for its volume.
@pytest.mark.parametrize(("diameter", "tolerance"), [(12, 0.2), (24, 0.12)])
def test_a_lesion_of_a_given_size_has_the_volume_of_a_ball_and_stays_in_place(pair, diameter, tolerance):
    outputs, numbers = paint(pair, diameter_mm=diameter, strength=0.8)
    assert numbers["lesion_ml"] == pytest.approx(painted.ball_volume_ml(diameter), rel=tolerance)
    np.testing.assert_allclose(center_mm(outputs["lesion"]), (-12, 4, 6), atol=1.1)
    assert numbers["strength"] == 0.8


def test_an_outline_is_scaled_about_its_innermost_point():
    outline = np.zeros((12, 12, 12), bool)
    outline[2:9, 2:9, 2:9] = True
    outline[9:, 5, 5] = True  # a tail, which moves the centroid and not the innermost point
    scaled = painted.scaled_affine(outline, np.eye(4), 0.5)
    np.testing.assert_allclose(scaled @ [5, 5, 5, 1], [5, 5, 5, 1])
    np.testing.assert_allclose(scaled @ [7, 5, 5, 1], [6, 5, 5, 1])
