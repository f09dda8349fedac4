"""The encoder that describes a slice to cddpm's network, and its masked pre-training (SparK, Tian et al. 2023).

Slices with most of their patches hidden are completed.  Hidden places are kept at 0 through all layers and left out of
the statistics of batch normalization, so that the encoder never sees the border of what is hidden.
"""

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from torchvision.models.resnet import Bottleneck, ResNet

from patch2loc.errors import InputError
from patch2loc.method_interface import MethodSettings
from patch2loc.methods.reconstruction.slice_pools import SlicePool
from patch2loc.methods.reconstruction.training import train

PATCH = 32  # voxels hidden together: the stride of the encoder's last layer
VISIBLE = 0.35  # share of the patches: 3 of 9 on a slice of 96 x 96
DOUBLINGS = 5  # of the decoder, from the last layer to the slice


class VisibleNorm(nn.BatchNorm2d):
    """Batch normalization; where `visible` is set, (n, 1, h, w) of 0 and 1, of these places alone, the others 0."""

    visible: Tensor | None = None

    def forward(self, x: Tensor) -> Tensor:
        """(n, channels, x, y) -> the same shape; sides are multiples of those of `visible`."""
        if self.visible is None:
            return super().forward(x)
        visible = spread(self.visible, x)
        mean, variance = self.running_mean, self.running_var
        assert mean is not None
        assert variance is not None
        assert self.num_batches_tracked is not None
        assert self.momentum is not None
        if self.training:
            count, values = visible.sum(), x.float()
            running_mean, running_variance = mean, variance
            mean = (values * visible).sum(dim=(0, 2, 3)) / count
            variance = ((values - mean[:, None, None]).square() * visible).sum(dim=(0, 2, 3)) / count
            with torch.no_grad():
                self.num_batches_tracked += 1
                running_mean.lerp_(mean, self.momentum)
                running_variance.lerp_(variance * count / (count - 1), self.momentum)
        scale = self.weight * (variance + self.eps).rsqrt()
        return (x * scale[:, None, None] + (self.bias - mean * scale)[:, None, None]) * visible


def spread(visible: Tensor, x: Tensor) -> Tensor:
    """The visible places of x: (n, 1, h, w) of 0 and 1, brought to the sides of x."""
    return functional.interpolate(visible, size=x.shape[2:], mode="nearest")


class SliceEncoder(ResNet):  # type: ignore[misc]  # torchvision has no types
    """ResNet-50 for one channel that describes a slice by a vector: (n, 1, x, y) in 0..1 -> (n, features).

    Args:
        widths: Channels of the bottlenecks of its four layers, a quarter of what the layers put out.
        features: Length of the vector.
    """

    def __init__(self, widths: Sequence[int], features: int) -> None:
        super().__init__(Bottleneck, [1, 1, 1, 1], num_classes=1, norm_layer=VisibleNorm)
        self.inplanes = widths[0]
        self.conv1 = nn.Conv2d(1, widths[0], kernel_size=7, stride=2, padding=3, bias=False)
        self.bn1 = VisibleNorm(widths[0])
        layers = zip(widths, (3, 4, 6, 3), (1, 2, 2, 2), strict=True)
        for number, (width, count, stride) in enumerate(layers, start=1):
            setattr(self, f"layer{number}", self._make_layer(Bottleneck, width, count, stride))
        self.fc = nn.Linear(Bottleneck.expansion * widths[-1], features)
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d):
                nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")

    def of_visible(self, slices: Tensor, visible: Tensor) -> list[Tensor]:
        """Outputs of the four layers for the visible part of slices, 0 elsewhere.

        visible: (n, 1, x / 32, y / 32) of 0 and 1.
        """
        norms = [module for module in self.modules() if isinstance(module, VisibleNorm)]
        for norm in norms:
            norm.visible = visible
        x = self.maxpool(self.relu(self.bn1(self.conv1(slices * spread(visible, slices)))))
        x = x * spread(visible, x)
        outputs = []
        for layer in (self.layer1, self.layer2, self.layer3, self.layer4):
            x = layer(x)
            outputs.append(x)
        for norm in norms:
            norm.visible = None
        return outputs


