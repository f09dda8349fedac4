"""Intensities on one scale: Nyul landmarks, then division by the 98th percentile (paper, section 4).

The paper's released code has the background among the intensities that landmarks are of, and rescales percentiles 1 to
99 to 0 and 1 instead: both are settings of the landmarks, which go on to all that is standardized by them.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy as np

from patch2loc.data.prefetch import prefetched
from patch2loc.data.scans import PERCENTILES, Scan, check_contrast, intensity_percentiles
from patch2loc.data.vocabulary import Landmarks, Scale

if TYPE_CHECKING:
    from intensity_normalization.domain.protocols import ImageProtocol

SCALE = (0.0, 100.0)  # the published landmarks' standard scale
RESCALED_PERCENTILES = (1, 99)
SAME = 1e-5  # landmarks of a scan that are no further apart are one: those of the background


@dataclass(frozen=True)
class _Voxels:
    """Brain voxels as the image that intensity-normalization fits landmarks to: its own would round to float32."""

    values: np.ndarray

    def get_data(self) -> np.ndarray:
        return self.values


def _brain(percentiles: Sequence[float]) -> np.ndarray:
    """A brain of 101 voxels, (101,) float64, that has the given percentiles PERCENTILES of a brain.

    The percentile n of 101 voxels in order is voxel n, to the last digit. So the library takes percentiles that are
    known for those of a million voxels, which it would sort.
    """
    brain: np.ndarray = np.interp(np.arange(101), np.sort(PERCENTILES), np.sort(percentiles))
    return brain


def _percentiles(scan: Scan) -> list[float]:
    """Percentiles of a scan's brain, as preprocessing has stored them."""
    percentiles = scan.percentiles()
    check_contrast(percentiles, scan.volume_path)
    return percentiles


def _percentiles_with_background(scan: Scan) -> list[float]:
    """Percentiles of the box of a scan's brain, the background in it included."""
    volume, mask = scan.read()
    check_contrast(intensity_percentiles(volume[mask]), scan.volume_path)
    return intensity_percentiles(_box(volume, mask).ravel())


def _box(volume: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """The part of a volume, (x, y, z), in the smallest box around its brain, to which the released code cuts scans."""
    edges = (np.flatnonzero(mask.any(axis=axes)) for axes in ((1, 2), (0, 2), (0, 1)))
    return volume[tuple(slice(places[0], places[-1] + 1) for places in edges)]


def fit_landmarks(
    scans: Sequence[Scan], *, background: bool = False, scale: Scale = "percentile"
) -> Landmarks:
    """Fit Nyul landmarks to training scans (Nyul et al. 2000), inside their brain masks.

    Args:
        scans: Preprocessed scans of one modality.
        background: Fit them to the boxes of the brains, background included, as the paper's released code does.
        scale: How `standardize` goes on.

    Returns:
        Percentiles (n,) and the standard scale (n,), 0 to 100; the subjects that were used; and both settings.

    Raises:
        InputError: A scan cannot be read, or its intensities in the brain hardly differ.
    """
    # Here: it brings all its other methods, a second of every job that standardizes.
    from intensity_normalization.normalizers.population.nyul import NyulNormalizer

    normalizer = NyulNormalizer(*SCALE)
    percentiles_of = _percentiles_with_background if background else _percentiles
    brains, mask = [_Voxels(_brain(percentiles_of(scan))) for scan in scans], _Voxels(np.ones(101, bool))
    normalizer.fit_population(
        cast("list[ImageProtocol]", brains), masks=cast("list[ImageProtocol]", [mask] * len(brains))
    )
    assert normalizer.standard_scale is not None  # it was fitted above
    return {
        "percentiles": normalizer.percentiles.tolist(),
        "standard_scale": normalizer.standard_scale.tolist(),
        "subjects": [scan.subject for scan in scans],
        "scale": scale,
        "background": background,
    }


def standardize(
    volume: np.ndarray,
    mask: np.ndarray,
    landmarks: Landmarks,
    name: Path | str = "volume",
    percentiles: Sequence[float] | None = None,
) -> np.ndarray:
    """Map the brain's intensities onto the landmarks' scale and divide them by their 98th percentile.

    With landmarks of the scale `range` they are clipped to their percentiles 1 to 99, which become 0 and 1.

    Args:
        volume: (x, y, z) float32.
        mask: The brain, (x, y, z) boolean.
        landmarks: From `fit_landmarks`, or of a model.
        name: Of the scan, for messages.
        percentiles: Of the brain (`data.scans.intensity_percentiles`), where they are known.

    Returns:
        (x, y, z) float32, 0 outside the mask.

    Raises:
        InputError: The intensities in the brain hardly differ.
    """
    values = volume[mask].astype(np.float64)
    if percentiles is None:
        percentiles = intensity_percentiles(values)
    check_contrast(percentiles, name)
    known = set(landmarks["percentiles"]) <= set(PERCENTILES)
    brain = _brain(percentiles) if known else values
    if landmarks.get("background"):
        found = np.percentile(_box(volume, mask).astype(np.float64), landmarks["percentiles"])
        on_scale = _on_scale_with_background
    else:
        found, on_scale = np.percentile(brain, landmarks["percentiles"]), _on_scale
    scaled_brain, scaled = (
        on_scale(intensities, found, np.asarray(landmarks["standard_scale"]))
        for intensities in (brain, values)
    )
    standardized = np.zeros(volume.shape, np.float32)
    if landmarks.get("scale") == "range":
        low, high = np.percentile(scaled, RESCALED_PERCENTILES)
        standardized[mask] = (np.clip(scaled, low, high) - low) / (high - low)
    else:
        standardized[mask] = scaled / np.percentile(scaled_brain, 98)
    return standardized


def _on_scale(values: np.ndarray, landmarks: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """Values (n,) after the map that takes landmarks to a scale, linear between and beyond them.

    What NyulNormalizer.transform computes, to the last digit.
    """
    above = np.searchsorted(landmarks, values).clip(1, len(landmarks) - 1)
    slopes = np.diff(scale) / np.diff(landmarks)
    mapped: np.ndarray = slopes[above - 1] * (values - landmarks[above - 1]) + scale[above - 1]
    return mapped


def _on_scale_with_background(values: np.ndarray, landmarks: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """As `_on_scale`, with landmarks that may be equal: values between two of these get the scale of the lower one.

    What TorchIO's HistogramStandardization computes, which the paper's released code uses.
    """
    segment = np.searchsorted(landmarks[1:-1], values, side="right")
    widths = np.diff(landmarks)
    slopes = np.diff(scale) / np.where(widths < SAME, np.inf, widths)
    mapped: np.ndarray = slopes[segment] * (values - landmarks[segment]) + scale[segment]
    return mapped


def read_standardized(scan: Scan, landmarks: Landmarks) -> tuple[np.ndarray, np.ndarray]:
    """Read a preprocessed scan, standardized: volume (x, y, z) float32 and mask (x, y, z) boolean."""
    volume, mask = scan.read()
    return standardize(volume, mask, landmarks, scan.volume_path, scan.percentiles()), mask


@dataclass(frozen=True)
class StandardizedScans:
    """Preprocessed scans as methods are fitted to them: read and standardized anew at every iteration.

    Attributes:
        scans: Scans on the common grid, of one modality.
        landmarks: From `fit_landmarks`.
        threads: Scans that are read ahead.
    """

    scans: Sequence[Scan]
    landmarks: Landmarks
    threads: int = 1

    def __len__(self) -> int:
        return len(self.scans)

    def __iter__(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        return prefetched(lambda scan: read_standardized(scan, self.landmarks), self.scans, self.threads)
