"""The picture of quality control shows what is where: outlines, sides, and the slice with the lesion."""

import numpy as np
import pytest
from PIL import Image

from patch2loc.preprocess.picture import COLORS, COLUMNS, GAP, PANEL, ROWS, TOP, write_picture

SHAPE, CENTER, RADIUS = (60, 70, 50), (30, 35, 25), 20
LESION = (42, 30, 28)  # on the left of the subject


def ball(center, radius):
    squares = ((np.indices(SHAPE).T - center) ** 2).sum(axis=-1).T
    return squares <= radius**2


def drawn(path, lesion):
    """The picture of a bright ball: (rows, columns, 3) int."""
    brain = ball(CENTER, RADIUS)
    atlas = np.where(ball(CENTER, RADIUS - 4), 100, 0).astype(np.float32)
    volume = np.where(brain, 200, 0).astype(np.float32)
    write_picture(path, volume, mask=brain, lesion=lesion, atlas_on_grid=atlas, title="T1, a ball" * 20)
    return np.asarray(Image.open(path)).astype(int)


def places(picture, name):
    """The panel of each pixel of a color, and its row and column there: (pixels, 3)."""
    color = tuple(bytes.fromhex(COLORS[name][1:]))
    rows, columns = np.nonzero((picture == color).all(axis=-1))
    rows, columns = rows - TOP, columns - GAP
    inside = rows >= 0  # below the legend
    width, height = PANEL[0] + GAP, PANEL[1] + GAP
    panel = rows // height * COLUMNS + columns // width
    return np.column_stack([panel, rows % height, columns % width])[inside]


@pytest.mark.parametrize("order", ["C", "F"])
def test_outlines_are_circles_of_their_size_in_every_slice(tmp_path, order):
    picture = drawn(tmp_path / "qc.png", np.asarray(ball(LESION, 5), order=order))
    assert picture.shape[:2] == (TOP + ROWS * (PANEL[1] + GAP), COLUMNS * (PANEL[0] + GAP) + GAP)
    scale = min(PANEL[0] / SHAPE[0], PANEL[1] / SHAPE[1])  # of axial slices
    for name, radius in (("mask", RADIUS), ("atlas", RADIUS - 4)):
        panel, rows, columns = places(picture, name).T
        distance = abs(LESION[2] - CENTER[2])
        size = np.ptp(rows[panel == 1]), np.ptp(columns[panel == 1])
        expected = 2 * np.sqrt(radius**2 - distance**2) * scale
        np.testing.assert_allclose(size, expected, atol=2 * scale)
        assert set(panel) == set(range(6))


def test_the_slices_go_through_the_lesion_and_right_is_on_the_left(tmp_path):
    panel, rows, columns = places(drawn(tmp_path / "qc.png", ball(LESION, 5)), "lesion").T
    assert set(panel) == {1, 3, 5}  # one of each axis
    axial = panel == 1
    scale = min(PANEL[0] / SHAPE[0], PANEL[1] / SHAPE[1])
    margin = (PANEL[0] - round(scale * SHAPE[0])) // 2
    # From the subject's left, and from the front.
    assert np.mean(columns[axial]) == pytest.approx(margin + (SHAPE[0] - LESION[0] - 0.5) * scale, abs=scale)
    assert np.mean(rows[axial]) == pytest.approx((SHAPE[1] - LESION[1] - 0.5) * scale, abs=scale)
    assert not len(places(drawn(tmp_path / "without.png", np.zeros(SHAPE, bool)), "lesion"))


def test_an_empty_brain_is_drawn_too(tmp_path):
    nothing = np.zeros(SHAPE, bool)
    volume = np.zeros(SHAPE, np.float32)
    write_picture(tmp_path / "qc.png", volume, mask=nothing, lesion=nothing, atlas_on_grid=volume, title="T1")
    assert (tmp_path / "qc.png").stat().st_size > 1000
