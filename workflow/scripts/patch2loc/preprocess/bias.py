"""Bias field correction (N4, Tustison et al. 2010) inside the brain mask."""

import numpy as np
import SimpleITK as sitk

from patch2loc.preprocess.images import coarser, to_array, to_image

COARSE_MM = 8.0
ITERATIONS = (20, 20, 20)  # at each of three levels; without the third a field that falls to all sides stays
CONVERGENCE = 1e-4


def correct_bias(volume: np.ndarray, mask: np.ndarray, affine: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Divide a volume by its smooth bias field: (corrected volume, log field), both (x, y, z) float32.

    volume: (x, y, z) float32.  mask: where the field is estimated.  affine: voxel to mm, for the spacing.
    The field is fitted to means over 8 mm blocks, few iterations being enough for a field that is smooth, and
    evaluated on every voxel. Its mean logarithm in the mask is 0, so that the brain keeps its brightness.
    With less than 1000 positive voxels in the mask the volume stays as it is.
    """
    seen = mask & (volume > 0)
    if seen.sum() < 1000:
        return volume, np.zeros_like(volume)
    share, coarse = coarser(seen.astype(np.float32), affine, COARSE_MM)
    total, _ = coarser(volume * seen, affine, COARSE_MM)
    inside = share > 0.25
    means = np.where(inside, total / np.maximum(share, 0.25), 0).astype(np.float32)
    correction = sitk.N4BiasFieldCorrectionImageFilter()
    correction.SetMaximumNumberOfIterations(ITERATIONS)
    correction.SetConvergenceThreshold(CONVERGENCE)
    correction.Execute(to_image(means, coarse), to_image(inside, coarse))
    field = to_array(correction.GetLogBiasFieldAsImage(to_image(volume, affine))).astype(np.float32)
    field -= field[seen].mean()
    return (volume / np.exp(field)).astype(np.float32), field
