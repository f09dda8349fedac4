"""Small scans, (x, y, z) float32 with a boolean mask: arrays, and preprocessed scans on disk."""

import numpy as np

from patch2loc.data import volumes
from patch2loc.data.content import content_hash
from patch2loc.data.scans import Scan, intensity_percentiles
from patch2loc.files import write_json

BRAIN = np.s_[4:-6, 5:-4, 1:-1]  # a box that lies unevenly in the grid


def box(shape, region):
    """Mask of a box, given by a slice along each axis."""
    mask = np.zeros(shape, bool)
    mask[region] = True
    return mask


def noise_scan(seed, shape=(32, 28, 6), region=BRAIN, *, low=0.2, high=0.9):
    """Uniform noise in a box of brain."""
    rng = np.random.default_rng(seed)
    mask = box(shape, region)
    return np.where(mask, rng.uniform(low, high, shape), 0).astype(np.float32), mask


def located_scans(count, seed, shape, region, *, darkest=0.0):
    """Scans with a box of brain whose intensity tells the place, with some noise."""
    rng = np.random.default_rng(seed)
    x, y, _ = np.meshgrid(*(np.linspace(0, 1, size) for size in shape), indexing="ij")
    mask = box(shape, region)
    return [
        ((mask * (darkest + x + 2 * y + 0.05 * rng.normal(size=shape))).astype(np.float32), mask)
        for _ in range(count)
    ]


def disc_scans(count, seed=0, shape=(16, 16, 6), *, noise=0.0, empty_last_slice=False):
    """Discs of a smooth brightness between 0 and 1, a little different in each scan.

    noise: standard deviation between voxels.
    """
    rng = np.random.default_rng(seed)
    x, y, z = np.meshgrid(*(np.linspace(-1, 1, size) for size in shape), indexing="ij")
    mask = x**2 + y**2 < 0.8
    if empty_last_slice:
        mask &= z < 1
    scans = []
    for _ in range(count):
        brightness = 0.5 + 0.2 * x + 0.1 * y * z + 0.1 * rng.normal()
        if noise:
            brightness = brightness + noise * rng.normal(size=shape)
        scans.append(((brightness * mask).clip(0, 1).astype(np.float32), mask))
    return scans


def save_scan(folder, subject, volume, mask, *, affine, lesion=None, modality="T1"):
    """Write a preprocessed scan below a folder."""
    scan = Scan(subject, folder / subject, modality)
    volumes.write(scan.volume_path, volume.astype(np.float32), affine)
    volumes.write(scan.mask_path, mask, affine)
    if lesion is not None:
        volumes.write(scan.lesion_path, lesion, affine)
        volumes.write(scan.lesion_any_path, lesion, affine)
    percentiles = intensity_percentiles(scan.read()[0][mask])
    write_json(scan.qc_path, {"content": content_hash(volume, affine), "intensity_percentiles": percentiles})
    return scan


def save_noise_scan(folder, subject, seed, shape):
    """Write a preprocessed scan of noise in a box of brain below a folder."""
    volume, mask = noise_scan(seed, shape, np.s_[2:10, 2:8, 1:3], low=50, high=100)
    return save_scan(folder, subject, volume, mask, affine=np.eye(4))
