"""Bad input gets its message and leaves nothing: one table of it, in hostile_*.py; every row runs by itself."""

import gzip
import re
import tracemalloc

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
import SimpleITK as sitk
import yaml
from contrasts import IN_ATLAS_SPACE, atlas_and_grid
from hostile_configuration import CONFIGURATION, PLANS, UNPLANNED, changed
from hostile_contrasts import CONTRASTS
from hostile_models import MODEL, MODELS
from hostile_scans import (
    DRAWN,
    HALF_TURN,
    HUGE,
    MASKS,
    QUATERNION,
    SCANS,
    STRAIGHT,
    VOXELS,
    forged,
    lesion,
    moved,
    nifti,
    scan,
)
from hostile_tables import ARCHIVES, HEAD, ROW, SPLIT, TABLES, listed, table
from poses import rigid
from workflow_runs import plan

from patch2loc import files
from patch2loc.data import splits, volumes
from patch2loc.data.volumes import Grid
from patch2loc.errors import InputError
from patch2loc.preprocess.images import coarser, read_mask_of, read_scan, resample
from patch2loc.preprocess.lesions import carry_lesion, drawn_flags, lesion_flags, read_lesion
from patch2loc.preprocess.masks import fill_holes
from patch2loc.preprocess.scan import preprocess_scan
from patch2loc.standardize import standardize

GROUPS = {
    "scan": SCANS,
    "contrast": CONTRASTS,
    "mask": MASKS,
    "table": TABLES,
    "archive": ARCHIVES,
    "model": MODELS,
    "configuration": CONFIGURATION,
}
BAD = [(group, name) for group, rows in GROUPS.items() for name in rows]
# Messages start with the file; those about tables, models and keys of a configuration say in their rows what they name.
STARTS = {
    "scan": r"/.*/scan\.(nii|hdr|img|mgz|gii)",
    "contrast": r"/.*/scan\.nii",
    "mask": r"/.*/(scan|lesion|stroke)\.nii",
    "archive": "/.*/own: ",
}


