"""The score of the uncertainty of the VAE of patches."""

from pathlib import Path

import patch2loc.methods.patch_vae.model as patch_vae
from patch2loc.engine.choices import Device, Precision
from patch2loc.method_interface import MethodSettings, Score, State, Volumes
from patch2loc.network.patch_vae_inference import ReadyPatchVAE


def fit(
    training: Volumes,
    validation: Volumes,
    settings: MethodSettings,
    checkpoint: Path | None,
    *,
    device: Device,
) -> tuple[State, None]:
    """Take the network of patch_vae."""
    return settings["models"]["patch_vae"], None


def scorer(state: State, device: Device, stride: int = 1, precision: Precision = "float32") -> Score:
    """Score by the mean log-variance of the latent vector of the patch around a voxel."""
    network = patch_vae.ready_network(state, device, precision)
    return patch_vae.measure_score(ReadyPatchVAE.latent_log_variance, network, stride)
