"""Real healthy T1 scans rendered in another contrast, as another scanner might have made it of the same brain.

What fluid, gray and white matter look like in the T1 scan is told by a mixture of three Gaussians, and what is between
two of them is a voxel with a share of both. Each tissue gets a brightness that is drawn at random, from what spin
echoes of long echo time show of tissues of published relaxation times; the texture of the real scan stays in part, and
an uneven coil, thick slices and noise are added. Anatomy and positions are those of the real scan, the contrast is
simulated: scans that result have to be called simulated wherever they are shown.
"""

from pathlib import Path
from typing import TypedDict

import numpy as np

from patch2loc.acquire.painted import read_brain, read_stored, write_like
from patch2loc.acquire.tissues import TISSUES, Mixture, fit_tissues, gaussian_mean

Range = tuple[float, float]
# The prior. All is drawn evenly from ranges that were set from physics, before any T2 scan was scored. Relaxation times
# at 1.5 and 3 T, ms: Stanisz et al. 2005 (doi:10.1002/mrm.20605), Wansapura et al. 1999
# (doi:10.1002/(SICI)1522-2586(199904)9:4<531::AID-JMRI4>3.0.CO;2-L); those of fluid are shorter than of water at rest,
# as it flows and shares its voxels with tissue.
ECHO_MS: Range = (70.0, 130.0)
REPETITION_MS: Range = (2500.0, 8000.0)
PROTONS: dict[str, Range] = {"fluid": (1.0, 1.0), "gray": (0.78, 0.88), "white": (0.65, 0.75)}
T1_MS: dict[str, Range] = {"fluid": (3000.0, 4500.0), "gray": (920.0, 1820.0), "white": (600.0, 1100.0)}
T2_MS: dict[str, Range] = {"fluid": (400.0, 2000.0), "gray": (85.0, 115.0), "white": (65.0, 90.0)}
# Fluid over gray and gray over white matter: with less it is no T2 contrast, and drawn again.
LEAST_RATIO = 1.1
# Standard deviation of new texture over the mean of a tissue, and the share of the texture of the real scan that stays.
SPREAD: dict[str, Range] = {"fluid": (0.02, 0.10), "gray": (0.0, 0.06), "white": (0.0, 0.06)}
KEPT: Range = (0.3, 1.0)
BIAS: Range = (0.0, 0.2)  # standard deviation of the logarithm of the coil's sensitivity
BLUR_MM: Range = (0.0, 2.0)  # full width at half maximum in the plane of the slices
THICK = 0.5  # chance of thick slices
THICKEST_MM = 6.0
NOISE: Range = (0.01, 0.06)  # standard deviation over gray matter, of a slice, in each of two channels
BIAS_MM = 30.0  # standard deviation of the Gaussian that makes an uneven coil
TEXTURE_MM = 1.0  # of that which makes the other part of the texture
FWHM = 2.3548  # full width at half maximum of a Gaussian over its standard deviation


class Contrast(TypedDict):
    """What is drawn for a scan; brightness over that of fluid.

    Attributes:
        echo_ms: Echo time.
        repetition_ms: Repetition time.
        means: Brightness of fluid, gray and white matter, descending.
        spreads: Standard deviations of their new texture.
        kept: Share of the texture of the real scan that stays.
        bias: Standard deviation of the logarithm of the coil's sensitivity.
        blur_mm: Full width at half maximum in the plane.
        axis: Of the voxels, along which slices are stacked.
        slice_mm: Thickness of a slice; 0 for one that is as thick as a voxel.
        noise: Standard deviation in each of two channels.
    """

    echo_ms: float
    repetition_ms: float
    means: list[float]
    spreads: list[float]
    kept: float
    bias: float
    blur_mm: float
    axis: int
    slice_mm: float
    noise: float


def recontrast_scan(
    scan_path: str | Path, brain_path: str | Path, *, seed: int, outputs: dict[str, str | Path]
) -> Contrast:
    """Render a healthy T1 scan as a T2 scan of the same brain.

    It is on the voxels of the scan, int16, above 0 in the brain and 0 outside: a skull of T1 contrast would not belong
    to it. The brain mask is written as it is, uint8.

    Args:
        scan_path: The healthy T1 scan.
        brain_path: Its brain mask.
        seed: Seed of all that is drawn.
        outputs: Files to write, .nii.gz: "scan" and "brain".

    Returns:
        What was drawn.

    Raises:
        InputError: A file cannot be read, scan and brain differ in shape, or the tissues cannot be told apart.
    """
    image, stored, slope, intercept = read_stored(scan_path)
    volume = (stored * slope + intercept).astype(np.float32)
    brain = read_brain(brain_path, scan_path, volume)
    voxel = np.linalg.norm(image.affine[:3, :3], axis=0)
    random = np.random.default_rng([seed, 5])
    contrast = draw_contrast(random)
    evened, mixture = fit_tissues(volume, brain, voxel, scan_path)
    rendered = render(evened, brain, mixture, contrast=contrast, voxel=voxel, random=random)
    acquired = acquire(rendered, brain, contrast=contrast, voxel=voxel, random=random)
    whole = np.where(brain, np.maximum(1000 * acquired, 1), 0)
    write_like(outputs["scan"], whole, image, dtype=np.dtype(np.int16), slope=1.0, intercept=0.0)
    write_like(outputs["brain"], brain, image, dtype=np.dtype(np.uint8), slope=1.0, intercept=0.0)
    return contrast


