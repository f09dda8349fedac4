"""Controlled lesions: what each change leaves as it was, and what it changes, on scans whose tissues are known."""

import nibabel as nib
import numpy as np
import pytest
from scipy import ndimage

from patch2loc.acquire import controlled, sources
from patch2loc.acquire.painted import ball_volume_ml
from patch2loc.configuration.validation import keys
from patch2loc.data import volumes
from patch2loc.errors import InputError

SHAPE = (56, 60, 52)
# Stored front to back, bottom to top, left to right; voxels of two sizes.
AFFINE = np.array([[0, 0, 2.0, -52], [-1.5, 0, 0, 42], [0, 1.5, 0, -45], [0, 0, 0, 1]])
FLUID, GRAY, WHITE = 200.0, 600.0, 900.0
TISSUES = {"fluid": FLUID, "gray": GRAY, "white": WHITE}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A head of folds: sheets of fluid, gray and white matter in a ball, noise, and a scalp around it."""
    folder = tmp_path_factory.mktemp("head")
    random = np.random.default_rng(5)
    places = np.stack(np.meshgrid(*map(np.arange, SHAPE), indexing="ij"), axis=-1)
    mm = places @ AFFINE[:3, :3].T + AFFINE[:3, 3]
    radius = np.linalg.norm(mm, axis=-1)
    fold = np.abs(mm[..., 0] + 3 * np.sin(mm[..., 1] / 6)) % 20
    volume = np.select([fold < 2.5, fold < 7], [FLUID, GRAY], WHITE)
    volume = volume + random.normal(0, 15, SHAPE)
    brain = radius < 38
    volume = np.where(brain, volume, np.where(radius < 44, 1200.0, 0.0)).clip(0)
    volumes.write(folder / "brain.nii.gz", brain, AFFINE)
    image = nib.Nifti1Image(np.rint(volume / 0.5).astype(np.int16), AFFINE)
    image.header.set_slope_inter(0.5, 0)
    image.header["descrip"] = b"simulated"
    image.to_filename(folder / "scan.nii.gz")
    return folder


def paint(folder, change, *, amount=1.0, diameter_mm=24.0, seed=3, modality="T1", scan="scan.nii.gz"):
    """The changed scan and the lesion, (x, y, z) each, and the numbers."""
    out = folder / f"{change}_{amount:g}_{diameter_mm:g}_{seed}_{modality}"
    outputs = {part: out / f"{part}.nii.gz" for part in ("scan", "brain", "lesion")}
    numbers = controlled.paint_lesion(
        folder / scan,
        folder / "brain.nii.gz",
        modality=modality,
        change=change,
        amount=amount,
        diameter_mm=diameter_mm,
        seed=seed,
        outputs=outputs,
    )
    return volumes.read(outputs["scan"])[0], volumes.read(outputs["lesion"])[0] > 0, numbers


@pytest.fixture(scope="module")
def scan(folder):
    return volumes.read(folder / "scan.nii.gz")[0]


@pytest.fixture(scope="module")
def brain(folder):
    return volumes.read(folder / "brain.nii.gz")[0] > 0


def test_tissues_are_those_of_the_head(folder):
    numbers = paint(folder, "dark")[2]
    for tissue, intensity in TISSUES.items():
        assert numbers[tissue] == pytest.approx(intensity, abs=10)


@pytest.mark.parametrize("change", controlled.CHANGES)
def test_a_change_stays_in_its_place_and_grows_with_its_amount(folder, scan, brain, change):
    differences = []
    for amount in (0.0, 0.5, 1.0):
        changed, lesion, numbers = paint(folder, change, amount=amount)
        moved = np.abs(changed - scan) > 0.5
        # The mass effect falls off over twice the radius, all others within the soft edge, and a voxel.
        reach = 30.0 if change == "mass_effect" else 5.0
        distance = ndimage.distance_transform_edt(~lesion, np.linalg.norm(AFFINE[:3, :3], axis=0))
        assert not moved[distance > reach].any()
        assert not moved[~brain].any()
        differences.append(numbers["difference"])
    assert differences[0] == pytest.approx(0, abs=1e-3)
    assert differences[1] < differences[2]
    assert differences[2] > 0.05


def test_all_changes_of_a_seed_are_in_the_same_voxels(folder):
    first = paint(folder, "dark")[1]
    for change in controlled.CHANGES:
        np.testing.assert_array_equal(paint(folder, change)[1], first)
    np.testing.assert_array_equal(paint(folder, "dark", amount=0.0)[1], first)
    assert (paint(folder, "dark", seed=4)[1] != first).any()


def test_a_lesion_is_a_ball_of_its_size_below_the_surface(folder, brain):
    _, lesion, numbers = paint(folder, "dark", diameter_mm=16.0)
    assert numbers["lesion_ml"] == pytest.approx(lesion.sum() * 1.5 * 1.5 * 2 / 1000)
    assert 0.6 * ball_volume_ml(16) <= numbers["lesion_ml"] <= 1.1 * ball_volume_ml(16)
    middle = AFFINE[:3, :3] @ np.argwhere(lesion).mean(axis=0) + AFFINE[:3, 3]
    assert 38 - 20 - 3 <= np.linalg.norm(middle) <= 38 - 5 + 3
    assert not (lesion & ~brain).any()


@pytest.mark.parametrize(("change", "sign"), [("bright", 1), ("dark", -1)])
def test_intensity_moves_by_the_amount_and_fluid_stays(folder, scan, change, sign):
    changed, lesion, numbers = paint(folder, change, amount=0.5)
    core = ndimage.binary_erosion(lesion, iterations=2)
    tissue = core & (scan > 450)
    expected = sign * 0.5 * (numbers["gray"] - numbers["fluid"])
    np.testing.assert_allclose((changed - scan)[tissue], expected, atol=1)
    fluid = core & (scan < 350)
    assert fluid.sum() > 20
    np.testing.assert_array_equal(changed[fluid], scan[fluid])


def test_lost_texture_keeps_the_mean(folder, scan):
    changed, lesion, _ = paint(folder, "texture")
    around = ndimage.binary_dilation(lesion, iterations=3)
    assert (changed - scan)[around].mean() == pytest.approx(0, abs=0.1)
    core = ndimage.binary_erosion(lesion, iterations=2)
    assert changed[core].std() < 0.7 * scan[core].std()


def test_mass_effect_pushes_outward_and_adds_no_intensity(folder, scan, brain):
    changed, lesion, _ = paint(folder, "mass_effect")
    assert scan[brain].min() <= changed[brain].min()
    assert changed[brain].max() <= scan[brain].max()
    # Nothing is made, only moved.
    around = ndimage.binary_dilation(lesion, iterations=8) & brain
    assert changed[around].mean() == pytest.approx(scan[around].mean(), rel=0.05)
    assert changed[around].std() == pytest.approx(scan[around].std(), rel=0.1)


def test_mass_effect_magnifies_the_middle_of_a_ramp():
    shape, middle, radius = (41, 41, 41), np.array([20, 20, 20]), 8.0
    ramp = np.broadcast_to(np.arange(41, dtype=np.float32)[:, None, None], shape)
    ones = np.ones(shape, np.float32)
    tissue = controlled.Tissue(ramp, ones > 0, ones, 0, 1, 2, np.ones(3), middle, radius, 1)
    moved = controlled.CHANGES["mass_effect"](tissue, 1.0)[:, 20, 20]
    # Where the displacement is largest, tissue comes from a quarter of the radius nearer to the middle.
    at = 20 + controlled.DISPLACEMENT_WIDTH * radius
    assert np.interp(at, np.arange(41), moved) == pytest.approx(
        at - controlled.DISPLACEMENT * radius, abs=0.1
    )
    assert (np.diff(moved) > 0).all(), "tissue is folded"
    np.testing.assert_allclose(moved[[0, 1, 39, 40]], [0, 1, 39, 40], atol=0.2)


def test_a_blurred_border_is_between_gray_and_white_alone(folder, scan):
    changed, lesion, numbers = paint(folder, "blurred_border")
    fluid = scan < (numbers["fluid"] + numbers["gray"]) / 2
    np.testing.assert_array_equal(changed[fluid], scan[fluid])
    core = ndimage.binary_erosion(lesion, iterations=2)
    between = np.abs(changed - 750) < 80
    assert between[core].mean() > 3 * (np.abs(scan - 750) < 80)[core].mean()


def test_a_thick_cortex_has_more_gray_and_less_white(folder, scan):
    changed, lesion, _ = paint(folder, "thick_cortex")

    def share(each, level):
        return (np.abs(each[lesion] - level) < 60).mean()

    assert share(changed, GRAY) > share(scan, GRAY) + 0.1
    assert share(changed, WHITE) < share(scan, WHITE) - 0.1
    assert share(changed, FLUID) == pytest.approx(share(scan, FLUID), abs=0.01)
    assert (changed <= scan + 0.5).all()


def test_missing_sulci_and_atrophy_are_opposites(folder, scan):
    def fluid(each, lesion):
        return (each[lesion] < 400).mean()

    filled, lesion, _ = paint(folder, "missing_sulci")
    widened, _, _ = paint(folder, "atrophy")
    assert fluid(filled, lesion) < 0.3 * fluid(scan, lesion)
    assert fluid(widened, lesion) > 1.3 * fluid(scan, lesion)
    assert (filled >= scan - 0.5).all()
    assert (widened <= scan + 0.5).all()


def test_a_t2_scan_is_changed_in_the_same_tissue(folder, scan, brain):
    negative = (1300 - scan).astype(np.float32)
    volumes.write(folder / "t2.nii.gz", negative, AFFINE)
    for change in ("texture", "thick_cortex", "missing_sulci", "mass_effect"):
        t1, lesion, _ = paint(folder, change)
        t2, same, _ = paint(folder, change, modality="T2", scan="t2.nii.gz")
        np.testing.assert_array_equal(same, lesion)
        np.testing.assert_allclose((1300 - t2)[brain], t1[brain], atol=1.5)
    darker, lesion, _ = paint(folder, "dark", modality="T2", scan="t2.nii.gz")
    assert (darker - negative)[lesion].mean() < -100


def test_header_type_and_scaling_stay(folder):
    paint(folder, "bright")
    before = nib.load(folder / "scan.nii.gz")
    after = nib.load(folder / "bright_1_24_3_T1" / "scan.nii.gz")
    assert after.get_data_dtype() == np.int16
    assert (after.dataobj.slope, after.dataobj.inter) == (0.5, 0)
    assert bytes(after.header["descrip"]) == bytes(before.header["descrip"])
    np.testing.assert_array_equal(after.affine, before.affine)


def test_scans_without_a_place_or_tissues_are_refused(folder, brain, tmp_path):
    with pytest.raises(InputError, match="no place for a lesion of 95 mm found"):
        paint(folder, "dark", diameter_mm=95.0)
    volumes.write(tmp_path / "scan.nii.gz", brain.astype(np.float32), AFFINE)
    volumes.write(tmp_path / "brain.nii.gz", brain, AFFINE)
    with pytest.raises(InputError, match="three that differ expected"):
        paint(tmp_path, "dark")
    volumes.write(tmp_path / "brain.nii.gz", np.ones((4, 4, 4), bool), AFFINE)
    with pytest.raises(InputError, match=r"shape \(4, 4, 4\) found"):
        paint(tmp_path, "dark")
    assert [path.name for path in tmp_path.iterdir()] == ["scan.nii.gz", "brain.nii.gz"]


def test_scans_have_about_as_many_lesions_and_none_two_of_one_size_and_amount():
    chosen = controlled.choose_lesions(
        [f"s{index}" for index in range(10)], diameters_mm=[8, 16], amounts=[0.5, 1], count=6, seed=2
    )
    assert chosen.groupby(["diameter_mm", "amount"]).size().tolist() == [6] * 4
    assert not chosen.duplicated(["scan", "diameter_mm", "amount"]).any()
    assert set(chosen["scan"].value_counts()) == {2, 3}
    assert chosen["seed"].is_unique
    with pytest.raises(InputError, match="ask for fewer lesions"):
        controlled.choose_lesions(["s0"], diameters_mm=[8], amounts=[1], count=2, seed=2)


def test_every_change_can_be_configured():
    assert dict(keys())["datasets.<name>.source.change"]["enum"] == list(controlled.CHANGES)


@pytest.mark.parametrize(
    ("column", "value", "found"),
    [
        ("diameter_mm", "0", "diameter_mm '0'"),
        ("amount", "1.5", "amount '1.5'"),
        ("seed", "x", "seed 'x'"),
        ("amount", "", "no amount"),
        ("diameter_mm", "nan", "'nan'"),
    ],
)
def test_a_row_that_is_none_is_refused(tmp_path, column, value, found):
    row = {
        "subject": "s1",
        "scan": "a.nii",
        "brain": "b.nii",
        "seed": "3",
        "diameter_mm": "10",
        "amount": "0.5",
    }
    table = tmp_path / "lesions.csv"
    dataset = {"kind": "controlled", "table": table, "data": tmp_path, "root": tmp_path, "modality": "T1"}
    table.write_text("\n".join([",".join(row), ",".join(row.values())]))
    assert sources.controlled_lesions(dataset)["s1"]["amount"] == 0.5
    assert sources.missing(dataset) == [tmp_path / "a.nii", tmp_path / "b.nii"]
    row[column] = value
    table.write_text("\n".join([",".join(row), ",".join(row.values())]))
    with pytest.raises(InputError, match=found):
        sources.controlled_lesions(dataset)
    with pytest.raises(InputError, match="modality FLAIR found, T1 or T2 expected"):
        sources.controlled_lesions(dataset | {"modality": "FLAIR"})
