"""Scans on disk and the settings of a small training."""

import numpy as np
from scans import box, save_scan

SHAPE, CPU = (24, 20, 6), "cpu"


SETTINGS = {
    "network": "tiny",
    "widths": [4, 4, 8, 8],
    "patch": 8,
    "patches": 640,
    "batch": 64,
    "learning_rate": 0.01,
    "schedule": "constant",
    "validation_patches": 64,
    "validations": 2,
    "seed": 1,
}


def write_scan(folder, subject, seed):
    rng = np.random.default_rng(seed)
    mask = box(SHAPE, np.s_[3:21, 3:17, 1:5])
    volume = np.where(mask, 100 + 5 * np.arange(SHAPE[0])[:, None, None] + rng.normal(0, 8, SHAPE), 0)
    return save_scan(folder, subject, volume, mask, affine=np.diag([2.0, 2, 2, 1]))
