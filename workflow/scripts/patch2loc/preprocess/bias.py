"""Bias field correction (N4, Tustison et al. 2010) inside the brain mask."""

from typing import Literal, get_args

import numpy as np
import SimpleITK as sitk

from patch2loc.preprocess.images import coarser, to_array, to_image

# coarse: few iterations on blocks of 8 mm; full: many on all voxels, as the paper's released code has it.
BiasField = Literal["coarse", "full"]
BIAS_FIELDS: tuple[BiasField, ...] = get_args(BiasField)
COARSE_MM = 8.0
LEAST_VOXELS = 1000
# At each of three levels; without the third, a field that falls off to all sides stays.
ITERATIONS = (20, 20, 20)
CONVERGENCE = 1e-4
RELEASED_ITERATIONS, RELEASED_CONVERGENCE = (200, 200, 200, 200), 5e-4


def correct_bias(
    volume: np.ndarray, mask: np.ndarray, affine: np.ndarray, *, resolution: BiasField = "coarse"
) -> tuple[np.ndarray, np.ndarray]:
    """Divide a volume by its smooth bias field.

    The field is fitted to means over 8 mm blocks, where few iterations are enough as it is smooth, and evaluated on
    every voxel; with the resolution full it is fitted to the voxels, by four levels of 200 iterations. Its mean
    logarithm in the mask is 0, so that the brain keeps its brightness. With fewer than 1000 positive voxels in the mask
    the volume stays as it is.

    Args:
        volume: (x, y, z) float32.
        mask: Where the field is estimated, (x, y, z) bool.
        affine: 4 x 4, voxel indices to mm, for the spacing.
        resolution: What the field is fitted to.

    Returns:
        The corrected volume and the logarithm of the field, both (x, y, z) float32.
    """
    positive = mask & (volume > 0)
    if positive.sum() < LEAST_VOXELS:
        return volume, np.zeros_like(volume)
    correction = sitk.N4BiasFieldCorrectionImageFilter()
    if resolution == "full":
        correction.SetMaximumNumberOfIterations(RELEASED_ITERATIONS)
        correction.SetConvergenceThreshold(RELEASED_CONVERGENCE)
        correction.Execute(to_image(volume, affine), to_image(positive, affine))
    else:
        share, coarse = coarser(positive.astype(np.float32), affine, COARSE_MM)
        total, _ = coarser(volume * positive, affine, COARSE_MM)
        inside = share > 0.25
        means = np.where(inside, total / np.maximum(share, 0.25), 0).astype(np.float32)
        correction.SetMaximumNumberOfIterations(ITERATIONS)
        correction.SetConvergenceThreshold(CONVERGENCE)
        correction.Execute(to_image(means, coarse), to_image(inside, coarse))
    field = to_array(correction.GetLogBiasFieldAsImage(to_image(volume, affine))).astype(np.float32)
    field -= field[positive].mean()
    return (volume / np.exp(field)).astype(np.float32), field
