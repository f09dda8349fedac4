"""Steps that the paper's released code takes and the paper does not mention: `protocol: released-code`.

The third one, the scale of intensities, belongs to `patch2loc.standardize`.
"""

import numpy as np
import SimpleITK as sitk

from patch2loc.preprocess.images import to_array, to_image

PROTOCOLS = ("paper", "released-code")
CURVATURE_FLOW_STEP, CURVATURE_FLOW_ITERATIONS = 0.125, 3


def template(modality: str, protocol: str) -> str:
    """The contrast of the atlas that scans of a modality are registered to: their own, or T1 for all of them."""
    return "T1" if protocol == "released-code" else modality


def curvature_flow(volume: np.ndarray, mask: np.ndarray, affine: np.ndarray) -> np.ndarray:
    """Smooth a stripped volume along its edges (curvature flow; Sethian 1996): (x, y, z) float32.

    volume: (x, y, z) float32, 0 outside the mask, on voxels with `affine`. What flows out of the mask is cut.
    """
    image = to_image(volume, affine)
    flowed = sitk.CurvatureFlow(image, CURVATURE_FLOW_STEP, CURVATURE_FLOW_ITERATIONS)
    return np.where(mask, to_array(flowed), 0).astype(np.float32)