class MaskedModel(nn.Module):
    """An encoder and a light decoder that complete slices of which a part is visible.

    Each layer's output is normalized, filled with a learnt vector where hidden, and projected; the decoder starts
    from the coarsest and adds the others while it doubles the size five times and halves the channels, from 512 to 16
    in the paper's.
    """

    def __init__(self, encoder: SliceEncoder) -> None:
        super().__init__()
        self.encoder = encoder
        last = [
            list(layer)[-1].conv3.out_channels for layer in (encoder.layer1, encoder.layer2, encoder.layer3)
        ]
        widths = [encoder.fc.in_features, *reversed(last)]
        first = encoder.fc.in_features // Bottleneck.expansion
        decoder_widths = [max(1, first >> halving) for halving in range(DOUBLINGS + 1)]
        self.norms = nn.ModuleList(VisibleNorm(width) for width in widths)
        self.fillings = nn.ParameterList(0.02 * torch.randn(1, width, 1, 1) for width in widths)
        self.projections = nn.ModuleList(
            nn.Conv2d(width, to, kernel_size=3 if number else 1, padding=1 if number else 0)
            for number, (width, to) in enumerate(zip(widths, decoder_widths, strict=False))
        )
        self.blocks = nn.ModuleList(_doubling(width, to) for width, to in pairwise(decoder_widths))
        self.output = nn.Conv2d(decoder_widths[-1], 1, kernel_size=1)

    def forward(self, slices: Tensor, visible: Tensor) -> Tensor:
        """Complete slices (n, 1, x, y) of which a part is visible, as for `SliceEncoder.of_visible`."""
        filled: list[Tensor] = []
        outputs = reversed(self.encoder.of_visible(slices, visible))
        for x, norm, filling, projection in zip(
            outputs, self.norms, self.fillings, self.projections, strict=True
        ):
            assert isinstance(norm, VisibleNorm)
            norm.visible = visible
            filled.append(projection(torch.where(spread(visible, x) > 0, norm(x), filling.to(x.dtype))))
            norm.visible = None
        x = filled[0]
        for number, block in enumerate(self.blocks):
            x = block(x + filled[number] if 0 < number < len(filled) else x)
        completed: Tensor = self.output(x)
        return completed


def _doubling(width: int, to: int) -> nn.Sequential:
    return nn.Sequential(
        nn.ConvTranspose2d(width, width, kernel_size=4, stride=2, padding=1),
        nn.Conv2d(width, width, kernel_size=3, padding=1, bias=False),
        nn.BatchNorm2d(width),
        nn.ReLU6(),
        nn.Conv2d(width, to, kernel_size=3, padding=1, bias=False),
        nn.BatchNorm2d(to),
    )


def random_visible(slices: Tensor, generator: torch.Generator) -> Tensor:
    """A random 35 % of each slice's patches of 32 x 32 voxels, of two at least: (n, 1, x / 32, y / 32) of 0 and 1."""
    count, _, x, y = slices.shape
    x, y = x // PATCH, y // PATCH
    order = torch.rand(count, x * y, generator=generator, device=slices.device).argsort(dim=1).argsort(dim=1)
    return (order < max(1, round(VISIBLE * x * y))).float().view(count, 1, x, y)


def completion_loss(
    network: MaskedModel, slices: Tensor, brain: Tensor, generator: torch.Generator
) -> Tensor:
    """Mean squared error over the hidden voxels; arguments as of `training.train`."""
    visible = random_visible(slices, generator)
    hidden = 1 - spread(visible, slices)
    error: Tensor = (network(slices, visible).float() - slices).square()
    return (error * hidden).sum() / hidden.sum()


def pretrain(
    encoder: SliceEncoder,
    training: SlicePool,
    validation: SlicePool,
    *,
    settings: MethodSettings,
    checkpoint: Path | None,
) -> None:
    """Train an encoder in place to complete slices; all but its last layer, which is not a part of that.

    Args:
        encoder: Trained.
        training: Slices whose sides are multiples of 32.
        validation: The same.
        settings: pretraining_steps, and as of `training.train`.
        checkpoint: As of `training.train`.

    Raises:
        InputError: When a slice has a single patch, of which nothing could be hidden.
    """
    if np.prod(training.shape) < 2 * PATCH**2:
        raise InputError(
            f"method_settings.cddpm: slices of {training.shape} voxels found, at least two patches of "
            f"{PATCH} x {PATCH} expected for the pre-training; take a larger grid, or set pretraining_steps to 0"
        )
    network = MaskedModel(encoder).to(training.slices.device)
    optimizer = torch.optim.AdamW(
        [value for name, value in network.named_parameters() if not name.startswith("encoder.fc.")],
        lr=settings["learning_rate"],
        betas=(0.9, 0.95),
        weight_decay=0.05,
        fused=True,
    )
    train(
        network,
        completion_loss,
        training,
        validation,
        settings={**settings, "steps": settings["pretraining_steps"]},
        checkpoint=checkpoint,
        optimizer=optimizer,
    )
