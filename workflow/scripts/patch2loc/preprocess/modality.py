"""The contrast of a registered scan: T1, T2, proton density or FLAIR, by the order of the tissues in brightness.

The discriminant was fitted to simulated contrasts alone by benchmarks/modality.py, which also measures its errors.
"""

from pathlib import Path
from typing import Any, Literal, TypedDict

import numpy as np
from scipy import ndimage

from patch2loc.data.modalities import MODALITIES, Modality, Tissue
from patch2loc.data.volumes import Grid
from patch2loc.errors import InputError
from patch2loc.preprocess.masks import box_around, eroded

Contrast = Modality | Literal["PD"]
SCANS: dict[Contrast, str] = {
    **{modality: row.scan for modality, row in MODALITIES.items()},
    "PD": "a proton-density scan",
}
DEEP_MM = 6.0  # below the surface of the atlas's brain, where every brain has brain
GRADIENT_MM = 2.0  # scale of the gradient that tells borders
# Percentiles of the brain whose distance is the unit of brightness: a bright or dark lesion of a tenth of the brain,
# beside fluid, does not reach them.
SPREAD = (80, 20)
FLUID = (5, 95)  # percentiles of the scan where the atlas has fluid
FEWEST_VOXELS = 20  # of a tissue, to say anything
# Linear discriminant: for each contrast the weights of the three numbers of `TissueOrder`, and a constant. Differences
# of two sums are log odds, natural logarithm, if all four contrasts are equally likely beforehand.
DISCRIMINANT: dict[Contrast, tuple[float, float, float, float]] = {
    "T1": (14.34, -5.12, 1.27, -9.92),
    "T2": (-16.11, -1.33, 14.78, -26.89),
    "PD": (-11.93, -2.31, 4.51, -6.27),
    "FLAIR": (-7.54, -10.26, 3.73, -22.18),
}
# Log odds: 7 to 1 at least for the modality, or it is doubtful; 20 to 1 against it is certain.
DOUBTFUL, CERTAIN = 2.0, 3.0
Verdict = Literal["accepted", "flagged", "refused"]


class OtherContrastError(InputError):
    """A scan that certainly has another contrast than its modality's.

    Attributes:
        looks_like: Its likeliest contrast.
    """

    looks_like: Contrast


class TissueOrder(TypedDict):
    """Brightness of tissues over that of gray matter, in units of the brain's 20th to 80th percentile.

    They stay the same if the scan is multiplied by a factor, or a constant is added.
    """

    white: float  # medians
    # 5th and 95th percentile of the atlas's fluid, a part of which is tissue in most brains: the ends tell what fluid
    # is like, whether it is darker or brighter than tissue.
    csf_low: float
    csf_high: float


class ModalityCheck(TypedDict):
    """What the contrast of a scan looks like."""

    looks_like: Contrast | None  # None: too little of the brain lies on the grid
    modality_log_odds: float | None  # of the modality against the likeliest other contrast, natural logarithm
    tissue_order: TissueOrder | None
    atlas_correlation: float  # Pearson, of scan and atlas in the brain, -1 to 1


def tissue_samples(atlas_on_grid: np.ndarray, contrast: Modality, grid: Grid) -> dict[Tissue, np.ndarray]:
    """Voxels of the grid that are purely of one tissue in the atlas.

    They are taken from the brightness of the atlas's image, so that no tissue map is needed.

    Args:
        atlas_on_grid: Image of the atlas, (x, y, z) float32, 0 outside its brain.
        contrast: Of the atlas.
        grid: The common grid.

    Returns:
        For each tissue (x, y, z) bool.
    """
    depth = max(1, round(DEEP_MM / grid.spacing))
    deep = eroded(atlas_on_grid > 0, depth)
    samples: dict[Tissue, np.ndarray] = {}
    if not deep.any():
        return dict.fromkeys(MODALITIES[contrast].pure, deep)
    # Of what lies deep alone, with what the gradient's filter reaches.
    sigma = GRADIENT_MM / grid.spacing
    reach = int(4 * sigma + 0.5)
    box = tuple(slice(max(edge.start - reach, 0), edge.stop + reach) for edge in box_around(deep))
    gradient = gradient_magnitude(atlas_on_grid[box], sigma)
    image, inner = atlas_on_grid[box], deep[box]
    for tissue, percentiles in MODALITIES[contrast].pure.items():
        low, high = np.percentile(image[inner], percentiles)
        within = inner & (image >= low) & (image <= high)
        samples[tissue] = np.zeros_like(deep)
        samples[tissue][box] = within & (gradient <= np.median(gradient[within]))
    return samples


def gradient_magnitude(image: np.ndarray, sigma: float) -> np.ndarray:
    """Magnitude of the gradient of a smoothed image, as scipy's `gaussian_gradient_magnitude`, smoothed once.

    Args:
        image: (x, y, z) float32.
        sigma: Standard deviation of the smoothing, voxels.

    Returns:
        (x, y, z) float32, brightness per voxel.
    """

    def smooth(part: np.ndarray, axis: int, order: int = 0) -> np.ndarray:
        filtered: np.ndarray = ndimage.gaussian_filter1d(part, sigma, axis, order)
        return filtered

    along_x = smooth(image, 0)
    squared: np.ndarray = smooth(smooth(smooth(image, 0, 1), 1), 2) ** 2
    squared += smooth(smooth(along_x, 1, 1), 2) ** 2
    squared += smooth(smooth(along_x, 1), 2, 1) ** 2
    magnitude: np.ndarray = np.sqrt(squared)
    return magnitude


