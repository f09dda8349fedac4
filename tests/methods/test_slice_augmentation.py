import pytest
import torch

from patch2loc.methods.reconstruction import slice_augmentation


def test_intensities_change_for_the_chosen_slices_only(monkeypatch):
    slices = torch.rand(64, 1, 16, 16)
    changed = slice_augmentation.change_intensities(slices, torch.Generator().manual_seed(0))
    same = (changed == slices).all(dim=3).all(dim=2)[:, 0]
    assert same.float().mean().item() == pytest.approx(0.5 * 0.75 * 0.75 * 0.5, abs=0.12)
    monkeypatch.setattr(slice_augmentation, "CHANCES", dict.fromkeys(slice_augmentation.CHANCES, 0))
    assert torch.equal(slice_augmentation.change_intensities(slices, torch.Generator()), slices)


def test_the_bias_field_is_the_exponential_of_a_polynomial():
    coefficients = torch.zeros(2, 4, 4)
    coefficients[0, 0, 0] = 0.3
    coefficients[1, 1, 2] = 0.5  # x y^2
    coefficients[1, 3, 3] = 9  # of too high an order
    constant, bent = slice_augmentation.bias_field(coefficients, (5, 3))[:, 0]
    torch.testing.assert_close(constant, torch.full((5, 3), 0.3).exp())
    expected = 0.5 * torch.linspace(-1, 1, 5)[:, None] * torch.tensor([1.0, 0.0, 1.0])
    torch.testing.assert_close(bent, expected.exp())


def test_the_blur_has_the_width_it_says():
    spot = torch.zeros(1, 1, 32, 32)
    spot[..., 16, 16] = 1
    gain = slice_augmentation.blur_gain(torch.tensor([[1.5, 0.0]]), (32, 32))
    blurred = torch.fft.ifft2(torch.fft.fft2(spot) * gain).real[0, 0]
    place = torch.arange(32) - 16.0
    assert blurred.sum().item() == pytest.approx(1, abs=1e-5)
    assert (blurred.sum(dim=1) * place**2).sum().item() == pytest.approx(1.5**2, rel=1e-3)
    assert (blurred.sum(dim=0) * place**2).sum().item() == pytest.approx(0, abs=1e-4)


def test_ghosts_are_faint_copies_at_even_distances():
    spot = torch.zeros(1, 1, 24, 24)
    spot[..., 0, 5] = 1
    gain = slice_augmentation.ghost_gain(
        torch.tensor([4]), torch.tensor([0.6]), torch.tensor([True]), (24, 24)
    )
    ghosted = torch.fft.ifft2(torch.fft.fft2(spot) * gain).real[0, 0]
    assert not ghosted[:, torch.arange(24) != 5].abs().gt(1e-6).any()
    # A quarter of what was lost comes back at each quarter of the width; the mean stays.
    assert ghosted[[6, 12, 18], 5].tolist() == pytest.approx([-0.6 * (1 / 4 - 1 / 24)] * 3, abs=1e-6)
    assert ghosted.sum().item() == pytest.approx(1, abs=1e-5)
