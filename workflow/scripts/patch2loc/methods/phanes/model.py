"""The two networks of PHANES, their training and their score."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

import patch2loc.methods.ra.model as ra
from patch2loc.engine.choices import Device, Precision
from patch2loc.engine.precision import PRECISIONS
from patch2loc.engine.pretrained import with_pretrained
from patch2loc.engine.weights import weights_of, with_weights
from patch2loc.method_interface import MethodSettings, Score, State, Volumes
from patch2loc.methods.reconstruction.inpainting import (
    Inpainter,
    Vgg19,
    ellipses,
    inpainted,
    mask_of,
    painting_loss,
)
from patch2loc.methods.reconstruction.residual import slice_score
from patch2loc.methods.reconstruction.reversed_autoencoder import (
    ReversedAutoencoder,
    losses,
    mean_squared_error,
    moved,
    optimizers,
)
from patch2loc.methods.reconstruction.saliency import (
    Perception,
    perception,
    perception_weights,
    residual_of_contrast,
    saliency,
    saliency_kind,
)
from patch2loc.methods.reconstruction.slice_pools import SlicePool
from patch2loc.methods.reconstruction.training import train_in_turns

TRAINING_THRESHOLD = 0.1  # of the anomaly map
# Of residuals, where it becomes 1; of anomaly maps of healthy brains, where it becomes the threshold.
PERCENTILE = 95
FEATURES, SIMILARITY = "VGG-19 of ImageNet", "structural similarity"  # what the painting is trained by


class Phanes(nn.Module):
    """A reversed autoencoder and an inpainter.

    Args:
        shape: Of `ReversedAutoencoder`.
        widths: Of `ReversedAutoencoder`.
        latent: Of `ReversedAutoencoder`.
        painter_widths: Of `Inpainter`.
        painter_blocks: Of `Inpainter`.
    """

    def __init__(
        self,
        shape: list[int],
        widths: list[int],
        latent: int,
        *,
        painter_widths: list[int],
        painter_blocks: int,
    ) -> None:
        super().__init__()
        self.autoencoder = ReversedAutoencoder(shape, widths, latent)
        self.painter = Inpainter(painter_widths, painter_blocks)


def anomaly(perceived: Perception | None, slices: Tensor, coarse: Tensor, brain: Tensor) -> Tensor:
    """Anomaly map of slices and their coarse reconstructions.

    The absolute difference after equalized contrast, of which the 95th percentile of each slice's brain becomes 1 and
    what is above it, too; times the saliency.

    Args:
        perceived: Network of `saliency.perception`, or None.
        slices: (n, 1, x, y).
        coarse: (n, 1, x, y), reconstructions.
        brain: (n, 1, x, y) boolean.

    Returns:
        (n, 1, x, y) float32, 0 outside the brain.
    """
    residual = residual_of_contrast(slices, coarse, brain)
    highest = torch.where(brain, residual, torch.nan).flatten(1).nanquantile(PERCENTILE / 100, dim=1)
    share = (residual / highest.clamp(min=1e-6)[:, None, None, None]).clamp(max=1)
    return torch.where(brain, share * saliency(perceived, slices, coarse), 0.0)


def fit(
    training: Volumes,
    validation: Volumes,
    settings: MethodSettings,
    checkpoint: Path | None,
    *,
    device: Device,
) -> tuple[State, pd.DataFrame]:
    """Train both networks on healthy slices, in turn in every step."""
    saliency_weights = perception_weights(settings["pretrained"])
    vgg_path = settings["pretrained"]["vgg19_imagenet"]
    perceived = perception(saliency_weights, device)
    vgg = None if vgg_path is None else with_pretrained(Vgg19(), vgg_path, "features.").to(device)
    multiple = ra.multiple_of(settings)
    pools = [SlicePool(scans, device, settings["spacing"], multiple) for scans in (training, validation)]
    arguments = {name: settings[name] for name in ("widths", "latent", "painter_widths", "painter_blocks")}
    arguments["shape"] = list(pools[0].shape)
    torch.manual_seed(settings["seed"])
    network = Phanes(**arguments).to(device)

    def turns(network: Phanes, slices: Tensor, masks: Tensor, generator: torch.Generator) -> Iterator[Tensor]:
        slices = moved(slices, generator)
        yield from losses(network.autoencoder, slices, masks, generator)
        holes = ellipses(len(slices), slices.shape[2:], generator)
        network.autoencoder.eval()  # as when scans are scored
        with torch.no_grad():
            unlike = anomaly(perceived, slices, network.autoencoder(slices), slices > 0)
        network.autoencoder.train()
        holes = holes | mask_of(unlike, TRAINING_THRESHOLD)
        yield painting_loss(network.painter(slices, holes), slices, vgg)

    def measure(network: Phanes, slices: Tensor, masks: Tensor, generator: torch.Generator) -> Tensor:
        holes = ellipses(len(slices), slices.shape[2:], generator)
        painted: Tensor = network.painter(slices, holes)
        painting_error = (painted.float() - slices).abs().mean()
        return mean_squared_error(network.autoencoder, slices, masks, generator) + painting_error

    rate = settings["learning_rate"]
    painter_optimizer = torch.optim.Adam(network.painter.parameters(), rate, fused=True)
    history = train_in_turns(
        network,
        turns,
        *pools,
        settings={**settings, "precision": "float32"},  # the exponentials of the encoder's loss need it
        checkpoint=checkpoint,
        optimizers=[*optimizers(network.autoencoder, rate), painter_optimizer],
        measure=measure,
    )
    state = {
        "weights": weights_of(network),
        "network": arguments,
        "threshold": threshold_of(network.autoencoder, perceived, pools[1], settings),
        "perception": saliency_weights,
        "spacing": settings["spacing"],
    }
    kinds = {"saliency": saliency_kind(saliency_weights), "painting": SIMILARITY if vgg is None else FEATURES}
    return state | kinds, history.assign(**kinds)


def threshold_of(
    autoencoder: nn.Module, perceived: Perception | None, healthy: SlicePool, settings: Mapping[str, Any]
) -> float:
    """The 95th percentile of the anomaly maps of healthy brains: of those slices that training is validated by."""
    drawn, masks = healthy.draw(healthy.generator(settings["seed"], 2), settings["validation_slices"])
    batch = settings["batch"]
    with torch.inference_mode():
        anomalies = [
            anomaly(perceived, slices, autoencoder(slices), brain)[brain]
            for slices, brain in zip(torch.split(drawn, batch), torch.split(masks, batch), strict=True)
        ]
    return float(np.percentile(torch.cat(anomalies).cpu().numpy(), PERCENTILE))


def scorer(state: State, device: Device, stride: int = 1, precision: Precision = "float32") -> Score:
    """Score by the absolute difference of slices and what is painted; as published times their saliency.

    Both are 0 outside the mask that the painting fills.
    """
    network = with_weights(Phanes(**state["network"]), state["weights"], device)
    perceived = perception(state["perception"], device)

    def maps_of(slices: Tensor, brain: Tensor) -> dict[str, Tensor]:
        in_precision = torch.autocast(
            slices.device.type, PRECISIONS[precision], enabled=precision != "float32"
        )
        with in_precision:
            coarse = network.autoencoder(slices).float()
        masks = mask_of(anomaly(perceived, slices, coarse, brain), state["threshold"])
        with in_precision:
            painted = inpainted(network.painter, slices, masks)
        residual = (slices - painted).abs()
        return {"score": residual, "as_published": residual * saliency(perceived, painted, slices)}

    return slice_score(maps_of, device, state["spacing"], ra.multiple_of(state["network"]))
