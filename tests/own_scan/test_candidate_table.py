import numpy as np
import pandas as pd
import pytest
from scipy import ndimage

from patch2loc.data.volumes import Grid
from patch2loc.own_scan.answer import CANDIDATE_COLUMNS
from patch2loc.own_scan.candidate_table import candidate_table, side, tissue_maps, with_warnings
from patch2loc.score.candidates import find_candidates

GRID = Grid((96, 112, 80), 2.0, (1.0, -18.0, 5.0))
# Middles of structures that nobody disputes, MNI mm.
PLACES = {
    "white matter": (-28, -25, 30),  # corona radiata, left
    "gray matter": (12, 10, 10),  # head of the caudate nucleus, right
    "fluid": (6, -6, 18),  # lateral ventricle, right
}


@pytest.mark.parametrize("plane", [0.0, -119.0])
@pytest.mark.parametrize(
    ("x", "name"),
    [
        ([-3.1], "left"),
        ([-3, 0, 3], "midline"),
        ([3.1, -3], "right"),
        ([-20, -10, -5, 5], "both sides"),
        ([-20, -15, -10, -7, -5, 5], "left"),
    ],
)
def test_sides_are_those_of_the_person(x, name, plane):
    assert side(np.array(x) + plane, plane) == name


@pytest.fixture(scope="module")
def tissues():
    return tissue_maps(GRID)


def scan_of(tissues, contrast="T1"):
    """A noiseless scan of the atlas's brain: volume and mask."""
    signals = {"T1": (60, 100, 20), "T2": (70, 50, 150)}[contrast]
    mask = ndimage.binary_fill_holes(ndimage.binary_closing(tissues[:2].sum(axis=0) > 0.5, iterations=3))
    return {"volume": np.where(mask, np.tensordot(signals, tissues, 1), 0).astype(np.float32), "mask": mask}


def table_of(rarity, scan, tissues=None, missing=None):
    """The table of a map's candidates on ICBM152, each of percentile 50."""
    labels, candidates = find_candidates(rarity, 3.0, GRID.voxel_ml)
    return candidate_table(
        candidates,
        labels,
        GRID,
        midline_mm=0.0,
        tissues=tissues,
        **scan,
        percentiles=len(candidates) * [50.0],
        native_labels=labels,
        missing=missing,
    )


def ball(place, radius):
    places = np.moveaxis(np.indices(GRID.shape), 0, -1) * GRID.spacing + GRID.affine[:3, 3]
    return np.linalg.norm(places - place, axis=-1) <= radius


def test_tissues_of_a_brain_add_up(tissues):
    assert tissues.shape == (3, *GRID.shape)
    np.testing.assert_allclose(tissues.sum(axis=0)[tissues[2] > 0], 1, atol=1e-5)
    assert 400 < tissues[1].sum() * GRID.voxel_ml < 900  # ml of white matter


def test_a_row_says_where_how_large_and_how_unusual(tissues):
    rarity = np.full(GRID.shape, 1.0, np.float32)
    for height, place in zip((6, 5, 4), PLACES.values(), strict=True):
        rarity[ball(place, 4.1)] = height
        rarity[ball(place, 1.8)] = height + 0.5  # some voxel is as near as this to any place
    labels, candidates = find_candidates(rarity, 3.0, GRID.voxel_ml)
    native_labels = np.repeat(labels, 2, axis=0)
    table = candidate_table(
        candidates,
        labels,
        GRID,
        midline_mm=0.0,
        tissues=tissues,
        **scan_of(tissues),
        percentiles=[100.0, 64.28571, np.nan],
        native_labels=native_labels,
    )
    assert tuple(table) == CANDIDATE_COLUMNS
    assert list(table["label"]) == [1, 2, 3]
    assert list(table["tissue"]) == list(PLACES)
    assert list(table["side"]) == ["left", "right", "right"]
    assert list(table["percentile"])[:2] == [100.0, 64.3]
    assert table["percentile"].isna()[2]
    for row, (place, candidate) in zip(
        table.to_dict("records"), zip(PLACES.values(), candidates, strict=True), strict=True
    ):
        np.testing.assert_allclose([row["x_mm"], row["y_mm"], row["z_mm"]], place, atol=1.8)
        voxels = np.count_nonzero(labels == row["label"])
        assert row["volume_ml"] == pytest.approx(voxels * 0.008, abs=1e-3)
        assert row["native_voxels"] == 2 * voxels
        assert (row["peak"], row["excess"]) == (round(candidate.peak, 2), round(candidate.excess, 3))