def draw_contrast(random: np.random.Generator) -> Contrast:
    """Draw a T2 contrast, and how the scanner acquires it, from the prior."""
    while True:
        echo, repetition = random.uniform(*ECHO_MS), random.uniform(*REPETITION_MS)
        signals = np.array(
            [
                random.uniform(*PROTONS[tissue])
                * (1 - np.exp(-repetition / random.uniform(*T1_MS[tissue])))
                * np.exp(-echo / random.uniform(*T2_MS[tissue]))
                for tissue in TISSUES
            ]
        )
        if (signals[:-1] >= LEAST_RATIO * signals[1:]).all():
            break
    means = signals / signals[0]
    return Contrast(
        echo_ms=float(echo),
        repetition_ms=float(repetition),
        means=means.tolist(),
        spreads=[
            float(mean * random.uniform(*SPREAD[tissue])) for tissue, mean in zip(TISSUES, means, strict=True)
        ],
        kept=float(random.uniform(*KEPT)),
        bias=float(random.uniform(*BIAS)),
        blur_mm=float(random.uniform(*BLUR_MM)),
        axis=int(random.integers(3)),
        slice_mm=float(random.uniform(2, THICKEST_MM)) if random.uniform() < THICK else 0.0,
        noise=float(means[1] * random.uniform(*NOISE)),
    )


def render(
    volume: np.ndarray,
    brain: np.ndarray,
    mixture: Mixture,
    *,
    contrast: Contrast,
    voxel: np.ndarray,
    random: np.random.Generator,
) -> np.ndarray:
    """The brain of a T1 scan in a drawn contrast: a brightness for each tissue, and texture.

    Args:
        volume: (x, y, z) float32, without shading.
        brain: (x, y, z) bool.
        mixture: Of its intensities.
        contrast: What was drawn.
        voxel: Edges of a voxel, mm, (3,).
        random: Source of the texture that is not the scan's.

    Returns:
        (x, y, z) float32, 1 is the brightness of fluid; 0 outside the brain.
    """
    shares = mixture.shares(volume[brain], contrast["kept"])
    means, spreads = np.array(contrast["means"]), np.array(contrast["spreads"])
    texture = gaussian_mean(random.standard_normal(volume.shape).astype(np.float32), TEXTURE_MM / voxel)
    texture = texture[brain] / texture.std()
    rendered = np.zeros_like(volume)
    rendered[brain] = np.maximum(((means[:, None] + spreads[:, None] * texture) * shares).sum(axis=0), 0)
    return rendered


def acquire(
    rendered: np.ndarray,
    brain: np.ndarray,
    *,
    contrast: Contrast,
    voxel: np.ndarray,
    random: np.random.Generator,
) -> np.ndarray:
    """A rendered brain as a scanner shows it: uneven coil, resolution, noise; on the voxels that it was on.

    Args:
        rendered: (x, y, z) float32, 0 outside the brain.
        brain: (x, y, z) bool.
        contrast: What was drawn.
        voxel: Edges of a voxel, mm, (3,).
        random: Source of coil, noise and the place of the first slice.

    Returns:
        (x, y, z) float32, at least 0; 0 outside the brain.
    """
    field = gaussian_mean(random.standard_normal(brain.shape).astype(np.float32), BIAS_MM / voxel)
    uneven = rendered * np.exp(contrast["bias"] * field / field[brain].std())
    axis, thickness = contrast["axis"], contrast["slice_mm"]
    thick = thickness > voxel[axis]
    blur_mm = np.full(3, contrast["blur_mm"] / FWHM)
    blur_mm[axis] = thickness / np.sqrt(12) if thick else 0.0
    # Brain alone: what is beside it is not dark in a scan.
    inside = gaussian_mean(brain.astype(np.float32), blur_mm / voxel)
    blurred = np.where(brain, gaussian_mean(uneven, blur_mm / voxel) / np.maximum(inside, 1e-3), 0)
    if not thick:
        return np.where(brain, _rician(blurred, contrast["noise"], random), 0).astype(np.float32)
    # Each slice is a mean over its thickness, has noise of its own, and is interpolated to the voxels.
    count, step = brain.shape[axis], thickness / voxel[axis]
    centers = np.arange(random.uniform(-step, 0), count + step, step)
    # A slice that is cut off at the edge of the brain has no dark part.
    weight = _along(brain.astype(np.float32), centers, axis)
    slices = _along(blurred, centers, axis) / np.where(weight > 0, weight, 1)
    noisy = _rician(slices, contrast["noise"], random)
    known = (weight > 0).astype(np.float32)
    back = (np.arange(count) - centers[0]) / step
    share = _along(known, back, axis)
    stacked = _along(noisy * known, back, axis) / np.where(share > 0, share, 1)
    return np.where(brain, np.where(share > 0, stacked, blurred), 0).astype(np.float32)


def _rician(signal: np.ndarray, noise: float, random: np.random.Generator) -> np.ndarray:
    """Magnitude of a signal with Gaussian noise in two channels."""
    real, imaginary = random.standard_normal((2, *signal.shape)) * noise
    magnitude: np.ndarray = np.hypot(signal + real, imaginary)
    return magnitude


def _along(volume: np.ndarray, positions: np.ndarray, axis: int) -> np.ndarray:
    """Linear interpolation along an axis at positions, voxels; 0 beyond the ends."""
    lower = np.floor(positions).astype(int)
    padded = np.pad(volume, [(1, 1) if each == axis else (0, 0) for each in range(3)])
    last = padded.shape[axis] - 1
    share = (positions - lower).reshape([-1 if each == axis else 1 for each in range(3)])
    below, above = (np.take(padded, np.clip(lower + offset, 0, last), axis=axis) for offset in (1, 2))
    interpolated: np.ndarray = (1 - share) * below + share * above
    return interpolated
