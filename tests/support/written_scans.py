"""Preprocessed scans that a test writes."""

import numpy as np

from patch2loc.data import volumes
from patch2loc.data.scans import Scan
from patch2loc.files import write_json


def write_scan(folder, subject, seed, shape):
    """A scan of noise in a box of brain."""
    rng = np.random.default_rng(seed)
    mask = np.zeros(shape, bool)
    mask[2:10, 2:8, 1:3] = True
    scan = Scan(subject, folder / subject, "T1")
    volumes.write(scan.volume, np.where(mask, rng.uniform(50, 100, shape), 0).astype(np.float32), np.eye(4))
    volumes.write(scan.mask, mask, np.eye(4))
    write_json(scan.qc, {"protocol": "paper"})
    return scan
