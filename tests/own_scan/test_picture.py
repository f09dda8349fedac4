import io

import numpy as np
import pytest
from answers import GRID, HOSTILE, LESIONS, LONG, answer_of, brain, healthy_answer, lesion_answer, rarities
from matplotlib.image import imread

from patch2loc.disclaimer import DISCLAIMER
from patch2loc.own_scan import picture
from patch2loc.own_scan.among_healthy import among_healthy
from patch2loc.own_scan.picture import ALARM, ALARM_FILL, WIDTH, colored, thumbnail, wrapped, write_picture
from patch2loc.own_scan.places import brain_box, centers, voxel_of
from patch2loc.own_scan.wording import SIMULATED, one_in


def bytes_of(color):
    return np.array([int(color[start : start + 2], 16) for start in (1, 3, 5)])


def pixels_of(image, color):
    return np.abs(image.astype(int) - bytes_of(color)).max(axis=-1) <= 2


@pytest.fixture
def drawn(tmp_path, monkeypatch):
    """Draw an answer: its pixels, (rows, columns, 3) from 0 to 255, and the lines of text on it with their places."""

    def draw(answer):
        lines = []
        write = picture._write

        def noted(figure, x, top, text, size, **style):
            width = picture._width_of(text, size, style.get("weight", "normal"))
            left = x - {"left": 0, "center": 0.5, "right": 1}[style.get("ha", "left")] * width
            lines.append((text, left, left + width, top, top + size))
            write(figure, x, top, text, size, **style)

        monkeypatch.setattr(picture, "_write", noted)
        write_picture(tmp_path / "picture.png", answer)
        monkeypatch.setattr(picture, "_write", write)
        return (imread(tmp_path / "picture.png")[..., :3] * 255).round().astype(np.uint8), lines

    return draw


def saturation(image):
    return image.max(axis=-1).astype(int) - image.min(axis=-1)


def rows_of_slices(image):
    """First row and the one after the last of each row of slices: their left edge is black."""
    black = np.concatenate([[0], (image[:, 31:34].max(axis=(1, 2)) < 8).astype(int), [0]])
    edges = np.diff(black)
    pairs = zip(np.flatnonzero(edges == 1), np.flatnonzero(edges == -1), strict=True)
    return [(start, end) for start, end in pairs if end - start > 40]


def test_a_healthy_brain_stays_gray(drawn):
    answer = healthy_answer()
    image, lines = drawn(answer)
    ((start, end),) = rows_of_slices(image)
    slices = image[start:end]
    assert (saturation(slices) > 0).mean() < 0.03  # one voxel in a hundred, in three of four slices
    _, _, high = colored(np.array([[2.0, 2.9, 5.0]]))[0]
    assert np.abs(slices / 255 - high[:3]).max(axis=-1).min() > 0.2
    assert any(text.startswith("No candidate") for text, *_ in lines)


def test_color_starts_at_one_in_100_and_is_saturated_at_one_in_100_000():
    low, start, candidate, top, beyond, outside = colored(np.array([1.99, 2.0, 3.0, 5.0, 9.0, np.nan]))
    assert low[3] == outside[3] == 0
    assert 0 < start[3] < candidate[3] < top[3] < 1
    assert np.array_equal(top, beyond)
    # For the color-blind: lighter all the way.
    luminance = colored(np.linspace(2, 5, 50))[:, :3] @ [0.2126, 0.7152, 0.0722]
    assert (np.diff(luminance) > 0).all()


@pytest.mark.parametrize("count", [1, 10])
def test_all_warnings_are_in_a_box_above_the_answer(drawn, count):
    messages = [f"Warning {number} of the scan: {'much to say about it ' * 12}" for number in range(count)]
    answer = lesion_answer(warnings=[*messages[:-1], messages[-1] + LONG])
    image, lines = drawn(answer)
    filled = pixels_of(image, ALARM_FILL)
    rows = np.flatnonzero(filled.mean(axis=1) > 0.3)
    top, bottom = rows[0], rows[-1]
    assert filled[top:bottom].mean() > 0.5
    assert pixels_of(image[top - 5 : top], ALARM).mean() > 0.5  # its border
    inside = [
        (text, left, right) for text, left, right, start, end in lines if top <= start and end <= bottom + 5
    ]
    shown = "".join(text for text, *_ in inside).replace(" ", "")
    for message in answer.warnings:
        assert message.message.replace(" ", "") in shown.replace("•", "")
    sentence = next(start for text, _, _, start, _ in lines if text.startswith("More abnormal"))
    assert sentence > bottom


@pytest.mark.parametrize(
    "answer",
    [
        lesion_answer(title=f"{HOSTILE}{LONG}.nii.gz", warnings=[LONG, HOSTILE], simulated=True),
        healthy_answer(title="a\nb\x00c.nii.gz", sentence="word " * 90),
        answer_of(rarities(brain((2, 2, 2))), brain((2, 2, 2))),
        answer_of(rarities(brain(), [((20, 24, 18), 30, 4.0)]), brain()),
    ],
    ids=["long", "control characters", "tiny brain", "all abnormal"],
)
def test_nothing_is_cut_off(drawn, answer):
    image, lines = drawn(answer)
    assert image.shape[1] == WIDTH
    assert min(left for _, left, *_ in lines) >= 30
    assert max(right for _, _, right, *_ in lines) <= WIDTH - 29
    assert max(end for *_, end in lines) < len(image)
    for edge in (image[:5], image[-5:], image[:, :5], image[:, -5:]):
        assert edge.min() == 255
    title = "".join(text for text, *_ in lines).replace(" ", "")
    assert "".join(picture.printable(answer.title).split()) in title


