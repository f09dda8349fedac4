"""Training of the VAE of patches, and the score of its reconstructions."""

from collections.abc import Callable
from dataclasses import fields
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
from torch import Tensor
from tqdm import tqdm

from patch2loc.engine.choices import Device, Precision
from patch2loc.engine.transfer import to_device
from patch2loc.engine.weights import weights_of, with_weights
from patch2loc.errors import InputError
from patch2loc.heatmap import ScoreMaps, interpolated, lattice_points
from patch2loc.method_interface import Maps, MethodSettings, Score, State, Volumes
from patch2loc.network.centers import Centers, centers_in
from patch2loc.network.patch_vae import PatchVAE
from patch2loc.network.patch_vae_inference import ReadyPatchVAE
from patch2loc.network.patch_vae_training import train
from patch2loc.network.ready import Progress
from patch2loc.network.sampling import PatchPool
from patch2loc.network.training import Settings

# From a network, a scan and centers of patches to a number for each, (n,).
PatchMeasure = Callable[[ReadyPatchVAE, np.ndarray, Centers, Progress], Tensor]


def fit(
    training: Volumes,
    validation: Volumes,
    settings: MethodSettings,
    checkpoint: Path | None,
    *,
    device: Device,
) -> tuple[State, pd.DataFrame]:
    """Train on the healthy patches that Patch2Loc is trained on; the evidence lower bound chooses the weights.

    Args:
        training: As of a method.
        validation: As of a method.
        settings: latent, the size of the latent vector; and those of Patch2Loc.
        checkpoint: As of a method.
        device: As of a method.

    Raises:
        InputError: For a latent vector of no numbers.
    """
    latent = settings["latent"]
    if latent < 1:
        raise InputError(
            f"method_settings.patch_vae.latent: {latent} found, a whole number from 1 expected; correct it"
        )
    pool, validation_pool = (PatchPool(scans, settings["patch"], device) for scans in (training, validation))
    of_training = Settings(
        **{field.name: settings[field.name] for field in fields(Settings) if field.name in settings}
    )
    network, history = train(pool, validation_pool, of_training, checkpoint, latent=latent)
    return {
        "weights": weights_of(network),
        "widths": list(of_training.widths),
        "patch": of_training.patch,
        "latent": latent,
    }, pd.DataFrame(history)


def scorer(state: State, device: Device, stride: int = 1, precision: Precision = "float32") -> Score:
    """Score by the reconstruction error: the negative log-likelihood of the patch around a voxel, nats a voxel."""
    return measure_score(ReadyPatchVAE.reconstruction_error, ready_network(state, device, precision), stride)


def ready_network(state: State, device: Device, precision: Precision) -> ReadyPatchVAE:
    """The network of a model's state, ready to measure patches."""
    network = PatchVAE(state["patch"], state["widths"], state["latent"])
    return ReadyPatchVAE(with_weights(network, state["weights"], "cpu"), device, precision)


def measure_score(measure: PatchMeasure, network: ReadyPatchVAE, stride: int) -> Score:
    """The score that is a measure of the patch around every voxel.  measure: of the network; stride: as of `scorer`."""
    # A bar on terminals only: a volume takes minutes on a processor.
    progress = partial(tqdm, desc="slices", unit="slice", leave=False, disable=None)

    def score(volume: np.ndarray, mask: np.ndarray, region: np.ndarray) -> Maps:
        centers = centers_in(lattice_points(region, stride))
        x, y, z = (to_device(places, network.device).long() for places in (centers.x, centers.y, centers.z))
        _, height, depth = volume.shape

        def on_grid(sparse_map: Tensor) -> Tensor:
            if stride == 1:
                return sparse_map
            return to_device(interpolated(sparse_map.cpu().numpy(), region, stride), network.device)

        values = {"score": measure(network, volume, centers, progress)}
        return ScoreMaps(values, (x * height + y) * depth + z, volume.shape, on_grid)

    return score
