import numpy as np
import pytest
import torch

from patch2loc.evaluate.patch_analysis import edge_distance, patch_table
from patch2loc.network import patches
from patch2loc.score.patch_predictions import predicted_patches


def nothing(volume, voxels):
    """Predictions of a network that knows nothing."""
    return np.zeros((len(voxels), 2), np.float32), np.zeros((len(voxels), 2), np.float32)


def test_distances_from_the_edge_of_a_box_are_known():
    mask = np.zeros((20, 16, 4), bool)
    mask[5:15, 4:12, 1:3] = True
    distances = edge_distance(mask, 2.0)
    # Half a voxel from the edge is the center of the voxels on either side of it.
    assert distances[5, 8, 1] == 1.0
    assert distances[4, 8, 1] == -1.0
    assert distances[0, 8, 1] == -9.0
    assert distances[9, 8, 1] == 7.0  # four voxels from the nearest side, y
    assert distances[0, 0, 2] == pytest.approx(2 * (0.5 - np.hypot(5, 4)))
    # Other slices do not count: slice 1 is the lowest one of the brain.
    np.testing.assert_array_equal(distances[:, :, 1], distances[:, :, 2])
    assert np.isnan(distances[:, :, [0, 3]]).all()


def test_the_border_of_the_grid_is_no_edge_of_the_brain():
    mask = np.zeros((10, 10, 2), bool)
    mask[:6, :, 0] = True  # cut off by the grid on three sides
    mask[:, :, 1] = True
    distances = edge_distance(mask, 1.0)
    np.testing.assert_array_equal(distances[:, 3, 0], [5.5, 4.5, 3.5, 2.5, 1.5, 0.5, -0.5, -1.5, -2.5, -3.5])
    assert np.isnan(distances[:, :, 1]).all()


def test_a_patch_has_the_distance_of_its_center():
    mask = np.zeros((32, 32, 3), bool)
    mask[6:28, 3:30, 1] = True
    predictions = predicted_patches(mask.astype(np.float32), mask, 8, nothing)
    table = patch_table(predictions, mask, np.zeros_like(mask), 4.0)
    by_place = table.set_index(["x", "y", "z"])["edge_distance"]
    assert by_place[4, 12, 1] == 4 * -1.5
    assert by_place[12, 12, 1] == 4 * 6.5
    assert by_place[20, 4, 1] == 4 * 1.5
    assert by_place.notna().all()


def test_shares_of_lesion_are_those_of_the_network_s_patches():
    generator = np.random.default_rng(2)
    mask, lesion = generator.random((30, 28, 4)) < 0.6, generator.random((30, 28, 4)) < 0.3
    table = patch_table(predicted_patches(mask.astype(np.float32), mask, 6, nothing), mask, lesion, 1.0)
    shares = patches.share(torch.from_numpy(lesion).permute(2, 0, 1), 6).permute(1, 2, 0).numpy()
    assert len(table) == 5 * 4 * 4
    np.testing.assert_array_equal(
        table["lesion_fraction"], shares[tuple(table[["x", "y", "z"]].to_numpy().T)]
    )


def test_tiles_from_the_edge_are_centered_at_multiples_of_a_patch():
    """As the released code's at 0, 24, ..., 168: half of the first is outside, and holds neither brain nor lesion."""
    mask = np.ones((32, 24, 1), bool)
    predictions = predicted_patches(mask.astype(np.float32), mask, 8, nothing, tiles="from-edge")
    places = set(map(tuple, predictions[["x", "y"]].to_numpy().tolist()))
    assert places == {(x, y) for x in (0, 8, 16, 24) for y in (0, 8, 16)}
    table = patch_table(predictions, mask, mask, 1.0).set_index(["x", "y"])
    assert table["lesion_fraction"][0, 0] == table["brain_fraction"][0, 0] == 0.25
    assert table["lesion_fraction"][8, 0] == table["brain_fraction"][8, 0] == 0.5
    assert table["lesion_fraction"][8, 8] == 1
    whole = predicted_patches(mask.astype(np.float32), mask, 8, nothing)
    assert set(whole["x"]) == {4, 12, 20, 28}
