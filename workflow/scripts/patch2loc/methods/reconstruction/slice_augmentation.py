"""Random changes of intensity in training slices: gamma, bias field, blur and ghosts.

What Behrendt et al. train ddpm, pddpm and cddpm with, in two dimensions: chances as in their code, ranges those that
TorchIO documents as its defaults for the transforms of these names.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

LOG_GAMMA = 0.3
BIAS = 0.5  # greatest coefficient of the field's polynomial
ORDER = 3
BLUR = 1.0  # greatest standard deviation of a Gaussian, voxels of 2 mm
GHOSTS = (4, 10)
GHOST_INTENSITY = (0.5, 1.0)
CHANCES = {"gamma": 0.5, "bias": 0.25, "blur": 0.25, "ghosts": 0.5}


def change_intensities(slices: Tensor, generator: torch.Generator) -> Tensor:
    """Slices (n, 1, x, y) float32, each changed in its own way; a change left out for a slice is left out exactly."""
    device, count = slices.device, len(slices)

    def uniform(low: float, high: float, *shape: int) -> Tensor:
        return low + (high - low) * torch.rand(shape, generator=generator, device=device)

    happens = {name: uniform(0, 1, count, 1, 1, 1) < chance for name, chance in CHANCES.items()}
    gamma = uniform(-LOG_GAMMA, LOG_GAMMA, count, 1, 1, 1).exp()
    bias = bias_field(uniform(-BIAS, BIAS, count, ORDER + 1, ORDER + 1), slices.shape[2:])
    blurred = blur_gain(uniform(0, BLUR, count, 2), slices.shape[2:])
    number = torch.randint(GHOSTS[0], GHOSTS[1] + 1, (count,), generator=generator, device=device)
    along = uniform(0, 1, count) < 0.5
    ghosted = ghost_gain(number, uniform(*GHOST_INTENSITY, count), along, slices.shape[2:])

    slices = torch.where(happens["gamma"], slices.clamp(min=0) ** gamma, slices)
    slices = torch.where(happens["bias"], slices * bias, slices)
    gain = torch.where(happens["blur"], blurred, 1) * torch.where(happens["ghosts"], ghosted, 1)
    filtered = torch.fft.ifft2(torch.fft.fft2(slices) * gain).real
    return torch.where(happens["blur"] | happens["ghosts"], filtered, slices)


def bias_field(coefficients: Tensor, shape: Sequence[int]) -> Tensor:
    """Exponentials of polynomials over the slice, (n, 1, x, y).

    Args:
        coefficients: (n, 4, 4) of x^i y^j, both -1 to 1 from end to end; those with i + j above 3 are not used.
        shape: Of a slice, voxels.
    """
    powers = torch.arange(ORDER + 1, device=coefficients.device)
    used = coefficients * (powers[:, None] + powers <= ORDER)
    x, y = (torch.linspace(-1, 1, length, device=powers.device)[:, None] ** powers for length in shape)
    field: Tensor = torch.einsum("nij,xi,yj->nxy", used, x, y)
    return field.exp()[:, None]


def blur_gain(spread: Tensor, shape: Sequence[int]) -> Tensor:
    """Gain of each frequency by a Gaussian blur, (n, 1, x, y).  spread: (n, 2) along x and y, voxels."""
    x, y = (torch.fft.fftfreq(length, device=spread.device) for length in shape)
    squared: Tensor = (spread[:, :1] * x)[:, :, None] ** 2 + (spread[:, 1:] * y)[:, None] ** 2
    return (-2 * torch.pi**2 * squared).exp()[:, None]


def ghost_gain(number: Tensor, intensity: Tensor, along_x: Tensor, shape: Sequence[int]) -> Tensor:
    """Gain of each frequency by motion between the lines of an acquisition, (n, 1, x, y).

    Every number-th line loses the share `intensity`, which puts `number` faint copies beside the brain; the line in
    the middle, which is the mean, stays.

    Args:
        number: (n,), of ghosts.
        intensity: (n,), share that lines lose.
        along_x: (n,) boolean, else along y.
        shape: Of a slice, voxels.
    """
    x, y = (torch.fft.fftfreq(length, 1 / length, device=number.device).round().int() for length in shape)
    line = torch.where(along_x[:, None, None], x[:, None], y[None])
    weak = (line % number[:, None, None] == 0) & (line != 0)
    return torch.where(weak, 1 - intensity[:, None, None], 1)[:, None]
