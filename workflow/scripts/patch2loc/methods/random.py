"""A control: a random score, which knows nothing.

What it reaches is what the lesions' share of the brain and the median filter give to any score.
"""

import hashlib
from collections.abc import Callable
from pathlib import Path

import numpy as np

from patch2loc.method_interface import Volumes

ROLE = "control"
ORDER = 230


def fit(
    training: Volumes, validation: Volumes, settings: dict, checkpoint: Path | None, device: str
) -> tuple[dict, None]:
    """Nothing is learnt; the seed is the run's."""
    return {"seed": settings["seed"]}, None


def scorer(
    state: dict, device: str, stride: int = 1, precision: str = "float32"
) -> Callable[..., dict[str, np.ndarray]]:
    """Score by independent uniform numbers that follow from the seed and the scan's own intensities.

    A scan has the same ones whichever scans are scored before it.
    """

    def score(volume: np.ndarray, mask: np.ndarray, wanted: np.ndarray) -> dict[str, np.ndarray]:
        content = hashlib.sha256(np.ascontiguousarray(volume)).digest()
        generator = np.random.default_rng([state["seed"], *content])
        numbers = generator.random(volume.shape, np.float32)
        return {"score": np.where(wanted, numbers, np.float32(np.nan))}

    return score