def stored(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize(("group", "name"), BAD, ids=[f"{group}: {name}" for group, name in BAD])
def test_bad_input_gets_its_message_and_leaves_nothing(group, name, tmp_path, monkeypatch):
    make, message = GROUPS[group][name]
    monkeypatch.chdir(tmp_path)
    read = make(tmp_path)
    before = stored(tmp_path)
    with pytest.raises(InputError, match=message) as raised:
        read()
    assert re.match(STARTS.get(group, ""), str(raised.value))
    assert stored(tmp_path) == before


def test_there_are_enough_rows():
    assert len(BAD) >= 40
    assert len(set(BAD)) == len(BAD)


@pytest.mark.parametrize("name", HUGE)
def test_a_header_that_claims_terabytes_takes_no_memory(name, tmp_path):
    read = HUGE[name](tmp_path)
    tracemalloc.start()
    try:
        with pytest.raises(InputError):
            read()
        assert tracemalloc.get_traced_memory()[1] < 5e6
    finally:
        tracemalloc.stop()


# What looks bad and is not.


def ramp(points):
    """Brightness that tells its place: 500 + x/2 - y + 2z at (x, y, z) in mm."""
    return 500 + points @ np.array([0.5, -1.0, 2.0])


SMALL = Grid((5, 4, 3), 2.0, (3.0, -5.0, 8.0))
OBLIQUE = rigid((10, 20, 30), (0, 0, 0))
STORED = {
    "as the grid": np.eye(4),
    "left to right": np.diag([-1.0, 1, 1, 1]),
    "upside down": np.diag([1.0, -1, -1, 1]),
    "sagittal": np.eye(4)[[2, 0, 1, 3]],
    "oblique": OBLIQUE,
    "oblique and mirrored": OBLIQUE @ np.diag([-1.0, 1, 1, 1]),
    "sheared": np.array([[1, 0.2, 0, 0], [0, 1, 0, 0], [0, 0.1, 1, 0], [0, 0, 0, 1.0]]),
    "thick slices": OBLIQUE @ np.diag([0.8, 0.8, 3.0, 1]),
}


@pytest.mark.parametrize("name", STORED)
@pytest.mark.parametrize("codes", [(1, 1), (2, 0), (4, 1)], ids=["both", "sform", "two spaces"])
def test_a_scan_may_be_stored_in_any_pose(name, codes, tmp_path):
    affine = STORED[name].copy()
    affine[:3, 3] = SMALL.center - affine[:3, :3] @ np.full(3, 19.5)
    places = np.indices((40, 40, 40)).reshape(3, -1).T @ affine[:3, :3].T + affine[:3, 3]
    stored = ramp(places).reshape(40, 40, 40).astype(np.float32)
    other = affine if codes[0] == codes[1] else moved(50, affine)  # elsewhere, and not mirrored
    (tmp_path / "scan.nii").write_bytes(nifti(stored, affine, *codes, qform_affine=other))
    array, found = read_scan(tmp_path / "scan.nii")
    np.testing.assert_allclose(found, affine, atol=1e-4)
    brought = resample(array, found, SMALL, sitk.AffineTransform(3))
    points = np.indices(SMALL.shape).reshape(3, -1).T @ SMALL.affine[:3, :3].T + SMALL.affine[:3, 3]
    np.testing.assert_allclose(brought.ravel(), ramp(points), atol=0.01)


WRITTEN = {
    "plain": HEAD + ROW,
    "Excel's mark": "\ufeff" + HEAD + ROW,
    "Excel's semicolons": (HEAD + ROW).replace(",", ";"),
    "mark and semicolons": "\ufeff" + (HEAD + ROW).replace(",", ";"),
    "line ends of Windows": (HEAD + ROW).replace("\n", "\r\n"),
    "line ends of old Macs": (HEAD + ROW).replace("\n", "\r"),
    "no line end": (HEAD + ROW).rstrip(),
    "empty lines": HEAD + "\n" + ROW + "\n\n",
    "blanks around cells": HEAD.replace(",", " , ") + '"a ", T1 , a.nii.gz, , \n',
    "rows without a cell": HEAD + ROW + ",,,,\n" + " , ,,,\n",
    "quotes": (HEAD + ROW).replace("a.nii.gz", '"a.nii.gz"'),
    "further columns": HEAD.replace("\n", ",größe\n") + ROW.replace("\n", ",ü\n"),
}


@pytest.mark.parametrize("name", WRITTEN)
def test_a_table_may_be_written_by_any_program(name, tmp_path):
    found = table(WRITTEN[name])(tmp_path)()
    assert found == {"a": {"scan": tmp_path / "a.nii.gz", "brain": None, "lesion": None}}


def test_a_table_of_participants_may_have_columns_of_its_own():
    table = pd.DataFrame({"participant_id": ["sub-1"], "subject": ["sub-1"], "Site": ["a"], "Age": ["3"]})
    splits.check(table)


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_a_list_may_be_written_by_any_program(end, tmp_path):
    found = listed("\ufeff" + SPLIT.replace(",", ";").replace("\n", end))(tmp_path)()
    assert found == {"train": ["a"], "validation": ["b"], "test": ["c"]}


def test_names_of_folders_above_a_scan_are_free(tmp_path):
    folder = tmp_path / "größe 'a' \"b\"; $(touch trace) & {x} *"
    folder.mkdir()
    array, _ = scan(nifti())(folder)()
    assert (array == VOXELS).all()
    volumes.write(folder / "copy.nii.gz", array, STRAIGHT)
    assert (volumes.read(folder / "copy.nii.gz")[0] == VOXELS).all()
    assert not list(tmp_path.rglob("trace"))


@pytest.mark.parametrize("length", [1 + 6e-7, 1 + 9e-5])
def test_a_rounded_quaternion_of_half_a_turn_is_a_rotation(length, tmp_path):
    content = forged(QUATERNION, "<3f", 0, 0, length, whole=nifti(affine=HALF_TURN))
    (tmp_path / "scan.nii").write_bytes(content)
    array, affine = volumes.read(tmp_path / "scan.nii")
    assert (array == VOXELS).all()
    assert (affine == HALF_TURN).all()


@pytest.mark.parametrize("name", ["Scan.Nii.Gz", "SCAN.NII.GZ", "scan.NII.gz", "Scan.Nii", "scan.NII"])
def test_endings_may_have_capitals(name, tmp_path):
    content = gzip.compress(nifti()) if name.lower().endswith(".gz") else nifti()
    (tmp_path / name).write_bytes(content)
    assert (volumes.read(tmp_path / name)[0] == VOXELS).all()


def test_voxels_of_one_volume_in_more_dimensions_and_scaled_labels_are_read(tmp_path):
    for dimensions in (1, 2, 4):
        array, _ = scan(nifti(VOXELS.reshape(*VOXELS.shape, *[1] * dimensions)))(tmp_path)()
        assert array.shape == VOXELS.shape
        assert (array == VOXELS).all()
    scaled = nib.Nifti1Image(255 * DRAWN, STRAIGHT)
    scaled.header.set_slope_inter(np.float32(1 / 255), 0)
    (tmp_path / "lesion.nii").write_bytes(scaled.to_bytes())
    found = read_lesion(tmp_path / "lesion.nii", tmp_path, VOXELS, STRAIGHT)
    assert (found.mask == (DRAWN > 0)).all()
    assert found.labels == [1]
    found = lesion(DRAWN * (1 + VOXELS % 3).astype(np.uint8), labels=[2, 3])(tmp_path)()
    assert (found.mask == ((DRAWN > 0) & (VOXELS % 3 > 0))).all()
    assert found.labels == [1, 2, 3]


@pytest.mark.parametrize(
    ("content", "name"),
    [
        (gzip.compress(nifti()) + bytes(700), "scan.nii.gz"),
        (gzip.compress(nifti()) + b"\n<!-- served -->", "scan.nii.gz"),
        (gzip.compress(nifti()[:500]) + gzip.compress(nifti()[500:]), "scan.nii.gz"),
        (nifti() + bytes(512), "scan.nii"),
        (nifti()[:348] + b"\1" + nifti()[349:], "scan.nii"),
    ],
    ids=[
        "zeros behind the gzip",
        "text behind the gzip",
        "gzip in two parts",
        "padding",
        "flag of no extension",
    ],
)
def test_what_is_no_part_of_an_image_is_passed_over(content, name, tmp_path):
    (tmp_path / name).write_bytes(content)
    assert (volumes.read(tmp_path / name)[0] == VOXELS).all()


MASKED = VOXELS > 120


@pytest.mark.parametrize(
    "values",
    [
        MASKED.astype(np.uint8),
        255 * MASKED.astype(np.uint8),
        np.float32(0.999) * MASKED,
        MASKED * (VOXELS % 50 + 1),
        np.where(MASKED, VOXELS, -1),
        np.float32(1e-5) * VOXELS * MASKED,
    ],
    ids=["1", "255", "rounded", "labels", "the scan itself", "the scan in another unit"],
)
def test_a_brain_mask_is_what_is_above_zero(values, tmp_path):
    (tmp_path / "mask.nii").write_bytes(nifti(values))
    assert (read_mask_of(tmp_path / "mask.nii", tmp_path, VOXELS, STRAIGHT) == MASKED).all()


@pytest.mark.parametrize("axes", ["RAS", "LPS", "PSR", "IAL"])
def test_a_mask_may_be_stored_in_another_order_than_its_scan(axes, tmp_path):
    affine = OBLIQUE @ STRAIGHT
    turn = nib.orientations.ornt_transform(nib.io_orientation(affine), nib.orientations.axcodes2ornt(axes))
    turned = nib.apply_orientation(DRAWN * (1 + VOXELS % 3), turn).astype(np.uint8)
    turned_affine = affine @ nib.orientations.inv_ornt_aff(turn, VOXELS.shape)
    (tmp_path / "mask.nii").write_bytes(nifti(turned, turned_affine))
    assert (read_mask_of(tmp_path / "mask.nii", tmp_path, VOXELS, affine) == (DRAWN > 0)).all()
    found = read_lesion(tmp_path / "mask.nii", tmp_path, VOXELS, affine, labels=[2])
    assert (found.mask == ((DRAWN > 0) & (VOXELS % 3 == 1))).all()


def test_a_file_of_lesions_that_is_doubtful_is_flagged():
    assert drawn_flags([1, 2, 4], [1, 4], 0.4) == []
    assert drawn_flags([], [1], 0) == []  # a healthy scan
    assert drawn_flags(range(1, 101), None, 0.1) == []  # lesions that are numbered
    assert drawn_flags([1, 2, 3], [4], 0) == [
        "no lesion, because the lesion file has the labels 1, 2, 3, and 4 expected"
    ]
    assert drawn_flags([1], None, 0.47) == ["lesion in 47% of the brain, at most 40% expected"]
    assert drawn_flags(range(1, 102), [4], 0.1) == []
    assert drawn_flags(range(1, 102), None, 0.1) == [
        "101 labels in the lesion file, all taken for lesion, at most 100 expected where it is no parcellation"
    ]


def test_writing_over_a_link_leaves_what_it_points_to(tmp_path):
    (tmp_path / "outside").write_text("untouched")
    (tmp_path / "result.json").symlink_to(tmp_path / "outside")
    files.write_json(tmp_path / "result.json", {})
    assert (tmp_path / "outside").read_text() == "untouched"
    assert not (tmp_path / "result.json").is_symlink()


def test_an_empty_lesion_is_a_healthy_scan_and_one_outside_the_brain_is_flagged(tmp_path):
    """On the atlas's own brain, half of the grid for a mask: what lies in it and what does not is known."""
    affine, grid = np.diag([2.0, 2, 2, 1]), Grid((20, 20, 20), 2.0, (19.0, 19.0, 19.0))
    mask = np.zeros(grid.shape, bool)
    mask[:10] = True
    drawn = np.zeros(grid.shape, bool)
    straight = sitk.AffineTransform(3)
    *_, report = carry_lesion(drawn, affine, grid, transform=straight, mask=mask)
    assert lesion_flags(report) == []
    assert report["source_ml"] == 0
    drawn[8:10, 5, 5] = drawn[10:12, 5, 5] = True
    *_, report = carry_lesion(drawn, affine, grid, transform=straight, mask=mask)
    assert lesion_flags(report) == []
    drawn[12, 5, 5] = True
    *_, report = carry_lesion(drawn, affine, grid, transform=straight, mask=mask)
    assert lesion_flags(report) == [
        "0.02 of 0.04 ml of the lesion outside the brain on the grid, at most 50% expected"
    ]


def test_nan_is_background_outside_the_brain_and_refused_in_it(tmp_path):
    atlas, grid = atlas_and_grid("T1", 4.0)
    image, affine = coarser(atlas.image, atlas.affine, 2.0)

    def preprocessed(array, **options):
        volumes.write(tmp_path / "scan.nii.gz", array, affine)
        return preprocess_scan(
            tmp_path / "scan.nii.gz", "T1", atlas, grid, **options, settings=IN_ATLAS_SPACE
        )

    expected, found = preprocessed(image), preprocessed(np.where(image > 0, image, np.nan))
    assert (found.volume == expected.volume).all()
    assert found.qc == expected.qc
    x, y, z = (size // 2 for size in image.shape)
    image[x, y, z] = np.nan  # as small holes in the mask of the program that wrote the scan
    preprocessed(image)
    image[x : x + 5, y : y + 5, z : z + 5] = np.nan
    with pytest.raises(
        InputError, match=r"/scan\.nii\.gz: 125 voxels of the brain are not finite \(NaN\), numbers"
    ):
        preprocessed(image)


def test_holes_in_a_given_brain_mask_are_flagged(tmp_path):
    atlas, grid = atlas_and_grid("T1", 4.0)
    image, affine = coarser(atlas.image, atlas.affine, 2.0)
    volumes.write(tmp_path / "scan.nii.gz", image, affine)
    brain = fill_holes(image > 0)

    def qc_of(mask):
        volumes.write(tmp_path / "mask.nii.gz", mask, affine)
        settings = IN_ATLAS_SPACE | {"skull_strip": "given"}
        path, brain_path = tmp_path / "scan.nii.gz", tmp_path / "mask.nii.gz"
        return preprocess_scan(path, "T1", atlas, grid, brain_path=brain_path, settings=settings).qc

    qc = qc_of(brain)
    assert qc["mask_holes"] == 0
    assert qc["flags"] == []
    middle = np.array(image.shape) // 2
    hole = np.linalg.norm(np.moveaxis(np.indices(image.shape), 0, -1) - middle, axis=-1) < 10
    qc = qc_of(brain & ~hole)
    share = np.count_nonzero(hole & brain) / np.count_nonzero(brain)
    assert qc["mask_holes"] == pytest.approx(share, abs=1e-5)
    flag = f"holes of {share:.1%} of the brain in its mask, at most 0.2% expected: a lesion there is missed"
    assert flag in qc["flags"]


@pytest.fixture
def with_lesion(tmp_path):
    """Preprocess the atlas at 2 mm as a scan, with a lesion file, (x, y, z) whole numbers; the atlas's brain."""
    atlas, grid = atlas_and_grid("T1", 4.0)
    image, affine = coarser(atlas.image, atlas.affine, 2.0)
    volumes.write(tmp_path / "scan.nii.gz", image, affine)

    def qc_of(drawn, labels=None):
        volumes.write(tmp_path / "lesion.nii.gz", drawn.astype(np.uint8), affine)
        return preprocess_scan(
            tmp_path / "scan.nii.gz",
            "T1",
            atlas,
            grid,
            lesion_path=tmp_path / "lesion.nii.gz",
            lesion_labels=labels,
            settings=IN_ATLAS_SPACE,
        ).qc

    return qc_of, image > 0


def test_a_lesion_outside_the_brain_is_kept_and_flagged_by_preprocessing(with_lesion):
    qc_of, brain = with_lesion
    drawn = np.zeros(brain.shape, np.uint8)
    drawn[:5, :5, :5] = 1
    qc = qc_of(drawn)
    assert [flag for flag in qc["flags"] if "1.00 of 1.00 ml of the lesion outside the brain" in flag]
    assert qc["lesion"]["source_ml"] == pytest.approx(1.0)


def test_a_lesion_file_that_is_no_lesion_is_refused_or_flagged_by_preprocessing(with_lesion):
    qc_of, brain = with_lesion
    hemisphere = brain & (np.arange(brain.shape[0]) < brain.shape[0] / 2)[:, None, None]
    share = hemisphere.sum() / brain.sum()
    qc = qc_of(2 * hemisphere + 3 * (brain & ~hemisphere), labels=[2])
    assert qc["lesion"]["labels"] == [2, 3]
    assert qc["lesion"]["brain_share"] == pytest.approx(share, abs=1e-4)
    assert qc["flags"] == [f"lesion in {share:.0%} of the brain, at most 40% expected"]
    qc = qc_of(hemisphere, labels=[2])
    assert qc["flags"] == ["no lesion, because the lesion file has the labels 1, and 2 expected"]
    with pytest.raises(
        InputError, match=r"/lesion\.nii\.gz: lesion in 100% of the brain of \S+/scan\.nii\.gz found"
    ):
        qc_of(brain)


def test_a_constant_brain_is_named():
    brain = np.ones((9, 9, 9), np.float32)
    with pytest.raises(
        InputError, match=r"own: the intensities .* must increase; the scan is constant or coarsely"
    ):
        standardize(brain, brain > 0, MODEL["landmarks"], "own")


PLANNED = {name: (yaml.safe_dump(changed(*change)), message) for name, (*change, message) in PLANS.items()}


@pytest.mark.workflow
@pytest.mark.parametrize("name", [*PLANNED, *UNPLANNED])
def test_a_contradiction_stops_the_run_before_it_starts(name, tmp_path):
    content, message = (PLANNED | UNPLANNED)[name]
    (tmp_path / "own.yaml").write_text(content)
    result = plan(tmp_path, config=tmp_path / "own.yaml")
    said = result.stdout + result.stderr
    assert result.returncode == 1
    assert re.search(message, said)
    assert "Traceback" not in said
    assert not (tmp_path / "results").exists()
