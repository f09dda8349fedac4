"""Figure 1: what is chosen and computed for it, and how it is drawn."""

from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.patches import Ellipse, Rectangle
from matplotlib.text import Text

from patch2loc.figures.ellipses import ELLIPSE, PLACE
from patch2loc.figures.schematic import REJECTED, schematic_figure
from patch2loc.figures.schematic_examples import (
    InferenceExample,
    TrainingExample,
    inference_example,
    training_example,
)
from patch2loc.heatmap import score_volume
from patch2loc.network.inference import DenseNetwork
from patch2loc.network.location import LocationNetwork

SHAPE = (40, 48, 6)
PATCH = 8


@pytest.fixture(scope="module")
def location_network():
    torch.manual_seed(5)
    return LocationNetwork((4, 8, 8, 16)).eval()


@pytest.fixture(scope="module")
def network(location_network):
    return DenseNetwork(location_network, PATCH)


@pytest.fixture(scope="module")
def head():
    """An ellipsoid that is widest in slice 4, with its intensities."""
    x, y, z = np.indices(SHAPE)
    mask = ((x - 20) / 15) ** 2 + ((y - 23) / 19) ** 2 + ((z - 4) / 6) ** 2 < 1
    volume = np.random.default_rng(0).uniform(0.2, 1, SHAPE).astype(np.float32)
    return np.where(mask, volume, np.float32(0)), mask


def brain_share(brain, x, y):
    """Brain in the patch around a voxel, counted in the slice with zeros around it."""
    half = PATCH // 2
    return np.pad(brain, half)[x : x + PATCH, y : y + PATCH].mean()


def test_the_patches_are_those_nearest_to_fixed_points(head, network):
    example = training_example("healthy", *head, network)
    brain = head[1][:, :, 4]
    assert example.z == 4
    assert example.slice_location == pytest.approx(100 * 4 / 6)
    share = {(x, y): brain_share(brain, x, y) for x in range(SHAPE[0]) for y in range(SHAPE[1])}
    low, high = np.argwhere(brain).min(axis=0), np.argwhere(brain).max(axis=0)

    def distance(place, fraction):
        return np.linalg.norm(place - (low + np.multiply(fraction, high - low)))

    accepted = [place for place in share if share[place] >= 0.2]
    rejected = [place for place in share if 0.1 <= share[place] < 0.2]
    assert distance(example.place, (0.4, 0.6)) == min(distance(place, (0.4, 0.6)) for place in accepted)
    assert tuple(example.place) in accepted
    assert distance(example.rejected, (1, 1)) == min(distance(place, (1, 1)) for place in rejected)
    assert example.rejected_share == pytest.approx(share[tuple(example.rejected)])
    assert (example.rejected > [20, 23]).all()  # right and in front


