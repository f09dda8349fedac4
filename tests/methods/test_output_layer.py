"""Under half precision, networks give reconstructions of float32, not in the steps of bfloat16."""

import pytest
import torch
from torch import nn
from torch.nn import functional

from patch2loc.methods.dae.model import UNet
from patch2loc.methods.reconstruction.autoencoder import Autoencoder
from patch2loc.methods.reconstruction.feature_autoencoder import FeatureAutoencoder
from patch2loc.methods.reconstruction.inpainting import Inpainter
from patch2loc.methods.reconstruction.output_layer import OutputConv2d
from patch2loc.methods.reconstruction.reversed_autoencoder import ReversedAutoencoder
from patch2loc.methods.reconstruction.slice_features import imagenet_features
from patch2loc.methods.svae.model import ScanAutoencoder

SIDES, SLICES = (32, 32), 8


def by_svae(slices):
    code = {"latent": 8, "layers": 1, "heads": 2, "feedforward": 8, "dropout": 0.0}
    return ScanAutoencoder(SIDES, SLICES, widths=(8, 8), **code).eval()(slices[None, :, 0])


def by_fae(slices):
    extractor = imagenet_features()
    return FeatureAutoencoder(extractor.channels, (8, 8, 8, 8)).eval()(extractor(slices))


def by_denoiser(slices, encoder_widths=None):
    for package in ("diffusers", "opensimplex"):
        pytest.importorskip(package, reason=f"{package} is not installed: ddpm and cddpm are not tested here")
    from patch2loc.methods.reconstruction.denoiser import Denoiser

    network = Denoiser((8, 8, 8), 1, encoder_widths).eval()
    nn.init.normal_(network.unet.conv_out.weight)  # a new network gives 0
    return network(slices, torch.full((SLICES,), 499), slices)


RECONSTRUCTIONS = {
    "ae": lambda slices: Autoencoder(SIDES, (8, 8), 8).eval()(slices),
    "svae": by_svae,
    "dae": lambda slices: UNet((8, 16, 16, 32)).eval()(slices),
    "fae": by_fae,
    "ra": lambda slices: ReversedAutoencoder(SIDES, (4, 4, 4), 4).eval()(slices),
    "phanes": lambda slices: Inpainter((4, 4, 8), 1).eval()(slices, slices > 0.5),
    "ddpm": by_denoiser,
    "cddpm": lambda slices: by_denoiser(slices, (4, 4, 4, 4)),
}


@pytest.mark.parametrize("name", RECONSTRUCTIONS)
def test_reconstructions_have_the_resolution_of_float32_under_half_precision(name):
    torch.manual_seed(1)
    slices = torch.rand(SLICES, 1, *SIDES)
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
        found = RECONSTRUCTIONS[name](slices)
    assert found.dtype == torch.float32
    in_steps = (found == found.bfloat16()).float().mean().item()
    assert in_steps < 0.01


def test_features_that_are_reconstructed_are_those_of_full_precision():
    torch.manual_seed(1)
    extractor, slices = imagenet_features(), torch.rand(2, 1, *SIDES)
    expected = extractor(slices)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(extractor(slices), expected)


def test_the_layer_is_an_ordinary_convolution_in_float32():
    torch.manual_seed(1)
    layer, maps = OutputConv2d(3, 2, 3, padding=1), torch.rand(2, 3, 9, 7).bfloat16()
    expected = functional.conv2d(maps.float(), layer.weight, layer.bias, padding=1)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(layer(maps), expected)
    assert torch.equal(layer(maps.float()), expected)
    assert set(layer.state_dict()) == {"weight", "bias"}