def test_many_candidates(drawn):
    mask = brain()
    places = [(8 + 4 * i, 14 + 5 * j, 10 + 7 * k) for i in range(7) for j in range(5) for k in range(3)]
    rarity = rarities(mask, [(place, 1, 4.0) for place in places])
    answer = answer_of(rarity, mask)
    assert len(answer.candidates) >= 30
    image, lines = drawn(answer)
    assert len(rows_of_slices(image)) == 3
    assert any(text.startswith(f"{len(answer.candidates) - 5} more in candidates.csv") for text, *_ in lines)


def test_slices_go_through_the_first_candidate_in_radiological_convention(drawn):
    answer = lesion_answer()
    image, _ = drawn(answer)
    rows = rows_of_slices(image)
    assert len(rows) == 2
    start, end = rows[0]
    yellow = picture.mpl.colormaps["plasma"](1.0)[:3]
    lit = np.abs(image[start:end] / 255 - yellow).max(axis=-1) < 0.25
    box = brain_box(answer.mask, GRID.spacing)
    sizes = [last - first for first, last in box]
    widths = np.array([sizes[0], sizes[0], sizes[0], sizes[1]])
    edges = 30 + np.cumsum([0, *widths]) * (WIDTH - 60) / widths.sum()
    axial = [lit[:, round(edges[k]) : round(edges[k + 1])] for k in range(2)]
    assert not axial[0].any()  # without the map
    row, column = np.argwhere(axial[1]).mean(axis=0)
    (x, y, z), _, _ = LESIONS[0]
    assert column / axial[1].shape[1] == pytest.approx((box[0][1] - x - 0.5) / sizes[0], abs=0.04)
    assert row / axial[1].shape[0] == pytest.approx((box[1][1] - y - 0.5) / sizes[1], abs=0.04)
    assert column > axial[1].shape[1] / 2  # the subject's left, on the right
    assert centers(answer, 1) == [(x, y, z)]


def test_a_simulated_model_is_said_in_big_letters(drawn):
    image, lines = drawn(lesion_answer(simulated=True))
    (size,) = (end - start for text, _, _, start, end in lines if text == SIMULATED)
    assert size == max(end - start for *_, start, end in lines) >= 60
    assert pixels_of(image, ALARM).mean(axis=1).max() > 0.9
    _, lines = drawn(lesion_answer())
    assert SIMULATED not in [text for text, *_ in lines]


def test_the_disclaimer_is_there_once(drawn):
    _, lines = drawn(lesion_answer(warnings=["One."], simulated=True))
    assert " ".join(text for text, *_ in lines).count(DISCLAIMER) == 1


def test_the_same_answer_gives_the_same_bytes(tmp_path):
    for name in ("first.png", "second.png"):
        write_picture(tmp_path / name, lesion_answer())
    assert (tmp_path / "first.png").read_bytes() == (tmp_path / "second.png").read_bytes()


def test_lines_are_as_wide_as_they_may_be():
    text = "some words and " + LONG
    lines = wrapped(text, 26, 500)
    assert "".join(lines).replace(" ", "") == text.replace(" ", "")
    assert all(picture._width_of(line, 26, "normal") <= 500 for line in lines)
    assert lines[0] == "some words and"


def test_the_place_among_healthy_scans():
    plot = among_healthy(np.array([0.0, 1.0, 1.0, 4.0]), 2.0)
    x, height = plot.dots.T
    assert x[1] == x[2]
    assert height[2] > height[1]  # one over the other
    assert x[0] == 0 < x[1] < plot.own < x[3] < 1
    assert dict((text, place) for place, text in plot.ticks)["1"] == pytest.approx(x[1], abs=0.01)
    crowded = among_healthy(np.full(400, 1.0), 900.0)
    assert crowded.dots[:, 1].max() <= 0.7
    assert crowded.own < 1
    assert len(among_healthy(np.array([]), 0.0).dots) == 0


def test_rarities_in_words():
    assert [one_in(value) for value in (-1, 0, 2, 3.3, 5, 6, 6.1)] == [
        "1 in 1",
        "1 in 1",
        "1 in 100",
        "1 in 2,000",
        "1 in 100,000",
        "1 in 1,000,000",
        "1 in > 1,000,000",
    ]


def test_the_voxel_of_a_place():
    answer = lesion_answer()
    for _, row in answer.candidates.iterrows():
        assert answer.labels[voxel_of(answer, row)] == row["label"]


def test_thumbnails_show_the_first_candidate_in_radiological_convention():
    answer = lesion_answer()
    jpeg = thumbnail(answer.scan, answer.rarity, answer.labels)
    image = imread(io.BytesIO(jpeg), format="jpeg")
    width = image.shape[1] // 2
    assert saturation(image[:, :width]).max() < 60  # the scan alone
    row, column = np.argwhere(saturation(image[:, width:]) > 120).mean(axis=0)
    assert row < len(image) / 2  # anterior
    assert column > width / 2  # the subject's left