def test_the_prediction_is_the_networks_for_the_patch_that_is_shown(head, network, location_network):
    volume, _ = head
    example = training_example("healthy", *head, network)
    x, y = example.place
    expected = volume[x - PATCH // 2 : x + PATCH // 2, y - PATCH // 2 : y + PATCH // 2, example.z]
    np.testing.assert_array_equal(example.patch, expected)
    with torch.no_grad():
        mean, log_variance = location_network(
            torch.from_numpy(expected.copy())[None, None], torch.tensor([example.slice_location])
        )
    np.testing.assert_allclose(example.mean, mean[0], rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(example.deviation, np.exp(0.5 * log_variance[0].numpy()), rtol=1e-4)
    assert example.latent_size == 16


def test_a_slice_without_a_place_to_reject_is_refused(head, network):
    volume, mask = head
    with pytest.raises(ValueError, match="empty"):
        training_example("healthy", volume, np.ones_like(mask), network)


@pytest.mark.parametrize("stride", [1, 2])
def test_the_maps_are_those_of_the_whole_scan_in_the_slice_with_most_lesion(
    head, network, location_network, stride
):
    volume, mask = head
    lesion = np.zeros_like(mask)
    lesion[10:14, 10:14, 2] = lesion[10:14, 10:16, 3] = True
    example = inference_example("tumor", volume, mask, lesion, network=network, stride=stride)
    assert example.z == 3
    assert example.lesion.sum() == 24
    whole = score_volume(volume, mask, location_network, PATCH, stride=stride)
    for name, values in example.maps.items():
        np.testing.assert_allclose(values, whole[name][:, :, 3], rtol=1e-4, atol=1e-4)
    assert (np.isfinite(example.maps["score"]) == mask[:, :, 3]).all()
    np.testing.assert_allclose(
        example.maps["log_error"] + example.maps["log_variance"], example.maps["score"], atol=1e-5
    )


def examples():
    """Both halves with known numbers, on a grid of 40 x 48 voxels."""
    x, y = np.indices(SHAPE[:2])
    brain = ((x - 20) / 15) ** 2 + ((y - 23) / 19) ** 2 < 1
    scan = np.where(brain, 0.5 + x / 80, 0).astype(np.float32)
    training = TrainingExample(
        title="phantom healthy, T2 (simulated), phantom_healthy_014",
        image=scan,
        brain=brain,
        z=4,
        slice_location=66.7,
        place=np.array([16, 26]),
        rejected=np.array([32, 38]),
        rejected_share=0.126,
        patch=scan[12:20, 22:30],
        mean=np.array([45.0, 50.0]),
        deviation=np.array([2.5, 12.5]),
        latent_size=512,
    )
    parts = {
        name: np.where(brain, value, np.nan).astype(np.float32)
        for name, value in (("log_error", 4.0), ("log_variance", 3.0), ("score", 7.0))
    }
    lesion = (abs(x - 15) < 4) & (abs(y - 20) < 5)
    inference = InferenceExample(
        title="phantom tumor, T2 (simulated), tumor_1", image=scan, lesion=lesion, z=3, maps=parts, stride=1
    )
    return training, inference


def test_prediction_and_true_place_are_drawn_where_they_are():
    figure = schematic_figure(*examples(), spacing=4.0)
    ((axes, ellipse),) = [
        (axes, patch) for axes in figure.axes for patch in axes.patches if type(patch) is Ellipse
    ]
    assert ellipse.center == pytest.approx((0.45 * 40, 0.5 * 48))
    assert (ellipse.width, ellipse.height) == pytest.approx((4 * 0.025 * 40, 4 * 0.125 * 48))
    (dot,) = [line for line in axes.lines if line.get_color() == PLACE]
    assert (dot.get_xdata()[0], dot.get_ydata()[0]) == (16, 26)
    words = [text.get_text() for text in figure.findobj(Text)]
    assert any(f"from μ to Y: {4 * np.hypot(2, 2):.1f} mm" in text for text in words)
    assert any("location Y = (40.0, 54.2) %" in text for text in words)
    assert "rejected: 13 % brain, less than 20 %" in words


def test_patches_are_outlined_as_they_are_cut_and_lie_in_the_frame():
    figure = schematic_figure(*examples(), spacing=4.0)
    found = {
        patch.get_linestyle(): (axes, patch)
        for axes in figure.axes
        for patch in axes.patches
        if isinstance(patch, Rectangle)
    }
    assert set(found) == {"-", "--"}
    for style, (x, y) in (("-", (16, 26)), ("--", (32, 38))):
        axes, patch = found[style]
        assert patch.get_xy() == (
            x - 4.5,
            y - 4.5,
        )  # voxels x - 4 .. x + 3, whose borders are half a voxel off
        assert (patch.get_width(), patch.get_height()) == (8, 8)
        (right, left), (back, front) = axes.get_xlim(), axes.get_ylim()
        assert left < patch.get_x() < patch.get_x() + 8 < right
        assert back < patch.get_y() < patch.get_y() + 8 < front
    assert found["--"][1].get_edgecolor()[:3] == pytest.approx(
        tuple(int(REJECTED[i : i + 2], 16) / 255 for i in (1, 3, 5))
    )
    assert found["-"][1].get_edgecolor()[:3] == pytest.approx(
        tuple(int(ELLIPSE[i : i + 2], 16) / 255 for i in (1, 3, 5))
    )


def test_every_slice_has_the_right_side_on_the_left():
    figure = schematic_figure(*examples(), spacing=4.0)
    slices = [axes for axes in figure.axes if axes.images and axes.images[0].get_array().shape == (48, 40)]
    assert len(slices) == 6
    for axes in slices:
        assert axes.images[0].origin == "lower"
        assert axes.get_xlim()[0] > axes.get_xlim()[1]
        assert [text.get_text() for text in axes.texts] == ["R", "L"]


def test_the_parts_add_up_in_numbers_and_colors():
    figure = schematic_figure(*examples(), spacing=4.0, color_map="viridis")
    maps = [axes.images[0] for axes in figure.axes if axes.images and axes.images[0].cmap.name == "viridis"]
    assert [picture.get_clim() for picture in maps] == [(0, 6), (0, 6), (0, 12)]
    shown = [picture.get_array() for picture in maps]
    np.testing.assert_array_equal(shown[0] + shown[1], shown[2])
    score = maps[2].axes
    (outline,) = {path.vertices.shape for line in score.collections[-1:] for path in line.get_paths()}
    assert outline[0] > 8
    corners = score.collections[-1].get_paths()[0].vertices
    np.testing.assert_allclose([corners.min(axis=0), corners.max(axis=0)], [[11.5, 15.5], [18.5, 24.5]])


@pytest.mark.parametrize("stride", [1, 4])
def test_no_words_overlap_or_cover_a_slice_or_leave_the_page(stride):
    training, inference = examples()
    # The longest numbers.
    training = replace(
        training, mean=np.array([100.0, 100.0]), deviation=np.array([20.5, 20.5]), z=99, slice_location=99.0
    )
    figure = schematic_figure(training, replace(inference, stride=stride, z=99), spacing=1.0)
    renderer = FigureCanvasAgg(figure).get_renderer()
    figure.draw(renderer)
    words = [text for text in figure.findobj(Text) if text.get_text().strip() and text.get_visible()]
    boxes = {text: text.get_window_extent(renderer).padded(-1) for text in words}
    assert len(words) > 40
    for text, box in boxes.items():
        assert figure.bbox.x0 <= box.x0 < box.x1 <= figure.bbox.x1, text.get_text()
        assert figure.bbox.y0 <= box.y0 < box.y1 <= figure.bbox.y1, text.get_text()
    for one, other in combinations(words, 2):
        assert not boxes[one].overlaps(boxes[other]), (one.get_text(), other.get_text())
    covering = {*words} - {text for axes in figure.axes if axes.images for text in axes.texts}
    for axes in (axes for axes in figure.axes if axes.images):
        for text in covering:
            assert not boxes[text].overlaps(axes.get_window_extent(renderer)), text.get_text()