def test_without_candidates_the_table_has_its_columns():
    empty = np.zeros(GRID.shape, np.int16)
    table = candidate_table(
        [],
        empty,
        GRID,
        midline_mm=0.0,
        tissues=None,
        volume=empty,
        mask=empty > 0,
        percentiles=[],
        native_labels=empty,
    )
    assert (len(table), tuple(table)) == (0, CANDIDATE_COLUMNS)


def test_an_atlas_with_its_origin_at_a_corner_has_a_left_and_a_right_and_no_tissue():
    """SRI24: its brain lies about x = -119 mm."""
    grid = Grid((96, 96, 50), 2.0, (-119.5, 119.5, 76.5))
    rarity = np.ones(grid.shape, np.float32)
    rarity[20:24, 40:44, 20:24], rarity[68:72, 40:44, 20:24] = 5.0, 4.0
    labels, candidates = find_candidates(rarity, 3.0, grid.voxel_ml)
    table = candidate_table(
        candidates,
        labels,
        grid,
        midline_mm=-119.0,
        tissues=None,
        volume=rarity,
        mask=rarity > 0,
        percentiles=[100.0, 50.0],
        native_labels=labels,
    )
    assert list(table["side"]) == ["left", "right"]
    assert (table["x_mm"] < -70).all()
    assert table["tissue"].isna().all()


@pytest.mark.parametrize(("contrast", "fluid"), [("T1", 20), ("T2", 150)])
def test_a_widened_ventricle_is_fluid_and_a_lesion_in_white_matter_is_not(tissues, contrast, fluid):
    scan = scan_of(tissues, contrast)
    gray = np.median(scan["volume"][tissues[0] > 0.95])
    place = PLACES["white matter"]
    found = {}
    for name, brightness in (("ventricle", fluid), ("lesion", gray)):
        volume = np.where(ball(place, 8), brightness, scan["volume"])
        rarity = np.where(ball(place, 6), 4.0, 1.0)
        table = table_of(rarity, {**scan, "volume": volume}, tissues)
        found[name] = table["tissue"][0]
    assert found == {"ventricle": "fluid", "lesion": "white matter"}


def test_a_pair_of_mirror_images_is_marked_and_a_candidate_alone_is_not():
    rarity = np.ones(GRID.shape)
    # A pair; a small one at the mirror image of a large one; and one alone.
    for height, place, radius in (
        (9, (-30, 0, 20), 6),
        (8, (31, 2, 20), 6),
        (7, (-30, -60, 20), 8),
        (6, (30, -60, 20), 4),
        (4, (30, 40, 20), 5),
    ):
        rarity[ball(place, radius)] = height
    table = table_of(rarity, {"volume": rarity, "mask": rarity > 0})
    found = dict(zip(table["peak"], table["mirror_of"].fillna(0), strict=True))
    label = dict(zip(table["peak"], table["label"], strict=True))
    assert found == {9: label[8], 8: label[9], 7: 0, 6: 0, 4: 0}


def test_a_candidate_beside_missing_brain_is_at_the_cut():
    rarity = np.ones(GRID.shape)
    rarity[ball((-30, 0, 20), 6)] = 5
    rarity[ball((30, 0, 20), 6)] = 4
    scan = {"volume": rarity, "mask": rarity > 0}
    for distance, expected in (
        (11, [1, 0]),
        (16, [0, 0]),
    ):  # of the missing ball's center from the candidate's
        missing = ball((-30, distance, 20), 1)
        assert table_of(rarity, scan, missing=missing)["at_cut"].tolist() == expected
    assert table_of(rarity, scan)["at_cut"].tolist() == [0, 0]


def test_warnings_are_in_every_table_also_without_a_candidate():
    table = pd.DataFrame([[1, 2.5] + [0] * 11], columns=CANDIDATE_COLUMNS)
    assert with_warnings(table, "age dark", judged=True).warnings.tolist() == ["age dark"]
    (row,) = with_warnings(table[:0], "age dark", judged=True).itertuples()
    assert (row.label, row.volume_ml, row.excess, row.native_voxels, row.warnings) == (0, 0, 0, 0, "age dark")
    assert with_warnings(table[:0], "", judged=True).empty


def test_a_scan_that_cannot_be_judged_has_no_volume_in_its_table():
    table = with_warnings(pd.DataFrame(columns=CANDIDATE_COLUMNS), "contrast", judged=False)
    assert table.to_csv(index=False).splitlines()[1].split(",") == ["0", *[""] * 12, "contrast"]
