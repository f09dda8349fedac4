"""The VAE of patches again (paper, section 6): a patch whose latent vector it is unsure of is abnormal.

Its network is that of patch_vae, of the same modality and fold, and is not trained a second time.
"""

from pathlib import Path

from patch2loc.engine.choices import Device, Precision
from patch2loc.method_interface import MethodSettings, Score, State, Volumes
from patch2loc.methods import patch_vae
from patch2loc.network.patch_vae_inference import ReadyPatchVAE

ROLE = "variant"
ORDER = 54
FROM_PATCHES = True
NETWORK = True
CALIBRATED = True
NEEDS = ("patch_vae",)
STATE = patch_vae.STATE


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
