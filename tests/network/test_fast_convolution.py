"""Convolutions with fewer multiplications give the numbers of torch's, whatever the range of the inputs."""

import pytest
import torch
from networks import randomized, relative
from torch import nn

from patch2loc.network.fast_convolution import SIZES, FastConv2d, WindowConv2d, with_fast_convolutions
from patch2loc.network.location import LocationNetwork, for_inference

WINDOWS = [(4, 3, 2), (4, 1, 2), (3, 3, 2), (3, 1, 2), (2, 3, 1), (2, 3, 2), (2, 1, 2), (1, 3, 1), (1, 1, 1)]


def convolution(kernel: int = 3, stride: int = 1, dtype: torch.dtype = torch.float64) -> nn.Conv2d:
    torch.manual_seed(0)
    return nn.Conv2d(11, 7, kernel, stride, padding=kernel // 2, dtype=dtype).requires_grad_(False)


def maps(size: int, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    """Values over eight orders of magnitude, channels last, more patches than are combined at once."""
    x = torch.randn(1500, 11, size, size, dtype=dtype)
    return (x * 10 ** (8 * torch.rand_like(x) - 4)).to(memory_format=torch.channels_last)


# In float64 nothing but the identity is tested; in float32 the points 2 and -2 cost a digit.
@pytest.mark.parametrize(("dtype", "bound"), [(torch.float64, 1e-14), (torch.float32, 3e-6)])
@pytest.mark.parametrize("size", SIZES)
def test_fast_convolution_equals_a_plain_one(size, dtype, bound, monkeypatch):
    monkeypatch.setattr("patch2loc.network.fast_convolution.COMBINED_MB", 1.0)  # so that parts are several
    plain, x = convolution(dtype=dtype), maps(size, dtype)
    assert relative(FastConv2d(plain, size)(x), plain(x)) < bound


@pytest.mark.parametrize(("dtype", "bound"), [(torch.float64, 1e-15), (torch.float32, 5e-7)])
@pytest.mark.parametrize(("size", "kernel", "stride"), WINDOWS)
def test_a_product_for_each_window_equals_a_plain_convolution(size, kernel, stride, dtype, bound):
    plain, x = convolution(kernel, stride, dtype), maps(size, dtype)
    found, expected = WindowConv2d(plain, size)(x), plain(x)
    assert found.shape == expected.shape
    assert relative(found, expected) < bound


def test_multiplications_for_each_pair_of_channels():
    assert [len(FastConv2d(convolution(), size).weight) for size in SIZES] == [9, 36]

    def of_windows(size: int, stride: int) -> int:
        return sum(len(weight) for weight in WindowConv2d(convolution(3, stride), size).weights) // 11

    assert of_windows(4, 2) == 25  # of 36
    assert of_windows(2, 2) == 4  # of 9
    assert of_windows(1, 1) == 1  # of 9


def test_maps_go_from_layer_to_layer_without_being_transposed():
    layers = nn.Sequential(FastConv2d(convolution(), 4), nn.ReLU(inplace=True))
    assert layers(maps(4)).permute(2, 3, 0, 1).is_contiguous()
    assert WindowConv2d(convolution(3, 2), 4)(maps(4)).permute(2, 3, 0, 1).is_contiguous()


def test_fast_convolutions_take_the_place_of_those_on_small_maps():
    network = randomized(LocationNetwork((16, 128, 128, 128)))
    layers = for_inference(network).encoder
    layers = nn.Sequential(layers.layer1, layers.layer2, layers.layer3, layers.layer4)
    x = torch.rand(3, 16, 7, 7).to(memory_format=torch.channels_last)
    with torch.no_grad():
        expected = layers(x)
        with_fast_convolutions(layers, x)
        assert relative(layers(x), expected) < 1e-5

    def names(kind: type[nn.Module]) -> list[str]:
        return [name for name, module in layers.named_modules() if isinstance(module, kind)]

    # Maps of 7 voxels before the first stride, then 4, 2 and 1.
    combined = ["1.0.conv2", "1.1.conv1", "1.1.conv2", "2.0.conv2", "2.1.conv1", "2.1.conv2"]
    assert names(FastConv2d) == combined
    assert names(WindowConv2d) == ["2.0.conv1", "2.0.downsample.0"]
