"""What the first convolution computes on a GPU, computed on a processor beside torch's own."""

import pytest
import torch
from networks import SETTINGS, cohort
from torch.nn import functional

from patch2loc.network import first_convolution
from patch2loc.network.training import train

# Sums of nine products, in another order.
ROUNDING = {"rtol": 1e-12, "atol": 1e-12}


def both(function, other, *tensors):
    """Values and gradients of two functions of the same tensors."""
    found = []
    for compute in (function, other):
        given = [tensor.clone().requires_grad_() for tensor in tensors]
        value = compute(*given)
        weights = torch.linspace(0.5, 1.5, value.numel(), dtype=value.dtype).view(value.shape)
        (value * weights).sum().backward()
        found.append((value, *(tensor.grad for tensor in given)))
    return zip(*found, strict=True)


@pytest.mark.parametrize(("stride", "padding"), [(2, 3), (1, 0)])
@pytest.mark.parametrize("side", [8, 11, 24])
def test_the_product_of_windows_is_the_convolution(side, stride, padding):
    x = torch.randn(5, 1, side, side, dtype=torch.float64)
    weight, bias = torch.randn(6, 1, 3, 3, dtype=torch.float64), torch.randn(6, dtype=torch.float64)
    for found, expected in both(
        lambda *given: first_convolution.convolution_by_product(*given, stride=stride, padding=padding),
        lambda *given: functional.conv2d(*given, stride=stride, padding=padding),
        x,
        weight,
        bias,
    ):
        torch.testing.assert_close(found, expected, **ROUNDING)


def test_a_network_with_it_trains_as_one_of_torchs(monkeypatch):
    _, expected = train(cohort(3), cohort(2, seed=9), SETTINGS)
    monkeypatch.setattr(
        first_convolution.FirstConv2d,
        "forward",
        lambda layer, x: first_convolution.convolution_by_product(x, layer.weight, None, stride=2, padding=3),
    )
    _, history = train(cohort(3), cohort(2, seed=9), SETTINGS)
    for row, other in zip(history, expected, strict=True):
        # Twelve steps of Adam make more of rounding.
        assert row["validation_nll"] == pytest.approx(other["validation_nll"], rel=1e-2)
