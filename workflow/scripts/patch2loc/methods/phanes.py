"""PHANES (Bercea et al. 2023): what a reversed autoencoder finds unlike is painted anew; what that changes is abnormal.

Two stages: a reversed autoencoder (ra) marks a slice where its coarse reconstruction differs; an inpainter fills the
marked part with what fits the rest.
"""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from patch2loc.engine.precision import PRECISIONS
from patch2loc.engine.pretrained import with_pretrained
from patch2loc.engine.weights import weights_of, with_weights
from patch2loc.method_interface import Volumes
from patch2loc.methods import ra
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
    kind_of,
    perception,
    perception_weights,
    residual_of_contrast,
    saliency,
)
from patch2loc.methods.reconstruction.slice_pools import SlicePool
from patch2loc.methods.reconstruction.training import train

ROLE = "table1"
ORDER = 150
NETWORK = True
TRAINING_THRESHOLD = 0.1  # of the anomaly map
# Of residuals, where it becomes 1; of anomaly maps of healthy brains, where it becomes the threshold.
PERCENTILE = 95
PRETRAINED = ("squeezenet1_1_imagenet", "vgg19_imagenet")
PAINTER = {"painter_widths": [64, 128, 256], "painter_blocks": 8}
SETTINGS = {
    "smoke": ra.SETTINGS["smoke"]
    | {"steps": 120, "batch": 4, "painter_widths": [8, 16, 32], "painter_blocks": 4},
    "short": ra.SETTINGS["short"] | PAINTER,
    "paper": ra.SETTINGS["paper"] | PAINTER,
}
AS_PUBLISHED = ra.AS_PUBLISHED
FEATURES, SIMILARITY = "VGG-19 of ImageNet", "structural similarity"  # what the painting is trained by


class Phanes(nn.Module):
    """A reversed autoencoder and an inpainter.

    shape, widths, latent: of `ReversedAutoencoder`.  painter_widths, painter_blocks: of `Inpainter`.
    """

    def __init__(
        self,
        shape: list[int],
        widths: list[int],
        latent: int,
        painter_widths: list[int],
        painter_blocks: int,
    ) -> None:
        super().__init__()
        self.autoencoder = ReversedAutoencoder(shape, widths, latent)
        self.painter = Inpainter(painter_widths, painter_blocks)


def anomaly(perceived: Perception | None, slices: Tensor, coarse: Tensor, brain: Tensor) -> Tensor:
    """How unlike slices and their coarse reconstructions are: (n, 1, x, y) float32, 0 outside the brain.

    The absolute difference after equalized contrast, of which the 95th percentile of each slice's brain becomes 1 and
    what is above it, too; times the saliency.
    perceived: of `saliency.perception`.  slices, coarse, brain (boolean): (n, 1, x, y).
    """
    residual = residual_of_contrast(slices, coarse, brain)
    highest = torch.where(brain, residual, torch.nan).flatten(1).nanquantile(PERCENTILE / 100, dim=1)
    share = (residual / highest.clamp(min=1e-6)[:, None, None, None]).clamp(max=1)
    return torch.where(brain, share * saliency(perceived, slices, coarse), 0.0)


def fit(
    training: Volumes, validation: Volumes, settings: dict, checkpoint: Path | None, device: str
) -> tuple[dict, pd.DataFrame]:
    """Train both networks on healthy slices, in turn in every step."""
    weights, layers = perception_weights(settings["pretrained"]), settings["pretrained"]["vgg19_imagenet"]
    perceived = perception(weights, device)
    vgg = None if layers is None else with_pretrained(Vgg19(), layers, "features.").to(device)
    multiple = ra.multiple_of(settings)
    pools = [SlicePool(scans, device, settings["spacing"], multiple) for scans in (training, validation)]
    built = {name: settings[name] for name in ("widths", "latent", "painter_widths", "painter_blocks")}
    built["shape"] = list(pools[0].shape)
    torch.manual_seed(settings["seed"])
    network = Phanes(**built).to(device)

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
        painted = (network.painter(slices, holes).float() - slices).abs().mean()
        return mean_squared_error(network.autoencoder, slices, masks, generator) + painted

    own = {**settings, "precision": "float32"}  # the exponentials of the encoder's loss need it
    rate = settings["learning_rate"]
    painters = torch.optim.Adam(network.painter.parameters(), rate, fused=True)
    adams = [*optimizers(network.autoencoder, rate), painters]
    history = train(network, turns, *pools, own, checkpoint, adams, measure=measure)
    state = {
        "weights": weights_of(network),
        "network": built,
        "threshold": threshold_of(network.autoencoder, perceived, pools[1], settings),
        "perception": weights,
        "spacing": settings["spacing"],
    }
    kinds = {"saliency": kind_of(weights), "painting": SIMILARITY if vgg is None else FEATURES}
    return state | kinds, history.assign(**kinds)


@torch.inference_mode()
def threshold_of(
    autoencoder: nn.Module, perceived: Perception | None, healthy: SlicePool, settings: Mapping[str, Any]
) -> float:
    """The 95th percentile of the anomaly maps of healthy brains: of those slices that training is validated by."""
    drawn = healthy.draw(healthy.generator(settings["seed"], 2), settings["validation_slices"])
    parts = zip(*(each.split(settings["batch"]) for each in drawn), strict=True)
    found = [anomaly(perceived, slices, autoencoder(slices), brain)[brain] for slices, brain in parts]
    return float(np.percentile(torch.cat(found).cpu().numpy(), PERCENTILE))


def scorer(
    state: dict, device: str, stride: int = 1, precision: str = "float32"
) -> Callable[..., dict[str, np.ndarray]]:
    """Score by the absolute difference of slices and what is painted; as published times their saliency.

    Both are 0 outside the mask that the painting fills.
    """
    network = with_weights(Phanes(**state["network"]), state["weights"], device)
    perceived = perception(state["perception"], device)

    def maps_of(slices: Tensor, brain: Tensor) -> dict[str, Tensor]:
        half = torch.autocast(slices.device.type, PRECISIONS[precision], enabled=precision != "float32")
        with half:
            coarse = network.autoencoder(slices).float()
        masks = mask_of(anomaly(perceived, slices, coarse, brain), state["threshold"])
        with half:
            painted = inpainted(network.painter, slices, masks)
        residual = (slices - painted).abs()
        return {"score": residual, "as_published": residual * saliency(perceived, painted, slices)}

    return slice_score(maps_of, device, state["spacing"], ra.multiple_of(state["network"]))
