"""Steps of the paper's released code that the paper does not mention: `protocol: released-code`.

A third one, the scale of intensities, belongs to `patch2loc.standardize`.
"""

from typing import Literal, get_args

import numpy as np
import SimpleITK as sitk

from patch2loc.preprocess.images import to_array, to_image

Protocol = Literal["paper", "released-code"]
PROTOCOLS: tuple[Protocol, ...] = get_args(Protocol)
CURVATURE_FLOW_STEP, CURVATURE_FLOW_ITERATIONS = 0.125, 3


def template(modality: str, protocol: str) -> str:
    """The contrast of the atlas that scans of a modality are registered to: their own, or T1 for all."""
    return "T1" if protocol == "released-code" else modality


def curvature_flow(volume: np.ndarray, mask: np.ndarray, affine: np.ndarray) -> np.ndarray:
    """Smooth a stripped volume along its edges (curvature flow; Sethian 1996). What flows out of the mask is cut.

    Args:
        volume: (x, y, z) float32, 0 outside the mask.
        mask: The brain, (x, y, z) bool.
        affine: 4 x 4, voxel indices to mm.

    Returns:
        (x, y, z) float32.
    """
    image = to_image(volume, affine)
    smooth = sitk.CurvatureFlow(image, CURVATURE_FLOW_STEP, CURVATURE_FLOW_ITERATIONS)
    return np.where(mask, to_array(smooth), 0).astype(np.float32)
