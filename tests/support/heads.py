"""Simulated heads: how they are asked for, and what is read of them."""

import numpy as np

SETTINGS = {"anatomy_spacing": 2.0, "voxel_size": [1.6, 1.6, 2.5], "noise": 0.03}
# Coarse, for what does not depend on detail.
COARSE = {"anatomy_spacing": 3.0, "voxel_size": [3.0, 3.0, 3.0], "noise": 0.03}


def scans(subjects, name):
    return [(modality, scan) for subject in subjects[name] for modality, scan in subject.items()]


def milliliters(mask, affine):
    return np.count_nonzero(mask) * abs(np.linalg.det(affine[:3, :3])) / 1000
