"""Controlled lesions in real healthy scans: one place, size and amount, and one kind of change of the tissue there.

A lesion is a ball in or near the cortex. Inside it the tissue is brighter or darker, or it has the intensities of
healthy tissue in another texture or shape. The scan is real, the lesion is simulated, and the ball is the truth,
whatever the change. Scans that result have to be called simulated wherever they are shown.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy import ndimage
from scipy.cluster.vq import kmeans2

from patch2loc.acquire.painted import EDGE_MM, ball_volume_ml, read_brain, read_stored, write_like
from patch2loc.data.modalities import MODALITIES, Modality
from patch2loc.errors import InputError

DEPTH_MM = (5.0, 20.0)  # of the middle of a lesion below the brain's surface
IN_BRAIN = 0.6  # share of a ball that is brain, at least
IN_TISSUE = 0.5  # share of this that is tissue, at least
DRAWS = 1000  # places that are tried
TEXTURE_MM = 4.0  # standard deviation of the low-pass that is left where the texture is lost
BORDER_MM = 2.0  # of that which blurs the border of gray and white matter
CORTEX_MM = 3.0  # by which the cortex is thicker
FLUID_MM = 2.0  # by which fluid is wider
SULCUS_MM = 4.0  # half of the width of a sulcus that is filled
# Of the tissue at most, over the radius of the ball: with the fall-off below, no part of the tissue folds over another.
DISPLACEMENT = 0.25
DISPLACEMENT_WIDTH = 0.7  # distance from the middle of the largest displacement, over the radius
# Factor that makes fluid darkest and white matter brightest, by the order of the tissues.
BRIGHTNESS: dict[tuple[str, ...], int] = {("csf", "gray", "white"): 1, ("white", "gray", "csf"): -1}


class Tissue(NamedTuple):
    """A scan in which fluid is darkest and white matter brightest, and the place of its lesion.

    Attributes:
        volume: (x, y, z) float32; a scan whose fluid is brightest is negated.
        brain: Its brain mask, (x, y, z) bool.
        share: Of each voxel in the lesion, (x, y, z) float32, 0 to 1; 0 outside the brain.
        fluid: Intensity of fluid.
        gray: Intensity of gray matter.
        white: Intensity of white matter.
        voxel: Edges of a voxel, mm, (3,).
        middle: Of the lesion, voxel indices, (3,).
        radius_mm: Of the lesion.
        brightness: 1, or -1 for a negated scan.
    """

    volume: np.ndarray
    brain: np.ndarray
    share: np.ndarray
    fluid: float
    gray: float
    white: float
    voxel: np.ndarray
    middle: np.ndarray
    radius_mm: float
    brightness: int

    @property
    def is_fluid(self) -> np.ndarray:
        """Voxels nearer to fluid than to gray matter, (x, y, z) bool."""
        return self.volume < (self.fluid + self.gray) / 2


def paint_lesion(
    scan_path: str | Path,
    brain_path: str | Path,
    *,
    modality: Modality,
    change: str,
    amount: float,
    diameter_mm: float,
    seed: int,
    outputs: Mapping[str, str | Path],
) -> dict[str, float]:
    """Change the tissue of a healthy scan in one place.

    The scan keeps its data type, scaling and header; the masks are uint8 on the scan's voxels. Lesions of one seed,
    diameter and scan are in the same voxels, whatever the change and its amount.

    Args:
        scan_path: The healthy scan.
        brain_path: Its brain mask.
        modality: A modality whose tissues are in one of the orders of BRIGHTNESS.
        change: A key of CHANGES.
        amount: Of the change, 0 (none) to 1.
        diameter_mm: Of the lesion, a ball.
        seed: Seed of its place.
        outputs: Files to write, .nii.gz: "scan", "brain" and "lesion".

    Returns:
        lesion_ml (in the brain), difference (root mean square over the lesion, as a share of the contrast of gray and
        white matter), and the intensities fluid, gray and white.

    Raises:
        InputError: A file cannot be read, scan and brain differ in shape, the tissues cannot be told apart, or the
            brain has no place for the lesion.
    """
    image, stored, slope, intercept = read_stored(scan_path)
    original = (stored * slope + intercept).astype(np.float32)
    brain = read_brain(brain_path, scan_path, original)
    brightness = BRIGHTNESS[MODALITIES[modality].order]
    volume = brightness * original
    voxel = np.linalg.norm(image.affine[:3, :3], axis=0)
    fluid, gray, white = _tissue_levels(volume[brain], scan_path)
    tissue_mask = brain & (volume >= (fluid + gray) / 2)
    place = _place(brain, tissue_mask, voxel=voxel, radius_mm=diameter_mm / 2, seed=seed)
    if place is None:
        raise InputError(
            f"{brain_path}: no place for a lesion of {diameter_mm:g} mm found in {DRAWS} draws, one expected with its "
            f"middle {DEPTH_MM[0]:g} to {DEPTH_MM[1]:g} mm below the surface; look at the mask, or take a smaller one"
        )
    middle, distance = place
    # Soft over two standard deviations of a painted stroke's edge on either side.
    share = np.clip(0.5 + (diameter_mm / 2 - distance) / (4 * EDGE_MM), 0, 1).astype(np.float32) * brain
    tissue = Tissue(volume, brain, share, fluid, gray, white, voxel, middle, diameter_mm / 2, brightness)
    changed = brightness * np.where(brain, CHANGES[change](tissue, amount), volume)
    lesion = share >= 0.5
    write_like(outputs["scan"], changed, image, dtype=stored.dtype, slope=slope, intercept=intercept)
    for part, mask in (("brain", brain), ("lesion", lesion)):
        write_like(outputs[part], mask, image, dtype=np.dtype(np.uint8), slope=1.0, intercept=0.0)
    difference = np.sqrt(np.mean((changed - original)[lesion] ** 2)) / (white - gray)
    return {
        "lesion_ml": float(lesion.sum() * voxel.prod() / 1000),
        "ball_ml": ball_volume_ml(diameter_mm),
        "difference": float(difference),
        "fluid": brightness * fluid,
        "gray": brightness * gray,
        "white": brightness * white,
    }


def choose_lesions(
    scans: Sequence[str],
    *,
    diameters_mm: Sequence[float],
    amounts: Sequence[float],
    count: int,
    seed: int,
) -> pd.DataFrame:
    """Choose which lesion goes into which healthy scan: `count` scans for each diameter and amount.

    Scans are taken in an order drawn at random, again and again, so that all have about as many lesions.

    Args:
        scans: Names of healthy scans.
        diameters_mm: Of the lesions.
        amounts: Of the change.
        count: Lesions of each diameter and amount, each in another scan.
        seed: Of the order, and the first of the lesions' own seeds.

    Returns:
        Columns scan, diameter_mm, amount and seed.

    Raises:
        InputError: There are fewer scans than lesions of one diameter and amount.
    """
    if count > len(scans):
        raise InputError(
            f"{len(scans)} healthy scans found, at least {count} expected; ask for fewer lesions"
        )
    order = np.random.default_rng([seed, 4]).permutation(sorted(scans))
    lesions = [(diameter, amount) for diameter in diameters_mm for amount in amounts for _ in range(count)]
    return pd.DataFrame(
        {
            "scan": [str(order[index % len(order)]) for index in range(len(lesions))],
            "diameter_mm": [diameter for diameter, _ in lesions],
            "amount": [amount for _, amount in lesions],
            "seed": np.arange(len(lesions)) + seed,
        }
    )


def _tissue_levels(intensities: np.ndarray, scan_path: str | Path) -> tuple[float, float, float]:
    """Fluid, gray and white: the means of three classes of intensities, ascending.

    Raises:
        InputError: There are not three classes.
    """
    start = np.percentile(intensities, [5, 40, 80])
    levels, _ = kmeans2(intensities.astype(float), start, minit="matrix", missing="warn")
    fluid, gray, white = (float(level) for level in np.sort(levels))
    if not fluid < gray < white:
        raise InputError(
            f"{scan_path}: intensities of {fluid:g}, {gray:g} and {white:g} found as those of fluid, gray and white "
            "matter, three that differ expected; look at the scan and its brain mask"
        )
    return fluid, gray, white


def _place(
    brain: np.ndarray, tissue: np.ndarray, *, voxel: np.ndarray, radius_mm: float, seed: int
) -> tuple[np.ndarray, np.ndarray] | None:
    """Middle of a lesion, voxel indices, and the distance of each voxel from it, mm; None if no place is found."""
    depth = ndimage.distance_transform_edt(brain, voxel)
    candidates = np.argwhere((depth >= DEPTH_MM[0]) & (depth <= DEPTH_MM[1]))
    if not len(candidates):
        return None
    random = np.random.default_rng([seed, 3])
    grid = np.ogrid[tuple(map(slice, brain.shape))]
    ball_voxels = 1000 * ball_volume_ml(2 * radius_mm) / voxel.prod()
    for middle in candidates[random.integers(0, len(candidates), DRAWS)]:
        distance = np.sqrt(
            sum(((axis - at) * edge) ** 2 for axis, at, edge in zip(grid, middle, voxel, strict=True))
        )
        inside = brain & (distance <= radius_mm)
        in_brain = inside.sum()
        if in_brain >= IN_BRAIN * ball_voxels and (inside & tissue).sum() >= IN_TISSUE * in_brain:
            return middle, distance
    return None


def _brighter(tissue: Tissue, amount: float) -> np.ndarray:
    """Tissue by a share of the contrast of gray matter and fluid brighter, with all its texture."""
    return _shifted(tissue, amount, tissue.brightness)


def _darker(tissue: Tissue, amount: float) -> np.ndarray:
    """Tissue by a share of the contrast of gray matter and fluid darker, with all its texture."""
    return _shifted(tissue, amount, -tissue.brightness)


def _shifted(tissue: Tissue, amount: float, sign: int) -> np.ndarray:
    shifted = tissue.volume + sign * tissue.share * amount * (tissue.gray - tissue.fluid)
    # Fluid stays, and no tissue gets darker than it.
    return np.where(
        tissue.is_fluid, tissue.volume, np.maximum(shifted, np.minimum(tissue.volume, tissue.fluid))
    )


def _without_texture(tissue: Tissue, amount: float) -> np.ndarray:
    """Texture and borders lost: the local mean, with the mean intensity of the lesion as it was."""
    local = _mean_inside(tissue.volume, tissue.brain, TEXTURE_MM / tissue.voxel)
    difference = amount * tissue.share * (local - tissue.volume)
    changed: np.ndarray = tissue.volume + difference - tissue.share * (difference.sum() / tissue.share.sum())
    return changed


def _with_blurred_border(tissue: Tissue, amount: float) -> np.ndarray:
    """The border of gray and white matter blurred; fluid, and the border to it, as they were."""
    solid = tissue.brain & ~tissue.is_fluid
    local = _mean_inside(tissue.volume, solid, BORDER_MM / tissue.voxel)
    return np.where(solid, tissue.volume + amount * tissue.share * (local - tissue.volume), tissue.volume)


def _displaced(tissue: Tissue, amount: float) -> np.ndarray:
    """Mass effect: tissue pushed outward from the middle, smoothly, with its intensities.

    Summed over the volume, 73 % of the displacement is outside the ball that is the truth.
    """
    indices = np.indices(tissue.volume.shape, np.float32)
    offset = (indices - tissue.middle[:, None, None, None]) * tissue.voxel[:, None, None, None]  # mm
    width = DISPLACEMENT_WIDTH * tissue.radius_mm
    squared = (offset**2).sum(axis=0) / width**2
    # Along the offset, largest at the distance `width`.
    largest = amount * DISPLACEMENT * tissue.radius_mm
    along = largest / width * np.exp(0.5 - squared / 2)
    # The brain keeps its outline.
    along *= np.minimum(ndimage.distance_transform_edt(tissue.brain, tissue.voxel) / tissue.radius_mm, 1)
    source = indices - along * offset / tissue.voxel[:, None, None, None]
    # By cubic splines: linear interpolation would blur what it moves.
    moved = ndimage.map_coordinates(tissue.volume, source, order=3, mode="nearest")
    intensities = tissue.volume[tissue.brain]
    clipped: np.ndarray = np.clip(moved, intensities.min(), intensities.max())
    return clipped


def _atrophic(tissue: Tissue, amount: float) -> np.ndarray:
    """Atrophy: what is near fluid becomes fluid."""
    darkest = _darkest_near(tissue, tissue.volume, FLUID_MM)
    near_fluid = darkest < (tissue.fluid + tissue.gray) / 2
    return np.where(
        near_fluid, tissue.volume + amount * tissue.share * (darkest - tissue.volume), tissue.volume
    )


def _without_sulci(tissue: Tissue, amount: float) -> np.ndarray:
    """Missing sulci: fluid that is narrow becomes gray matter."""
    footprint = _ball(SULCUS_MM, tissue.voxel)
    inside = np.where(tissue.brain, tissue.volume, tissue.volume.min())
    widened = ndimage.grey_dilation(inside, footprint=footprint)
    closed = ndimage.grey_erosion(np.where(tissue.brain, widened, np.inf), footprint=footprint)
    filled = np.minimum(closed, tissue.gray)
    changed: np.ndarray = tissue.volume + amount * tissue.share * np.maximum(filled - tissue.volume, 0)
    return changed


def _with_thick_cortex(tissue: Tissue, amount: float) -> np.ndarray:
    """Thick cortex, as in dysplasia: white matter near gray matter becomes gray."""
    grayest = _darkest_near(tissue, np.maximum(tissue.volume, tissue.gray), CORTEX_MM)
    changed: np.ndarray = tissue.volume + amount * tissue.share * np.minimum(grayest - tissue.volume, 0)
    return changed


def _mean_inside(volume: np.ndarray, mask: np.ndarray, sigma: np.ndarray) -> np.ndarray:
    """Gaussian mean of a volume over the voxels of a mask, sigma in voxels; what is far from the mask as it was."""
    weight = ndimage.gaussian_filter(mask.astype(np.float32), sigma)
    mean = ndimage.gaussian_filter(np.where(mask, volume, 0), sigma) / np.maximum(weight, 1e-3)
    return np.where(weight > 1e-3, mean, volume)


def _darkest_near(tissue: Tissue, volume: np.ndarray, distance_mm: float) -> np.ndarray:
    """Least intensity of brain within a distance of each voxel."""
    inside = np.where(tissue.brain, volume, np.inf)
    darkest: np.ndarray = np.minimum(
        volume, ndimage.grey_erosion(inside, footprint=_ball(distance_mm, tissue.voxel))
    )
    return darkest


def _ball(radius_mm: float, voxel: np.ndarray) -> np.ndarray:
    """Voxels within a distance of the middle one, bool, odd along each axis."""
    reach = [int(radius_mm / edge) for edge in voxel]
    offsets = np.ogrid[tuple(slice(-steps, steps + 1) for steps in reach)]
    squared = sum((axis * edge) ** 2 for axis, edge in zip(offsets, voxel, strict=True))
    inside: np.ndarray = squared <= radius_mm**2 * (1 + 1e-6)
    return inside


CHANGES: dict[str, Callable[[Tissue, float], np.ndarray]] = {
    "bright": _brighter,
    "dark": _darker,
    "texture": _without_texture,
    "mass_effect": _displaced,
    "blurred_border": _with_blurred_border,
    "thick_cortex": _with_thick_cortex,
    "missing_sulci": _without_sulci,
    "atrophy": _atrophic,
}
