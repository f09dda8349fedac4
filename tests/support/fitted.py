"""Scans on disk and the settings of a small training."""

import numpy as np

from patch2loc.data import volumes
from patch2loc.data.scans import Scan
from patch2loc.files import write_json

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
    mask = np.zeros(SHAPE, bool)
    mask[3:21, 3:17, 1:5] = True
    volume = np.where(mask, 100 + 5 * np.arange(SHAPE[0])[:, None, None] + rng.normal(0, 8, SHAPE), 0)
    scan = Scan(subject, folder / subject, "T1")
    volumes.write(scan.volume, volume.astype(np.float32), np.diag([2.0, 2, 2, 1]))
    volumes.write(scan.mask, mask, np.diag([2.0, 2, 2, 1]))
    write_json(scan.qc, {"protocol": "paper"})
    return scan
