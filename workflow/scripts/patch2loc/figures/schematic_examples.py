"""What Figure 1 shows: places of a slice that are chosen by rule, and what the run's network says of them."""

from dataclasses import dataclass

import numpy as np
import torch

from patch2loc.figures.slices import fullest_slice, lesion_slice
from patch2loc.heatmap import score_voxels
from patch2loc.network import patches
from patch2loc.network.inference import DenseNetwork, predict

ACCEPTED_NEAR = (0.4, 0.6)  # of the brain's extent, from the subject's left and from behind
REJECTED_NEAR = (1.0, 1.0)  # the corner at the right and in front


@dataclass(frozen=True)
class TrainingExample:
    """One healthy slice, an accepted patch with its prediction, and a rejected patch.

    title: dataset and subject.  scan: (x, y) standardized.  brain: (x, y) boolean.  z: index of the slice.
    slice_location: percent of the grid's height.  place, rejected: (2,) voxel x, y of the patches' centers.
    rejected_share: brain in the rejected patch, fraction.  patch: (p, p), what the network is given.
    mean: (2,) predicted location, percent of the grid.  deviation: (2,) its standard deviation, percent.
    latent_size: of the encoder's output.
    """

    title: str
    scan: np.ndarray
    brain: np.ndarray
    z: int
    slice_location: float
    place: np.ndarray
    rejected: np.ndarray
    rejected_share: float
    patch: np.ndarray
    mean: np.ndarray
    deviation: np.ndarray
    latent_size: int


@dataclass(frozen=True)
class InferenceExample:
    """One slice of a scan with lesions and its maps.

    title: dataset and subject.  scan: (x, y) standardized.  lesion: (x, y) boolean.  z: index of the slice.
    maps: log_error, log_variance and score, (x, y), NaN outside the brain, before the median filter.
    stride: voxels from one patch to the next.
    """

    title: str
    scan: np.ndarray
    lesion: np.ndarray
    z: int
    maps: dict[str, np.ndarray]
    stride: int


def training_example(
    title: str, volume: np.ndarray, mask: np.ndarray, network: DenseNetwork
) -> TrainingExample:
    """The slice with the most brain; of its places the accepted and the rejected one nearest to fixed points.

    The points are ACCEPTED_NEAR and REJECTED_NEAR of the brain's extent in the slice; the rejected patch holds less
    than 20 % of brain, but at least half of that, so that there is something to be seen.
    volume: (x, y, z) float32, standardized.  mask: (x, y, z) boolean.
    Raises ValueError when the slice has no accepted or no rejected place.
    """
    z = fullest_slice(mask)
    brain = mask[:, :, z]
    masks = torch.from_numpy(brain)[None]
    share = patches.share(masks, network.patch)[0].numpy()
    accepted = patches.accepted(masks, network.patch)[0].numpy()
    inside = np.argwhere(brain)
    corner, extent = inside.min(axis=0), np.ptp(inside, axis=0)
    place = _nearest(accepted, corner + ACCEPTED_NEAR * extent)
    rejected = _nearest(
        ~accepted & (share >= patches.MINIMUM_BRAIN_FRACTION / 2), corner + REJECTED_NEAR * extent
    )
    padded = patches.pad_slices(torch.from_numpy(volume[:, :, z])[None], network.patch)
    cut = patches.cut(padded, torch.tensor([0]), *torch.from_numpy(place)[:, None], network.patch)
    mean, log_variance = predict(volume, np.array([[*place, z]]), network)
    return TrainingExample(
        title=title,
        scan=volume[:, :, z],
        brain=brain,
        z=z,
        slice_location=patches.location(torch.tensor(z), volume.shape[2]).item(),
        place=place,
        rejected=rejected,
        rejected_share=float(share[tuple(rejected)]),
        patch=cut[0, 0].numpy(),
        mean=mean[0],
        deviation=np.exp(0.5 * log_variance[0]),
        latent_size=network.latent_size,
    )


def inference_example(
    title: str,
    volume: np.ndarray,
    mask: np.ndarray,
    lesion: np.ndarray,
    network: DenseNetwork,
    stride: int = 1,
) -> InferenceExample:
    """The slice with the most lesion, scored at every voxel of its brain.

    volume: (x, y, z) float32, standardized.  mask, lesion: (x, y, z) boolean.
    """
    z = lesion_slice(lesion, mask)
    wanted = np.zeros_like(mask)
    wanted[:, :, z] = mask[:, :, z]
    maps = {name: values[:, :, z] for name, values in score_voxels(volume, wanted, network, stride).items()}
    return InferenceExample(title, volume[:, :, z], lesion[:, :, z], z, maps, stride)


def _nearest(places: np.ndarray, point: np.ndarray) -> np.ndarray:
    """The true voxel (2,) nearest to a point, the first of equals."""
    candidates = np.argwhere(places)
    return candidates[np.argmin(((candidates - point) ** 2).sum(axis=1))]