def tissue_order(
    volume: np.ndarray, mask: np.ndarray, samples: dict[Tissue, np.ndarray]
) -> TissueOrder | None:
    """Measure the order of tissues in a registered scan.

    Args:
        volume: The scan on the grid, (x, y, z) float32.
        mask: Its brain mask, (x, y, z) bool.
        samples: From `tissue_samples`.

    Returns:
        The order, or None if the scan has too little of a tissue or no contrast.
    """
    values = {tissue: volume[mask & inside] for tissue, inside in samples.items()}
    spread = np.subtract(*np.percentile(volume[mask], SPREAD)) if mask.any() else 0
    if spread <= 0 or min(map(len, values.values())) < FEWEST_VOXELS:
        return None
    gray = np.median(values["gray"])
    csf_low, csf_high = np.percentile(values["csf"], FLUID)
    white, low, high = (
        round(float((value - gray) / spread), 4) for value in (np.median(values["white"]), csf_low, csf_high)
    )
    return {"white": white, "csf_low": low, "csf_high": high}


def log_odds(order: TissueOrder, modality: Modality) -> tuple[Contrast, float]:
    """The likeliest contrast of a scan, and the log odds of its modality against the likeliest other contrast."""
    numbers = np.array([order["white"], order["csf_low"], order["csf_high"], 1])
    scores: dict[Contrast, float] = {
        contrast: float(numbers @ weights) for contrast, weights in DISCRIMINANT.items()
    }
    rival = max(score for contrast, score in scores.items() if contrast != modality)
    return max(scores, key=lambda contrast: scores[contrast]), scores[modality] - rival


def verdict(looks_like: Contrast, odds: float, modality: Modality) -> Verdict:
    """What becomes of a scan with what `log_odds` returns for it."""
    if odds >= DOUBTFUL:
        return "accepted"
    is_certain = odds < -CERTAIN and looks_like not in MODALITIES[modality].passes_into
    return "refused" if is_certain else "flagged"


def check_modality(
    volume: np.ndarray,
    mask: np.ndarray,
    *,
    modality: Modality,
    atlas_on_grid: np.ndarray,
    atlas_contrast: Modality,
    grid: Grid,
) -> tuple[ModalityCheck, list[str]]:
    """Measure what contrast a registered scan has: numbers for qc.json, and flags.

    Args:
        volume: The scan on the grid, bias-corrected, (x, y, z) float32.
        mask: Its brain mask, (x, y, z) bool.
        modality: The modality that it is said to have.
        atlas_on_grid: Image of the atlas, (x, y, z) float32, 0 outside its brain.
        atlas_contrast: Contrast of this image.
        grid: The common grid.
    """
    inside = mask & (atlas_on_grid > 0)
    correlation = 0.0
    if inside.any():
        values = np.clip(volume[inside], *np.percentile(volume[inside], (1, 99)))
        if values.std() > 0:
            correlation = float(np.corrcoef(values, atlas_on_grid[inside])[0, 1])
    order = tissue_order(volume, mask, tissue_samples(atlas_on_grid, atlas_contrast, grid))
    check: ModalityCheck = {
        "looks_like": None,
        "modality_log_odds": None,
        "tissue_order": order,
        "atlas_correlation": round(correlation, 4),
    }
    if order is None:
        return check, ["too little of the brain on the grid to check the modality"]
    looks_like, odds = log_odds(order, modality)
    check["looks_like"], check["modality_log_odds"] = looks_like, round(odds, 4)
    if verdict(looks_like, odds, modality) == "accepted":
        return check, []
    rival = _rival(check, modality)
    return check, [f"the contrast may not be {modality}: {rival}, {_numbers(check, modality)}"]


def _rival(check: ModalityCheck, modality: Modality) -> str:
    looks_like = check["looks_like"]
    if looks_like is None or looks_like == modality:
        return f"{modality} is the likeliest contrast, but not by far"
    return f"it looks like {SCANS[looks_like]}"


def _numbers(check: ModalityCheck, modality: Modality) -> str:
    order: Any = check["tissue_order"]
    return (
        f"log odds of {modality} {check['modality_log_odds']:.1f}, {DOUBTFUL:.0f} expected at least; brightness over "
        f"gray matter: white matter {order['white']:+.2f}, fluid {order['csf_low']:+.2f} to {order['csf_high']:+.2f}"
    )


def stop_if_other_modality(check: ModalityCheck, modality: Modality, scan_path: Path) -> None:
    """Raise OtherContrastError, naming the scan, if it certainly has another contrast than its modality's."""
    odds, looks_like = check["modality_log_odds"], check["looks_like"]
    if odds is None or looks_like is None or verdict(looks_like, odds, modality) != "refused":
        return
    error = OtherContrastError(
        f"{scan_path}: this looks like {SCANS[looks_like]} ({_numbers(check, modality)}), a scan of the modality "
        f"{modality} expected; give the {modality} scan, or leave this one out"
    )
    error.looks_like = looks_like
    raise error
