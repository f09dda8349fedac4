"""Intensities on one scale: Nyul landmarks, then division by the 98th percentile (paper, section 4).

Scans that were preprocessed by the protocol of the released code are rescaled to percentiles 1 to 99 instead.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from intensity_normalization.normalizers.population.nyul import NyulNormalizer

from patch2loc.data.prefetch import prefetched
from patch2loc.data.scans import Scan, check_contrast
from patch2loc.files import read_json

SCALE = (0.0, 100.0)  # the published landmarks' standard scale
RESCALED_PERCENTILES = (1, 99)


@dataclass(frozen=True)
class _Voxels:
    """Brain voxels as the one-dimensional image that intensity-normalization takes."""

    values: np.ndarray

    def get_data(self) -> np.ndarray:
        return self.values

    def with_data(self, values: np.ndarray) -> "_Voxels":
        return _Voxels(values)


class _Lazily(Sequence):
    """A sequence that computes its items when asked, so that one scan at a time is in memory."""

    def __init__(self, compute: Callable[[int], _Voxels], length: int) -> None:
        self.compute, self.length = compute, length

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> _Voxels:
        return self.compute(index)

    def __iter__(self) -> Iterator[_Voxels]:
        return (self.compute(index) for index in range(self.length))


def _brain_voxels(scan: Scan) -> np.ndarray:
    volume, mask = scan.read()
    values = volume[mask].astype(np.float64)
    check_contrast(values, scan.volume)
    return values


def fit_landmarks(scans: Sequence[Scan]) -> dict:
    """Fit Nyul landmarks inside the brain masks of training scans (Nyul et al. 2000).

    Returns percentiles (n,), standard_scale (n,) on 0..100, the subjects used, and the protocol they were preprocessed
    by, which says how `standardize` goes on.
    """
    normalizer = NyulNormalizer(*SCALE)
    normalizer.fit_population(
        _Lazily(lambda index: _Voxels(_brain_voxels(scans[index])), len(scans)),
        masks=_Lazily(lambda index: _Voxels(np.ones(int(scans[index].read()[1].sum()), bool)), len(scans)),
    )
    return {
        "percentiles": normalizer.percentiles.tolist(),
        "standard_scale": normalizer.standard_scale.tolist(),
        "subjects": [scan.subject for scan in scans],
        "protocol": read_json(scans[0].qc)["protocol"],
    }


def standardize(
    volume: np.ndarray, mask: np.ndarray, landmarks: dict, name: Path | str = "volume"
) -> np.ndarray:
    """Map the brain's intensities onto the landmarks' scale and divide by their 98th percentile.

    With landmarks of the protocol released-code they are clipped to their percentiles 1 to 99, which become 0 and 1.
    volume: (x, y, z) float32.  mask: (x, y, z) boolean.  Returns (x, y, z) float32, 0 outside the mask.
    """
    values = volume[mask].astype(np.float64)
    check_contrast(values, name)
    normalizer = NyulNormalizer(*SCALE)
    normalizer._percentiles = np.asarray(landmarks["percentiles"])
    normalizer._standard_scale = np.asarray(landmarks["standard_scale"])
    normalizer.is_fitted = True
    scaled = normalizer.transform(_Voxels(values), _Voxels(np.ones(len(values), bool))).get_data()
    standardized = np.zeros(volume.shape, np.float32)
    if landmarks.get("protocol") == "released-code":
        low, high = np.percentile(scaled, RESCALED_PERCENTILES)
        standardized[mask] = (np.clip(scaled, low, high) - low) / (high - low)
    else:
        standardized[mask] = scaled / np.percentile(scaled, 98)
    return standardized


def read_standardized(scan: Scan, landmarks: dict) -> tuple[np.ndarray, np.ndarray]:
    """Read a preprocessed scan, standardized: volume (x, y, z) float32 and mask (x, y, z) boolean."""
    volume, mask = scan.read()
    return standardize(volume, mask, landmarks, scan.volume), mask


@dataclass(frozen=True)
class StandardizedScans:
    """Preprocessed scans as methods are fitted to them: read and standardized anew whenever gone through."""

    scans: Sequence[Scan]
    landmarks: dict
    threads: int = 1

    def __len__(self) -> int:
        return len(self.scans)

    def __iter__(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        return prefetched(lambda scan: read_standardized(scan, self.landmarks), self.scans, self.threads)
