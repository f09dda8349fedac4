"""Intensities on one scale: Nyul landmarks, then division by the 98th percentile (paper, section 4).

Scans that were preprocessed by the protocol of the released code are rescaled to percentiles 1 to 99 instead.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import numpy as np
from intensity_normalization.domain.protocols import ImageProtocol
from intensity_normalization.normalizers.population.nyul import NyulNormalizer

from patch2loc.data.prefetch import prefetched
from patch2loc.data.scans import Scan, check_contrast
from patch2loc.data.vocabulary import Landmarks
from patch2loc.files import read_json

SCALE = (0.0, 100.0)  # the published landmarks' standard scale
RESCALED_PERCENTILES = (1, 99)


@dataclass(frozen=True)
class _Voxels:
    """Brain voxels as the one-dimensional image that intensity-normalization takes: its own would round to float32."""

    values: np.ndarray

    def get_data(self) -> np.ndarray:
        return self.values

    def with_data(self, values: np.ndarray) -> "_Voxels":
        return _Voxels(values)


def _as_image(values: np.ndarray) -> ImageProtocol:
    return cast(ImageProtocol, _Voxels(values))  # fitting and transforming use these two methods only


class _LazyImages(Sequence[ImageProtocol]):
    """Images that are computed when asked for, so that one scan at a time is in memory."""

    def __init__(self, compute: Callable[[int], np.ndarray], length: int) -> None:
        self.compute, self.length = compute, length

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> ImageProtocol:  # type: ignore[override]  # slices are not needed
        return _as_image(self.compute(index))

    def __iter__(self) -> Iterator[ImageProtocol]:
        return (self[index] for index in range(self.length))


def _brain_voxels(scan: Scan) -> np.ndarray:
    volume, mask = scan.read()
    values: np.ndarray = volume[mask].astype(np.float64)
    check_contrast(values, scan.volume_path)
    return values


def fit_landmarks(scans: Sequence[Scan]) -> Landmarks:
    """Fit Nyul landmarks inside the brain masks of training scans (Nyul et al. 2000).

    Args:
        scans: Preprocessed scans of one modality, all by the same protocol.

    Returns:
        Percentiles (n,) and the standard scale (n,), 0 to 100; the subjects that were used; and the protocol that
        they were preprocessed by, which decides how `standardize` goes on.

    Raises:
        InputError: A scan cannot be read, or its intensities in the brain hardly differ.
    """
    normalizer = NyulNormalizer(*SCALE)
    normalizer.fit_population(
        _LazyImages(lambda index: _brain_voxels(scans[index]), len(scans)),
        masks=_LazyImages(lambda index: np.ones(int(scans[index].read()[1].sum()), bool), len(scans)),
    )
    assert normalizer.standard_scale is not None  # it was fitted above
    return {
        "percentiles": normalizer.percentiles.tolist(),
        "standard_scale": normalizer.standard_scale.tolist(),
        "subjects": [scan.subject for scan in scans],
        "protocol": read_json(scans[0].qc_path)["protocol"],
    }


def standardize(
    volume: np.ndarray, mask: np.ndarray, landmarks: Landmarks, name: Path | str = "volume"
) -> np.ndarray:
    """Map the brain's intensities onto the landmarks' scale and divide them by their 98th percentile.

    With landmarks of the protocol released-code they are clipped to their percentiles 1 to 99, which become 0 and 1.

    Args:
        volume: (x, y, z) float32.
        mask: The brain, (x, y, z) boolean.
        landmarks: From `fit_landmarks`, or of a model.
        name: Of the scan, for messages.

    Returns:
        (x, y, z) float32, 0 outside the mask.

    Raises:
        InputError: The intensities in the brain hardly differ.
    """
    values = volume[mask].astype(np.float64)
    check_contrast(values, name)
    normalizer = NyulNormalizer(*SCALE)
    normalizer._percentiles = np.asarray(landmarks["percentiles"])
    normalizer._standard_scale = np.asarray(landmarks["standard_scale"])
    normalizer.is_fitted = True
    scaled = normalizer.transform(_as_image(values), _as_image(np.ones(len(values), bool))).get_data()
    standardized = np.zeros(volume.shape, np.float32)
    if landmarks.get("protocol") == "released-code":
        low, high = np.percentile(scaled, RESCALED_PERCENTILES)
        standardized[mask] = (np.clip(scaled, low, high) - low) / (high - low)
    else:
        standardized[mask] = scaled / np.percentile(scaled, 98)
    return standardized


def read_standardized(scan: Scan, landmarks: Landmarks) -> tuple[np.ndarray, np.ndarray]:
    """Read a preprocessed scan, standardized: volume (x, y, z) float32 and mask (x, y, z) boolean."""
    volume, mask = scan.read()
    return standardize(volume, mask, landmarks, scan.volume_path), mask


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
