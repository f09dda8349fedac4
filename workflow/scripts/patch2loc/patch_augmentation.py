"""Random changes of training patches, so that a network does not learn one scanner: contrast, shading, blur, noise.

The ranges were set beforehand, by what scanners and sequences of one contrast differ in, not by results on lesions.
"""

import torch
from torch import Tensor
from torch.nn import functional

CHANCE = 0.5  # of each change in each patch
LOG_GAMMA = 0.4
GAIN = 0.15  # around 1
SHADING = 0.1  # greatest change of the gain from the centre of a patch to its edges, along each axis
NOISE = 0.05  # greatest standard deviation; 1 is the 98th percentile of the brain


def change_patches(patches: Tensor, generator: torch.Generator) -> Tensor:
    """Patches (n, 1, p, p) float32, each changed in its own way; voxels outside the brain, which are 0, stay 0.

    In turn, each with a chance of one half: gamma, gain, linear shading, blur by a share of a 3 x 3 binomial kernel,
    Gaussian noise.  No change moves tissue, so that locations stay true.
    """
    device, count, sides = patches.device, len(patches), patches.shape[2:]
    brain = patches > 0

    def uniform(low: float, high: float) -> Tensor:
        return low + (high - low) * torch.rand(count, 1, 1, 1, generator=generator, device=device)

    def sometimes(amount: Tensor) -> Tensor:
        return torch.where(uniform(0, 1) < CHANCE, amount, 0.0)

    x, y = (torch.linspace(-1, 1, side, device=device) for side in sides)
    shading = sometimes(uniform(-SHADING, SHADING)) * x[:, None] + sometimes(uniform(-SHADING, SHADING)) * y
    changed = patches.clamp(min=1e-6) ** sometimes(uniform(-LOG_GAMMA, LOG_GAMMA)).exp()
    changed = changed * (1 + sometimes(uniform(-GAIN, GAIN))) * (1 + shading)
    changed = torch.lerp(changed, _blurred(changed, brain), sometimes(uniform(0, 1)))
    noise = torch.randn(patches.shape, generator=generator, device=device)
    return (changed + sometimes(uniform(0, NOISE)) * noise) * brain


def _blurred(patches: Tensor, brain: Tensor) -> Tensor:
    """Each voxel the weighted mean of the brain among its 3 x 3 neighbours: edges of the brain do not darken."""
    kernel = torch.tensor([1.0, 2.0, 1.0], device=patches.device)
    kernel = (kernel[:, None] * kernel / 16)[None, None]
    weight = functional.conv2d(brain.float(), kernel, padding=1)
    return functional.conv2d(patches * brain, kernel, padding=1) / weight.clamp(min=1e-6)
