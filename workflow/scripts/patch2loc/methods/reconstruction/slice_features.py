"""Features of whole slices: the first stages of a frozen ResNet, trained on something else, or not at all."""

import torch
from torch import Tensor, nn
from torch.nn import functional
from torchvision.models import resnet18
from torchvision.models.resnet import ResNet

REDUCTION = 4  # voxels of a slice to a place of its features, along each axis


class SliceFeatures(nn.Module):
    """Maps of the pooled first layer, layer1 and layer2 of a ResNet, all at a quarter of the slice's size.

    It stays in evaluation mode and has no gradient: neither weights nor statistics of batch normalization change.

    Args:
        resnet: Of torchvision's structure; one of three channels sees intensities of -1 to 1 in each.
        enlarge: Slices are interpolated to so many times their size first, and the features averaged back.
    """

    def __init__(self, resnet: ResNet, enlarge: int = 1) -> None:
        super().__init__()
        self.conv1, self.bn1, self.layer1, self.layer2 = (
            getattr(resnet, name) for name in ("conv1", "bn1", "layer1", "layer2")
        )
        self.enlarge = enlarge
        self.channels = self.conv1.out_channels + sum(
            layer[-1].conv2.out_channels for layer in (self.layer1, self.layer2)
        )
        self.requires_grad_(False)
        self.eval()

    def train(self, mode: bool = True) -> "SliceFeatures":
        """Stay in evaluation mode."""
        return super().train(False)

    @torch.no_grad()
    def forward(self, slices: Tensor) -> Tensor:
        """Features (n, channels, x / 4, y / 4) of slices (n, 1, x, y), 0 to 1, x and y multiples of 8.

        The maps of layer2 are half as large as the others and interpolated to their size.  A ResNet that puts more
        zeros around a slice than its first kernel reaches has a place before the first voxel, which is left off.
        """
        places = [size // REDUCTION for size in slices.shape[2:]]
        if self.enlarge > 1:
            slices = functional.interpolate(slices, scale_factor=self.enlarge, mode="bilinear")
        if self.conv1.in_channels == 3:
            slices = (2 * slices - 1).expand(-1, 3, -1, -1)
        # In float32, as slices are: reconstructions are compared with these features.
        with torch.autocast(slices.device.type, enabled=False):
            maps = functional.relu(self.bn1(self.conv1(slices)))
            maps = functional.max_pool2d(maps, kernel_size=3, stride=2, padding=1)
            first = self.layer1(maps)
            second = functional.interpolate(
                self.layer2(first), maps.shape[2:], mode="bilinear", align_corners=True
            )
        features = torch.cat([maps, first, second], dim=1)
        x, y = (self.enlarge * size for size in places)
        return functional.avg_pool2d(features[..., -x:, -y:], self.enlarge)


def imagenet_features() -> SliceFeatures:
    """Features of torchvision's ResNet-18, 256 channels, with random weights."""
    return SliceFeatures(resnet18(weights=None))
