"""Contents of Figure 1: places in a slice, selected by rule, and the predictions of the run's network for them."""

from dataclasses import dataclass

import numpy as np
import torch

from patch2loc.figures.slices import fullest_slice, lesion_slice
from patch2loc.heatmap import score_voxels
from patch2loc.network import patches
from patch2loc.network.inference import DenseNetwork
from patch2loc.network.prediction import predict

ACCEPTED_NEAR = (0.4, 0.6)  # of the brain's extent, from the subject's left and from behind
REJECTED_NEAR = (1.0, 1.0)  # the corner at the right and in front


@dataclass(frozen=True, kw_only=True)
class TrainingExample:
    """One healthy slice, an accepted patch with its prediction, and a rejected patch.

    Attributes:
        title: dataset and subject.
        image: (x, y) standardized intensities of the slice.
        brain: (x, y) boolean.
        z: index of the slice.
        slice_location: percent of the grid's height.
        place: (2,) voxel x, y of the accepted patch's center.
        rejected: (2,) voxel x, y of the rejected patch's center.
        rejected_share: fraction of brain in the rejected patch.
        patch: (p, p), the network's input.
        mean: (2,) predicted location, percent of the grid.
        deviation: (2,) its standard deviation, percent of the grid.
        latent_size: length of the encoder's output.
    """

    title: str
    image: np.ndarray
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


@dataclass(frozen=True, kw_only=True)
class InferenceExample:
    """One slice of a scan with lesions and its maps.

    Attributes:
        title: dataset and subject.
        image: (x, y) standardized intensities of the slice.
        lesion: (x, y) boolean.
        z: index of the slice.
        maps: log_error, log_variance and score, (x, y), NaN outside the brain, before the median filter.
        stride: voxels from one patch to the next.
    """

    title: str
    image: np.ndarray
    lesion: np.ndarray
    z: int
    maps: dict[str, np.ndarray]
    stride: int


def training_example(
    title: str, volume: np.ndarray, mask: np.ndarray, network: DenseNetwork
) -> TrainingExample:
    """Example of training in the slice with the most brain: its accepted and rejected places nearest to fixed points.

    The points are ACCEPTED_NEAR and REJECTED_NEAR of the brain's extent in the slice; the rejected patch holds less
    than 20 % of brain, but at least half of that, so that there is something to see.

    Args:
        title: dataset and subject.
        volume: (x, y, z) float32, standardized.
        mask: (x, y, z) boolean.
        network: that predicts the accepted patch's location.

    Raises:
        ValueError: the slice has no accepted or no rejected place.
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
    x, y = torch.from_numpy(place)[:, None]
    cut = patches.cut(padded, torch.tensor([0]), x, y, patch=network.patch)
    mean, log_variance = predict(volume, np.array([[*place, z]]), network)
    return TrainingExample(
        title=title,
        image=volume[:, :, z],
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
    *,
    network: DenseNetwork,
    stride: int = 1,
) -> InferenceExample:
    """Example of inference: the slice with the most lesion, scored at every voxel of its brain.

    Args:
        title: dataset and subject.
        volume: (x, y, z) float32, standardized.
        mask: (x, y, z) boolean.
        lesion: (x, y, z) boolean.
        network: that scores.
        stride: voxels from one patch to the next.
    """
    z = lesion_slice(lesion, mask)
    slice_mask = np.zeros_like(mask)
    slice_mask[:, :, z] = mask[:, :, z]
    maps = {
        name: values[:, :, z] for name, values in score_voxels(volume, slice_mask, network, stride).items()
    }
    return InferenceExample(
        title=title,
        image=volume[:, :, z],
        lesion=lesion[:, :, z],
        z=z,
        maps=maps,
        stride=stride,
    )


def _nearest(places: np.ndarray, point: np.ndarray) -> np.ndarray:
    """True voxel (2,) nearest to a point, the first of equals."""
    candidates = np.argwhere(places)
    nearest: np.ndarray = candidates[np.argmin(((candidates - point) ** 2).sum(axis=1))]
    return nearest
