"""The network that fills masks of slices, its masks and its losses."""

import numpy as np
import pytest
import torch
from stand_in_vgg import parameters, stand_in
from torch import nn
from torch.nn import functional

from patch2loc.methods.reconstruction import inpainting
from patch2loc.methods.reconstruction.inpainting import (
    ContextBlock,
    Inpainter,
    Vgg19,
    doubled,
    ellipses,
    ellipses_at,
    feature_losses,
    gram,
    inpainted,
    mask_of,
    opening,
    painting_loss,
    reflected,
    similarity,
)


def test_the_network_has_the_parameters_that_its_description_gives():
    # 2 -> 64 by 7 x 7, 64 -> 128 -> 256 by 4 x 4, eight blocks of three times 256 -> 256 by 3 x 3 (one of them in four
    # parts), 256 -> 128 -> 64 -> 1 by 3 x 3; each with its offsets.
    ends = 2 * 64 * 49 + 64 + 64 * 128 * 16 + 128 + 128 * 256 * 16 + 256
    ends += 256 * 128 * 9 + 128 + 128 * 64 * 9 + 64 + 64 * 9 + 1
    with torch.device("meta"):
        network = Inpainter()
    assert parameters(network) == ends + 8 * 3 * (256 * 256 * 9 + 256) == 15_193_409
    assert parameters(ContextBlock(32)) == 3 * (32 * 32 * 9 + 32)


@pytest.mark.parametrize("shape", [(96, 96), (36, 64)])
def test_it_gives_slices_of_the_same_size(shape):
    network = Inpainter((4, 4, 8), 1)
    found = network(torch.rand(2, 1, *shape), torch.rand(2, 1, *shape) > 0.5)
    assert found.shape == (2, 1, *shape)
    assert found.abs().max() <= 1


def test_it_does_not_see_what_is_in_the_mask():
    torch.manual_seed(0)
    network, masks = Inpainter((4, 4, 8), 1), torch.rand(2, 1, 40, 40) > 0.5
    slices, others = torch.rand(2, 2, 1, 40, 40)
    assert not torch.equal(network(slices, masks), network(others, masks))
    assert torch.equal(network(slices, masks), network(torch.where(masks, others, slices), masks))


def test_a_composite_is_the_slice_outside_the_mask_and_an_intensity_inside():
    torch.manual_seed(0)
    slices, masks = torch.rand(2, 1, 40, 40), torch.rand(2, 1, 40, 40) > 0.5

    def far_off(slices, masks):
        return 4 * torch.rand(slices.shape) - 2

    found = inpainted(far_off, slices, masks)
    assert torch.equal(found[~masks], slices[~masks])
    assert not torch.equal(found[masks], slices[masks])
    assert found.min() == 0
    assert found.max() == 1


def test_a_gate_opens_by_the_deviation_from_the_mean_of_its_channel():
    maps = torch.tensor([[[[0.0, 2.0], [4.0, 6.0]], [[10.0, 10.0], [10.0, 14.0]]]])
    first = (np.array([[0, 2], [4, 6]]) - 3) / np.sqrt(20 / 3)  # the deviation of four values, over three
    second = (np.array([[10, 10], [10, 14]]) - 11) / 2
    expected = 1 / (1 + np.exp(-5 * (2 * np.stack([first, second]) - 1)))
    np.testing.assert_allclose(opening(maps)[0], expected, rtol=1e-5)
    twice = opening(torch.cat([maps, 7 * maps + 3]))
    torch.testing.assert_close(twice[0], twice[1])  # each slice has its own
    assert torch.isfinite(opening(torch.ones(1, 1, 2, 2))).all()


def test_a_block_keeps_its_maps_where_the_gate_is_shut():
    torch.manual_seed(0)
    block, maps = ContextBlock(4), torch.rand(2, 4, 12, 12)
    with torch.no_grad():
        plain = functional.conv2d(reflected(maps, 1), block.gate.weight, block.gate.bias)
        seen = [
            functional.conv2d(reflected(maps, rate), branch.weight, branch.bias, dilation=rate).relu()
            for rate, branch in zip((1, 2, 4, 8), block.branches, strict=True)
        ]
        new = functional.conv2d(reflected(torch.cat(seen, 1), 1), block.fuse.weight, block.fuse.bias)
        open_ = opening(plain)
        torch.testing.assert_close(block(maps), maps * (1 - open_) + new * open_)
        shut = open_ < 1e-6
        assert shut.any()
        torch.testing.assert_close(block(maps)[shut], maps[shut], atol=1e-5, rtol=0)


