"""Training and score of the FAE, on features of a ResNet-18."""

from pathlib import Path

import pandas as pd
import torch

from patch2loc.engine.choices import Device, Precision
from patch2loc.engine.pretrained import with_pretrained
from patch2loc.method_interface import MethodSettings, Score, State, Volumes
from patch2loc.methods.reconstruction import feature_autoencoder
from patch2loc.methods.reconstruction.slice_features import imagenet_features

IMAGENET, RANDOM = "ResNet-18 of ImageNet", "random ResNet-18"


def fit(
    training: Volumes,
    validation: Volumes,
    settings: MethodSettings,
    checkpoint: Path | None,
    *,
    device: Device,
) -> tuple[State, pd.DataFrame]:
    """Train an autoencoder on features of healthy slices."""
    torch.manual_seed(settings["seed"])
    extractor, path = imagenet_features(), settings["pretrained"]["resnet18_imagenet"]
    if path is not None:
        with_pretrained(extractor, path)
    return feature_autoencoder.fit(
        training,
        validation,
        settings,
        checkpoint,
        device=device,
        extractor=extractor,
        kind={"of": RANDOM if path is None else IMAGENET},
    )


def scorer(state: State, device: Device, stride: int = 1, precision: Precision = "float32") -> Score:
    """Score by the dissimilarity of features and their reconstructions."""
    return feature_autoencoder.scorer(state, device, precision, imagenet_features())
