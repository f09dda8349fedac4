"""ResNet-18 (He et al. 2016), with torchvision's names of parameters and its order of random numbers.

Written out, since importing torchvision also imports torch's compiler: several seconds of each job that only scores.
"""

import torch
from torch import Tensor, nn

WIDTHS = (64, 128, 256, 512)
CLASSES = 1000


class BasicBlock(nn.Module):
    """Two 3 x 3 convolutions beside an identity, or beside `downsample` where shapes differ."""

    def __init__(self, width_in: int, width: int, stride: int, downsample: nn.Module | None) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(width_in, width, kernel_size=3, stride=stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.relu = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(width, width, kernel_size=3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.downsample = downsample

    def forward(self, x: Tensor) -> Tensor:
        """Compute the maps of a block: (n, width_in, h, w) -> (n, width, h / stride, w / stride)."""
        identity = x if self.downsample is None else self.downsample(x)
        out = self.relu(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out))
        out += identity
        activated: Tensor = self.relu(out)
        return activated


def blocks(width_in: int, width: int, stride: int) -> nn.Sequential:
    """One of the four layers: two blocks, the first with the stride."""
    downsample = None
    if stride != 1 or width_in != width:
        downsample = nn.Sequential(
            nn.Conv2d(width_in, width, kernel_size=1, stride=stride, bias=False), nn.BatchNorm2d(width)
        )
    return nn.Sequential(
        BasicBlock(width_in, width, stride, downsample), BasicBlock(width, width, stride=1, downsample=None)
    )


class ResNet18(nn.Module):
    """The network for images of three channels, with random weights."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, WIDTHS[0], kernel_size=7, stride=2, padding=3, bias=False)
        self.bn1: nn.Module = nn.BatchNorm2d(WIDTHS[0])
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(kernel_size=3, stride=2, padding=1)
        self.layer1 = blocks(WIDTHS[0], WIDTHS[0], stride=1)
        self.layer2 = blocks(WIDTHS[0], WIDTHS[1], stride=2)
        self.layer3 = blocks(WIDTHS[1], WIDTHS[2], stride=2)
        self.layer4 = blocks(WIDTHS[2], WIDTHS[3], stride=2)
        self.avgpool = nn.AdaptiveAvgPool2d((1, 1))
        self.fc: nn.Module = nn.Linear(WIDTHS[3], CLASSES)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, x: Tensor) -> Tensor:
        """Compute what `fc` makes of the means of the last maps: (n, channels, h, w) -> (n, size)."""
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        result: Tensor = self.fc(torch.flatten(self.avgpool(x), 1))
        return result