def test_edges_are_reflected_and_sizes_doubled_as_by_torch():
    maps = torch.rand(2, 3, 9, 12)
    assert torch.equal(reflected(maps, 8), functional.pad(maps, (8, 8, 8, 8), mode="reflect"))
    small = maps[..., :5, :4]
    wide = np.pad(small.numpy(), ((0, 0), (0, 0), (8, 8), (8, 8)), mode="reflect")
    np.testing.assert_array_equal(reflected(small, 8).numpy(), wide)
    expected = functional.interpolate(maps, scale_factor=2, mode="bilinear", align_corners=True)
    torch.testing.assert_close(doubled(maps), expected)


def test_a_mask_is_what_is_above_the_threshold_widened():
    anomaly = torch.full((2, 1, 24, 24), 0.1)
    anomaly[0, 0, 8:12, 10:14] = 0.3
    anomaly[1, 0, 5, 5] = 0.3
    found = mask_of(anomaly, 0.2)
    place = np.arange(24)
    line = np.exp(-0.5 * ((place[:, None] - place) / 1.2) ** 2) / (1.2 * np.sqrt(2 * np.pi))
    # A square's smoothed indicator is a product; above 0.1 of it is mask.
    product = np.outer(line[8:12].sum(axis=0), line[10:14].sum(axis=0))
    np.testing.assert_array_equal(found[0, 0], product > 0.1)
    assert found[0].sum() > 16
    assert found[0, 0, 8:12, 10:14].all()
    assert found[1].sum() == 1  # a single voxel has 1 / (2 pi 1.2^2) = 0.11 left
    assert not mask_of(anomaly, 0.3).any()


def test_an_ellipse_is_where_its_equation_says():
    one = torch.tensor([[10.0, 20.0]]), torch.tensor([[6.0, 3.0]])
    flat = ellipses_at(*one, torch.tensor([0.0]), (30, 40))[0]
    x, y = np.indices((30, 40))
    np.testing.assert_array_equal(flat, ((x - 10) / 6) ** 2 + ((y - 20) / 3) ** 2 <= 1)
    turned = ellipses_at(*one, torch.tensor([torch.pi / 4]), (30, 40))[0]
    along, across = (x - 10 + y - 20) / np.sqrt(2), (y - 20 - x + 10) / np.sqrt(2)
    np.testing.assert_array_equal(turned, (along / 6) ** 2 + (across / 3) ** 2 <= 1)


def test_training_masks_are_ten_ellipses_of_a_few_voxels_around_the_middle():
    found = ellipses(100, (96, 64), torch.Generator().manual_seed(1))
    assert found.shape == (100, 1, 96, 64)
    assert found.dtype == torch.bool
    assert torch.equal(found, ellipses(100, (96, 64), torch.Generator().manual_seed(1)))
    assert len(found.flatten(1).unique(dim=0)) == 100
    # Without overlaps, ellipses with such half axes cover their product times pi.
    mean = np.maximum(np.abs(np.random.default_rng(0).normal(2, 4, 100_000)), 2).mean()
    covered = found.float().sum(dim=(1, 2, 3)).mean().item()
    assert 0.75 * 10 * np.pi * mean**2 < covered < 10 * np.pi * mean**2
    share = found[:, 0].float().mean(dim=0)
    assert share[24:72, 16:48].mean() > 10 * share[:12].mean()
    center = [(share * place).sum() / share.sum() for place in torch.meshgrid(
        torch.arange(96), torch.arange(64), indexing="ij")]  # fmt: skip
    np.testing.assert_allclose(center, [48, 32], atol=1)


