import numpy as np
import pytest
import torch
from golden import assert_golden, golden_weights, needs_golden
from networks import randomized
from torchvision.models import resnet18

from patch2loc.network.location import PAPER_WIDTHS, LocationNetwork, SmallConv2d, for_inference, slice_code


@needs_golden
@pytest.mark.parametrize("prepared", [lambda network: network, for_inference], ids=["plain", "folded"])
def test_the_published_network_is_reproduced(prepared):
    assert_golden(prepared(golden_weights(LocationNetwork())), 400)


def test_the_default_encoder_has_the_parameters_of_resnet18():
    ours = {name: value.shape for name, value in LocationNetwork().encoder.state_dict().items()}
    theirs = {name: value.shape for name, value in resnet18().state_dict().items()}
    theirs = {name: shape for name, shape in theirs.items() if not name.startswith("fc.")}
    assert ours.keys() == theirs.keys()
    assert {name for name in ours if ours[name] != theirs[name]} == {"conv1.weight"}
    assert ours["conv1.weight"] == (64, 1, 3, 3)


def test_heads_have_the_papers_layers():
    shapes = [tuple(p.shape) for n, p in LocationNetwork().mean_branch.named_parameters() if p.ndim == 2]
    assert shapes == [(512, 512), (128, 512), (64, 128), (32, 64), (2, 32)]
    assert LocationNetwork().widths == PAPER_WIDTHS


def test_slice_code_by_hand():
    code = slice_code(torch.tensor([0.0, 30.0]), 8)
    assert code[0].tolist() == [0, 1, 0, 1, 0, 1, 0, 1]
    expected = [f(30 / 10000 ** (i / 8)) for i in (0, 2, 4, 6) for f in (np.sin, np.cos)]
    np.testing.assert_allclose(code[1], expected, atol=1e-12)


@pytest.mark.parametrize("size", [1, 2, 3, 6])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("kernel", [1, 3])
@pytest.mark.parametrize("bias", [True, False])
def test_small_convolution_equals_a_plain_one(size, stride, kernel, bias):
    torch.manual_seed(0)
    ours = SmallConv2d(5, 7, kernel, (stride, stride), padding=kernel // 2, bias=bias)
    plain = torch.nn.Conv2d(5, 7, kernel, stride, padding=kernel // 2, bias=bias)
    plain.load_state_dict(ours.state_dict())
    x, again = (torch.linspace(-1, 1, 20 * size**2).view(4, 5, size, size).requires_grad_() for _ in range(2))
    found, expected = ours(x), plain(again)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)
    weights = torch.arange(found.numel()).view(found.shape) / found.numel()
    (found * weights).sum().backward()
    (expected * weights).sum().backward()
    torch.testing.assert_close(x.grad, again.grad, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(ours.weight.grad, plain.weight.grad, rtol=1e-5, atol=1e-5)


def test_folding_batch_norms_changes_nothing():
    network = randomized(LocationNetwork((8, 8, 16, 16)))
    x, place = torch.randn(64, 1, 12, 12), torch.rand(64) * 100
    with torch.no_grad():
        plain, folded = network(x, place), for_inference(network)(x, place)
    assert not [m for m in for_inference(network).modules() if "BatchNorm" in type(m).__name__]
    for expected, found in zip(plain, folded, strict=True):
        assert (found - expected).norm() / expected.norm() < 1e-5


def test_rescaled_output_is_the_location_in_percent():
    network = randomized(LocationNetwork((8, 8, 16, 16)))
    x, place = torch.randn(16, 1, 12, 12), torch.rand(16) * 100
    center, scale = torch.tensor([50.0, 40.0]), torch.tensor([20.0, 10.0])
    with torch.no_grad():
        mean, log_variance = network(x, place)
        network.rescale_output_(center, scale)
        mean_percent, log_variance_percent = network(x, place)
    torch.testing.assert_close(mean_percent, mean * scale + center)
    torch.testing.assert_close(log_variance_percent.exp(), log_variance.exp() * scale**2)
