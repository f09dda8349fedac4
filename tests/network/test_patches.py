import numpy as np
import torch

from patch2loc.network import patches


def test_a_patch_holds_the_rows_and_columns_around_its_voxel():
    rng = np.random.default_rng(0)
    image = rng.random((2, 20, 16)).astype(np.float32)
    padded = np.pad(image, ((0, 0), (4, 4), (4, 4)))
    index, x, y = torch.tensor([0, 1, 1]), torch.tensor([0, 10, 19]), torch.tensor([0, 7, 15])
    cut = patches.cut(patches.pad_slices(torch.from_numpy(image), 8), index, x, y, patch=8)
    for n in range(3):
        i, a, b = int(index[n]), int(x[n]), int(y[n])
        # In padded coordinates voxel a is at a + 4, so rows a - 4 .. a + 3 of the slice are a .. a + 7.
        np.testing.assert_array_equal(cut[n, 0], padded[i, a : a + 8, b : b + 8])
    assert cut[1, 0, 4, 4] == image[1, 10, 7]


def test_share_equals_counting():
    rng = np.random.default_rng(1)
    mask = rng.random((2, 15, 18)) > 0.6
    share = patches.share(torch.from_numpy(mask), 6)
    padded = np.pad(mask, ((0, 0), (3, 3), (3, 3)))
    for i, x, y in [(0, 0, 0), (1, 7, 9), (0, 14, 17), (1, 3, 16)]:
        assert abs(share[i, x, y] - padded[i, x : x + 6, y : y + 6].mean()) < 1e-6


def test_exactly_a_fifth_of_brain_is_accepted():
    mask = torch.zeros(1, 30, 30, dtype=torch.bool)
    mask[0, 10:20, 10:12] = True  # 20 of the 100 voxels of the patch centered on (15, 15)
    assert patches.accepted(mask, 10)[0, 15, 15]
    mask[0, 10, 10] = False
    assert not patches.accepted(mask, 10)[0, 15, 15]


def test_locations_are_percent_of_the_grid():
    torch.testing.assert_close(
        patches.location(torch.tensor([0, 96, 191]), 192), torch.tensor([0.0, 50.0, 100 * 191 / 192])
    )