def test_the_trained_network_has_the_layers_that_its_losses_are_named_after():
    from torchvision.models import vgg19 as whole

    with torch.device("meta"):
        known, built = list(whole().features)[: inpainting.STYLED[-1] + 1], Vgg19()
    assert [type(layer) for layer in built] == [type(layer) for layer in known]
    assert built[28].weight.shape == known[28].weight.shape
    level, number, named = 1, 0, {}
    for place, layer in enumerate(known):
        if isinstance(layer, nn.ReLU):
            number += 1
            named[place] = f"relu{level}_{number}"
        elif isinstance(layer, nn.MaxPool2d):
            level, number = level + 1, 0
    assert [named[place] for place in inpainting.PERCEIVED] == [f"relu{level}_1" for level in range(1, 6)]
    assert [named[place] for place in inpainting.STYLED] == ["relu2_2", "relu3_4", "relu4_4", "relu5_2"]


def test_features_are_those_of_normalized_colors_of_which_a_background_of_zero_is_the_middle_gray():
    network, slices = stand_in(), torch.rand(2, 1, 32, 32)
    received = []
    network[0].register_forward_pre_hook(lambda layer, inputs: received.append(inputs[0]))
    found = network(slices)
    colors = zip((0.485, 0.456, 0.406), (0.229, 0.224, 0.225), strict=True)
    maps = torch.cat([((slices + 1) / 2 - mean) / deviation for mean, deviation in colors], dim=1)
    torch.testing.assert_close(received, [maps])
    first = functional.conv2d(maps, network[0].weight, network[0].bias, padding=1).relu()
    torch.testing.assert_close(found[1], first)
    second = functional.conv2d(first, network[2].weight, network[2].bias, padding=1).relu()
    third = functional.max_pool2d(second, 2)
    fourth = functional.conv2d(third, network[5].weight, network[5].bias, padding=1)
    torch.testing.assert_close(found[6], fourth.relu())
    assert found[31].shape == (2, 2, 2, 2)


def test_gram_matrices_and_feature_losses_by_hand():
    maps = torch.tensor([[[[1.0, 2.0]], [[3.0, -1.0]]]])
    torch.testing.assert_close(gram(maps), torch.tensor([[[5.0, 1.0], [1.0, 10.0]]]) / 4)

    def known(slices):
        factor = 1 if slices is painted else 2
        return {place: factor * maps for place in (*inpainting.PERCEIVED, *inpainting.STYLED)}

    painted, slices = torch.rand(2, 1, 1, 1, 1)
    style, perceptual = feature_losses(known, painted, slices)
    # Four layers, whose Gram matrices are four times as large; five layers, whose maps are twice as large.
    assert style.item() == pytest.approx(4 * 3 * (5 + 1 + 1 + 10) / 4 / 4)
    assert perceptual.item() == pytest.approx(5 * (1 + 2 + 3 + 1) / 4)


def test_the_loss_weighs_its_parts():
    torch.manual_seed(0)
    painted, slices = torch.rand(2, 3, 1, 32, 32)
    network = stand_in()
    style, perceptual = feature_losses(network, painted, slices)
    absolute = (painted - slices).abs().mean()
    torch.testing.assert_close(
        painting_loss(painted, slices, network), absolute + 250 * style + 0.1 * perceptual
    )
    torch.testing.assert_close(
        painting_loss(painted, slices, None), absolute + 1 - similarity(painted, slices)
    )
    assert painting_loss(slices, slices, network) == 0
    assert painting_loss(slices, slices, None).abs() < 1e-6


def test_structural_similarity_of_one_window_by_hand():
    rng = np.random.default_rng(0)
    first, second = rng.uniform(size=(2, 11, 11))
    line = np.exp(-0.5 * (np.arange(-5, 6) / 1.5) ** 2)
    window = np.outer(line, line) / line.sum() ** 2
    means = (window * first).sum(), (window * second).sum()
    variances = (window * (first - means[0]) ** 2).sum(), (window * (second - means[1]) ** 2).sum()
    covariance = (window * (first - means[0]) * (second - means[1])).sum()
    expected = (2 * means[0] * means[1] + 1e-4) * (2 * covariance + 9e-4)
    expected /= (means[0] ** 2 + means[1] ** 2 + 1e-4) * (sum(variances) + 9e-4)
    given = (torch.from_numpy(image).float()[None, None] for image in (first, second))
    assert similarity(*given).item() == pytest.approx(expected, rel=1e-4)
